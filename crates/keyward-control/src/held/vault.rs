//! A Vault-compatible server: proving who we are, and reading from its key-value store (version 2).

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use keyward_model::Plaintext;
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::VALUE_MAX;
use crate::egress::told;

/// How a Vault-compatible server is used.
#[derive(Clone, Debug)]
pub struct VaultOptions {
    /// Where it is.
    pub address: VaultAddress,
    /// How this node proves itself there.
    pub login: VaultLogin,
    /// The namespace that everything is in.
    pub namespace: Option<String>,
    /// Certificates that its own must follow from, in PEM; absent: those that the machine trusts.
    pub ca_file: Option<PathBuf>,
    /// Longest age of a value while the server answers.
    pub refresh: Duration,
    /// How long a value holds while the server does not answer.
    pub keep: Duration,
}

/// How a node proves itself to the server.
#[derive(Clone, Debug)]
pub enum VaultLogin {
    /// By a token that somebody else puts into this file.
    TokenFile(PathBuf),
    /// As an AppRole.
    AppRole {
        /// The role's id, which is no secret.
        role_id: String,
        /// The file with the secret id.
        secret_id_file: PathBuf,
    },
}

/// An address of a server: `https://HOST[:PORT]`, or `http://` on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VaultAddress(Url);

impl VaultAddress {
    /// Reads one; `http` elsewhere only where that is allowed.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &str, http_anywhere: bool) -> Result<Self, String> {
        let shown = text.escape_debug();
        let url = Url::parse(text)
            .map_err(|_| format!("`{shown}` is no address: write it like https://HOST:8200"))?;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        let plain = url.username().is_empty() && url.password().is_none() && url.path() == "/";
        match url.scheme() {
            "https" | "http"
                if host.is_empty() || !plain || url.query().is_some() || url.fragment().is_some() =>
            {
                Err("it has a host and a port, and no path, name or password".to_owned())
            }
            "https" => Ok(Self(url)),
            "http" if here || http_anywhere => Ok(Self(url)),
            "http" => {
                Err(format!("`{shown}` would send secrets in the open: use https, or --vault-allow-http"))
            }
            _ => Err(format!("`{shown}` is not https")),
        }
    }
}

impl FromStr for VaultAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text, false)
    }
}

impl fmt::Display for VaultAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

/// Longest time of one call.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Longest answer, in bytes.
const ANSWER_MAX: usize = 1024 * 1024;
/// Longest token or secret id, in bytes.
const PROOF_MAX: usize = 16 * 1024;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not there: that is a fact, and holds at once.
    Gone(String),
    /// This node may not read it, as it seems: a right that is taken away is not the value's end.
    Denied(String),
    /// The server cannot be asked now, whatever about.
    Away(String),
}

/// What is at a path: its fields.
pub(super) type Fields = BTreeMap<Box<str>, Result<Plaintext, String>>;

/// The server, with the token that it gave us.
pub(super) struct Vault {
    options: VaultOptions,
    client: Client,
    token: Mutex<Option<Token>>,
}

/// What we prove ourselves with.
struct Token {
    value: Plaintext,
    /// When it is half over; `None`: it has no end.
    half: Option<Instant>,
    renewable: bool,
}

impl Vault {
    pub(super) fn new(options: VaultOptions) -> Result<Self, String> {
        let mut client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .user_agent("keyward");
        if let Some(file) = &options.ca_file {
            let shown = file.display();
            let pem = std::fs::read(file).map_err(|error| format!("`{shown}` cannot be read: {error}"))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem);
            let certificates = certificates.ok().filter(|found| !found.is_empty());
            client =
                client.tls_certs_only(certificates.ok_or_else(|| format!("`{shown}` has no certificates"))?);
        }
        let client = client.build().map_err(|error| format!("there is no HTTP client: {error}"))?;
        Ok(Self { options, client, token: Mutex::default() })
    }

    pub(super) fn options(&self) -> &VaultOptions {
        &self.options
    }

    /// Reads what is at a path. A token that is not accepted is replaced, once.
    pub(super) async fn read(&self, path: &str) -> Result<Fields, Trouble> {
        let url = self.data_url(path).ok_or_else(|| {
            Trouble::Gone("its path is not one: write it like secret/orders, the mount first".to_owned())
        })?;
        let token = self.token(None).await?;
        let mut answer = self.ask(Method::GET, url.clone(), Some(&token), None).await?;
        if answer.0 == 403 {
            let token = self.token(Some(token)).await?;
            answer = self.ask(Method::GET, url, Some(&token), None).await?;
        }
        match answer {
            (200, body) => fields(&body),
            (404, _) => Err(Trouble::Gone("the vault has nothing at this path".to_owned())),
            (403, _) => Err(Trouble::Denied("the vault does not let this node read it".to_owned())),
            (status, _) => Err(answered(status)),
        }
    }

    /// A token that holds, and is none that was `refused`.
    async fn token(&self, refused: Option<Plaintext>) -> Result<Plaintext, Trouble> {
        let mut held = self.token.lock().await;
        held.take_if(|token| Some(&token.value) == refused.as_ref());
        if let Some(token) = held.as_mut() {
            match token.half {
                Some(half) if half <= Instant::now() => {
                    if let Some(renewed) = self.renew(token).await {
                        *token = renewed;
                        return Ok(token.value.clone());
                    }
                }
                _ => return Ok(token.value.clone()),
            }
        }
        *held = None;
        let token = self.log_in().await?;
        let value = token.value.clone();
        *held = Some(token);
        Ok(value)
    }

    /// The same token for longer; `None` where that is not to be had, or hardly longer.
    async fn renew(&self, token: &Token) -> Option<Token> {
        if !token.renewable {
            return None;
        }
        let url = self.url(&["auth", "token", "renew-self"]);
        let (status, body) = self.ask(Method::POST, url, Some(&token.value), Some(json!({}))).await.ok()?;
        let renewed = read_token(body.get("auth")?, token.value.clone());
        (status == 200 && renewed.half.is_none_or(|half| half > Instant::now())).then_some(renewed)
    }

    async fn log_in(&self) -> Result<Token, Trouble> {
        match &self.options.login {
            VaultLogin::TokenFile(file) => {
                let token = proof(file).await?;
                let url = self.url(&["auth", "token", "lookup-self"]);
                let (status, body) = self.ask(Method::GET, url, Some(&token), None).await?;
                match (status, body.get("data")) {
                    // A policy may forbid even that: how long it holds is then seen by its being refused.
                    (403, _) => Ok(Token { value: token, half: None, renewable: false }),
                    (200, Some(about)) => Ok(read_token(about, token)),
                    _ => Err(answered(status)),
                }
            }
            VaultLogin::AppRole { role_id, secret_id_file } => {
                let secret_id = proof(secret_id_file).await?;
                let url = self.url(&["auth", "approle", "login"]);
                let body = json!({"role_id": role_id, "secret_id": secret_id.expose_secret()});
                let (status, body) = self.ask(Method::POST, url, None, Some(body)).await?;
                let given = body.get("auth").filter(|_| status == 200);
                let token = given.and_then(|given| Some((given, given.get("client_token")?.as_str()?)));
                match token {
                    Some((given, token)) => Ok(read_token(given, Plaintext::new(token))),
                    None => Err(Trouble::Away(format!("the vault refuses this node's AppRole ({status})"))),
                }
            }
        }
    }

    /// Asks the server. What it answers with is never shown: there are secrets in it.
    async fn ask(
        &self,
        method: Method,
        url: Url,
        token: Option<&Plaintext>,
        body: Option<Value>,
    ) -> Result<(u16, Value), Trouble> {
        let mut asked = self.client.request(method, url).header("X-Vault-Request", "true");
        if let Some(token) = token {
            let mut header = reqwest::header::HeaderValue::from_str(token.expose_secret())
                .map_err(|_| Trouble::Away("the token is not of visible ASCII".to_owned()))?;
            header.set_sensitive(true);
            asked = asked.header("X-Vault-Token", header);
        }
        if let Some(namespace) = &self.options.namespace {
            asked = asked.header("X-Vault-Namespace", namespace);
        }
        if let Some(body) = body {
            asked = asked.json(&body);
        }
        self.answer(asked).await.map_err(|why| Trouble::Away(format!("the vault is away: {why}")))
    }

    async fn answer(&self, asked: RequestBuilder) -> Result<(u16, Value), String> {
        let mut response = asked.send().await.map_err(told)?;
        let status = response.status().as_u16();
        let mut body = zeroize::Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if body.len().saturating_add(chunk.len()) > ANSWER_MAX {
                return Err(format!("it answers with more than {ANSWER_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        // A refusal need not be JSON; what should be is seen to lack its members.
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    fn url(&self, segments: &[&str]) -> Url {
        let mut url = self.options.address.0.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().push("v1").extend(segments);
        }
        url
    }

    /// `MOUNT/PATH`, or `MOUNT//PATH` where the mount has several parts.
    fn data_url(&self, path: &str) -> Option<Url> {
        let (mount, path) = path.split_once("//").or_else(|| path.split_once('/'))?;
        let parts: Vec<&str> = mount.split('/').chain(["data"]).chain(path.split('/')).collect();
        let sound = |part: &&str| !part.is_empty() && *part != "." && *part != "..";
        parts.iter().all(sound).then(|| self.url(&parts))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").field("options", &self.options).finish_non_exhaustive()
    }
}

fn answered(status: u16) -> Trouble {
    Trouble::Away(match status {
        503 => "the vault is sealed or not ready (503)".to_owned(),
        status => format!("the vault answers {status}"),
    })
}

/// When a token is half over, as its answer says: `lease_duration` of a login, `ttl` of a look-up; 0 is for ever.
fn read_token(about: &Value, value: Plaintext) -> Token {
    let seconds =
        about.get("lease_duration").or_else(|| about.get("ttl")).and_then(Value::as_u64).unwrap_or(0);
    let half = (seconds > 0).then(|| Instant::now().checked_add(Duration::from_secs(seconds) / 2)).flatten();
    Token { value, half, renewable: about.get("renewable").and_then(Value::as_bool).unwrap_or(false) }
}

/// The fields of an answer.
fn fields(body: &Value) -> Result<Fields, Trouble> {
    let gone =
        || Trouble::Gone("what the vault has at this path is no secret of its version 2 store".to_owned());
    let found =
        body.get("data").and_then(|data| data.get("data")).and_then(Value::as_object).ok_or_else(gone)?;
    let value = |value: &Value| match value.as_str() {
        None => Err("it is no text".to_owned()),
        Some("") => Err("it is empty".to_owned()),
        Some(text) if text.len() > VALUE_MAX => Err(format!("it has more than {VALUE_MAX} bytes")),
        Some(text) => Ok(Plaintext::new(text)),
    };
    Ok(found.iter().map(|(name, found)| (name.as_str().into(), value(found))).collect())
}

/// A token or secret id in a file.
async fn proof(file: &Path) -> Result<Plaintext, Trouble> {
    let shown = file.display();
    let away = |why: String| Trouble::Away(format!("`{shown}` {why}"));
    let length =
        tokio::fs::metadata(file).await.map_err(|error| away(format!("cannot be read: {error}")))?.len();
    if length > u64::try_from(PROOF_MAX).unwrap_or(u64::MAX) {
        return Err(away(format!("has more than {PROOF_MAX} bytes")));
    }
    let text =
        tokio::fs::read_to_string(file).await.map_err(|error| away(format!("cannot be read: {error}")))?;
    let text = zeroize::Zeroizing::new(text);
    match text.trim() {
        "" => Err(away("is empty".to_owned())),
        proof => Ok(Plaintext::new(proof)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault() -> Vault {
        Vault::new(VaultOptions {
            address: "https://vault.example:8200".parse().unwrap(),
            login: VaultLogin::TokenFile("/nowhere".into()),
            namespace: None,
            ca_file: None,
            refresh: Duration::from_secs(60),
            keep: Duration::from_secs(3600),
        })
        .unwrap()
    }

    #[test]
    fn secrets_travel_in_the_open_only_on_this_machine() {
        for sound in [
            "https://vault.example",
            "https://10.0.0.1:8200/",
            "http://127.0.0.1:8200",
            "http://[::1]:8200",
            "http://localhost:1",
        ] {
            assert!(sound.parse::<VaultAddress>().is_ok(), "{sound}");
        }
        for wrong in [
            "",
            "vault",
            "ftp://vault",
            "http://vault.example",
            "http://127.0.0.1.example",
            "https://a@vault",
            "https://vault/v1",
            "https://vault?x=1",
            "http://10.0.0.1:8200",
        ] {
            assert!(wrong.parse::<VaultAddress>().is_err(), "{wrong}");
        }
        assert!(VaultAddress::parse("http://vault.example", true).is_ok());
    }

    #[test]
    fn a_path_names_its_mount_first_and_leads_nowhere_else() {
        let vault = vault();
        let of = |path: &str| vault.data_url(path).map(|url| url.path().to_owned());
        assert_eq!(of("secret/orders").as_deref(), Some("/v1/secret/data/orders"));
        assert_eq!(of("secret/a/b").as_deref(), Some("/v1/secret/data/a/b"));
        assert_eq!(of("team/kv//a/b").as_deref(), Some("/v1/team/kv/data/a/b"));
        assert_eq!(of("secret/a?x=1#y").as_deref(), Some("/v1/secret/data/a%3Fx=1%23y"));
        for wrong in ["", "secret", "secret/", "/secret/a", "secret/../a", "secret/./a", "a//b//c", "//a"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn fields_are_texts_and_what_is_none_says_so() {
        let found = fields(&json!({"data": {"data": {"a": "x", "b": 1, "c": ""}, "metadata": {}}})).unwrap();
        assert!(found["a"].as_ref().is_ok_and(|value| value.expose_secret() == "x"));
        assert!(found["b"].is_err() && found["c"].is_err());
        for wrong in
            [json!(null), json!({"data": null}), json!({"data": {"a": "x"}}), json!({"data": {"data": null}})]
        {
            assert!(matches!(fields(&wrong), Err(Trouble::Gone(_))), "{wrong}");
        }
    }

    #[test]
    fn a_token_is_renewed_at_half_its_time_and_one_without_end_never() {
        let token = |about: Value| read_token(&about, Plaintext::new("t"));
        let now = Instant::now();
        let half = token(json!({"lease_duration": 100, "renewable": true})).half.unwrap() - now;
        assert!((Duration::from_secs(50)..Duration::from_secs(60)).contains(&half), "{half:?}");
        assert!(token(json!({"ttl": 0, "renewable": false})).half.is_none());
        assert!(!token(json!({"ttl": 10})).renewable);
    }
}
