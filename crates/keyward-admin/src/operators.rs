//! Operators, and the tokens that act for them.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, List, Stored, StoredToken};
use keyward_control::{MintedToken, OperatorTokenView, OperatorView};
use keyward_model::{OperatorSpec, OperatorTokenId, OperatorTokenSpec};

use crate::Admin;
use crate::answer::{Answered as _, One, deleted, json, stored};
use crate::crud::crud;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(operators, "operators", OperatorSpec, shown);
crud!(switch operators, shown);

/// The tokens that act for an operator.
pub(crate) async fn list_tokens(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let control = asked.control(&admin);
    let revision = control.revision();
    let tokens = asked.control(&admin).operators().tokens(&asked.actor, asked.object()?).await?;
    let items: Vec<StoredToken> = tokens.into_iter().map(|token| shown_token(token, None)).collect();
    Ok(json(revision, &List { revision: revision.number, items, next: None }))
}

/// Makes one; its value is shown this once.
pub(crate) async fn create_token(
    State(admin): State<Admin>,
    asked: Asked,
    Description(spec): Description<OperatorTokenSpec>,
) -> Result<Response, Refusal> {
    let control = asked.control(&admin);
    let made = control.operators().create_token(&asked.actor, asked.object()?, spec).await?;
    let made = made.shown(|MintedToken { token, value }| {
        shown_token(token, value.map(|value| value.expose_secret().to_owned()))
    });
    let location = format!("/v1/operator-tokens/{}", made.object.id);
    Ok(made.created(&location))
}

pub(crate) async fn delete_token(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let id: OperatorTokenId = asked.parsed_segment("id")?;
    let control = asked.control(&admin);
    Ok(deleted(&control.operators().delete_token(&asked.actor, id).await?))
}

fn shown(view: OperatorView) -> Stored<keyward_api::Operator> {
    let mut stored = stored(view.id, view.revision, view.created, view.changed, view.spec.describe());
    stored.has_password = Some(view.has_password);
    stored
}

fn shown_token(view: OperatorTokenView, value: Option<String>) -> StoredToken {
    let spec = OperatorTokenSpec {
        name: view.name,
        role: view.role,
        accounts: view.accounts,
        valid_until: Some(view.valid_until),
    };
    StoredToken {
        id: view.id.to_string(),
        etag: view.revision.to_string(),
        operator: view.operator.to_string(),
        description: spec.describe(),
        hint: view.hint,
        created: view.created.to_string(),
        last_used: view.last_used.map(|at| at.to_string()),
        value,
    }
}
