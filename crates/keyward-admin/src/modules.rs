//! Modules: WebAssembly that was uploaded.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, Stored};
use keyward_control::ModuleView;
use keyward_model::ModuleSpec;

use crate::Admin;
use crate::answer::{Answered as _, One, stored};
use crate::crud::crud;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(modules, "modules", ModuleSpec, shown);
crud!(switch modules, shown);

fn shown(view: ModuleView) -> Stored<keyward_api::Module> {
    stored(view.id, view.revision, view.created, view.changed, view.spec.describe())
}
