//! Consumers, their API keys and JWT.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, NewConsumerSpec, Stored};
use keyward_control::ConsumerView;
use keyward_model::{JwtSpec, OpaqueSpec};

use crate::Admin;
use crate::answer::{Answered as _, One, credential, stored};
use crate::credentials;
use crate::crud::crud;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(granted consumers, "consumers", NewConsumerSpec, consumer, shown);
crud!(switch consumers, shown);

pub(crate) async fn list_api_keys(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let control = asked.control(&admin);
    let revision = control.revision();
    let view = asked.control(&admin).consumers().get(&asked.actor, asked.object()?).await?;
    Ok(credentials::of_kind(revision, &view.credentials, "api_key"))
}

pub(crate) async fn add_api_key(
    State(admin): State<Admin>,
    asked: Asked,
    Description(spec): Description<OpaqueSpec>,
) -> Result<Response, Refusal> {
    let added = asked.control(&admin).consumers().add_api_key(&asked.actor, asked.object()?, spec).await?;
    Ok(credentials::added(added))
}

/// Shows the credential by which the consumer's tokens are verified.
pub(crate) async fn show_jwt(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let control = asked.control(&admin);
    let revision = control.revision();
    let view = asked.control(&admin).consumers().get(&asked.actor, asked.object()?).await?;
    match view.credentials.iter().find(|view| view.kind == "jwt") {
        Some(view) => Ok(One::read(revision, credential(view)).into_response()),
        None => Err(Refusal::new(404, "jwt_unknown", "this consumer has no JWT; set one with PUT")),
    }
}

/// Sets the consumer's JWT; the credential keeps its id.
pub(crate) async fn set_jwt(
    State(admin): State<Admin>,
    asked: Asked,
    Description(spec): Description<JwtSpec>,
) -> Result<Response, Refusal> {
    if asked.must_match().is_some() {
        let view = asked.control(&admin).consumers().get(&asked.actor, asked.object()?).await?;
        let revision =
            view.credentials.iter().find(|view| view.kind == "jwt").map_or(0, |view| view.revision);
        crate::crud::check_match(&asked, revision)?;
    }
    let set = asked.control(&admin).consumers().set_jwt(&asked.actor, asked.object()?, spec).await?;
    Ok(set.shown(|view| credential(&view)).into_response())
}

fn shown(view: ConsumerView) -> Stored<keyward_api::Consumer> {
    let mut stored = stored(view.id, view.revision, view.created, view.changed, view.spec.describe());
    stored.credentials = view.credentials.iter().map(credential).collect();
    stored
}
