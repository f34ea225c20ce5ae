//! A service that answers with what it was asked: the demo's upstream.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running echo service. It ends when it is dropped.
#[derive(Debug)]
pub struct EchoService {
    address: SocketAddr,
    task: JoinHandle<()>,
}

/// What it saw of a request.
#[derive(Serialize)]
struct Seen {
    service: &'static str,
    method: String,
    path: String,
    query: Option<String>,
    headers: BTreeMap<String, Vec<String>>,
    body: String,
}

/// Largest body that is told again, in bytes.
const BODY_MAX: usize = 64 * 1024;

impl EchoService {
    /// Starts one on this loopback port; 0 takes a free one.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(echo);
        let task = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the demo's echo service ended");
            }
        });
        Ok(Self { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for EchoService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn echo(request: Request<Body>) -> Response {
    let (head, body) = request.into_parts();
    let mut headers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        headers
            .entry(name.to_string())
            .or_default()
            .push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let body = to_bytes(body, BODY_MAX).await.unwrap_or_default();
    let seen = Seen {
        service: "echo",
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().map(ToOwned::to_owned),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let mut text = serde_json::to_string_pretty(&seen).unwrap_or_default();
    text.push('\n');
    ([("content-type", "application/json")], text).into_response()
}
