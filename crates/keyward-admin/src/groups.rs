//! Groups, and their members.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, Stored};
use keyward_control::GroupView;
use keyward_model::{CallerKind, GroupSpec, MemberSpec};

use crate::Admin;
use crate::answer::{Answered as _, One, stored};
use crate::crud::crud;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(groups, "groups", GroupSpec, shown);
crud!(switch groups, shown);

/// Adds a member; one that already belongs to the group stays.
pub(crate) async fn add_member(
    State(admin): State<Admin>,
    asked: Asked,
    Description(member): Description<MemberSpec>,
) -> Result<Response, Refusal> {
    let group = asked.object()?;
    check_match(&admin, &asked).await?;
    let changed = asked.control(&admin).groups().add_members(&asked.actor, group, vec![member]).await?;
    Ok(changed.shown(shown).into_response())
}

/// Removes a member: takes effect like a revocation.
pub(crate) async fn remove_member(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let kind = match asked.segment("kind") {
        "applications" => CallerKind::Application,
        "consumers" => CallerKind::Consumer,
        _ => return Err(Refusal::parameter("kind", "must be applications or consumers")),
    };
    let member = MemberSpec { kind, name: asked.parsed_segment("name")? };
    let group = asked.object()?;
    check_match(&admin, &asked).await?;
    let changed = asked.control(&admin).groups().remove_members(&asked.actor, group, vec![member]).await?;
    Ok(changed.shown(shown).into_response())
}

/// Refuses if the request is for another state of the group than the one there is.
async fn check_match(admin: &Admin, asked: &Asked) -> Result<(), Refusal> {
    if asked.must_match().is_none() {
        return Ok(());
    }
    let view = asked.control(admin).groups().get(&asked.actor, asked.object()?).await?;
    crate::crud::check_match(asked, view.revision)
}

fn shown(view: GroupView) -> Stored<keyward_api::Group> {
    stored(view.id, view.revision, view.created, view.changed, view.spec.describe())
}
