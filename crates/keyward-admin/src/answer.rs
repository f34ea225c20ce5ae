//! Use cases' answers to responses.

use axum::Json;
use axum::http::header::{CACHE_CONTROL, ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use keyward_api::{Answer, Credential, Deleted, List, Mention, Minted, Stored, Warning};
use keyward_control::{Created, CredentialView, Page, Touched, User, Written};
use keyward_model::{JwtSettings, Revision, Timestamp};
use serde::Serialize;

/// Names the revision that an answer rests on.
pub(crate) const REVISION: HeaderName = HeaderName::from_static("keyward-revision");

/// Names the store whose revisions they are: two stores' are not comparable.
const STORE: HeaderName = HeaderName::from_static("keyward-store");

/// A JSON answer that rests on this revision. Nothing of the admin plane may be kept by a cache.
pub(crate) fn json(revision: Revision, body: &impl Serialize) -> Response {
    let mut response = Json(body).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(number) = HeaderValue::from_str(&revision.number.to_string()) {
        headers.insert(REVISION, number);
    }
    if let Ok(store) = HeaderValue::from_str(&revision.store.to_string()) {
        headers.insert(STORE, store);
    }
    response
}

/// Something that has an ETag of its own, or not.
pub(crate) trait Tagged: Serialize {
    fn etag(&self) -> Option<&str>;
}

impl<T: Serialize> Tagged for Stored<T> {
    fn etag(&self) -> Option<&str> {
        Some(&self.etag)
    }
}

impl Tagged for Credential {
    fn etag(&self) -> Option<&str> {
        Some(&self.etag)
    }
}

impl Tagged for keyward_api::Revoked {
    fn etag(&self) -> Option<&str> {
        Some(&self.grant.etag)
    }
}

impl Tagged for keyward_api::StoredToken {
    fn etag(&self) -> Option<&str> {
        Some(&self.etag)
    }
}

impl Tagged for keyward_api::Revealed {
    fn etag(&self) -> Option<&str> {
        None
    }
}

impl Tagged for keyward_api::RevealedSecret {
    fn etag(&self) -> Option<&str> {
        None
    }
}

/// One object, read or written.
pub(crate) struct One<T> {
    pub(crate) revision: Revision,
    pub(crate) object: T,
    pub(crate) minted: Vec<Minted>,
    pub(crate) warnings: Vec<Warning>,
}

impl<T: Tagged> One<T> {
    /// An object that was read.
    pub(crate) fn read(revision: Revision, object: T) -> Self {
        Self { revision, object, minted: Vec::new(), warnings: Vec::new() }
    }

    /// The answer to a write that made it, at this path.
    pub(crate) fn created(self, location: &str) -> Response {
        let mut response = self.into_response();
        *response.status_mut() = StatusCode::CREATED;
        if let Ok(location) = HeaderValue::from_str(location) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

impl<T: Tagged> IntoResponse for One<T> {
    fn into_response(self) -> Response {
        let etag = self.object.etag().and_then(|etag| HeaderValue::from_str(&format!("\"{etag}\"")).ok());
        let answer = Answer {
            revision: self.revision.number,
            object: self.object,
            minted: self.minted,
            warnings: self.warnings,
            cluster: None,
        };
        let mut response = json(self.revision, &answer);
        if let Some(etag) = etag {
            response.headers_mut().insert(ETAG, etag);
        }
        response
    }
}

/// What a use case answers to a write, with its object as it is shown.
pub(crate) trait Answered<V> {
    fn shown<T>(self, show: impl FnOnce(V) -> T) -> One<T>;
}

impl<V> Answered<V> for Written<V> {
    fn shown<T>(self, show: impl FnOnce(V) -> T) -> One<T> {
        One {
            revision: self.revision,
            object: show(self.object),
            minted: Vec::new(),
            warnings: self.warnings.iter().map(warning).collect(),
        }
    }
}

impl<V> Answered<V> for Created<V> {
    fn shown<T>(self, show: impl FnOnce(V) -> T) -> One<T> {
        One {
            revision: self.revision,
            object: show(self.object),
            minted: self.minted.iter().map(minted).collect(),
            warnings: self.warnings.iter().map(warning).collect(),
        }
    }
}

/// A page of a list.
pub(crate) fn page<V, T: Serialize>(revision: Revision, page: Page<V>, show: impl FnMut(V) -> T) -> Response {
    let items: Vec<T> = page.items.into_iter().map(show).collect();
    json(revision, &List { revision: revision.number, items, next: page.next })
}

/// What went, or would go.
pub(crate) fn deleted(deleted: &keyward_control::Deleted) -> Response {
    let body = Deleted {
        revision: deleted.revision.number,
        dry_run: deleted.dry_run,
        along: deleted.along.iter().map(mention).collect(),
        credentials: deleted.credentials,
        cluster: None,
    };
    json(deleted.revision, &body)
}

pub(crate) fn mention(user: &User) -> Mention {
    Mention {
        noun: user.noun.singular().to_owned(),
        account: None,
        name: user.name.clone(),
        id: user.id.clone(),
    }
}

pub(crate) fn touched(touched: &Touched) -> Mention {
    Mention {
        noun: touched.noun.singular().to_owned(),
        account: touched.account.as_ref().map(ToString::to_string),
        name: touched.name.clone(),
        id: touched.id.clone(),
    }
}

pub(crate) fn minted(minted: &keyward_control::Minted) -> Minted {
    Minted {
        caller: minted.caller.to_string(),
        account: minted.account.to_string(),
        name: minted.caller_name.to_string(),
        credential: minted.credential.to_string(),
        kind: minted.kind.to_owned(),
        label: minted.label.clone(),
        value: minted.value.as_ref().map(|value| value.expose_secret().to_owned()),
    }
}

pub(crate) fn warning(warning: &keyward_control::Warning) -> Warning {
    Warning { code: warning.code.to_owned(), path: warning.place.path.clone(), message: warning.text.clone() }
}

pub(crate) fn credential(view: &CredentialView) -> Credential {
    Credential {
        id: view.id.to_string(),
        etag: view.revision.to_string(),
        caller: view.caller.to_string(),
        kind: view.kind.to_owned(),
        app_key: view.app_key.as_ref().map(ToString::to_string),
        scheme: view.scheme.as_ref().map(ToString::to_string),
        default: view.is_default,
        hint: view.hint.clone(),
        reference: view.reference.clone(),
        trouble: view.trouble.clone(),
        identity_claim: view.identity_claim.as_ref().map(|claim| keyward_api::IdentityClaim {
            name: claim.name.to_string(),
            value: Some(claim.value.to_string()),
        }),
        jwt: view.jwt.as_ref().map(jwt),
        key_set: view.key_set.as_ref().map(key_set),
        enabled: view.enabled,
        valid_until: view.valid_until.as_ref().map(ToString::to_string),
        origin: view.origin.as_str().to_owned(),
        revealable: view.revealable,
        created: view.created.to_string(),
        lineage: view.lineage.as_ref().map(ToString::to_string),
        last_used: view.last_used.as_ref().map(ToString::to_string),
    }
}

fn key_set(health: &keyward_control::KeySetHealth) -> keyward_api::KeySetHealth {
    keyward_api::KeySetHealth {
        healthy: health.healthy,
        fetched: health.fetched.map(|at| at.to_string()),
        failed: health.failed.as_ref().map(|(at, _)| at.to_string()),
        error: health.failed.as_ref().map(|(_, why)| why.clone()),
    }
}

fn jwt(settings: &JwtSettings) -> keyward_api::JwtSettings {
    settings.into()
}

/// What every stored object says of itself.
pub(crate) fn stored<T>(
    id: impl ToString,
    revision: u64,
    created: Timestamp,
    changed: Timestamp,
    description: T,
) -> Stored<T> {
    Stored {
        id: id.to_string(),
        etag: revision.to_string(),
        created: created.to_string(),
        changed: changed.to_string(),
        description,
        credentials: Vec::new(),
        state: None,
        granted_by: None,
        nobody_authorized: None,
        has_password: None,
        status: None,
        trouble: None,
        revoked: None,
        last_used: None,
    }
}
