//! `keyward sign`: prints a signed curl command.

use std::fmt::Write as _;

use clap::Args;
use keyward_access::Field;
use keyward_access::signature::{DigestChoice, SignRequest, Signed, SigningSecret, sign};
use keyward_api::{Answer, Call, Client, Credential, List, Revealed, Route};
use keyward_control::{Clock as _, Random as _, SystemClock, SystemRandom};
use keyward_model::{HmacAlgorithm, Plaintext, SignatureScheme, Stage};
use serde::Serialize;

use super::output::{Format, print, show};
use super::remote::{Remote, failure};
use super::{Failure, Outcome};

/// Print a curl command that is signed for an application.
///
/// It is good for one call, soon: its nonce passes once, and its timestamp for as long as the API's `window_s`.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
pub(crate) struct Sign {
    /// The method, as --method says it.
    #[arg(value_name = "METHOD", conflicts_with = "method")]
    verb: Option<String>,
    /// What to call, such as http://127.0.0.1:8080/orders/1?limit=10.
    #[arg(value_name = "URL")]
    url: String,
    /// Sign as this application; its secret is revealed by the node.
    #[arg(long, visible_alias = "app", value_name = "NAME", required_unless_present = "app_key")]
    application: Option<String>,
    /// Account of the application.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Sign with the key pair of this AppKey; absent: the application's default pair, or its first of --scheme.
    #[arg(long, value_name = "KEY")]
    app_key: Option<String>,
    /// The AppSecret, where no node is to be asked. Other users of this machine can read arguments: prefer the variable.
    #[arg(
        long,
        env = "KEYWARD_APP_SECRET",
        hide_env_values = true,
        value_name = "SECRET",
        requires = "app_key"
    )]
    app_secret: Option<String>,
    /// The scheme: alibaba, tencent or tencent_key_pair; absent: the key pair's.
    #[arg(long, value_name = "SCHEME")]
    scheme: Option<String>,
    /// The algorithm: HmacSHA1, HmacSHA256, HmacSHA384 or HmacSHA512.
    #[arg(long, value_name = "NAME", default_value = "HmacSHA256")]
    algorithm: String,
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    remote: Remote,
}

/// What the request is.
#[derive(Debug, Args)]
struct RequestArgs {
    /// The method; absent: GET, or POST with --body.
    #[arg(long, short = 'X', value_name = "METHOD")]
    method: Option<String>,
    /// A header field to send, such as `X-Tenant: 7`.
    #[arg(long, short = 'H', value_name = "FIELD")]
    header: Vec<String>,
    /// Also sign this header field.
    #[arg(long, value_name = "NAME")]
    sign_header: Vec<String>,
    /// The body. Its Content-Type is application/json where it begins like JSON, else a form's.
    #[arg(long, short = 'd', value_name = "TEXT")]
    body: Option<String>,
    /// Name this stage in X-Ca-Stage.
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// The part of the path that selects a stage, such as /test: Tencent's schemes do not sign it.
    #[arg(long, value_name = "PATH")]
    stage_prefix: Option<String>,
    /// Send no timestamp and no nonce (Tencent's schemes keep their date).
    #[arg(long)]
    plain: bool,
}

/// A key pair to sign with.
struct KeyPair {
    app_key: String,
    secret: Plaintext,
    scheme: Option<String>,
}

/// What is printed for scripts.
#[derive(Serialize)]
struct Printed<'p> {
    method: &'p str,
    url: &'p str,
    headers: Vec<(String, String)>,
    body: Option<&'p str>,
    string_to_sign: String,
    signature: &'p str,
    curl: String,
}

impl Sign {
    pub(crate) async fn run(self) -> Outcome {
        let pair = self.key_pair().await?;
        let scheme = self.scheme.as_deref().or(pair.scheme.as_deref()).unwrap_or("alibaba");
        let scheme: SignatureScheme = scheme.parse().map_err(Failure::usage)?;
        let request = Request::new(self.verb.as_deref(), &self.url, &self.request)?;
        let signed = request.sign(scheme, &pair, self.algorithm.parse().map_err(Failure::usage)?)?;
        let printed = request.printed(&signed);
        match self.remote.output {
            Format::Table => print(&printed.curl),
            other => show(other, &printed, |_| String::new()),
        }
    }

    async fn key_pair(&self) -> Result<KeyPair, Failure> {
        if let (Some(app_key), Some(secret)) = (&self.app_key, &self.app_secret) {
            let secret = Plaintext::new(secret.as_str());
            return Ok(KeyPair { app_key: app_key.clone(), secret, scheme: None });
        }
        let client = self.remote.client()?;
        let credential = self.find(&client).await?;
        let app_key = credential.app_key.clone().ok_or_else(|| Failure::new("this is no key pair"))?;
        let secret = reveal(&client, &credential.id).await?;
        Ok(KeyPair { app_key, secret, scheme: credential.scheme })
    }

    async fn find(&self, client: &Client) -> Result<Credential, Failure> {
        let call = match (&self.application, &self.app_key) {
            (Some(app), _) => {
                Call::new(Route::ListKeyPairs, [app.as_str()]).query("account", self.account.as_deref())
            }
            (None, app_key) => Call::new(Route::FindCredential, []).query("app_key", app_key.as_deref()),
        };
        let list: List<Credential> = client.send(call).await.map_err(failure)?;
        let fits = |credential: &&Credential| match (&self.app_key, &self.scheme) {
            (Some(app_key), _) => credential.app_key.as_ref() == Some(app_key),
            (None, Some(scheme)) => credential.scheme.as_ref() == Some(scheme),
            (None, None) => credential.default,
        };
        let found = list.items.iter().find(fits).cloned();
        found.ok_or_else(|| {
            let wanted = match (&self.app_key, &self.scheme) {
                (Some(app_key), _) => format!("the AppKey `{app_key}`"),
                (None, Some(scheme)) => format!("the scheme `{scheme}`"),
                (None, None) => "an AppKey".to_owned(),
            };
            let name = self.application.as_deref().unwrap_or("NAME");
            Failure::new(format!(
                "there is no key pair with {wanted}; `keyward app key-pair list {name}` lists what there is"
            ))
        })
    }
}

/// The value of a credential, shown again by the node.
pub(crate) async fn reveal(client: &Client, credential: &str) -> Result<Plaintext, Failure> {
    let call = Call::new(Route::RevealCredential, [credential]);
    let revealed: Answer<Revealed> = client.send(call).await.map_err(failure)?;
    Ok(Plaintext::new(revealed.object.value))
}

/// A request that is to be signed.
struct Request<'r> {
    args: &'r RequestArgs,
    method: String,
    url: &'r str,
    path: &'r str,
    query: Option<&'r str>,
    headers: Vec<(String, String)>,
}

impl<'r> Request<'r> {
    fn new(verb: Option<&str>, url: &'r str, args: &'r RequestArgs) -> Result<Self, Failure> {
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        let (path, query) = split(url).ok_or_else(|| {
            Failure::usage(format!("`{url}` is not a URL; write it like http://127.0.0.1:8080/orders/1"))
        })?;
        let usual = if args.body.is_some() { "POST" } else { "GET" };
        let method = verb.or(args.method.as_deref()).unwrap_or(usual).to_owned();
        if !method.bytes().all(is_token_byte) || method.is_empty() {
            return Err(Failure::usage(format!("`{method}` is not a method; write it like GET")));
        }
        let mut headers = args.header.iter().map(|line| field(line)).collect::<Result<Vec<_>, _>>()?;
        let named = |name: &str, headers: &[(String, String)]| {
            headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        // What curl would add by itself is part of what is signed, so it is written out.
        if !named("accept", &headers) {
            headers.push(("Accept".to_owned(), "*/*".to_owned()));
        }
        if let Some(data) = &args.body
            && !named("content-type", &headers)
        {
            headers.push(("Content-Type".to_owned(), media_type(data).to_owned()));
        }
        Ok(Self { args, method, url, path, query, headers })
    }

    fn sign(
        &self,
        scheme: SignatureScheme,
        pair: &KeyPair,
        algorithm: HmacAlgorithm,
    ) -> Result<Signed, Failure> {
        let nonce = nonce()?;
        let fields: Vec<Field<'_>> =
            self.headers.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect();
        let sign_headers: Vec<&str> = self.args.sign_header.iter().map(String::as_str).collect();
        let stage =
            self.args.stage.as_deref().map(str::parse::<Stage>).transpose().map_err(Failure::usage)?;
        let tencent = scheme != SignatureScheme::Alibaba;
        sign(&SignRequest {
            scheme,
            algorithm,
            method: &self.method,
            path: if tencent { self.unprefixed() } else { self.path },
            query: self.query,
            headers: &fields,
            sign_headers: &sign_headers,
            body: self.args.body.as_deref().unwrap_or_default().as_bytes(),
            app_key: &pair.app_key,
            secret: &SigningSecret::new(&pair.secret),
            timestamp: (tencent || !self.args.plain).then(|| SystemClock.now()),
            nonce: (!self.args.plain).then_some(nonce.as_str()),
            stage,
            digest: DigestChoice::NotForms,
        })
        .map_err(Failure::usage)
    }

    /// The path without the part that selects a stage.
    fn unprefixed(&self) -> &str {
        let prefix = self.args.stage_prefix.as_deref().map(|prefix| prefix.trim_end_matches('/'));
        match prefix.and_then(|prefix| self.path.strip_prefix(prefix)) {
            Some(rest) if rest.starts_with('/') => rest,
            Some("") => "/",
            _ => self.path,
        }
    }

    fn printed<'p>(&'p self, signed: &'p Signed) -> Printed<'p> {
        let mut headers = self.headers.clone();
        headers.extend(signed.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        Printed {
            method: &self.method,
            url: self.url,
            body: self.args.body.as_deref(),
            string_to_sign: String::from_utf8_lossy(&signed.string_to_sign).into_owned(),
            signature: &signed.signature,
            curl: curl(&self.method, self.url, &headers, self.args.body.as_deref()),
            headers,
        }
    }
}

/// Path and query of a URL; a URL without a path has `/`.
fn split(url: &str) -> Option<(&str, Option<&str>)> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"))?;
    let at = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(at)?;
    if authority.is_empty() || !url.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    Some((if path.is_empty() { "/" } else { path }, query))
}

fn field(line: &str) -> Result<(String, String), Failure> {
    let wrong = || Failure::usage(format!("`{line}` is not a header field; write it like `X-Tenant: 7`"));
    let (name, value) = line.split_once(':').ok_or_else(wrong)?;
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(wrong());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

/// May this stand in a method or in a header field's name?
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn media_type(data: &str) -> &'static str {
    match data.trim_start().chars().next() {
        Some('{' | '[') => "application/json; charset=utf-8",
        _ => "application/x-www-form-urlencoded; charset=utf-8",
    }
}

/// 128 random bits in hexadecimal.
fn nonce() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    SystemRandom.fill(&mut bytes).map_err(Failure::new)?;
    Ok(bytes.iter().fold(String::with_capacity(32), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// A curl command that a shell reads as meant.
pub(crate) fn curl(method: &str, url: &str, headers: &[(String, String)], data: Option<&str>) -> String {
    let mut command = "curl -sS -i".to_owned();
    if method != "GET" {
        let _ = write!(command, " -X {}", quoted(method));
    }
    for (name, value) in headers {
        // A field without a value must be written with a semicolon, or curl leaves it out.
        let line = if value.is_empty() { format!("{name};") } else { format!("{name}: {value}") };
        let _ = write!(command, " -H {}", quoted(&line));
    }
    if let Some(data) = data {
        let _ = write!(command, " --data-raw {}", quoted(data));
    }
    let _ = write!(command, " {}", quoted(url));
    command
}

/// A word in single quotes, unless a shell would read it as it is anyway.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._/:=@%+,".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_as_they_stand() {
        assert_eq!(split("http://a"), Some(("/", None)));
        assert_eq!(split("http://a:1/b%20c?d=e?f"), Some(("/b%20c", Some("d=e?f"))));
        assert_eq!(split("https://[::1]:1?x"), Some(("/", Some("x"))));
        for wrong in ["a/b", "http:///b", "http://a/b c", "ftp://a/"] {
            assert_eq!(split(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_shell_reads_the_command_as_meant() {
        let headers = [("X-A".to_owned(), "it's".to_owned()), ("X-Empty".to_owned(), String::new())];
        let command = curl("POST", "http://a/b?c=d&e=f", &headers, Some("{\"x\": 1}"));
        assert_eq!(
            command,
            "curl -sS -i -X POST -H 'X-A: it'\\''s' -H 'X-Empty;' --data-raw '{\"x\": 1}' 'http://a/b?c=d&e=f'"
        );
    }
}
