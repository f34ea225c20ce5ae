//! `Idempotency-Key`: the same request sent again gets the answer that the first one got.

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use keyward_api::Route;
use keyward_control::{Actor, Before, DONE_MEANWHILE, Once};
use serde::{Deserialize, Serialize};

use crate::Admin;
use crate::refusal::Refusal;
use crate::request::body_max;

const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Largest answer that is kept, in bytes.
const ANSWER_MAX: usize = 64 << 20;

/// An answer as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// What whoever asked could do then.
    #[serde(default)]
    rights: Vec<String>,
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Does a write with a key once.
pub(crate) async fn once(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    match key(&request) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => {
            // Whoever asked may hang up in the middle: what was begun is brought to its end all the same.
            let done = tokio::spawn(async move {
                do_once(&admin, &key, request, next).await.unwrap_or_else(|refusal| refusal.into_response())
            });
            done.await.unwrap_or_else(|_| {
                let title = "the request was interrupted; see the node's log";
                Refusal::new(500, "internal", title).into_response()
            })
        }
        Err(refusal) => refusal.into_response(),
    }
}

/// The key, where there is one and the route takes it.
fn key(request: &Request) -> Result<Option<String>, Refusal> {
    let mut given = request.headers().get_all(KEY).iter();
    let Some(key) = given.next() else { return Ok(None) };
    let route = request.extensions().get::<Route>().copied();
    match route {
        Some(route) if route.takes_idempotency_key() => {}
        // Reading twice is reading.
        _ if matches!(*request.method(), Method::GET | Method::HEAD) => return Ok(None),
        _ => {
            let message =
                "this route does not take it: what it does is not done twice by mistake, or is not kept";
            return Err(Refusal::parameter("Idempotency-Key", message));
        }
    }
    let key = key.to_str().unwrap_or_default();
    let fits = (1..=255).contains(&key.len()) && key.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
    match (fits, given.next()) {
        (true, None) => Ok(Some(key.to_owned())),
        _ => Err(Refusal::parameter("Idempotency-Key", "must be one, of 1 to 255 visible ASCII characters")),
    }
}

async fn do_once(admin: &Admin, key: &str, request: Request, next: Next) -> Result<Response, Refusal> {
    let (mut parts, body) = request.into_parts();
    let unknown = || Refusal::new(401, "operator_unknown", "it is not known who asks");
    let actor = parts.extensions.get::<Actor>().cloned().ok_or_else(unknown)?;
    let route = parts.extensions.get::<Route>().copied().ok_or_else(unknown)?;
    // Before a body is read for somebody who may not do this anyway.
    actor.may(route.noun(), route.action())?;
    let most = body_max(route);
    let body = to_bytes(body, most).await.map_err(|_| {
        Refusal::new(413, "body_too_large", format!("the body is larger than {most} bytes, or broke off"))
    })?;
    let once = Once::new(&actor, route.name(), key, &same(&parts, &body));
    if let Before::Answered(answer) = admin.control().before(&once).await? {
        return replay(&answer, &actor);
    }
    parts.extensions.insert(once.clone());
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    if response.extensions().get::<Refusal>().is_some_and(|refusal| refusal.code() == DONE_MEANWHILE) {
        return match admin.control().before(&once).await? {
            Before::Answered(answer) => replay(&answer, &actor),
            Before::Nothing => Ok(response),
        };
    }
    if !once.is_awaited() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_MAX).await.unwrap_or_default();
    once.answered(keep(&actor, parts.status, &parts.headers, &body)).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Everything of a request that must be the same the next time.
fn same(parts: &axum::http::request::Parts, body: &Bytes) -> Vec<u8> {
    let mut same = Vec::with_capacity(body.len() + 256);
    let content = parts.headers.get("content-type").map(HeaderValue::as_bytes).unwrap_or_default();
    let matched = parts.headers.get("if-match").map(HeaderValue::as_bytes).unwrap_or_default();
    for part in [
        parts.uri.path().as_bytes(),
        parts.uri.query().unwrap_or_default().as_bytes(),
        content,
        matched,
        body.as_ref(),
    ] {
        same.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        same.extend_from_slice(part);
    }
    same
}

fn keep(actor: &Actor, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Vec<u8> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
    let headers = headers
        .iter()
        .filter(|(name, _)| *name != axum::http::header::CONTENT_LENGTH)
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), text(value)?)));
    let kept = Kept {
        rights: actor.rights(),
        status: status.as_u16(),
        headers: headers.collect(),
        body: String::from_utf8_lossy(body).into_owned(),
    };
    serde_json::to_vec(&kept).unwrap_or_default()
}

/// The answer again, unless whoever asks has lost something meanwhile that it could do when it was given.
fn replay(answer: &[u8], actor: &Actor) -> Result<Response, Refusal> {
    let unreadable = || Refusal::new(500, "internal", "the answer that was kept cannot be read");
    let kept: Kept = serde_json::from_slice(answer).map_err(|_| unreadable())?;
    let rights = actor.rights();
    if !kept.rights.iter().all(|right| rights.contains(right)) {
        let title = "the same request is done already; its answer is kept from you, for your roles are not what they were then";
        return Err(Refusal::new(409, DONE_MEANWHILE, title));
    }
    let mut response = Response::new(Body::from(kept.body));
    *response.status_mut() = StatusCode::from_u16(kept.status).map_err(|_| unreadable())?;
    for (name, value) in &kept.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
