//! Reading requests: parameters and bodies, strictly.

use std::collections::BTreeMap;

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use keyward_api::{Described, Route};
use keyward_control::{Actor, Asking, Control, ObjectRef, Once};
use keyward_model::{Name, ParseError};
use std::str::FromStr;

use crate::Admin;
use crate::guard::{RequestId, Signed};
use crate::refusal::Refusal;

/// Largest body of a request on this route, in bytes.
pub(crate) fn body_max(route: Route) -> usize {
    match route.about().body {
        keyward_api::Body::World => crate::world::WORLD_MAX,
        _ if route.noun() == "module" => MODULE_BODY_MAX,
        _ => BODY_MAX,
    }
}

/// Largest body of a request about one object, in bytes.
const BODY_MAX: usize = 1 << 20;

/// Largest body of a request about a module, which has its code in it as base64, in bytes.
const MODULE_BODY_MAX: usize = 12 << 20;

/// Everything of a request that a handler reads, but for its body.
pub(crate) struct Asked {
    pub(crate) actor: Actor,
    pub(crate) signed: Option<Signed>,
    request: Option<String>,
    once: Option<Once>,
    path: BTreeMap<String, String>,
    query: BTreeMap<String, String>,
    if_match: Option<String>,
}

impl FromRequestParts<Admin> for Asked {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, admin: &Admin) -> Result<Self, Refusal> {
        // The guard put it there; without it nothing is done.
        let actor = parts.extensions.get::<Actor>().cloned();
        let actor =
            actor.ok_or_else(|| Refusal::new(401, "operator_unknown", "a valid operator token is needed"))?;
        let route = route(&parts.extensions)?;
        let path = RawPathParams::from_request_parts(parts, admin)
            .await
            .map_err(|_| Refusal::new(400, "path_malformed", "the path is not valid UTF-8"))?;
        let path = path.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, admin)
            .await
            .map_err(|_| Refusal::new(400, "query_malformed", "the query is not well-formed"))?;
        let mut query = BTreeMap::new();
        for (name, value) in pairs {
            if query.insert(name.clone(), value).is_some() {
                return Err(Refusal::parameter(&name, "is given twice; leave one out"));
            }
        }
        actor.may(route.noun(), route.action())?;
        check(route, &path, &query)?;
        let signed = parts.extensions.get::<Signed>().cloned();
        let request = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
        let once = parts.extensions.get::<Once>().cloned();
        Ok(Self { actor, signed, request, once, path, query, if_match: if_match(route, &parts.headers)? })
    }
}

/// The route that is served. The router put it there.
fn route(extensions: &Extensions) -> Result<Route, Refusal> {
    let route = extensions.get::<Route>().copied();
    route.ok_or_else(|| Refusal::new(500, "internal", "the route is not in the table"))
}

/// Refuses what the route table does not name, and what has not the form that it says.
fn check(
    route: Route,
    path: &BTreeMap<String, String>,
    query: &BTreeMap<String, String>,
) -> Result<(), Refusal> {
    for segment in route.segments() {
        let text = path.get(segment.name).map_or("", String::as_str);
        segment.form.check(text).map_err(|error| Refusal::parameter(segment.name, error))?;
    }
    for (name, text) in query {
        let known = route.query().find(|known| known.name == name).ok_or_else(|| unknown(route, name))?;
        known.form.check(text).map_err(|error| Refusal::parameter(name, error))?;
    }
    match route.query().find(|known| known.required && !query.contains_key(known.name)) {
        Some(missing) => Err(Refusal::parameter(missing.name, format!("is missing: {}", missing.about))),
        None => Ok(()),
    }
}

fn unknown(route: Route, name: &str) -> Refusal {
    let known: Vec<&str> = route.query().map(|known| known.name).collect();
    match known.as_slice() {
        [] => Refusal::parameter(name, "this route has no query parameters"),
        known => Refusal::parameter(name, format!("is not known here; allowed are {}", known.join(", "))),
    }
}

/// The ETag that the object must have; `*` is any.
fn if_match(route: Route, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut given = headers.get_all(IF_MATCH).iter();
    let Some(value) = given.next() else { return Ok(None) };
    if !route.about().if_match {
        // What would be ignored is refused: whoever sends it relies on it.
        return match route.is_write() {
            true => Err(Refusal::parameter("If-Match", "this route has no object that could have changed")),
            false => Ok(None),
        };
    }
    let etag = value.to_str().ok().and_then(|value| value.strip_prefix('"')?.strip_suffix('"'));
    match (value.as_bytes(), etag, given.next()) {
        (b"*", _, None) => Ok(None),
        (_, Some(etag), None) if !etag.is_empty() && etag.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(Some(etag.to_owned()))
        }
        _ => Err(Refusal::parameter(
            "If-Match",
            "must be one ETag in quotes, as the object was shown with, or *",
        )),
    }
}

impl Asked {
    /// The use cases, asked as the request asks.
    pub(crate) fn control(&self, admin: &Admin) -> Control {
        admin.control().asking(Asking {
            dry_run: self.flag("dry_run"),
            request: self.request.clone(),
            once: self.once.clone(),
        })
    }

    /// A query parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A query parameter that its type parses.
    pub(crate) fn parsed<T: FromStr<Err = ParseError>>(&self, name: &str) -> Result<Option<T>, Refusal> {
        self.get(name).map(|text| text.parse().map_err(|error| Refusal::parameter(name, error))).transpose()
    }

    /// A query parameter that is `true` or `false`; false where it is absent.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// A parameter of the path.
    pub(crate) fn segment(&self, name: &str) -> &str {
        self.path.get(name).map_or("", String::as_str)
    }

    /// A parameter of the path that its type parses.
    pub(crate) fn parsed_segment<T: FromStr<Err = ParseError>>(&self, name: &str) -> Result<T, Refusal> {
        self.segment(name).parse().map_err(|error| Refusal::parameter(name, error))
    }

    /// The account in which names are looked up: `?account=`, else `default`.
    pub(crate) fn account(&self) -> Result<Name, Refusal> {
        let named = self.get("account").unwrap_or("default");
        named.parse().map_err(|error| Refusal::parameter("account", error))
    }

    /// The object of the path, by id or by name.
    pub(crate) fn object<I: FromStr>(&self) -> Result<ObjectRef<I>, Refusal> {
        let account = self.account()?;
        let of = ObjectRef::parse(self.segment("id"), &account);
        Ok(match of.map_err(|error| Refusal::parameter("id", error))? {
            // An id says it all; an account beside it must be the right one.
            ObjectRef::Id(id) if self.get("account").is_some() => ObjectRef::IdIn(id, account),
            of => of,
        })
    }

    /// The ETag that the object must have, if the request names one.
    pub(crate) fn must_match(&self) -> Option<&str> {
        self.if_match.as_deref()
    }
}

/// A JSON body of at most [`body_max`] bytes, not yet read.
pub(crate) struct JsonBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        media_of(&request)?;
        let most = body_max(route(request.extensions())?);
        let body = bounded(request, most).await?;
        if let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&body) {
            let title = format!("the body is not JSON: {error}");
            return Err(Refusal::new(400, "body_malformed", title));
        }
        Ok(Self(body))
    }
}

/// The description of an object.
pub(crate) struct Description<T>(pub(crate) T);

impl<S: Send + Sync, T: Described> FromRequest<S> for Description<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let JsonBody(body) = JsonBody::from_request(request, state).await?;
        T::from_json(&body).map(Self).map_err(Refusal::invalid)
    }
}

/// The media type of the body: one of those in which the route reads it.
pub(crate) fn media_of(request: &Request) -> Result<&'static str, Refusal> {
    let wanted = route(request.extensions())?.about().body.media();
    let given = media_type(request.headers());
    let media = wanted.iter().find(|media| media.eq_ignore_ascii_case(given));
    media.copied().ok_or_else(|| wrong_media(given, &wanted.join(" or ")))
}

/// The media type of a body, without parameters; empty where none is named.
fn media_type(headers: &HeaderMap) -> &str {
    let mut given = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return "" };
    value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim()
}

fn wrong_media(given: &str, wanted: &str) -> Refusal {
    let given =
        if given.is_empty() { "no Content-Type".to_owned() } else { format!("`{}`", given.escape_debug()) };
    Refusal::new(415, "media_type_unsupported", format!("the body comes with {given}; send it as {wanted}"))
}

/// The whole body, if it is not too large.
pub(crate) async fn bounded(request: Request, most: usize) -> Result<Bytes, Refusal> {
    to_bytes(request.into_body(), most).await.map_err(|_| {
        Refusal::new(
            413,
            "body_too_large",
            format!("the body must have at most {most} bytes, and arrive whole"),
        )
    })
}
