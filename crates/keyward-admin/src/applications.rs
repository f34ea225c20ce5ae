//! Applications, their key pairs and AppCodes.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, NewApplicationSpec, Stored};
use keyward_control::ApplicationView;
use keyward_model::{KeyPairSpec, OpaqueSpec};

use crate::Admin;
use crate::answer::{Answered as _, One, credential, stored};
use crate::credentials;
use crate::crud::crud;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(granted applications, "applications", NewApplicationSpec, application, shown);
crud!(switch applications, shown);

pub(crate) async fn list_key_pairs(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    list_credentials(&admin, &asked, "key_pair").await
}

pub(crate) async fn list_app_codes(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    list_credentials(&admin, &asked, "app_code").await
}

async fn list_credentials(admin: &Admin, asked: &Asked, kind: &str) -> Result<Response, Refusal> {
    let control = asked.control(admin);
    let revision = control.revision();
    let view = asked.control(admin).applications().get(&asked.actor, asked.object()?).await?;
    Ok(credentials::of_kind(revision, &view.credentials, kind))
}

pub(crate) async fn add_key_pair(
    State(admin): State<Admin>,
    asked: Asked,
    Description(spec): Description<KeyPairSpec>,
) -> Result<Response, Refusal> {
    let added =
        asked.control(&admin).applications().add_key_pair(&asked.actor, asked.object()?, spec).await?;
    Ok(credentials::added(added))
}

pub(crate) async fn add_app_code(
    State(admin): State<Admin>,
    asked: Asked,
    Description(spec): Description<OpaqueSpec>,
) -> Result<Response, Refusal> {
    let added =
        asked.control(&admin).applications().add_app_code(&asked.actor, asked.object()?, spec).await?;
    Ok(credentials::added(added))
}

fn shown(view: ApplicationView) -> Stored<keyward_api::Application> {
    let mut stored = stored(view.id, view.revision, view.created, view.changed, view.spec.describe());
    stored.credentials = view.credentials.iter().map(credential).collect();
    stored
}
