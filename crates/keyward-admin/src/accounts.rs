//! Accounts: the tenants.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, Stored};
use keyward_control::AccountView;
use keyward_model::AccountSpec;

use crate::Admin;
use crate::answer::{Answered as _, One, stored};
use crate::crud::crud;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(accounts, "accounts", AccountSpec, shown);
crud!(switch accounts, shown);

fn shown(view: AccountView) -> Stored<keyward_api::Account> {
    stored(view.id, view.revision, view.created, view.changed, view.spec.describe())
}
