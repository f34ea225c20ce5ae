//! Services: what can be done with them.

use keyward_model::{AccountId, Noun, Qualified, Service, ServiceId, ServiceSpec, Timestamp, World};
use keyward_store::{ListPage, RecordId, Stored};

use crate::gather::Gather;
use crate::object::{self, Object};
use crate::plan::alone;
use crate::views::service_spec;
use crate::{Actor, Control, ControlError, Deleted, ListFilter, ObjectRef, Page, Problem, Written};

/// A service, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    /// Its id.
    pub id: ServiceId,
    /// Whose it is; the name is in the spec.
    pub account: AccountId,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// As it would stand in a world file. The value of its service authentication is left out, unless it is a reference.
    pub spec: ServiceSpec,
    /// Why it cannot be called now, as this node sees it: what it refers to cannot be resolved.
    pub trouble: Option<String>,
}

/// What can be done with services.
#[derive(Clone, Copy, Debug)]
pub struct Services<'c> {
    pub(crate) control: &'c Control,
}

impl Services<'_> {
    /// Makes one.
    ///
    /// # Errors
    /// The name is taken, or something in the spec is wrong.
    pub async fn create(
        &self,
        actor: &Actor,
        spec: ServiceSpec,
    ) -> Result<Written<ServiceView>, ControlError> {
        Ok(object::create::<ServiceObject>(self.control, actor, spec).await?.written())
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<ServiceId>) -> Result<ServiceView, ControlError> {
        object::get::<ServiceObject>(self.control, actor, &of).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// The account does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: ListFilter) -> Result<Page<ServiceView>, ControlError> {
        object::list::<ServiceObject>(self.control, actor, &filter).await
    }

    /// Changes one: `edit` gets the current spec (secret values left out; leaving them out keeps them) and changes it.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or what comes of it is wrong.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<ServiceId>,
        edit: impl FnOnce(&mut ServiceSpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Written<ServiceView>, ControlError> {
        Ok(object::change::<ServiceObject>(self.control, actor, of, edit).await?.written())
    }

    /// Enables or disables it.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn set_enabled(
        &self,
        actor: &Actor,
        of: ObjectRef<ServiceId>,
        enabled: bool,
    ) -> Result<Written<ServiceView>, ControlError> {
        let edit = move |spec: &mut ServiceSpec| {
            spec.enabled = enabled;
            Ok(())
        };
        Ok(object::change::<ServiceObject>(self.control, actor, of, edit).await?.written())
    }

    /// Deletes it, if nothing uses it.
    ///
    /// # Errors
    /// A stage of an API is bound to it: [`ErrorKind::InUse`](crate::ErrorKind::InUse) with the list.
    pub async fn delete(
        &self,
        actor: &Actor,
        of: ObjectRef<ServiceId>,
        dry_run: bool,
    ) -> Result<Deleted, ControlError> {
        object::delete::<ServiceObject>(self.control, actor, of, dry_run).await
    }
}

/// See [`Object`].
pub(crate) struct ServiceObject;

impl Object for ServiceObject {
    const NOUN: Noun = Noun::Service;
    const ACTIONS: [&'static str; 5] =
        ["service.create", "service.get", "service.list", "service.change", "service.delete"];
    type Id = ServiceId;
    type Entity = Service;
    type Spec = ServiceSpec;
    type View = ServiceView;

    fn record_id(entity: &Service) -> RecordId {
        RecordId::Service(entity.id)
    }

    fn account(service: &Service) -> Option<AccountId> {
        Some(service.account)
    }

    fn name(entity: &Service) -> String {
        entity.spec.name.to_string()
    }

    fn into_spec(view: ServiceView) -> ServiceSpec {
        view.spec
    }

    fn world(spec: ServiceSpec) -> World {
        World { services: vec![alone(spec)], ..World::default() }
    }

    async fn by_id(gather: &mut Gather<'_>, id: ServiceId) -> Result<Option<Stored<Service>>, ControlError> {
        Ok(gather.reads.service(id).await?)
    }

    async fn by_name(
        gather: &mut Gather<'_>,
        named: &Qualified,
    ) -> Result<Option<Stored<Service>>, ControlError> {
        match gather.account_named(&named.account).await? {
            Some(account) => Ok(gather.reads.service_named(account.id, &named.name).await?),
            None => Ok(None),
        }
    }

    async fn view(gather: &mut Gather<'_>, found: Stored<Service>) -> Result<ServiceView, ControlError> {
        Ok(ServiceView {
            id: found.object.id,
            account: found.object.account,
            revision: found.revision,
            created: found.created,
            changed: found.changed,
            spec: service_spec(&found.object),
            trouble: gather.trouble_of_service(found.object.id),
        })
    }

    async fn itself(gather: &mut Gather<'_>, service: &Service) -> Result<(), ControlError> {
        gather.existing.add_service(service.clone());
        Ok(())
    }

    async fn around(gather: &mut Gather<'_>, service: &Service) -> Result<(), ControlError> {
        for found in gather.reads.apis_on_service(service.id).await? {
            gather.existing.add_api(found.object);
        }
        for found in gather.reads.modules_calling(service.id).await? {
            gather.existing.add_module(found.object);
        }
        let plugins = gather.reads.plugins_calling(service.id).await?;
        Ok(gather.add_plugins(plugins).await?)
    }

    async fn page(
        gather: &mut Gather<'_>,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Stored<Service>>, ControlError> {
        let of = object::objects_of(gather, filter).await?;
        Ok(gather.reads.list_services(&of, page).await?)
    }
}
