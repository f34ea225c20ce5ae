//! Liveness, readiness, and figures.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use keyward_control::Actor;
use keyward_model::Action;

use crate::Admin;
use crate::refusal::Refusal;

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
pub(crate) async fn metrics(
    State(admin): State<Admin>,
    actor: Option<Extension<Actor>>,
) -> Result<Response, Refusal> {
    // Where they are open to everybody, nobody is asked who reads. They tell of every account.
    if let Some(Extension(actor)) = actor {
        actor.may("metrics", Action::Show)?;
    }
    let text = (admin.options().metrics)();
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}
