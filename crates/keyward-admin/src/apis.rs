//! APIs: published interfaces, and their stages.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, Stored};
use keyward_control::{ApiView, ObjectRef, Problem};
use keyward_model::{ApiSpec, Stage, StageSpec};

use crate::Admin;
use crate::answer::{Answered as _, One, stored};
use crate::crud::crud;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(apis, "apis", ApiSpec, shown);
crud!(switch apis, shown);

/// Publishes a stage, or binds a published one anew.
pub(crate) async fn publish(
    State(admin): State<Admin>,
    asked: Asked,
    Description(binding): Description<StageSpec>,
) -> Result<Response, Refusal> {
    bind(&admin, &asked, Some(binding)).await
}

/// Unpublishes a stage; one that is not published stays so.
pub(crate) async fn unpublish(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    bind(&admin, &asked, None).await
}

async fn bind(admin: &Admin, asked: &Asked, binding: Option<StageSpec>) -> Result<Response, Refusal> {
    let stage: Stage = asked.parsed_segment("stage")?;
    let control = asked.control(admin);
    let apis = control.apis();
    let of: ObjectRef<_> = asked.object()?;
    if asked.must_match().is_some() {
        let view = apis.get(&asked.actor, of.clone()).await?;
        crate::crud::check_match(asked, view.revision)?;
    }
    let edit = move |spec: &mut ApiSpec| -> Result<(), Problem> {
        match binding {
            Some(binding) => spec.stages.insert(stage, binding),
            None => spec.stages.remove(&stage),
        };
        Ok(())
    };
    Ok(apis.change(&asked.actor, of, edit).await?.shown(shown).into_response())
}

fn shown(view: ApiView) -> Stored<keyward_api::Api> {
    let mut api = stored(view.id, view.revision, view.created, view.changed, view.spec.describe());
    api.nobody_authorized = Some(view.nobody_authorized);
    api
}
