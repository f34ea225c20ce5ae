//! What the admin address answers while the node is sealed: it has no key to its store yet.

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use crate::health;
use crate::refusal::{Refusal, finished};

/// What to do, whoever asks. Which file it is, and what is wrong with it, is in the node's log: this answer is open to everybody.
const WHAT_TO_DO: &str = "the node is sealed, for its master key file is missing, or is not one that opens its store: put the \
     right file back, and the node goes on by itself (its log names the file)";

/// Everything that the admin address of a sealed node answers.
pub(crate) fn router() -> Router {
    Router::new().route("/healthz", get(health::alive)).route("/readyz", get(not_ready)).fallback(refused)
}

async fn not_ready() -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, format!("sealed: {WHAT_TO_DO}\n"))
}

async fn refused() -> Response {
    finished(Refusal::new(503, "sealed", WHAT_TO_DO).into_response(), None)
}
