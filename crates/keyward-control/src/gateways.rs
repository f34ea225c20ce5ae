//! Gateways: what can be done with them.

use keyward_model::{AccountId, Gateway, GatewayId, GatewaySpec, Noun, Qualified, Timestamp, World};
use keyward_store::{ListPage, RecordId, Stored};

use crate::gather::Gather;
use crate::object::{self, Object, default_stays};
use crate::plan::alone;
use crate::{Actor, Control, ControlError, Deleted, ListFilter, ObjectRef, Page, Problem, Written};

/// A gateway, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayView {
    /// Its id.
    pub id: GatewayId,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// As it would stand in a world file.
    pub spec: GatewaySpec,
}

/// What can be done with gateways.
#[derive(Clone, Copy, Debug)]
pub struct Gateways<'c> {
    pub(crate) control: &'c Control,
}

impl Gateways<'_> {
    /// Makes one.
    ///
    /// # Errors
    /// The name is taken, or something in the spec is wrong.
    pub async fn create(
        &self,
        actor: &Actor,
        spec: GatewaySpec,
    ) -> Result<Written<GatewayView>, ControlError> {
        Ok(object::create::<GatewayObject>(self.control, actor, spec).await?.written())
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<GatewayId>) -> Result<GatewayView, ControlError> {
        object::get::<GatewayObject>(self.control, actor, &of).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// The account does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: ListFilter) -> Result<Page<GatewayView>, ControlError> {
        object::list::<GatewayObject>(self.control, actor, &filter).await
    }

    /// Changes one: `edit` gets the current spec (secret values left out; leaving them out keeps them) and changes it.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or what comes of it is wrong.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<GatewayId>,
        edit: impl FnOnce(&mut GatewaySpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Written<GatewayView>, ControlError> {
        Ok(object::change::<GatewayObject>(self.control, actor, of, edit).await?.written())
    }

    /// Deletes it, if nothing uses it.
    ///
    /// # Errors
    /// It is `default`, or an API or a grant names it: [`ErrorKind::InUse`](crate::ErrorKind::InUse) with the list.
    pub async fn delete(
        &self,
        actor: &Actor,
        of: ObjectRef<GatewayId>,
        dry_run: bool,
    ) -> Result<Deleted, ControlError> {
        object::delete::<GatewayObject>(self.control, actor, of, dry_run).await
    }
}

/// See [`Object`].
pub(crate) struct GatewayObject;

impl Object for GatewayObject {
    const NOUN: Noun = Noun::Gateway;
    const ACTIONS: [&'static str; 5] =
        ["gateway.create", "gateway.get", "gateway.list", "gateway.change", "gateway.delete"];
    type Id = GatewayId;
    type Entity = Gateway;
    type Spec = GatewaySpec;
    type View = GatewayView;

    fn record_id(entity: &Gateway) -> RecordId {
        RecordId::Gateway(entity.id)
    }

    fn account(_: &Gateway) -> Option<AccountId> {
        None
    }

    fn name(entity: &Gateway) -> String {
        entity.spec.name.to_string()
    }

    fn into_spec(view: GatewayView) -> GatewaySpec {
        view.spec
    }

    fn world(spec: GatewaySpec) -> World {
        World { gateways: vec![alone(spec)], ..World::default() }
    }

    async fn by_id(gather: &mut Gather<'_>, id: GatewayId) -> Result<Option<Stored<Gateway>>, ControlError> {
        Ok(gather.reads.gateway(id).await?)
    }

    async fn by_name(
        gather: &mut Gather<'_>,
        named: &Qualified,
    ) -> Result<Option<Stored<Gateway>>, ControlError> {
        Ok(gather.reads.gateway_named(&named.name).await?)
    }

    async fn view(_: &mut Gather<'_>, found: Stored<Gateway>) -> Result<GatewayView, ControlError> {
        Ok(GatewayView {
            id: found.object.id,
            revision: found.revision,
            created: found.created,
            changed: found.changed,
            spec: found.object.spec,
        })
    }

    async fn itself(gather: &mut Gather<'_>, _: &Gateway) -> Result<(), ControlError> {
        Ok(gather.gateways().await?)
    }

    async fn around(gather: &mut Gather<'_>, gateway: &Gateway) -> Result<(), ControlError> {
        if gateway.spec.name.as_str() == crate::DEFAULT {
            return Err(default_stays(Noun::Gateway));
        }
        Ok(gather.around_gateway(gateway.id).await?)
    }

    async fn page(
        gather: &mut Gather<'_>,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Stored<Gateway>>, ControlError> {
        Ok(gather.reads.list_gateways(filter.name_contains.as_deref(), page).await?)
    }
}
