//! Services: the upstreams.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, Stored};
use keyward_control::ServiceView;
use keyward_model::ServiceSpec;

use crate::Admin;
use crate::answer::{Answered as _, One, stored};
use crate::crud::crud;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(services, "services", ServiceSpec, shown);
crud!(switch services, shown);

fn shown(view: ServiceView) -> Stored<keyward_api::Service> {
    let description = view.spec.describe();
    Stored {
        trouble: view.trouble,
        ..stored(view.id, view.revision, view.created, view.changed, description)
    }
}
