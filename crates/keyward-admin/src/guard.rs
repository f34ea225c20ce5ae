//! Who is let in: the Host allow-list, then a token or a session.

use std::net::IpAddr;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Access, Route, SESSION_COOKIE};
use keyward_control::{Actor, Asking, looks_generated};
use keyward_model::{Plaintext, Timestamp};
use subtle::ConstantTimeEq as _;

use crate::Admin;
use crate::refusal::{Refusal, finished};

/// A signed-in browser's session, as it came with a request.
#[derive(Clone, Debug)]
pub(crate) struct Signed {
    pub(crate) cookie: Plaintext,
    pub(crate) csrf: String,
    pub(crate) valid_until: Timestamp,
}

/// Names a request, in the audit and the log.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(crate) String);

/// The header that names it to the caller.
const REQUEST_ID: HeaderName = HeaderName::from_static("keyward-request-id");

/// The header in which a session's writes carry what the page knows and another site's page does not.
const CSRF: HeaderName = HeaderName::from_static("x-keyward-csrf");

/// Lets a request pass if it names a host that we are, and it is known who calls (unless the route is open).
pub(crate) async fn guard(State(admin): State<Admin>, mut request: Request, next: Next) -> Response {
    let id = RequestId(keyward_control::request_id());
    request.extensions_mut().insert(id.clone());
    let admitted = admit(&admin, &mut request).await;
    let actor = request.extensions().get::<Actor>().cloned();
    let known = actor.is_some();
    let path = request.uri().path().to_owned();
    let response = match admitted {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    if let Some(actor) = actor
        && response.status() == StatusCode::FORBIDDEN
    {
        let route = response.extensions().get::<Route>().copied().filter(|route| route.is_write());
        let why = response.extensions().get::<Refusal>().map(Refusal::code).unwrap_or_default().to_owned();
        if let Some(route) = route {
            note_refusal(&admin, &actor, &id, route, path, &why).await;
        }
    }
    let revision = known.then(|| admin.control().revision().number);
    let mut response = finished(response, revision);
    if let Ok(id) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// What somebody tried and may not do is part of the audit. Reading in vain is not.
async fn note_refusal(admin: &Admin, actor: &Actor, id: &RequestId, route: Route, path: String, why: &str) {
    let control = admin.control().asking(Asking { request: Some(id.0.clone()), ..Asking::default() });
    let noted = control.audit().refused(actor, route.noun(), route.action(), path, why).await;
    if let Err(error) = noted {
        tracing::warn!(%error, "a refusal could not be noted in the audit");
    }
}

async fn admit(admin: &Admin, request: &mut Request) -> Result<(), Refusal> {
    if !host_allowed(request.headers(), request.uri(), &admin.options().hosts) {
        let title = "this is not a name of the admin server; use its address, or start the node with --admin-host NAME";
        return Err(Refusal::new(421, "host_not_allowed", title));
    }
    let path = request.uri().path();
    let method = if request.method() == Method::HEAD { &Method::GET } else { request.method() };
    let here = || Route::ALL.iter().filter(|route| route.path() == path);
    let open = |route: &Route| route.about().access == Access::Open;
    let named = |route: &Route| route.method().as_str() == method.as_str();
    if here().any(|route| open(route) && named(route)) {
        // A page of another site may send a sign-in as well: it must not be one. Reading is anybody's, and a provider sends
        // browsers back from its own pages.
        let reads = method == Method::GET;
        return if reads { Ok(()) } else { own_origin(request.headers(), Absent::Allowed) };
    }
    if here().any(open) && !here().any(named) {
        // Nothing is done: the router says which methods there are.
        return Ok(());
    }
    if path == "/metrics" && admin.options().metrics_open {
        return Ok(());
    }
    if request.headers().contains_key(AUTHORIZATION) {
        let actor = by_token(request.headers(), admin).await?.ok_or_else(unauthorized)?;
        request.extensions_mut().insert(actor);
        return Ok(());
    }
    let cookie = cookie(request.headers(), SESSION_COOKIE).ok_or_else(unauthorized)?;
    let known = admin.control().sessions().by_cookie(cookie.expose_secret()).await?;
    let known = known.ok_or_else(unauthorized)?;
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        own_origin(request.headers(), Absent::Refused)?;
        let given = request.headers().get(CSRF).map(HeaderValue::as_bytes).unwrap_or_default();
        if !bool::from(known.csrf.as_bytes().ct_eq(given)) {
            let title = "a session's writes carry `X-Keyward-Csrf`, which signing in told";
            return Err(Refusal::new(403, "csrf_missing", title));
        }
    }
    let signed = Signed { cookie, csrf: known.csrf, valid_until: known.valid_until };
    request.extensions_mut().insert(signed);
    request.extensions_mut().insert(known.actor);
    Ok(())
}

/// What a request without `Origin` is worth.
#[derive(PartialEq, Eq)]
enum Absent {
    Allowed,
    Refused,
}

/// A browser says which site's page sends a write; it must be our own.
fn own_origin(headers: &HeaderMap, absent: Absent) -> Result<(), Refusal> {
    let refused = || {
        let title = "this write comes from a page of another site";
        Refusal::new(403, "origin_not_allowed", title)
    };
    let mut given = headers.get_all(ORIGIN).iter();
    let origin = match (given.next(), given.next()) {
        (None, _) if absent == Absent::Allowed => return Ok(()),
        (Some(origin), None) => origin.to_str().map_err(|_| refused())?,
        _ => return Err(refused()),
    };
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let authority = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    match authority {
        Some(authority) if !host.is_empty() && authority.eq_ignore_ascii_case(host) => Ok(()),
        _ => Err(refused()),
    }
}

/// The cookie of this name; none if there are two.
pub(crate) fn cookie(headers: &HeaderMap, wanted: &str) -> Option<Plaintext> {
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut ours = pairs.filter(|(name, _)| *name == wanted).map(|(_, value)| value);
    match (ours.next(), ours.next()) {
        (Some(value), None) if !value.is_empty() => Some(Plaintext::new(value)),
        _ => None,
    }
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
async fn by_token(headers: &HeaderMap, admin: &Admin) -> Result<Option<Actor>, Refusal> {
    let mut given = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return Ok(None) };
    let Some((scheme, presented)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Ok(None);
    }
    if admin.options().token.as_ref().is_some_and(|token| token.is(presented.as_bytes())) {
        return Ok(Some(Actor::LocalToken));
    }
    // What has not the form of a token is not looked up.
    if !looks_generated(presented) {
        return Ok(None);
    }
    Ok(admin.control().sessions().by_token(presented).await?)
}

fn unauthorized() -> Refusal {
    Refusal::new(
        401,
        "operator_unknown",
        "it is not known who asks; sign in, or send `Authorization: Bearer TOKEN` with an operator's token or the contents of the data folder's `admin-token`",
    )
}
