//! Applications: what can be done with them.

use keyward_model::{
    AccountId, ApplicationSpec, Caller, CallerId, CallerKind, GrantSpec, KeyPairSpec, Noun, OpaqueSpec,
    Qualified, Timestamp, World,
};
use keyward_store::{ListPage, RecordId, Stored};

use crate::credentials;
use crate::gather::Gather;
use crate::object::{self, Object, incomplete};
use crate::plan::alone;
use crate::views::{application_spec, credential_view};
use crate::{
    Actor, Control, ControlError, Created, CredentialView, Deleted, ListFilter, ObjectRef, Page, Problem,
    Written,
};

/// An application, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApplicationView {
    /// Its id.
    pub id: CallerId,
    /// Whose it is; the name is in the spec.
    pub account: AccountId,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// As it would stand in a world file. Secret values are left out.
    pub spec: ApplicationSpec,
    /// Its credentials, oldest first, without their values.
    pub credentials: Vec<CredentialView>,
}

/// What can be done with applications.
#[derive(Clone, Copy, Debug)]
pub struct Applications<'c> {
    pub(crate) control: &'c Control,
}

impl Applications<'_> {
    /// Makes one.
    ///
    /// # Errors
    /// The name is taken, or something in the spec is wrong.
    pub async fn create(
        &self,
        actor: &Actor,
        spec: ApplicationSpec,
    ) -> Result<Created<ApplicationView>, ControlError> {
        object::create::<ApplicationObject>(self.control, actor, spec).await
    }

    /// Makes one together with its first grants: all of it or nothing.
    ///
    /// # Errors
    /// As making the one and giving the others.
    pub async fn create_granted(
        &self,
        actor: &Actor,
        spec: ApplicationSpec,
        grants: Vec<GrantSpec>,
    ) -> Result<Created<ApplicationView>, ControlError> {
        object::create_granted::<ApplicationObject>(self.control, actor, spec, grants).await
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<CallerId>) -> Result<ApplicationView, ControlError> {
        object::get::<ApplicationObject>(self.control, actor, &of).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// The account does not exist, or `after` is not what a page said.
    pub async fn list(
        &self,
        actor: &Actor,
        filter: ListFilter,
    ) -> Result<Page<ApplicationView>, ControlError> {
        object::list::<ApplicationObject>(self.control, actor, &filter).await
    }

    /// Changes one: `edit` gets the current spec (secret values left out; leaving them out keeps them) and changes it.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or what comes of it is wrong.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<CallerId>,
        edit: impl FnOnce(&mut ApplicationSpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Created<ApplicationView>, ControlError> {
        object::change::<ApplicationObject>(self.control, actor, of, edit).await
    }

    /// Enables or disables it.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn set_enabled(
        &self,
        actor: &Actor,
        of: ObjectRef<CallerId>,
        enabled: bool,
    ) -> Result<Written<ApplicationView>, ControlError> {
        let edit = move |spec: &mut ApplicationSpec| {
            spec.enabled = enabled;
            Ok(())
        };
        Ok(object::change::<ApplicationObject>(self.control, actor, of, edit).await?.written())
    }

    /// Deletes it with its credentials, memberships and grants; a dry run only counts them.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn delete(
        &self,
        actor: &Actor,
        of: ObjectRef<CallerId>,
        dry_run: bool,
    ) -> Result<Deleted, ControlError> {
        object::delete::<ApplicationObject>(self.control, actor, of, dry_run).await
    }

    /// Adds a key pair: generated, or with the AppKey and AppSecret that are given. The first one is the default pair.
    ///
    /// # Errors
    /// The AppKey is taken (also in other case), or the AppSecret is not 1 to 256 visible ASCII characters.
    pub async fn add_key_pair(
        &self,
        actor: &Actor,
        of: ObjectRef<CallerId>,
        spec: KeyPairSpec,
    ) -> Result<Created<CredentialView>, ControlError> {
        let add = move |application: &mut ApplicationSpec| {
            application.key_pairs.get_or_insert_default().push(spec);
        };
        credentials::add::<ApplicationObject>(self.control, actor, "application.add_key_pair", of, add).await
    }

    /// Adds an AppCode: generated, or with the value that is given.
    ///
    /// # Errors
    /// The value is shorter than 16 characters, or belongs to another credential.
    pub async fn add_app_code(
        &self,
        actor: &Actor,
        of: ObjectRef<CallerId>,
        spec: OpaqueSpec,
    ) -> Result<Created<CredentialView>, ControlError> {
        let add = move |application: &mut ApplicationSpec| application.app_codes.push(spec);
        credentials::add::<ApplicationObject>(self.control, actor, "application.add_app_code", of, add).await
    }
}

/// See [`Object`].
pub(crate) struct ApplicationObject;

impl Object for ApplicationObject {
    const NOUN: Noun = Noun::Application;
    const ACTIONS: [&'static str; 5] = [
        "application.create",
        "application.get",
        "application.list",
        "application.change",
        "application.delete",
    ];
    type Id = CallerId;
    type Entity = Caller;
    type Spec = ApplicationSpec;
    type View = ApplicationView;

    fn record_id(entity: &Caller) -> RecordId {
        RecordId::Caller(entity.id)
    }

    fn account(caller: &Caller) -> Option<AccountId> {
        Some(caller.account)
    }

    fn name(entity: &Caller) -> String {
        entity.name.to_string()
    }

    fn into_spec(view: ApplicationView) -> ApplicationSpec {
        view.spec
    }

    fn world(spec: ApplicationSpec) -> World {
        World { applications: vec![alone(spec)], ..World::default() }
    }

    async fn by_id(gather: &mut Gather<'_>, id: CallerId) -> Result<Option<Stored<Caller>>, ControlError> {
        if id.kind() != CallerKind::Application {
            return Ok(None);
        }
        Ok(gather.reads.caller(id).await?)
    }

    async fn by_name(
        gather: &mut Gather<'_>,
        named: &Qualified,
    ) -> Result<Option<Stored<Caller>>, ControlError> {
        object::caller_named(gather, CallerKind::Application, named).await
    }

    async fn view(gather: &mut Gather<'_>, found: Stored<Caller>) -> Result<ApplicationView, ControlError> {
        let caller = &found.object;
        gather.account(caller.account).await?;
        let rows = gather.reads.credentials_of(&[caller.id]).await?;
        let spec = application_spec(&gather.existing, caller, rows.iter().map(|row| &row.object));
        let reveal = gather.existing.accounts.get(&caller.account).is_some_and(|account| account.reveal);
        Ok(ApplicationView {
            id: caller.id,
            account: caller.account,
            revision: found.revision,
            created: found.created,
            changed: found.changed,
            spec: spec.ok_or_else(|| incomplete(Noun::Application, &caller.name))?,
            credentials: rows
                .iter()
                .map(|row| {
                    let mut view = credential_view(row, reveal);
                    gather.trouble_of_credential(&mut view);
                    view
                })
                .collect(),
        })
    }

    async fn itself(gather: &mut Gather<'_>, caller: &Caller) -> Result<(), ControlError> {
        gather.account(caller.account).await?;
        gather.existing.add_caller(caller.clone());
        Ok(gather.credentials(&[caller.id]).await?)
    }

    async fn around(gather: &mut Gather<'_>, caller: &Caller) -> Result<(), ControlError> {
        Ok(gather.around_callers(&[caller.id]).await?)
    }

    async fn page(
        gather: &mut Gather<'_>,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Stored<Caller>>, ControlError> {
        object::callers_page(gather, CallerKind::Application, filter, page).await
    }
}
