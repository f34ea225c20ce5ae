//! What a provider says of itself (OpenID Connect Discovery 1.0), its keys, and changing a code into an ID token.

use std::fmt::Write as _;
use std::sync::Arc;

use keyward_access::jwt::VerifyingKeys;
use keyward_model::{Issuer, JsonObject, JsonValue, Plaintext, Timestamp};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use tokio::sync::Mutex;

use super::{OpenIdOptions, provider_refused, unproven};
use crate::egress::{Answered, Egress};
use crate::key_sets::fetch::key_set;
use crate::{Clock, ControlError, ErrorKind};

/// How long it is believed what a provider says of itself, in milliseconds.
const KNOWN_MS: i64 = 10 * 60_000;
/// Keys are fetched because of ID tokens once in so many milliseconds.
const PAUSE_MS: i64 = 10_000;
/// Longest description of a provider, and longest answer with an ID token, in bytes.
const LENGTH_MAX: usize = 65_536;
/// Most members of either.
const MEMBERS_MAX: usize = 256;

/// A provider, as it described itself.
#[derive(Debug)]
pub(super) struct Provider {
    /// Where browsers are sent.
    pub(super) authorization: String,
    /// Does it say with every answer who it is (RFC 9207)?
    pub(super) names_itself: bool,
    /// Its keys.
    pub(super) keys: VerifyingKeys,
    exchange: String,
    proof: Proof,
    fetched: Timestamp,
}

/// How we prove who we are when a code is exchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Basic,
    InBody,
}

/// The provider, as it was last seen.
pub(super) struct Providers {
    issuer: Issuer,
    egress: Egress,
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
    /// How many fetches have ended: whoever waited for one shares what came of it.
    fetches: std::sync::atomic::AtomicU64,
}

#[derive(Default)]
struct Seen {
    provider: Option<Arc<Provider>>,
    /// Why the last fetch failed, if it did.
    wrong: Option<String>,
}

impl Providers {
    pub(super) fn new(options: &OpenIdOptions, clock: Arc<dyn Clock>) -> Result<Self, String> {
        Ok(Self {
            issuer: options.issuer.clone(),
            egress: Egress::new(&options.allow_egress)?,
            clock,
            seen: Mutex::default(),
            fetches: std::sync::atomic::AtomicU64::new(0),
        })
    }

    /// The provider as it is now, give or take some minutes.
    pub(super) async fn current(&self) -> Result<Arc<Provider>, String> {
        self.newer_than(KNOWN_MS).await
    }

    /// The provider with the keys that it has now, if it was not asked just before.
    pub(super) async fn newer(&self, than: &Provider) -> Result<Arc<Provider>, String> {
        let known = self.newer_than(KNOWN_MS).await?;
        if known.fetched > than.fetched { Ok(known) } else { self.newer_than(PAUSE_MS).await }
    }

    /// The provider, as it was at most so many milliseconds ago. One fetch at a time: whoever waits shares its outcome.
    async fn newer_than(&self, age_ms: i64) -> Result<Arc<Provider>, String> {
        use std::sync::atomic::Ordering::SeqCst;
        let before = self.fetches.load(SeqCst);
        let mut seen = self.seen.lock().await;
        let now = self.clock.now();
        // A clock that was set back makes nothing younger.
        let is_fresh = |provider: &Provider| {
            (0..age_ms).contains(&now.as_millis().saturating_sub(provider.fetched.as_millis()))
        };
        if let Some(provider) = seen.provider.as_ref().filter(|provider| is_fresh(provider)) {
            return Ok(Arc::clone(provider));
        }
        if self.fetches.load(SeqCst) > before
            && let Some(wrong) = &seen.wrong
        {
            return Err(wrong.clone());
        }
        let fetched = self.fetch(now).await;
        self.fetches.fetch_add(1, SeqCst);
        seen.wrong = fetched.as_ref().err().cloned();
        let provider = Arc::new(fetched?);
        seen.provider = Some(Arc::clone(&provider));
        Ok(provider)
    }

    async fn fetch(&self, now: Timestamp) -> Result<Provider, String> {
        let answered = self.egress.get(&self.issuer.discovery(), "application/json", LENGTH_MAX).await?;
        if answered.status != 200 {
            return Err(format!("its description: it answers {}, not 200", answered.status));
        }
        let (mut provider, keys) = self.read(&answered.body, now)?;
        let (keys, _) = key_set(&self.egress, &keys).await.map_err(|why| format!("its key set: {why}"))?;
        provider.keys = VerifyingKeys::compile(&keys).map_err(|error| format!("its key set: {error}"))?;
        Ok(provider)
    }

    /// Reads a description: the provider without its keys, and where they are.
    fn read(&self, text: &str, now: Timestamp) -> Result<(Provider, String), String> {
        let document =
            JsonObject::parse(text, MEMBERS_MAX).map_err(|fault| format!("its description {fault}"))?;
        let said = |name: &str| document.get(name).and_then(JsonValue::as_str);
        if said("issuer").as_deref() != Some(self.issuer.as_str()) {
            let named = said("issuer").unwrap_or_default();
            let named: String = named.chars().take(200).flat_map(char::escape_debug).collect();
            return Err(format!("its description is of the issuer `{named}`, not `{}`", self.issuer));
        }
        let address = |name: &str| {
            let address = said(name).ok_or_else(|| format!("its description has no `{name}`"))?;
            self.issuer.names(&address).map_err(|error| format!("its `{name}`: {error}"))?;
            Ok::<String, String>(address.into_owned())
        };
        let offers = |name: &str, what: &str| {
            let all = document.get(name).and_then(JsonValue::elements);
            all.map(|all| all.iter().any(|one| one.as_str().is_some_and(|text| text == what)))
        };
        let methods = "token_endpoint_auth_methods_supported";
        let proof = match (offers(methods, "client_secret_basic"), offers(methods, "client_secret_post")) {
            // What is usual where nothing is said.
            (Some(false), Some(true)) => Proof::InBody,
            _ => Proof::Basic,
        };
        let flag = "authorization_response_iss_parameter_supported";
        let provider = Provider {
            authorization: address("authorization_endpoint")?,
            names_itself: document.get(flag).is_some_and(|value| value.as_written() == "true"),
            keys: VerifyingKeys::compile(&keyward_model::JwkSet::default())
                .map_err(|error| error.to_string())?,
            exchange: address("token_endpoint")?,
            proof,
            fetched: now,
        };
        Ok((provider, address("jwks_uri")?))
    }

    /// Changes a code into an ID token. A provider does that once.
    pub(super) async fn exchange(
        &self,
        provider: &Provider,
        options: &OpenIdOptions,
        code: &Plaintext,
        verifier: &Plaintext,
    ) -> Result<Plaintext, ControlError> {
        let redirect_uri = options.redirect_uri();
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", &redirect_uri),
            ("code_verifier", verifier.expose_secret()),
        ];
        let mut asked = self.egress.post(&provider.exchange).header(ACCEPT, "application/json");
        match (&options.client_secret, provider.proof) {
            (Some(secret), Proof::Basic) => {
                // RFC 6749, section 2.3.1: both are encoded like a form's before they are joined.
                let name = encoded(&options.client_id);
                asked = asked.basic_auth(name, Some(encoded(secret.expose_secret())));
            }
            (Some(secret), Proof::InBody) => {
                fields.push(("client_id", &options.client_id));
                fields.push(("client_secret", secret.expose_secret()));
            }
            (None, _) => fields.push(("client_id", &options.client_id)),
        }
        let asked = asked.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form(&fields));
        let answered = self.egress.ask(asked, LENGTH_MAX).await.map_err(|why| unanswered(&why))?;
        read_exchange(&answered)
    }
}

fn unanswered(why: &str) -> ControlError {
    tracing::warn!(why, "a code could not be exchanged at the provider");
    let text =
        format!("the provider does not say who signed in ({why}): try again, or sign in with a password");
    ControlError::new(ErrorKind::ProviderUnavailable, "provider_unavailable", text)
}

/// The ID token of an answer. Nothing else of it is used, nor kept.
fn read_exchange(answered: &Answered) -> Result<Plaintext, ControlError> {
    let document = JsonObject::parse(&answered.body, MEMBERS_MAX).ok();
    let said = |name: &str| document.as_ref().and_then(|document| document.get(name)?.as_str());
    match answered.status {
        200 => {
            let id_token = said("id_token").ok_or_else(|| unproven("the provider gave no ID token"))?;
            Ok(Plaintext::new(id_token))
        }
        400..=499 => Err(provider_refused(&said("error").unwrap_or_default())),
        status => Err(unanswered(&format!("it answers {status}, not 200"))),
    }
}

/// A form's fields as its media type writes them, which a query also takes.
pub(super) fn form(fields: &[(&str, &str)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    fields.collect::<Vec<_>>().join("&")
}

/// Everything that is not unreserved (RFC 3986) is percent-encoded.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;

    fn providers(issuer: &str) -> Providers {
        let options = OpenIdOptions {
            issuer: issuer.parse().unwrap(),
            client_id: "keyward".into(),
            client_secret: None,
            admin_url: "https://keyward.test".parse().unwrap(),
            allow_egress: Vec::new(),
        };
        Providers::new(&options, Arc::new(SystemClock)).unwrap()
    }

    const WHOLE: &str = r#"{"issuer":"https://idp.example","authorization_endpoint":"https://idp.example/a?x=y",
        "token_endpoint":"https://idp.example/t","jwks_uri":"https://idp.example/k"MORE}"#;

    #[test]
    fn a_description_is_believed_of_its_own_issuer_alone() {
        let read =
            |issuer: &str, text: &str| providers(issuer).read(text, Timestamp::from_millis(0)).map(|_| ());
        let whole = WHOLE.replace("MORE", "");
        assert_eq!(read("https://idp.example", &whole), Ok(()));
        for (issuer, text, why) in [
            ("https://other.example", whole.clone(), "is of the issuer `https://idp.example`"),
            ("https://idp.example/", whole.clone(), "is of the issuer"),
            ("https://idp.example", whole.replace("\"issuer\"", "\"isuer\""), "is of the issuer ``"),
            (
                "https://idp.example",
                whole.replace("https://idp.example/t", "http://idp.example/t"),
                "`token_endpoint`",
            ),
            ("https://idp.example", whole.replace("https://idp.example/k", "file:///k"), "`jwks_uri`"),
            (
                "https://idp.example",
                whole.replace("https://idp.example/a?x=y", "javascript:x"),
                "`authorization_endpoint`",
            ),
            ("https://idp.example", whole.replace("jwks_uri", "jwks"), "has no `jwks_uri`"),
            ("https://idp.example", whole.replace("\"jwks_uri\"", "\"token_endpoint\""), "two members"),
            ("https://idp.example", "[]".to_owned(), "its description"),
        ] {
            let error = read(issuer, &text).unwrap_err();
            assert!(error.contains(why), "{error}: {text}");
        }
    }

    #[test]
    fn a_secret_goes_where_the_provider_takes_it() {
        let proof = |methods: &str| {
            let more = format!(r#","token_endpoint_auth_methods_supported":{methods}"#);
            let text = WHOLE.replace("MORE", &more);
            providers("https://idp.example").read(&text, Timestamp::from_millis(0)).unwrap().0.proof
        };
        assert_eq!(proof(r#"["client_secret_post"]"#), Proof::InBody);
        assert_eq!(proof(r#"["client_secret_post","client_secret_basic"]"#), Proof::Basic);
        assert_eq!(proof(r#"["private_key_jwt"]"#), Proof::Basic);
    }

    #[test]
    fn a_form_cannot_be_broken_out_of() {
        assert_eq!(form(&[("a", "x&b=y z+%\u{fc}"), ("c", "-._~")]), "a=x%26b%3Dy%20z%2B%25%C3%BC&c=-._~");
    }
}
