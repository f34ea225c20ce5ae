//! A real HTTP server that publishes a key set, well or badly.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A server that publishes a key set at `/jwks`.
#[derive(Debug)]
pub struct KeyServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    answer: Mutex<KeyAnswer>,
    hits: AtomicUsize,
}

/// What the server answers.
#[derive(Clone, Debug, Default)]
pub enum KeyAnswer {
    /// 503.
    #[default]
    Broken,
    /// This text, as JSON, with this `Cache-Control`.
    Document(String, Option<&'static str>),
    /// A redirect to there.
    Redirect(String),
    /// So many bytes of blanks.
    Huge(usize),
    /// Nothing, ever.
    Silent,
}

impl KeyServer {
    /// One that is broken until told otherwise.
    ///
    /// # Panics
    /// If it does not start.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let task = tokio::spawn(async move { axum::serve(listener, router).await.expect("a server") });
        Self { address, shared, task }
    }

    /// Where the key set is, by the name of this machine or by its address.
    pub fn url(&self, host: &str) -> String {
        format!("http://{host}:{}/jwks", self.address.port())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on it answers so.
    pub fn answers(&self, answer: KeyAnswer) {
        *locked(&self.shared.answer) = answer;
    }

    /// From now on it publishes these keys.
    pub fn publishes(&self, keys: &[&SigningKey]) {
        let keys: Vec<Value> = keys.iter().map(|key| key.jwk()).collect();
        self.answers(KeyAnswer::Document(json!({"keys": keys}).to_string(), None));
    }

    /// How often it was asked.
    pub fn hits(&self) -> usize {
        self.shared.hits.load(Ordering::SeqCst)
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>) -> Response {
    shared.hits.fetch_add(1, Ordering::SeqCst);
    let answer = locked(&shared.answer).clone();
    match answer {
        KeyAnswer::Broken => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        KeyAnswer::Document(text, cache) => {
            let mut response = text.into_response();
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(cache) = cache {
                headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
            }
            response
        }
        KeyAnswer::Redirect(to) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        KeyAnswer::Huge(bytes) => " ".repeat(bytes).into_response(),
        KeyAnswer::Silent => std::future::pending().await,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An ES256 key that signs tokens.
pub struct SigningKey {
    kid: String,
    pair: EcdsaKeyPair,
}

impl SigningKey {
    /// A new one of this name.
    ///
    /// # Panics
    /// If the system gives none.
    pub fn new(kid: &str) -> Self {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        Self { kid: kid.to_owned(), pair: EcdsaKeyPair::generate(algorithm).expect("a key") }
    }

    /// Its public part.
    ///
    /// # Panics
    /// Never: the point has 65 bytes.
    pub fn jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": self.kid, "x": text(x), "y": text(y)})
    }

    /// A token of these claims.
    ///
    /// # Panics
    /// If the system gives no random bytes.
    pub fn token(&self, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({"alg": "ES256", "kid": self.kid})), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
