//! APIs: what can be done with them.

use keyward_model::{AccountId, Api, ApiId, ApiSpec, CredentialKind, Noun, Qualified, Timestamp, World};
use keyward_store::{ApisOf, ListPage, RecordId, Stored};

use crate::gateways::GatewayObject;
use crate::gather::Gather;
use crate::object::{self, Object, incomplete};
use crate::plan::alone;
use crate::views::api_spec;
use crate::{Actor, Control, ControlError, Deleted, ListFilter, ObjectRef, Page, Problem, Written};

/// An API, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiView {
    /// Its id.
    pub id: ApiId,
    /// Whose it is; the name is in the spec.
    pub account: AccountId,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// Does it admit callers, while no grant authorizes any of them, now or later?
    pub nobody_authorized: bool,
    /// As it would stand in a world file.
    pub spec: ApiSpec,
}

/// What can be done with APIs.
#[derive(Clone, Copy, Debug)]
pub struct Apis<'c> {
    pub(crate) control: &'c Control,
}

impl Apis<'_> {
    /// Makes one.
    ///
    /// # Errors
    /// The name is taken, or something in the spec is wrong.
    pub async fn create(&self, actor: &Actor, spec: ApiSpec) -> Result<Written<ApiView>, ControlError> {
        Ok(object::create::<ApiObject>(self.control, actor, spec).await?.written())
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<ApiId>) -> Result<ApiView, ControlError> {
        object::get::<ApiObject>(self.control, actor, &of).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// The account does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: ListFilter) -> Result<Page<ApiView>, ControlError> {
        object::list::<ApiObject>(self.control, actor, &filter).await
    }

    /// Changes one: `edit` gets the current spec (secret values left out; leaving them out keeps them) and changes it.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or what comes of it is wrong.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<ApiId>,
        edit: impl FnOnce(&mut ApiSpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Written<ApiView>, ControlError> {
        Ok(object::change::<ApiObject>(self.control, actor, of, edit).await?.written())
    }

    /// Enables or disables it.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn set_enabled(
        &self,
        actor: &Actor,
        of: ObjectRef<ApiId>,
        enabled: bool,
    ) -> Result<Written<ApiView>, ControlError> {
        let edit = move |spec: &mut ApiSpec| {
            spec.settings.enabled = enabled;
            Ok(())
        };
        Ok(object::change::<ApiObject>(self.control, actor, of, edit).await?.written())
    }

    /// Deletes it with its grants; a dry run only counts them.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn delete(
        &self,
        actor: &Actor,
        of: ObjectRef<ApiId>,
        dry_run: bool,
    ) -> Result<Deleted, ControlError> {
        object::delete::<ApiObject>(self.control, actor, of, dry_run).await
    }
}

/// See [`Object`].
pub(crate) struct ApiObject;

impl Object for ApiObject {
    const NOUN: Noun = Noun::Api;
    const ACTIONS: [&'static str; 5] = ["api.create", "api.get", "api.list", "api.change", "api.delete"];
    type Id = ApiId;
    type Entity = Api;
    type Spec = ApiSpec;
    type View = ApiView;

    fn record_id(entity: &Api) -> RecordId {
        RecordId::Api(entity.id)
    }

    fn account(api: &Api) -> Option<AccountId> {
        Some(api.account)
    }

    fn name(entity: &Api) -> String {
        entity.name.to_string()
    }

    fn into_spec(view: ApiView) -> ApiSpec {
        view.spec
    }

    fn world(spec: ApiSpec) -> World {
        World { apis: vec![alone(spec)], ..World::default() }
    }

    async fn by_id(gather: &mut Gather<'_>, id: ApiId) -> Result<Option<Stored<Api>>, ControlError> {
        Ok(gather.reads.api(id).await?)
    }

    async fn by_name(
        gather: &mut Gather<'_>,
        named: &Qualified,
    ) -> Result<Option<Stored<Api>>, ControlError> {
        match gather.account_named(&named.account).await? {
            Some(account) => Ok(gather.reads.api_named(account.id, &named.name).await?),
            None => Ok(None),
        }
    }

    async fn view(gather: &mut Gather<'_>, found: Stored<Api>) -> Result<ApiView, ControlError> {
        gather.gateways().await?;
        gather.add_api(found.object.clone()).await?;
        let spec = api_spec(&gather.existing, &found.object);
        let for_all = found.object.settings.admits.contains(CredentialKind::Anyone);
        let nobody_authorized = !for_all && !gather.reads.is_granted_on(found.object.id, gather.now).await?;
        Ok(ApiView {
            nobody_authorized,
            id: found.object.id,
            account: found.object.account,
            revision: found.revision,
            created: found.created,
            changed: found.changed,
            spec: spec.ok_or_else(|| incomplete(Noun::Api, &found.object.name))?,
        })
    }

    async fn itself(gather: &mut Gather<'_>, api: &Api) -> Result<(), ControlError> {
        Ok(gather.add_api(api.clone()).await?)
    }

    async fn around(gather: &mut Gather<'_>, api: &Api) -> Result<(), ControlError> {
        let grants = gather.reads.grants_on(api.id).await?;
        gather.add_grants(grants);
        let plugins = gather.reads.plugins_on_apis(&[api.id]).await?;
        Ok(gather.add_plugins(plugins).await?)
    }

    async fn page(
        gather: &mut Gather<'_>,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Stored<Api>>, ControlError> {
        let gateway = match &filter.gateway {
            None => None,
            Some(of) => Some(object::find::<GatewayObject>(gather, of).await?.object.id),
        };
        let of = ApisOf {
            within: object::within(gather, filter).await?,
            name: filter.name_contains.clone(),
            enabled: filter.enabled,
            kind: filter.api_kind,
            gateway,
        };
        Ok(gather.reads.list_apis(&of, page).await?)
    }
}
