//! Who is let in: the Host allow-list, then the token.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST};
use axum::http::{HeaderMap, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use keyward_control::Actor;

use crate::Admin;
use crate::refusal::{Refusal, finished};

/// Lets a request pass if it names a host that we are, and carries the token (unless its path is open).
pub(crate) async fn guard(State(admin): State<Admin>, mut request: Request, next: Next) -> Response {
    match admit(&admin, &mut request) {
        Ok(()) => {
            let revision = admin.control().revision().number;
            finished(next.run(request).await, Some(revision))
        }
        Err(refusal) => finished(refusal.into_response(), None),
    }
}

fn admit(admin: &Admin, request: &mut Request) -> Result<(), Refusal> {
    if !host_allowed(request.headers(), request.uri(), &admin.options().hosts) {
        let title = "this is not a name of the admin server; use its address, or start the node with --admin-host NAME";
        return Err(Refusal::new(421, "host_not_allowed", title));
    }
    let path = request.uri().path();
    if matches!(path, "/healthz" | "/readyz") || path == "/metrics" && admin.options().metrics_open {
        return Ok(());
    }
    let actor = actor(request.headers(), admin).ok_or_else(unauthorized)?;
    request.extensions_mut().insert(actor);
    Ok(())
}

/// An address cannot be rebound by DNS; a name can, so names must be known.
fn host_allowed(headers: &HeaderMap, uri: &Uri, hosts: &[String]) -> bool {
    let mut given = headers.get_all(HOST).iter();
    let (Some(host), None) = (given.next(), given.next()) else { return false };
    let Ok(authority) = host.to_str().unwrap_or_default().parse::<axum::http::uri::Authority>() else {
        return false;
    };
    if uri.authority().is_some_and(|target| target != &authority) {
        return false;
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    bare.parse::<IpAddr>().is_ok()
        || host.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
}

/// Who calls. A token stands in `Authorization: Bearer` only, never in the URL.
fn actor(headers: &HeaderMap, admin: &Admin) -> Option<Actor> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, presented) = value.to_str().ok()?.split_once(' ')?;
    let token = admin.options().token.as_ref()?;
    (scheme.eq_ignore_ascii_case("bearer") && token.is(presented.as_bytes())).then_some(Actor::LocalToken)
}

fn unauthorized() -> Refusal {
    Refusal::new(
        401,
        "operator_unknown",
        "a valid operator token is needed; send `Authorization: Bearer TOKEN` with the contents of the data folder's `admin-token`",
    )
}
