//! Plugins: what is done to calls.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use keyward_api::{Described as _, PluginKindView, Stored};
use keyward_control::{ObjectRef, Page, PluginFilter, PluginView};
use keyward_model::{BuiltIn, PluginSpec};

use crate::Admin;
use crate::answer::{Answered as _, One, stored};
use crate::crud::crud;
use crate::listing;
use crate::refusal::Refusal;
use crate::request::{Asked, Description, JsonBody};

crud!(create plugins, "plugins", PluginSpec, shown);
crud!(one plugins, shown);
crud!(switch plugins, shown);

/// Lists plugins: all, those bound to an API or a gateway, those of one kind.
pub(crate) async fn list(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let account = asked.account()?;
    let api = asked.get("api").map(|text| ObjectRef::parse(text, &account));
    let gateway = asked.get("gateway").map(|text| ObjectRef::parse(text, &account));
    let named = api.is_some() || gateway.is_some();
    let filter = PluginFilter {
        // Beside a name the account says where the name is looked up; alone it narrows the list.
        account: if named { None } else { asked.parsed("account")? },
        api: api.transpose().map_err(|error| Refusal::parameter("api", error))?,
        gateway: gateway.transpose().map_err(|error| Refusal::parameter("gateway", error))?,
        kind: asked.parsed("plugin")?,
        enabled: asked.get("state").map(|state| state == "enabled"),
        after: asked.get("after").map(ToOwned::to_owned),
        limit: listing::limit(&asked),
    };
    let revision = admin.control().revision();
    let page = asked.control(&admin).plugins().list(&asked.actor, filter).await?;
    Ok(crate::answer::page(revision, page, shown))
}

/// Lists what is built in.
pub(crate) async fn kinds(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let revision = admin.control().revision();
    // Whoever may list plugins may know what there is: nothing of it is anybody's.
    asked
        .control(&admin)
        .plugins()
        .list(&asked.actor, PluginFilter { limit: Some(1), ..PluginFilter::default() })
        .await?;
    let items = BuiltIn::ALL.to_vec();
    Ok(crate::answer::page(revision, Page { items, next: None }, PluginKindView::from))
}

fn shown(view: PluginView) -> Stored<keyward_api::Plugin> {
    let description = view.spec.describe();
    Stored {
        trouble: view.trouble,
        ..stored(view.id, view.revision, view.created, view.changed, description)
    }
}
