//! Callers of any account, as far as anybody may know of them.

use axum::extract::State;
use axum::response::Response;
use keyward_api::{Answer, ForeignCaller};
use keyward_model::CallerId;

use crate::Admin;
use crate::answer::json;
use crate::refusal::Refusal;
use crate::request::Asked;

pub(crate) async fn look_up(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let id: CallerId = asked.parsed_segment("id")?;
    let revision = admin.control().revision();
    let found = asked.control(&admin).callers().look_up(&asked.actor, id).await?;
    let object = ForeignCaller {
        id: found.id.to_string(),
        noun: found.id.kind().noun().to_owned(),
        name: found.name.to_string(),
    };
    Ok(json(
        revision,
        &Answer {
            revision: revision.number,
            object,
            minted: Vec::new(),
            warnings: Vec::new(),
            cluster: None,
        },
    ))
}
