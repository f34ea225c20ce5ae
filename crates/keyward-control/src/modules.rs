//! Modules: WebAssembly that was uploaded, and what can be done with it.

use std::sync::Arc;

use keyward_model::{
    AccountId, Action, Module, ModuleId, ModuleSettings, ModuleSource, ModuleSpec, Noun, PluginKind,
    Qualified, Timestamp, World,
};
use keyward_store::{ListPage, PluginsOf, RecordId, Stored};
use uuid::Uuid;

use crate::gather::Gather;
use crate::object::{self, Object};
use crate::plan::alone;
use crate::views::module_spec;
use crate::{Actor, Control, ControlError, Deleted, ListFilter, ObjectRef, Page, Problem, Written};

/// A module, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleView {
    /// Its id.
    pub id: ModuleId,
    /// Whose it is; the name is in the spec.
    pub account: AccountId,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// As it would stand in a world file, the digest in place of the code.
    pub spec: ModuleSpec,
}

/// What can be done with modules.
#[derive(Clone, Copy, Debug)]
pub struct Modules<'c> {
    pub(crate) control: &'c Control,
}

impl Modules<'_> {
    /// Makes one. It is compiled before it is kept.
    ///
    /// # Errors
    /// The name is taken, something in the spec is wrong, or the code cannot run here.
    pub async fn create(&self, actor: &Actor, spec: ModuleSpec) -> Result<Written<ModuleView>, ControlError> {
        actor.may(Noun::Module.singular(), Action::Create)?;
        self.control.try_code(&[(&spec, "wasm".to_owned())]).await?;
        Ok(object::create::<ModuleObject>(self.control, actor, spec).await?.written())
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<ModuleId>) -> Result<ModuleView, ControlError> {
        object::get::<ModuleObject>(self.control, actor, &of).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// The account does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: ListFilter) -> Result<Page<ModuleView>, ControlError> {
        object::list::<ModuleObject>(self.control, actor, &filter).await
    }

    /// Changes one: `edit` gets the current spec (the digest in place of the code, which keeps it) and changes it. The plugins
    /// that run it are tried with it; no call is dropped.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or what comes of it is wrong or cannot run.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<ModuleId>,
        edit: impl FnOnce(&mut ModuleSpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Written<ModuleView>, ControlError> {
        Ok(object::change::<ModuleObject>(self.control, actor, of, edit).await?.written())
    }

    /// Enables or disables it. The plugins of a disabled one close what they are bound to.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn set_enabled(
        &self,
        actor: &Actor,
        of: ObjectRef<ModuleId>,
        enabled: bool,
    ) -> Result<Written<ModuleView>, ControlError> {
        let edit = move |spec: &mut ModuleSpec| {
            spec.enabled = enabled;
            Ok(())
        };
        Ok(object::change::<ModuleObject>(self.control, actor, of, edit).await?.written())
    }

    /// Deletes it, if no plugin runs it.
    ///
    /// # Errors
    /// A plugin runs it: [`ErrorKind::InUse`](crate::ErrorKind::InUse) with the list.
    pub async fn delete(
        &self,
        actor: &Actor,
        of: ObjectRef<ModuleId>,
        dry_run: bool,
    ) -> Result<Deleted, ControlError> {
        object::delete::<ModuleObject>(self.control, actor, of, dry_run).await
    }
}

impl Control {
    /// Has code compiled before a write that is about it begins: while one is under way, every other write waits.
    pub(crate) async fn try_code(&self, all: &[(&ModuleSpec, String)]) -> Result<(), ControlError> {
        let Some(check) = self.module_check() else { return Ok(()) };
        let mut problems = Vec::new();
        for (spec, path) in all {
            let ModuleSource::Code(code) = &spec.wasm else { continue };
            let limits = spec.limits;
            let module = Module {
                id: ModuleId::from_uuid(Uuid::nil()),
                account: AccountId::from_uuid(Uuid::nil()),
                name: spec.name.clone(),
                services: Vec::new(),
                settings: ModuleSettings { limits, ..ModuleSettings::new(code.clone()) },
            };
            let check = Arc::clone(&check);
            let tried = tokio::task::spawn_blocking(move || check.check_module(&module)).await;
            if let Err(why) = tried.unwrap_or_else(|error| Err(error.to_string())) {
                let text = format!("the module cannot run: {why}");
                problems.push(Problem::invalid("module_unusable", path.clone(), text));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(ControlError::from(problems)) }
    }
}

/// See [`Object`].
pub(crate) struct ModuleObject;

impl Object for ModuleObject {
    const NOUN: Noun = Noun::Module;
    const ACTIONS: [&'static str; 5] =
        ["module.create", "module.get", "module.list", "module.change", "module.delete"];
    type Id = ModuleId;
    type Entity = Module;
    type Spec = ModuleSpec;
    type View = ModuleView;

    fn record_id(entity: &Module) -> RecordId {
        RecordId::Module(entity.id)
    }

    fn account(module: &Module) -> Option<AccountId> {
        Some(module.account)
    }

    fn name(module: &Module) -> String {
        module.name.to_string()
    }

    fn into_spec(view: ModuleView) -> ModuleSpec {
        view.spec
    }

    fn world(spec: ModuleSpec) -> World {
        World { modules: vec![alone(spec)], ..World::default() }
    }

    async fn by_id(gather: &mut Gather<'_>, id: ModuleId) -> Result<Option<Stored<Module>>, ControlError> {
        Ok(gather.reads.module(id).await?)
    }

    async fn by_name(
        gather: &mut Gather<'_>,
        named: &Qualified,
    ) -> Result<Option<Stored<Module>>, ControlError> {
        match gather.account_named(&named.account).await? {
            Some(account) => Ok(gather.reads.module_named(account.id, &named.name).await?),
            None => Ok(None),
        }
    }

    async fn view(gather: &mut Gather<'_>, found: Stored<Module>) -> Result<ModuleView, ControlError> {
        gather.account(found.object.account).await?;
        let spec = module_spec(&gather.existing, &found.object);
        Ok(ModuleView {
            id: found.object.id,
            account: found.object.account,
            revision: found.revision,
            created: found.created,
            changed: found.changed,
            spec: spec.ok_or_else(|| object::incomplete(Noun::Module, &found.object.name))?,
        })
    }

    async fn itself(gather: &mut Gather<'_>, module: &Module) -> Result<(), ControlError> {
        gather.account(module.account).await?;
        gather.existing.add_module(module.clone());
        Ok(())
    }

    async fn around(gather: &mut Gather<'_>, module: &Module) -> Result<(), ControlError> {
        let kind = Some(PluginKind::Custom(module.name.clone()));
        let of = PluginsOf { kind, ..PluginsOf::within(module.account) };
        let plugins = gather.reads.list_plugins(&of, &ListPage::first(1_000)).await?;
        Ok(gather.add_plugins(plugins).await?)
    }

    async fn page(
        gather: &mut Gather<'_>,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Stored<Module>>, ControlError> {
        let of = object::objects_of(gather, filter).await?;
        Ok(gather.reads.list_modules(&of, page).await?)
    }
}
