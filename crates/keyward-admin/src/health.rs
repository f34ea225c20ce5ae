//! Liveness, readiness, and figures.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::Admin;

/// The process answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// The node takes requests and changes. Why it does not is in its log: this answer is open to everybody. One that goes on with its
/// requests although something is not well stays in rotation, and says so.
pub(crate) async fn ready(State(admin): State<Admin>) -> Response {
    if !(admin.options().gateway_ready)() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the gateway takes no requests\n").into_response();
    }
    match admin.control().ready() {
        Ok(()) if admin.control().trouble().is_some() => {
            "ok, but something is not well: the list of nodes says what\n".into_response()
        }
        Ok(()) => "ok\n".into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the store takes no changes\n").into_response()
        }
    }
}

/// What Prometheus reads.
pub(crate) async fn metrics(State(admin): State<Admin>) -> Response {
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], (admin.options().metrics)())
        .into_response()
}
