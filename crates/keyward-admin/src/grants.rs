//! Grants: who may call what.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, GrantBatchSpec, GrantsGiven, Revoked, Stored};
use keyward_control::{GrantFilter, GrantState, GrantView, ObjectRef};
use keyward_model::{CallerId, CallerKind, GrantId, GrantSpec, Name, ValidityState};

use crate::Admin;
use crate::answer::{Answered as _, One, json, page, stored, warning};
use crate::listing;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

/// Lists grants: all, those on an API, those for a caller.
pub(crate) async fn list(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let account = asked.account()?;
    let api = asked.get("api").map(|text| ObjectRef::parse(text, &account));
    let group = asked.get("group").map(|text| ObjectRef::parse(text, &account));
    let named = ["api", "application", "consumer", "group"].iter().any(|name| asked.get(name).is_some());
    let filter = GrantFilter {
        api: api.transpose().map_err(|error| Refusal::parameter("api", error))?,
        caller: caller(&admin, &asked, &account).await?,
        group: group.transpose().map_err(|error| Refusal::parameter("group", error))?,
        // Beside a name the account says where the name is looked up; alone it narrows the list.
        account: if named { None } else { asked.parsed("account")? },
        state: asked.get("state").and_then(state),
        revoked: asked.flag("revoked"),
        after: asked.get("after").map(ToOwned::to_owned),
        limit: listing::limit(&asked),
    };
    let control = asked.control(&admin);
    let revision = control.revision();
    let grants = asked.control(&admin).grants().list(&asked.actor, filter).await?;
    Ok(page(revision, grants, shown))
}

fn state(word: &str) -> Option<GrantState> {
    match word {
        "not_yet" => Some(GrantState::NotYet),
        "in_effect" => Some(GrantState::InEffect),
        "expired" => Some(GrantState::Expired),
        "revoked" => Some(GrantState::Revoked),
        _ => None,
    }
}

/// The caller that is asked for. An application and a consumer may share a name, so the id is looked up.
pub(crate) async fn caller(
    admin: &Admin,
    asked: &Asked,
    account: &Name,
) -> Result<Option<ObjectRef<CallerId>>, Refusal> {
    let account = asked.parsed("caller_account")?.unwrap_or_else(|| account.clone());
    let (parameter, kind, text) = match (asked.get("application"), asked.get("consumer")) {
        (None, None) => return Ok(None),
        (Some(text), None) => ("application", CallerKind::Application, text),
        (None, Some(text)) => ("consumer", CallerKind::Consumer, text),
        (Some(_), Some(_)) => {
            return Err(Refusal::parameter("consumer", "does not go with `application`; leave one out"));
        }
    };
    let of = ObjectRef::parse(text, &account).map_err(|error| Refusal::parameter(parameter, error))?;
    caller_id(admin, asked, kind, of).await.map(|id| Some(ObjectRef::Id(id)))
}

/// The id of a caller of this kind.
pub(crate) async fn caller_id(
    admin: &Admin,
    asked: &Asked,
    kind: CallerKind,
    of: ObjectRef<CallerId>,
) -> Result<CallerId, Refusal> {
    Ok(match kind {
        CallerKind::Application => asked.control(admin).applications().get(&asked.actor, of).await?.id,
        CallerKind::Consumer => asked.control(admin).consumers().get(&asked.actor, of).await?.id,
    })
}

pub(crate) async fn create(
    State(admin): State<Admin>,
    asked: Asked,
    Description(spec): Description<GrantSpec>,
) -> Result<Response, Refusal> {
    let made = asked.control(&admin).grants().create(&asked.actor, spec).await?.shown(shown);
    let location = format!("/v1/grants/{}", made.object.id);
    Ok(made.created(&location))
}

/// Gives several on the same terms.
pub(crate) async fn create_many(
    State(admin): State<Admin>,
    asked: Asked,
    Description(GrantBatchSpec(specs)): Description<GrantBatchSpec>,
) -> Result<Response, Refusal> {
    let given = asked.control(&admin).grants().create_many(&asked.actor, specs).await?;
    let body = GrantsGiven {
        revision: given.revision.number,
        grants: given.object.into_iter().map(shown).collect(),
        warnings: given.warnings.iter().map(warning).collect(),
        cluster: None,
    };
    Ok(json(given.revision, &body))
}

pub(crate) async fn show(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let control = asked.control(&admin);
    let revision = control.revision();
    let view = asked.control(&admin).grants().get(&asked.actor, id(&asked)?).await?;
    Ok(One::read(revision, shown(view)).into_response())
}

/// Changes validity and description; anything else would be another grant.
pub(crate) async fn change(
    State(admin): State<Admin>,
    asked: Asked,
    JsonBody(patch): JsonBody,
) -> Result<Response, Refusal> {
    let control = asked.control(&admin);
    let grants = control.grants();
    let view = grants.get(&asked.actor, id(&asked)?).await?;
    crate::crud::check_match(&asked, view.revision)?;
    let spec = view.spec.patched(&patch).map_err(Refusal::invalid)?;
    let same = GrantSpec {
        validity: view.spec.validity,
        description: view.spec.description.clone(),
        ..spec.clone()
    };
    if same != view.spec {
        let title =
            "a grant's validity and description can be changed; for anything else revoke it and give another";
        return Err(Refusal::new(422, "grant_fixed", title));
    }
    let validity = (spec.validity != view.spec.validity).then_some(spec.validity);
    let description = (spec.description != view.spec.description).then_some(spec.description);
    let changed = grants.change(&asked.actor, view.id, validity, description).await?;
    Ok(changed.shown(shown).into_response())
}

pub(crate) async fn revoke(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    check_match(&admin, &asked).await?;
    let revoked = asked.control(&admin).grants().revoke(&asked.actor, id(&asked)?).await?;
    Ok(revoked.shown(revocation).into_response())
}

/// Gives up a grant on behalf of the caller it is for: `?application=` or `?consumer=`.
pub(crate) async fn renounce(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let account = asked.account()?;
    let caller = caller(&admin, &asked, &account).await?;
    let caller = caller
        .ok_or_else(|| Refusal::parameter("application", "is missing; name the application or consumer"))?;
    check_match(&admin, &asked).await?;
    let renounced = asked.control(&admin).grants().renounce(&asked.actor, caller, id(&asked)?).await?;
    Ok(renounced.shown(revocation).into_response())
}

/// Refuses if the request is for another state of the grant than the one there is.
async fn check_match(admin: &Admin, asked: &Asked) -> Result<(), Refusal> {
    if asked.must_match().is_none() {
        return Ok(());
    }
    let view = asked.control(admin).grants().get(&asked.actor, id(asked)?).await?;
    crate::crud::check_match(asked, view.revision)
}

fn revocation(revoked: keyward_control::Revoked) -> Revoked {
    Revoked {
        grant: shown(revoked.grant),
        still_permitting: revoked.still_permitting.into_iter().map(shown).collect(),
    }
}

fn id(asked: &Asked) -> Result<GrantId, Refusal> {
    asked.parsed_segment("id")
}

fn shown(view: GrantView) -> Stored<keyward_api::Grant> {
    let mut stored = stored(view.id, view.revision, view.created, view.changed, view.spec.describe());
    stored.revoked = view.revoked.map(|at| at.to_string());
    stored.last_used = view.last_used.map(|at| at.to_string());
    let state = match (view.revoked, view.state) {
        (Some(_), _) => "revoked",
        (None, ValidityState::NotYet) => "not_yet",
        (None, ValidityState::InEffect) => "in_effect",
        (None, ValidityState::Expired) => "expired",
    };
    stored.state = Some(state.to_owned());
    stored.granted_by = Some(view.granted_by).filter(|actor| !actor.is_empty());
    stored
}
