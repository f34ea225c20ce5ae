//! Credentials, whoever's they are.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{CredentialReset, CredentialRotation, Done, FieldProblem, Leak, List, Revealed};
use keyward_control::{Created, CredentialChange, CredentialView, Rotation};
use keyward_model::{AppKey, CredentialId, ParseError, Plaintext, Revision, SignatureScheme, Timestamp};

use crate::Admin;
use crate::answer::{Answered as _, One, credential, deleted, json};
use crate::refusal::Refusal;
use crate::request::{Asked, JsonBody};

/// Finds the key pair with this AppKey.
pub(crate) async fn find(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let app_key: AppKey = asked
        .parsed("app_key")?
        .ok_or_else(|| Refusal::parameter("app_key", "is missing; name an AppKey"))?;
    let control = asked.control(&admin);
    let revision = control.revision();
    let view = asked.control(&admin).credentials().find_app_key(&asked.actor, &app_key).await?;
    Ok(json(revision, &List { revision: revision.number, items: vec![credential(&view)], next: None }))
}

pub(crate) async fn show(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let control = asked.control(&admin);
    let revision = control.revision();
    let view = asked.control(&admin).credentials().get(&asked.actor, id(&asked)?).await?;
    Ok(One::read(revision, credential(&view)).into_response())
}

pub(crate) async fn change(
    State(admin): State<Admin>,
    asked: Asked,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let change: keyward_api::CredentialChange =
        mapping(&body).and_then(|body| serde_json::from_slice(body).map_err(|error| wrong("", error)))?;
    let until =
        |text: String| text.parse::<Timestamp>().map_err(|error: ParseError| wrong("valid_until", error));
    let scheme = |text: String| text.parse::<SignatureScheme>().map_err(|error| wrong("scheme", error));
    let change = CredentialChange {
        enabled: change.enabled,
        valid_until: change.valid_until.map(|text| text.map(until).transpose()).transpose()?,
        scheme: change.scheme.map(scheme).transpose()?,
    };
    written(&admin, &asked, change).await
}

pub(crate) async fn enable(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    written(&admin, &asked, CredentialChange { enabled: Some(true), ..CredentialChange::default() }).await
}

pub(crate) async fn disable(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    written(&admin, &asked, CredentialChange { enabled: Some(false), ..CredentialChange::default() }).await
}

async fn written(admin: &Admin, asked: &Asked, change: CredentialChange) -> Result<Response, Refusal> {
    let control = asked.control(admin);
    let credentials = control.credentials();
    check_match(admin, asked).await?;
    let changed = credentials.change(&asked.actor, id(asked)?, change).await?;
    Ok(changed.shown(|view| credential(&view)).into_response())
}

/// Refuses if the request is for another state of the credential than the one there is.
async fn check_match(admin: &Admin, asked: &Asked) -> Result<(), Refusal> {
    if asked.must_match().is_none() {
        return Ok(());
    }
    let view = asked.control(admin).credentials().get(&asked.actor, id(asked)?).await?;
    crate::crud::check_match(asked, view.revision)
}

pub(crate) async fn delete(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    check_match(&admin, &asked).await?;
    let gone = asked.control(&admin).credentials().delete(&asked.actor, id(&asked)?).await?;
    Ok(deleted(&gone))
}

pub(crate) async fn reset(
    State(admin): State<Admin>,
    asked: Asked,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let reset: CredentialReset =
        mapping(&body).and_then(|body| serde_json::from_slice(body).map_err(|_| unread(body)))?;
    check_match(&admin, &asked).await?;
    let value = reset.value.map(Plaintext::new);
    let made = asked.control(&admin).credentials().reset(&asked.actor, id(&asked)?, value).await?;
    Ok(made.shown(|view| credential(&view)).into_response())
}

/// What is wrong with the body of a reset. The parser's own message may quote the value, which is a secret.
fn unread(body: &[u8]) -> Refusal {
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body).unwrap_or_default();
    let foreign = fields.keys().find(|name| *name != "value");
    let unknown = foreign.map(|name| format!("`{}` is not known here: ", name.escape_debug()));
    let message = unknown.unwrap_or_default() + "must be {} to have a value generated, or {\"value\": \"…\"}";
    wrong("", message)
}

/// Gives it a successor beside it.
pub(crate) async fn rotate(
    State(admin): State<Admin>,
    asked: Asked,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let CredentialRotation { overlap_s, value, app_key } = crate::sessions::read(&body)?;
    check_match(&admin, &asked).await?;
    let app_key = app_key.map(|text| text.parse()).transpose();
    let rotation = Rotation {
        overlap_s,
        value: value.map(Plaintext::new),
        app_key: app_key.map_err(|error| wrong("app_key", error))?,
    };
    Ok(added(asked.control(&admin).credentials().rotate(&asked.actor, id(&asked)?, rotation).await?))
}

/// Neither the answer nor its headers say whether the value was one.
pub(crate) async fn report_leak(
    State(admin): State<Admin>,
    asked: Asked,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let Leak { value, app_key } = crate::sessions::read(&body)?;
    // What no AppKey can be goes with no pair.
    let app_key = app_key.and_then(|text| text.parse().ok());
    let control = asked.control(&admin);
    control.credentials().report_leak(&asked.actor, Plaintext::new(value), app_key).await?;
    Ok(json(control.revision(), &Done::default()))
}

pub(crate) async fn reveal(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let shown = asked.control(&admin).credentials().reveal(&asked.actor, id(&asked)?).await?;
    let object =
        Revealed { credential: credential(&shown.credential), value: shown.value.expose_secret().to_owned() };
    Ok(One::read(shown.revision, object).into_response())
}

/// The body, if it is a mapping: derived readers would take a list for one.
fn mapping(body: &[u8]) -> Result<&[u8], Refusal> {
    match body.trim_ascii_start().first() {
        Some(b'{') => Ok(body),
        _ => Err(wrong("", "must be a mapping of the fields to change")),
    }
}

fn id(asked: &Asked) -> Result<CredentialId, Refusal> {
    asked.parsed_segment("id")
}

fn wrong(path: &str, message: impl ToString) -> Refusal {
    let message = message.to_string();
    let message = message.split(" at line ").next().unwrap_or_default().to_owned();
    Refusal::invalid(vec![FieldProblem { line: 0, column: 0, path: path.to_owned(), message }])
}

/// Those of a caller's credentials that are of this kind.
pub(crate) fn of_kind(revision: Revision, views: &[CredentialView], kind: &str) -> Response {
    let items: Vec<_> = views.iter().filter(|view| view.kind == kind).map(credential).collect();
    json(revision, &List { revision: revision.number, items, next: None })
}

/// The answer to a write that added a credential.
pub(crate) fn added(added: Created<CredentialView>) -> Response {
    let added = added.shown(|view| credential(&view));
    let location = format!("/v1/credentials/{}", added.object.id);
    added.created(&location)
}
