//! Gateways: named groups of nodes.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, Stored};
use keyward_control::GatewayView;
use keyward_model::GatewaySpec;

use crate::Admin;
use crate::answer::{Answered as _, One, stored};
use crate::crud::crud;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(gateways, "gateways", GatewaySpec, shown);

fn shown(view: GatewayView) -> Stored<keyward_api::Gateway> {
    stored(view.id, view.revision, view.created, view.changed, view.spec.describe())
}
