//! How a consumer's tokens are read.

use keyward_model::{ClaimToHeader, JwtSettings, RemoteKeys, TokenPlace};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Doc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    audiences: Vec<String>,
    clock_skew_s: u32,
    require_exp: bool,
    claims_to_headers: Vec<(String, String)>,
    token_in: String,
    token_name: String,
    token_prefix: String,
    forward: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remote: Option<Remote>,
}

#[derive(Serialize, Deserialize)]
struct Remote {
    url: String,
    refresh_s: u32,
    keep_s: u32,
}

pub(crate) fn write(settings: &JwtSettings) -> String {
    let (token_in, token_name, token_prefix) = match &settings.token {
        TokenPlace::Header { name, prefix } => ("header", name.as_str(), prefix),
        TokenPlace::Query { name, prefix } => ("query", &**name, prefix),
        TokenPlace::Cookie { name, prefix } => ("cookie", &**name, prefix),
    };
    super::write(&Doc {
        issuer: settings.issuer.as_deref().map(str::to_owned),
        audiences: settings.audiences.iter().map(ToString::to_string).collect(),
        clock_skew_s: settings.clock_skew_s,
        require_exp: settings.require_exp,
        claims_to_headers: settings
            .claims_to_headers
            .iter()
            .map(|claim| (claim.claim.to_string(), claim.header.to_string()))
            .collect(),
        token_in: token_in.to_owned(),
        token_name: token_name.to_owned(),
        token_prefix: token_prefix.to_string(),
        forward: settings.forward,
        remote: settings.remote.as_ref().map(|remote| Remote {
            url: remote.url.to_string(),
            refresh_s: remote.refresh_s,
            keep_s: remote.keep_s,
        }),
    })
}

pub(crate) fn read(text: &str) -> Result<JwtSettings, String> {
    let doc: Doc = super::read(text)?;
    let prefix = doc.token_prefix.into();
    let token = match doc.token_in.as_str() {
        "header" => TokenPlace::Header { name: super::parse(&doc.token_name)?, prefix },
        "query" => TokenPlace::Query { name: doc.token_name.into(), prefix },
        "cookie" => TokenPlace::Cookie { name: doc.token_name.into(), prefix },
        other => return Err(format!("`{other}` is not a place for a token")),
    };
    let claims_to_headers = doc
        .claims_to_headers
        .into_iter()
        .map(|(claim, header)| Ok(ClaimToHeader { claim: claim.into(), header: super::parse(&header)? }))
        .collect::<Result<_, String>>()?;
    let remote = match doc.remote {
        Some(Remote { url, refresh_s, keep_s }) => {
            Some(RemoteKeys { url: super::parse(&url)?, refresh_s, keep_s })
        }
        None => None,
    };
    Ok(JwtSettings {
        issuer: doc.issuer.map(Into::into),
        audiences: doc.audiences.into_iter().map(Into::into).collect(),
        clock_skew_s: doc.clock_skew_s,
        require_exp: doc.require_exp,
        claims_to_headers,
        token,
        forward: doc.forward,
        remote,
    })
}
