//! Plugins: what can be done with them.

use keyward_model::{
    AccountId, Action, ApiId, GatewayId, Name, Noun, Plugin, PluginId, PluginKind, PluginOn, PluginSpec,
    Qualified, Timestamp, World,
};
use keyward_store::{After, ListPage, Order, PluginsOf, RecordId, Stored};

use crate::apis::ApiObject;
use crate::gateways::GatewayObject;
use crate::gather::Gather;
use crate::object::{self, Object, believed, cut, list_page};
use crate::plan::{alone, may_bind_to_gateways};
use crate::{
    Actor, Control, ControlError, Deleted, ErrorKind, ListFilter, ObjectRef, Page, Problem, Written,
};

/// A plugin, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginView {
    /// Its id.
    pub id: PluginId,
    /// Whose it is.
    pub account: AccountId,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// As it would stand in a world file. In its configuration, marks stand for the secrets that are written out in it; given
    /// back, they keep them.
    pub spec: PluginSpec,
    /// Why it cannot do what it is for now, as this node sees it: what it is bound to is closed, or somebody is not admitted.
    pub trouble: Option<String>,
}

/// Which plugins a list has, and which page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginFilter {
    /// Only those of this account.
    pub account: Option<Name>,
    /// Only those bound to this API or to an operation of it.
    pub api: Option<ObjectRef<ApiId>>,
    /// Only those bound to this gateway.
    pub gateway: Option<ObjectRef<GatewayId>>,
    /// Only those that do this.
    pub kind: Option<PluginKind>,
    /// Only enabled, or only disabled ones.
    pub enabled: Option<bool>,
    /// What [`Page::next`] said; absent: from the start.
    pub after: Option<String>,
    /// Most items in a page, 1 to 1000; absent: 100.
    pub limit: Option<u32>,
}

/// What can be done with plugins.
#[derive(Clone, Copy, Debug)]
pub struct Plugins<'c> {
    pub(crate) control: &'c Control,
}

impl Plugins<'_> {
    /// Makes one. It takes effect with the answer.
    ///
    /// # Errors
    /// What it is bound to, refers to or calls does not exist, or its configuration is not one.
    pub async fn create(&self, actor: &Actor, spec: PluginSpec) -> Result<Written<PluginView>, ControlError> {
        Ok(object::create::<PluginObject>(self.control, actor, spec).await?.written())
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<PluginId>) -> Result<PluginView, ControlError> {
        object::get::<PluginObject>(self.control, actor, &of).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// What the filter names does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: PluginFilter) -> Result<Page<PluginView>, ControlError> {
        actor.may(Noun::Plugin.singular(), Action::List)?;
        let page = list_page::<PluginId>(filter.after.as_deref(), filter.limit, Order::default())?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now()).seeing(self.control);
        let within = ListFilter { account: filter.account.clone(), ..ListFilter::default() };
        let mut of = PluginsOf {
            within: object::within(&mut gather, &within).await?,
            kind: filter.kind.clone(),
            enabled: filter.enabled,
            ..PluginsOf::default()
        };
        if let Some(api) = &filter.api {
            of.api = Some(object::find::<ApiObject>(&mut gather, api).await?.object.id);
        }
        if let Some(gateway) = &filter.gateway {
            of.gateway = Some(object::find::<GatewayObject>(&mut gather, gateway).await?.object.id);
        }
        let mut found = gather.reads.list_plugins(&of, &page).await?;
        let next = cut(&mut found, &page, |plugin| After { name: String::new(), id: plugin.id.to_string() });
        let mut items = Vec::with_capacity(found.len());
        for plugin in found {
            items.extend(believed(PluginObject::view(&mut gather, plugin).await)?);
        }
        Ok(Page { items, next })
    }

    /// Changes one: `edit` gets the current spec (marks in place of secrets; given back, they keep them) and changes it.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or what comes of it is wrong.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<PluginId>,
        edit: impl FnOnce(&mut PluginSpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Written<PluginView>, ControlError> {
        Ok(object::change::<PluginObject>(self.control, actor, of, edit).await?.written())
    }

    /// Enables or disables it.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn set_enabled(
        &self,
        actor: &Actor,
        of: ObjectRef<PluginId>,
        enabled: bool,
    ) -> Result<Written<PluginView>, ControlError> {
        let edit = move |spec: &mut PluginSpec| {
            spec.settings.enabled = enabled;
            Ok(())
        };
        Ok(object::change::<PluginObject>(self.control, actor, of, edit).await?.written())
    }

    /// Deletes it.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn delete(
        &self,
        actor: &Actor,
        of: ObjectRef<PluginId>,
        dry_run: bool,
    ) -> Result<Deleted, ControlError> {
        if let PluginOn::Gateway(_) = self.get(actor, of.clone()).await?.spec.on {
            may_bind_to_gateways(actor)
                .map_err(|text| ControlError::new(ErrorKind::Forbidden, "plugin_on_gateway", text))?;
        }
        object::delete::<PluginObject>(self.control, actor, of, dry_run).await
    }
}

/// See [`Object`].
pub(crate) struct PluginObject;

impl Object for PluginObject {
    const NOUN: Noun = Noun::Plugin;
    const ACTIONS: [&'static str; 5] =
        ["plugin.create", "plugin.get", "plugin.list", "plugin.change", "plugin.delete"];
    type Id = PluginId;
    type Entity = Plugin;
    type Spec = PluginSpec;
    type View = PluginView;

    fn record_id(entity: &Plugin) -> RecordId {
        RecordId::Plugin(entity.id)
    }

    fn account(plugin: &Plugin) -> Option<AccountId> {
        Some(plugin.account)
    }

    fn name(plugin: &Plugin) -> String {
        plugin.settings.kind.to_string()
    }

    fn into_spec(view: PluginView) -> PluginSpec {
        view.spec
    }

    fn world(spec: PluginSpec) -> World {
        World { plugins: vec![alone(spec)], ..World::default() }
    }

    async fn by_id(gather: &mut Gather<'_>, id: PluginId) -> Result<Option<Stored<Plugin>>, ControlError> {
        Ok(gather.reads.plugin(id).await?)
    }

    /// A plugin has no name.
    async fn by_name(_: &mut Gather<'_>, _: &Qualified) -> Result<Option<Stored<Plugin>>, ControlError> {
        Ok(None)
    }

    async fn view(gather: &mut Gather<'_>, found: Stored<Plugin>) -> Result<PluginView, ControlError> {
        gather.around_plugin(&found.object).await?;
        let spec = gather.plugin_spec(&found.object).ok_or_else(|| {
            let text =
                format!("the plugin `{}` names something that is missing from the store", found.object.id);
            ControlError::new(ErrorKind::StoreUnavailable, "row_damaged", text)
        })?;
        Ok(PluginView {
            id: found.object.id,
            account: found.object.account,
            revision: found.revision,
            created: found.created,
            changed: found.changed,
            spec,
            trouble: gather.trouble_of_plugin(found.object.id),
        })
    }

    async fn itself(gather: &mut Gather<'_>, plugin: &Plugin) -> Result<(), ControlError> {
        gather.around_plugin(plugin).await?;
        gather.existing.plugins.insert(plugin.id, plugin.clone());
        Ok(())
    }

    async fn around(_: &mut Gather<'_>, _: &Plugin) -> Result<(), ControlError> {
        Ok(())
    }

    /// [`Plugins::list`] has filters of its own.
    async fn page(
        gather: &mut Gather<'_>,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Stored<Plugin>>, ControlError> {
        let of = PluginsOf::within(object::within(gather, filter).await?);
        Ok(gather.reads.list_plugins(&of, page).await?)
    }
}
