//! Accounts: what can be done with them.

use keyward_model::{Account, AccountId, AccountSpec, Noun, Qualified, Timestamp, World};
use keyward_store::{ApisOf, CallerFilter, ListPage, ObjectsOf, RecordId, Stored, Within};

use crate::gather::Gather;
use crate::object::{self, Object, default_stays};
use crate::plan::alone;
use crate::views::account_spec;
use crate::{Actor, Control, ControlError, Deleted, ListFilter, ObjectRef, Page, Problem, Written};

/// An account, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountView {
    /// Its id.
    pub id: AccountId,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// As it would stand in a world file.
    pub spec: AccountSpec,
}

/// What can be done with accounts.
#[derive(Clone, Copy, Debug)]
pub struct Accounts<'c> {
    pub(crate) control: &'c Control,
}

impl Accounts<'_> {
    /// Makes one.
    ///
    /// # Errors
    /// The name is taken, or something in the spec is wrong.
    pub async fn create(
        &self,
        actor: &Actor,
        spec: AccountSpec,
    ) -> Result<Written<AccountView>, ControlError> {
        Ok(object::create::<AccountObject>(self.control, actor, spec).await?.written())
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<AccountId>) -> Result<AccountView, ControlError> {
        object::get::<AccountObject>(self.control, actor, &of).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// The account does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: ListFilter) -> Result<Page<AccountView>, ControlError> {
        object::list::<AccountObject>(self.control, actor, &filter).await
    }

    /// Changes one: `edit` gets the current spec (secret values left out; leaving them out keeps them) and changes it.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or what comes of it is wrong.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<AccountId>,
        edit: impl FnOnce(&mut AccountSpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Written<AccountView>, ControlError> {
        Ok(object::change::<AccountObject>(self.control, actor, of, edit).await?.written())
    }

    /// Enables or disables it.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn set_enabled(
        &self,
        actor: &Actor,
        of: ObjectRef<AccountId>,
        enabled: bool,
    ) -> Result<Written<AccountView>, ControlError> {
        let edit = move |spec: &mut AccountSpec| {
            spec.enabled = enabled;
            Ok(())
        };
        Ok(object::change::<AccountObject>(self.control, actor, of, edit).await?.written())
    }

    /// Deletes it, if nothing uses it.
    ///
    /// # Errors
    /// It is `default`, or something is left in it: [`ErrorKind::InUse`](crate::ErrorKind::InUse) with the list.
    pub async fn delete(
        &self,
        actor: &Actor,
        of: ObjectRef<AccountId>,
        dry_run: bool,
    ) -> Result<Deleted, ControlError> {
        object::delete::<AccountObject>(self.control, actor, of, dry_run).await
    }
}

/// See [`Object`].
pub(crate) struct AccountObject;

impl Object for AccountObject {
    const NOUN: Noun = Noun::Account;
    const ACTIONS: [&'static str; 5] =
        ["account.create", "account.get", "account.list", "account.change", "account.delete"];
    type Id = AccountId;
    type Entity = Account;
    type Spec = AccountSpec;
    type View = AccountView;

    fn record_id(entity: &Account) -> RecordId {
        RecordId::Account(entity.id)
    }

    fn account(account: &Account) -> Option<AccountId> {
        Some(account.id)
    }

    fn name(entity: &Account) -> String {
        entity.name.to_string()
    }

    fn into_spec(view: AccountView) -> AccountSpec {
        view.spec
    }

    fn world(spec: AccountSpec) -> World {
        World { accounts: vec![alone(spec)], ..World::default() }
    }

    async fn by_id(gather: &mut Gather<'_>, id: AccountId) -> Result<Option<Stored<Account>>, ControlError> {
        Ok(gather.reads.account(id).await?)
    }

    async fn by_name(
        gather: &mut Gather<'_>,
        named: &Qualified,
    ) -> Result<Option<Stored<Account>>, ControlError> {
        Ok(gather.reads.account_named(&named.name).await?)
    }

    async fn view(_: &mut Gather<'_>, found: Stored<Account>) -> Result<AccountView, ControlError> {
        Ok(AccountView {
            id: found.object.id,
            revision: found.revision,
            created: found.created,
            changed: found.changed,
            spec: account_spec(&found.object),
        })
    }

    async fn itself(gather: &mut Gather<'_>, account: &Account) -> Result<(), ControlError> {
        gather.existing.add_account(account.clone());
        Ok(())
    }

    /// The first page of each noun is enough: anything that is left keeps it.
    async fn around(gather: &mut Gather<'_>, account: &Account) -> Result<(), ControlError> {
        if account.name.as_str() == crate::DEFAULT {
            return Err(default_stays(Noun::Account));
        }
        let first = ListPage::first(100);
        let of = &Within::from(account.id);
        for found in gather.reads.list_services(&ObjectsOf::within(of.clone()), &first).await? {
            gather.existing.add_service(found.object);
        }
        for found in gather.reads.list_apis(&ApisOf::within(of.clone()), &first).await? {
            gather.existing.add_api(found.object);
        }
        let filter = CallerFilter { within: of.clone(), ..CallerFilter::default() };
        for found in gather.reads.list_callers(&filter, &first).await? {
            gather.existing.add_caller(found.object);
        }
        for found in gather.reads.list_groups(&ObjectsOf::within(of.clone()), &first).await? {
            gather.existing.add_group(found.object);
        }
        Ok(())
    }

    async fn page(
        gather: &mut Gather<'_>,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Stored<Account>>, ControlError> {
        let of = object::objects_of(gather, filter).await?;
        Ok(gather.reads.list_accounts(&of, page).await?)
    }
}
