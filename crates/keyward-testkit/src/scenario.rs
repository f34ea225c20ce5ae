//! Decision scenarios: `spec/decisions/*.yaml`, whose README explains every field.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use keyward_model::Timestamp;
use serde::Deserialize;

use crate::request::Request;
use crate::signer::{Signing, sign, token};

/// One file: a world, and the requests that are judged in it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFile {
    /// The time of every scenario that names none.
    pub at: String,
    /// A world file.
    pub world: String,
    /// The scenarios.
    pub scenarios: Vec<Scenario>,
}

/// One request in a world, and what must come of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Says what must happen.
    pub name: String,
    /// When.
    pub at: Option<String>,
    /// At which gateway.
    pub gateway: Option<String>,
    /// What operators do after the world was applied.
    #[serde(default)]
    pub before: Vec<BeforeStep>,
    /// Is the request made twice, and the second one judged?
    #[serde(default)]
    pub twice: bool,
    /// The request.
    pub request: RequestSpec,
    /// `allow`, or a reason code.
    pub expect: String,
    /// Description of the grant that is named.
    pub grant: Option<String>,
}

/// What an operator does between the world and the request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum BeforeStep {
    /// Revokes the grant of this description.
    Revoke(String),
    /// Disables an object.
    Disable(ObjectSpec),
    /// Deletes an object.
    Delete(ObjectSpec),
    /// Disables one credential of a caller.
    DisableCredential(CredentialSpec),
    /// Takes a member out of a group.
    RemoveMember(MemberSpec),
    /// Makes the replay memory unavailable.
    CloseReplayMemory(bool),
    /// It is this many seconds ago that the configuration was known to be the newest.
    ConfirmedAgo(i64),
}

/// Names an object.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ObjectSpec {
    /// Its account, where it is not itself one.
    pub account: Option<String>,
    /// An application.
    pub application: Option<String>,
    /// A consumer.
    pub consumer: Option<String>,
    /// An API.
    pub api: Option<String>,
    /// A service.
    pub service: Option<String>,
    /// A group.
    pub group: Option<String>,
}

/// Names a credential.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialSpec {
    /// Its application.
    pub application: Option<String>,
    /// Its consumer.
    pub consumer: Option<String>,
    /// `key_pair`, `app_code`, `api_key` or `jwt`.
    pub kind: String,
    /// Which of that kind, from 0.
    pub index: usize,
}

/// Names a member of a group.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// The group.
    pub group: String,
    /// The member.
    pub consumer: String,
}

/// A request.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestSpec {
    /// Method.
    pub method: Option<String>,
    /// What stands in the request line.
    pub target: String,
    /// Host.
    pub host: Option<String>,
    /// From which address.
    pub from: Option<IpAddr>,
    /// Field lines.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Body.
    #[serde(default)]
    pub body: String,
    /// Signed with this.
    pub sign: Option<SignSpec>,
    /// Carrying this token.
    pub token: Option<TokenSpec>,
    /// Changed after signing.
    pub tamper: Option<Tamper>,
}

/// How a request is signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignSpec {
    app_key: String,
    app_secret: String,
    scheme: Option<String>,
    algorithm: Option<String>,
    #[serde(default)]
    offset_s: i64,
    nonce: Option<String>,
    stage: Option<String>,
    #[serde(default)]
    sign_headers: Vec<String>,
    #[serde(default)]
    plain: bool,
    signed_target: Option<String>,
    #[serde(default)]
    no_digest: bool,
}

/// A token that a request carries.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    secret: String,
    kid: Option<String>,
    alg: Option<String>,
    claims: BTreeMap<String, serde_json::Value>,
    exp_s: Option<i64>,
    nbf_s: Option<i64>,
    r#in: Option<TokenPlaceSpec>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenPlaceSpec {
    header: Option<String>,
    query: Option<String>,
    cookie: Option<String>,
    prefix: Option<String>,
}

/// What is changed after signing.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tamper {
    method: Option<String>,
    target: Option<String>,
    body: Option<String>,
    #[serde(default)]
    set: Vec<(String, String)>,
    #[serde(default)]
    add: Vec<(String, String)>,
    #[serde(default)]
    remove: Vec<String>,
}

impl ScenarioFile {
    /// Every file of `spec/decisions`, by name.
    ///
    /// # Errors
    /// A file that cannot be read or does not have the form; the text names it.
    pub fn all() -> Result<Vec<(String, Self)>, String> {
        let folder = spec_folder().join("decisions");
        let mut files = Vec::new();
        let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for entry in entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "yaml")) {
            files.push((entry.file_name().to_string_lossy().into_owned(), Self::read(&entry.path())?));
        }
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(files)
    }

    fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_saphyr::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
    }
}

/// The repository's `spec` folder.
pub fn spec_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../spec")
}

impl Scenario {
    /// When it takes place.
    ///
    /// # Errors
    /// A time that cannot be read.
    pub fn time(&self, file: &ScenarioFile) -> Result<Timestamp, String> {
        let text = self.at.as_deref().unwrap_or(&file.at);
        text.parse().map_err(|error| format!("{}: {error}", self.name))
    }

    /// The request of this scenario at this time, signed and tampered with as it says.
    pub fn build(&self, at: Timestamp) -> Request {
        let spec = &self.request;
        let mut request = Request {
            method: spec.method.clone().unwrap_or_else(|| "GET".into()),
            target: spec.target.clone(),
            host: spec.host.clone().unwrap_or_else(|| "api.test".into()),
            headers: spec.headers.clone(),
            body: spec.body.clone().into_bytes(),
            announce_empty: false,
        };
        if let Some(token) = &spec.token {
            token.put(&mut request, at);
        }
        if let Some(signing) = &spec.sign {
            sign(&mut request, &signing.at(at, &self.name));
        }
        if let Some(tamper) = &spec.tamper {
            tamper.apply(&mut request);
        }
        request
    }
}

impl SignSpec {
    fn at(&self, at: Timestamp, scenario: &str) -> Signing {
        let nonce = match self.nonce.as_deref() {
            Some("none") => None,
            Some(given) => Some(given.to_owned()),
            None if self.plain => None,
            None => Some(nonce_of(scenario)),
        };
        Signing {
            app_key: self.app_key.clone(),
            app_secret: self.app_secret.clone(),
            scheme: self.scheme.clone().unwrap_or_else(|| "alibaba".into()),
            algorithm: self.algorithm.clone().unwrap_or_else(|| "HmacSHA256".into()),
            timestamp_ms: (!self.plain).then(|| at.plus_millis(self.offset_s * 1000).as_millis()),
            nonce,
            stage: self.stage.clone(),
            sign_headers: self.sign_headers.clone(),
            signed_target: self.signed_target.clone(),
            no_digest: self.no_digest,
        }
    }
}

/// A nonce of its own for every scenario, always the same.
fn nonce_of(scenario: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(scenario).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl TokenSpec {
    fn put(&self, request: &mut Request, at: Timestamp) {
        let mut claims = serde_json::Map::from_iter(self.claims.clone());
        let seconds = at.as_millis().div_euclid(1000);
        if let Some(exp_s) = self.exp_s {
            claims.insert("exp".into(), (seconds + exp_s).into());
        }
        if let Some(nbf_s) = self.nbf_s {
            claims.insert("nbf".into(), (seconds + nbf_s).into());
        }
        let algorithm = self.alg.as_deref().unwrap_or("HS256");
        let token = token(algorithm, self.kid.as_deref(), &self.secret, &serde_json::Value::Object(claims));
        let place = self.r#in.as_ref();
        let prefix = place.and_then(|place| place.prefix.clone());
        if let Some(name) = place.and_then(|place| place.query.as_ref()) {
            let mark = if request.target.contains('?') { '&' } else { '?' };
            request.target.push_str(&format!("{mark}{name}={}{token}", prefix.unwrap_or_default()));
        } else if let Some(name) = place.and_then(|place| place.cookie.as_ref()) {
            request.headers.push(("Cookie".into(), format!("{name}={}{token}", prefix.unwrap_or_default())));
        } else {
            let name = place.and_then(|place| place.header.clone()).unwrap_or_else(|| "Authorization".into());
            request.headers.push((name, format!("{}{token}", prefix.unwrap_or_else(|| "Bearer ".into()))));
        }
    }
}

impl Tamper {
    fn apply(&self, request: &mut Request) {
        if let Some(method) = &self.method {
            request.method.clone_from(method);
        }
        if let Some(target) = &self.target {
            request.target.clone_from(target);
        }
        if let Some(body) = &self.body {
            request.announce_empty = body.is_empty();
            request.body = body.clone().into_bytes();
        }
        self.remove.iter().for_each(|name| request.remove(name));
        self.set.iter().for_each(|(name, value)| request.set(name, value));
        request.headers.extend(self.add.iter().cloned());
    }
}
