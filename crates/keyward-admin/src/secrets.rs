//! Secrets: written once, referred to by name.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{
    Described as _, FieldProblem, Reference, RevealedSecret, SecretRollback, SecretRotation, SecretStatus,
    Stored,
};
use keyward_control::{ReferenceView, SecretView};
use keyward_model::{Plaintext, SecretSpec};

use crate::Admin;
use crate::answer::{Answered as _, One, stored};
use crate::crud::crud;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(secrets, "secrets", SecretSpec, shown);
crud!(switch secrets, shown);

pub(crate) async fn rotate(
    State(admin): State<Admin>,
    asked: Asked,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let SecretRotation { value, overlap_s } = crate::sessions::read(&body)?;
    let value = value.map(Plaintext::new);
    if value.as_ref().is_some_and(|value| !keyward_api::is_secret_value(value)) {
        let message = "a value has 1 to 65536 bytes, and not U+0000".to_owned();
        return Err(Refusal::invalid(vec![FieldProblem {
            line: 0,
            column: 0,
            path: "value".to_owned(),
            message,
        }]));
    }
    check_match(&admin, &asked).await?;
    let control = asked.control(&admin);
    let rotated = control.secrets().rotate(&asked.actor, asked.object()?, value, overlap_s).await?;
    Ok(rotated.shown(shown).into_response())
}

pub(crate) async fn roll_back(
    State(admin): State<Admin>,
    asked: Asked,
    JsonBody(body): JsonBody,
) -> Result<Response, Refusal> {
    let SecretRollback { overlap_s } = crate::sessions::read(&body)?;
    check_match(&admin, &asked).await?;
    let control = asked.control(&admin);
    let rolled = control.secrets().roll_back(&asked.actor, asked.object()?, overlap_s).await?;
    Ok(rolled.shown(shown).into_response())
}

pub(crate) async fn reveal(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let revision = admin.control().revision();
    let (view, value) = asked.control(&admin).secrets().reveal(&asked.actor, asked.object()?).await?;
    let object = RevealedSecret {
        name: view.spec.name.to_string(),
        version: view.version,
        value: value.expose_secret().to_owned(),
    };
    Ok(One::read(revision, object).into_response())
}

pub(crate) async fn references(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let revision = admin.control().revision();
    let (after, limit) = (asked.get("after").map(ToOwned::to_owned), crate::listing::limit(&asked));
    let page =
        asked.control(&admin).secrets().references(&asked.actor, asked.object()?, after, limit).await?;
    Ok(crate::answer::page(revision, page, reference))
}

async fn check_match(admin: &Admin, asked: &Asked) -> Result<(), Refusal> {
    if asked.must_match().is_some() {
        let view = admin.control().secrets().get(&asked.actor, asked.object()?).await?;
        crate::crud::check_match(asked, view.revision)?;
    }
    Ok(())
}

fn shown(view: SecretView) -> Stored<keyward_api::Secret> {
    let status = SecretStatus {
        version: view.version,
        rotated: view.rotated.to_string(),
        references: view.references,
        last_used: view.used.current.map(|at| at.to_string()),
        previous_version: view.previous.map(|(version, _)| version),
        previous_until: view.previous.map(|(_, until)| until.to_string()),
        previous_last_used: view.used.previous.map(|at| at.to_string()),
    };
    let description = view.spec.describe();
    Stored {
        status: Some(status),
        trouble: view.trouble,
        ..stored(view.id, view.revision, view.created, view.changed, description)
    }
}

fn reference(view: ReferenceView) -> Reference {
    Reference {
        kind: view.noun.singular().to_owned(),
        link: format!("/v1/{}/{}", view.noun.plural(), view.id),
        name: view.name,
        field: view.field,
        id: view.id,
        credential: view.credential.map(|id| id.to_string()),
    }
}
