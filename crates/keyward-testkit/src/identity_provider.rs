//! OpenID providers: a real one that runs as a process, and one that says whatever a test wants.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use keyward_control::OpenIdOptions;
use keyward_model::Plaintext;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// Where browsers of tests find the admin server.
pub const SITE: &str = "keyward.test";

/// How a node signs operators in through this provider, which stands on loopback.
///
/// # Panics
/// If that is no issuer.
pub fn open_id(issuer: &str, client_id: &str, client_secret: Option<&str>) -> OpenIdOptions {
    OpenIdOptions {
        issuer: issuer.parse().expect("an issuer"),
        client_id: client_id.to_owned(),
        client_secret: client_secret.map(Plaintext::new),
        admin_url: format!("https://{SITE}").parse().expect("an address"),
        allow_egress: vec!["127.0.0.1".to_owned(), "localhost".to_owned()],
    }
}

/// npm `oidc-provider`, which a foundation certified. It ends with this, and also when the test's process is killed.
#[derive(Debug)]
pub struct OidcProvider {
    issuer: String,
    child: Child,
}

impl OidcProvider {
    /// Starts one that knows Keyward as `keyward` (with a secret) and `open` (without).
    ///
    /// # Panics
    /// If it does not start: `scripts/setup.sh test` installs it.
    pub async fn start() -> Self {
        let redirect_uri = open_id("http://localhost", "", None).redirect_uri();
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients");
        let mut command = Command::new("node");
        command.arg("oidc_provider.mjs").arg(redirect_uri).current_dir(folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("node; scripts/setup.sh test installs it");
        let output = child.stdout.take().expect("its output");
        let line = tokio::task::spawn_blocking(move || BufReader::new(output).lines().next());
        let line = line.await.expect("a thread");
        let issuer = line.expect("a provider; scripts/setup.sh test installs it").expect("a line");
        Self { issuer, child }
    }

    /// Its issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Ends it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for OidcProvider {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A provider that says whatever a test wants.
#[derive(Debug)]
pub struct IdentityProvider {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    said: Mutex<Said>,
    hits: AtomicUsize,
    exchanges: Mutex<Vec<Exchange>>,
}

#[derive(Clone, Debug, Default)]
struct Said {
    description: Value,
    keys: Value,
    exchange: (u16, String),
    down: bool,
}

/// A code that came to be exchanged.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// `Authorization`.
    pub authorization: Option<String>,
    /// The form, as it came.
    pub form: String,
}

impl IdentityProvider {
    /// One with a sound description and no keys yet.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        let provider = Self { address, shared, task };
        let at = |path: &str| format!("http://{address}{path}");
        locked(&provider.shared.said).description = json!({
            "issuer": provider.issuer(), "authorization_endpoint": at("/authorize"), "token_endpoint": at("/exchange"),
            "jwks_uri": at("/keys"), "authorization_response_iss_parameter_supported": true,
        });
        provider
    }

    /// Its issuer.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// From now on its description says this, too.
    pub fn describes(&self, changed: &Value) {
        let mut said = locked(&self.shared.said);
        for (name, value) in changed.as_object().expect("an object") {
            said.description[name] = value.clone();
        }
    }

    /// From now on it publishes these keys.
    pub fn publishes(&self, keys: &[Value]) {
        locked(&self.shared.said).keys = json!({"keys": keys});
    }

    /// From now on it changes any code into this.
    pub fn exchanges(&self, status: u16, answer: impl ToString) {
        locked(&self.shared.said).exchange = (status, answer.to_string());
    }

    /// From now on it gives this ID token for any code.
    pub fn gives(&self, id_token: &str) {
        self.exchanges(200, json!({"access_token": "a", "token_type": "Bearer", "id_token": id_token}));
    }

    /// From now on it answers 503, or no longer.
    pub fn is_down(&self, down: bool) {
        locked(&self.shared.said).down = down;
    }

    /// How often it was asked anything.
    pub fn hits(&self) -> usize {
        self.shared.hits.load(Ordering::SeqCst)
    }

    /// The codes that came to be exchanged.
    pub fn exchanged(&self) -> Vec<Exchange> {
        locked(&self.shared.exchanges).clone()
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    shared.hits.fetch_add(1, Ordering::SeqCst);
    let said = locked(&shared.said).clone();
    if said.down {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let json = [(header::CONTENT_TYPE, "application/json")];
    match uri.path() {
        "/.well-known/openid-configuration" => (json, said.description.to_string()).into_response(),
        "/keys" => (json, said.keys.to_string()).into_response(),
        "/exchange" => {
            let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            let exchange = Exchange { authorization: authorization.map(str::to_owned), form: body };
            locked(&shared.exchanges).push(exchange);
            let status = StatusCode::from_u16(said.exchange.0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, json, said.exchange.1).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
