//! Consumers: what can be done with them.

use keyward_model::{
    AccountId, ApiKeySpec, Caller, CallerId, CallerKind, ConsumerSpec, GrantSpec, JwtSpec, KeySource, Noun,
    OpaqueSpec, Qualified, Timestamp, World,
};
use keyward_store::{ListPage, RecordId, Stored};

use crate::credentials;
use crate::gather::Gather;
use crate::object::{self, Object, incomplete};
use crate::plan::alone;
use crate::views::{consumer_spec, credential_view};
use crate::{
    Actor, Control, ControlError, Created, CredentialView, Deleted, ListFilter, ObjectRef, Page, Problem,
    Written,
};

/// A consumer, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerView {
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
    pub spec: ConsumerSpec,
    /// Its credentials, oldest first, without their values.
    pub credentials: Vec<CredentialView>,
}

/// What can be done with consumers.
#[derive(Clone, Copy, Debug)]
pub struct Consumers<'c> {
    pub(crate) control: &'c Control,
}

impl Consumers<'_> {
    /// Makes one.
    ///
    /// # Errors
    /// The name is taken, or something in the spec is wrong.
    pub async fn create(
        &self,
        actor: &Actor,
        spec: ConsumerSpec,
    ) -> Result<Created<ConsumerView>, ControlError> {
        object::create::<ConsumerObject>(self.control, actor, spec).await
    }

    /// Makes one together with its first grants: all of it or nothing.
    ///
    /// # Errors
    /// As making the one and giving the others.
    pub async fn create_granted(
        &self,
        actor: &Actor,
        spec: ConsumerSpec,
        grants: Vec<GrantSpec>,
    ) -> Result<Created<ConsumerView>, ControlError> {
        object::create_granted::<ConsumerObject>(self.control, actor, spec, grants).await
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<CallerId>) -> Result<ConsumerView, ControlError> {
        object::get::<ConsumerObject>(self.control, actor, &of).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// The account does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: ListFilter) -> Result<Page<ConsumerView>, ControlError> {
        object::list::<ConsumerObject>(self.control, actor, &filter).await
    }

    /// Changes one: `edit` gets the current spec (secret values left out; leaving them out keeps them) and changes it.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or what comes of it is wrong.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<CallerId>,
        edit: impl FnOnce(&mut ConsumerSpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Created<ConsumerView>, ControlError> {
        object::change::<ConsumerObject>(self.control, actor, of, edit).await
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
    ) -> Result<Written<ConsumerView>, ControlError> {
        let edit = move |spec: &mut ConsumerSpec| {
            spec.enabled = enabled;
            Ok(())
        };
        Ok(object::change::<ConsumerObject>(self.control, actor, of, edit).await?.written())
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
        object::delete::<ConsumerObject>(self.control, actor, of, dry_run).await
    }

    /// Adds an API key: generated, or with the value that is given. A consumer without places for keys gets `bearer`.
    ///
    /// # Errors
    /// The value is shorter than 16 characters, or belongs to another credential.
    pub async fn add_api_key(
        &self,
        actor: &Actor,
        of: ObjectRef<CallerId>,
        spec: OpaqueSpec,
    ) -> Result<Created<CredentialView>, ControlError> {
        let add = move |consumer: &mut ConsumerSpec| {
            let api_key = consumer.api_key.get_or_insert_with(|| ApiKeySpec {
                sources: vec![KeySource::Bearer],
                keys: Some(Vec::new()),
            });
            api_key.keys.get_or_insert_default().push(spec);
        };
        credentials::add::<ConsumerObject>(self.control, actor, "consumer.add_api_key", of, add).await
    }

    /// Sets the consumer's JWT, keeping the credential's id where there is one.
    ///
    /// # Errors
    /// A header that Keyward owns is named, the identity claim is another consumer's, or there is no key set to keep.
    pub async fn set_jwt(
        &self,
        actor: &Actor,
        of: ObjectRef<CallerId>,
        spec: JwtSpec,
    ) -> Result<Created<CredentialView>, ControlError> {
        let set = move |consumer: &mut ConsumerSpec| consumer.jwt = Some(spec);
        credentials::add::<ConsumerObject>(self.control, actor, "consumer.set_jwt", of, set).await
    }
}

/// See [`Object`].
pub(crate) struct ConsumerObject;

impl Object for ConsumerObject {
    const NOUN: Noun = Noun::Consumer;
    const ACTIONS: [&'static str; 5] =
        ["consumer.create", "consumer.get", "consumer.list", "consumer.change", "consumer.delete"];
    type Id = CallerId;
    type Entity = Caller;
    type Spec = ConsumerSpec;
    type View = ConsumerView;

    fn record_id(entity: &Caller) -> RecordId {
        RecordId::Caller(entity.id)
    }

    fn account(caller: &Caller) -> Option<AccountId> {
        Some(caller.account)
    }

    fn name(entity: &Caller) -> String {
        entity.name.to_string()
    }

    fn into_spec(view: ConsumerView) -> ConsumerSpec {
        view.spec
    }

    fn world(spec: ConsumerSpec) -> World {
        World { consumers: vec![alone(spec)], ..World::default() }
    }

    async fn by_id(gather: &mut Gather<'_>, id: CallerId) -> Result<Option<Stored<Caller>>, ControlError> {
        if id.kind() != CallerKind::Consumer {
            return Ok(None);
        }
        Ok(gather.reads.caller(id).await?)
    }

    async fn by_name(
        gather: &mut Gather<'_>,
        named: &Qualified,
    ) -> Result<Option<Stored<Caller>>, ControlError> {
        object::caller_named(gather, CallerKind::Consumer, named).await
    }

    async fn view(gather: &mut Gather<'_>, found: Stored<Caller>) -> Result<ConsumerView, ControlError> {
        let caller = &found.object;
        gather.account(caller.account).await?;
        let rows = gather.reads.credentials_of(&[caller.id]).await?;
        let spec = consumer_spec(&gather.existing, caller, rows.iter().map(|row| &row.object));
        let reveal = gather.existing.accounts.get(&caller.account).is_some_and(|account| account.reveal);
        let mut credentials: Vec<_> = rows.iter().map(|row| credential_view(row, reveal)).collect();
        credentials.iter_mut().for_each(|view| gather.trouble_of_credential(view));
        for view in &mut credentials {
            gather.key_set(view).await?;
        }
        Ok(ConsumerView {
            id: caller.id,
            account: caller.account,
            revision: found.revision,
            created: found.created,
            changed: found.changed,
            spec: spec.ok_or_else(|| incomplete(Noun::Consumer, &caller.name))?,
            credentials,
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
        object::callers_page(gather, CallerKind::Consumer, filter, page).await
    }
}
