//! Groups: what can be done with them.

use keyward_model::{
    AccountId, Action, CallerId, Group, GroupId, GroupSpec, MemberSpec, Noun, Qualified, Timestamp, World,
};
use keyward_store::{ListPage, Record, RecordId, Stored};

use crate::gather::Gather;
use crate::object::{self, NO_WARNINGS, Object, incomplete};
use crate::plan::Step;
use crate::plan::alone;
use crate::views::group_spec;
use crate::{
    Actor, Control, ControlError, Deleted, ErrorKind, ListFilter, ObjectRef, Page, Problem, Written,
};

/// A group, as the admin plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// Its id.
    pub id: GroupId,
    /// Whose it is; the name is in the spec.
    pub account: AccountId,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
    /// As it would stand in a world file.
    pub spec: GroupSpec,
}

/// What can be done with groups.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'c> {
    pub(crate) control: &'c Control,
}

impl Groups<'_> {
    /// Makes one.
    ///
    /// # Errors
    /// The name is taken, or something in the spec is wrong.
    pub async fn create(&self, actor: &Actor, spec: GroupSpec) -> Result<Written<GroupView>, ControlError> {
        Ok(object::create::<GroupObject>(self.control, actor, spec).await?.written())
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<GroupId>) -> Result<GroupView, ControlError> {
        object::get::<GroupObject>(self.control, actor, &of).await
    }

    /// Lists them, oldest first.
    ///
    /// # Errors
    /// The account does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: ListFilter) -> Result<Page<GroupView>, ControlError> {
        object::list::<GroupObject>(self.control, actor, &filter).await
    }

    /// Changes one: `edit` gets the current spec (secret values left out; leaving them out keeps them) and changes it.
    ///
    /// # Errors
    /// It does not exist, `edit` refuses, or what comes of it is wrong.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<GroupId>,
        edit: impl FnOnce(&mut GroupSpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Written<GroupView>, ControlError> {
        Ok(object::change::<GroupObject>(self.control, actor, of, edit).await?.written())
    }

    /// Enables or disables it.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn set_enabled(
        &self,
        actor: &Actor,
        of: ObjectRef<GroupId>,
        enabled: bool,
    ) -> Result<Written<GroupView>, ControlError> {
        let edit = move |spec: &mut GroupSpec| {
            spec.enabled = enabled;
            Ok(())
        };
        Ok(object::change::<GroupObject>(self.control, actor, of, edit).await?.written())
    }

    /// Deletes it, if nothing uses it.
    ///
    /// # Errors
    /// A grant in effect is for it: [`ErrorKind::InUse`](crate::ErrorKind::InUse) with the list.
    pub async fn delete(
        &self,
        actor: &Actor,
        of: ObjectRef<GroupId>,
        dry_run: bool,
    ) -> Result<Deleted, ControlError> {
        object::delete::<GroupObject>(self.control, actor, of, dry_run).await
    }

    /// Adds members; those that already belong to it stay.
    ///
    /// # Errors
    /// A member does not exist in the group's account.
    pub async fn add_members(
        &self,
        actor: &Actor,
        of: ObjectRef<GroupId>,
        members: Vec<MemberSpec>,
    ) -> Result<Written<GroupView>, ControlError> {
        self.edit_members(actor, "group.add_members", of, members, true).await
    }

    /// Removes members; takes effect like a revocation. Those that do not belong to it are passed over.
    ///
    /// # Errors
    /// A member does not exist in the group's account.
    pub async fn remove_members(
        &self,
        actor: &Actor,
        of: ObjectRef<GroupId>,
        members: Vec<MemberSpec>,
    ) -> Result<Written<GroupView>, ControlError> {
        self.edit_members(actor, "group.remove_members", of, members, false).await
    }

    /// Work in proportion to the members named, not to those that the group has.
    async fn edit_members(
        &self,
        actor: &Actor,
        action: &'static str,
        of: ObjectRef<GroupId>,
        members: Vec<MemberSpec>,
        add: bool,
    ) -> Result<Written<GroupView>, ControlError> {
        actor.may("member", if add { Action::Create } else { Action::Delete })?;
        let work = self.control.write(actor, action, move |job| {
            Box::pin(async move {
                let mut gather = job.gather();
                let group = object::find::<GroupObject>(&mut gather, &of).await?.object;
                let mut named = Vec::with_capacity(members.len());
                for member in &members {
                    named.push(member_id(&mut gather, &group, member).await?);
                }
                named.sort_unstable();
                named.dedup();
                let memberships = gather.reads.memberships_of(&named).await?;
                for caller in named {
                    let is_member = memberships.binary_search(&(group.id, caller)).is_ok();
                    if add && !is_member {
                        let record = Box::new(Record::Member(group.id, caller));
                        job.step(Step::Put { record, before: None }).await?;
                    } else if !add && is_member {
                        job.step(Step::delete_member(group.account, group.id, caller)).await?;
                    }
                }
                let mut gather = job.gather();
                let found = object::find::<GroupObject>(&mut gather, &ObjectRef::Id(group.id)).await?;
                GroupObject::view(&mut gather, found).await
            })
        });
        let (object, revision) = work.await?;
        Ok(Written { revision, object, warnings: NO_WARNINGS })
    }
}

/// See [`Object`].
pub(crate) struct GroupObject;

impl Object for GroupObject {
    const NOUN: Noun = Noun::Group;
    const ACTIONS: [&'static str; 5] =
        ["group.create", "group.get", "group.list", "group.change", "group.delete"];
    type Id = GroupId;
    type Entity = Group;
    type Spec = GroupSpec;
    type View = GroupView;

    fn record_id(entity: &Group) -> RecordId {
        RecordId::Group(entity.id)
    }

    fn account(group: &Group) -> Option<AccountId> {
        Some(group.account)
    }

    fn name(entity: &Group) -> String {
        entity.name.to_string()
    }

    fn into_spec(view: GroupView) -> GroupSpec {
        view.spec
    }

    fn world(spec: GroupSpec) -> World {
        World { groups: vec![alone(spec)], ..World::default() }
    }

    async fn by_id(gather: &mut Gather<'_>, id: GroupId) -> Result<Option<Stored<Group>>, ControlError> {
        Ok(gather.reads.group(id).await?)
    }

    async fn by_name(
        gather: &mut Gather<'_>,
        named: &Qualified,
    ) -> Result<Option<Stored<Group>>, ControlError> {
        match gather.account_named(&named.account).await? {
            Some(account) => {
                Ok(gather.reads.groups_named(account.id, std::slice::from_ref(&named.name)).await?.pop())
            }
            None => Ok(None),
        }
    }

    async fn view(gather: &mut Gather<'_>, found: Stored<Group>) -> Result<GroupView, ControlError> {
        let id = found.object.id;
        gather.groups(&[id]).await?;
        let group = gather.existing.groups.get(&id).cloned().unwrap_or_else(|| found.object.clone());
        gather.callers(&group.members).await?;
        let spec = group_spec(&gather.existing, &group);
        Ok(GroupView {
            id,
            account: group.account,
            revision: found.revision,
            created: found.created,
            changed: found.changed,
            spec: spec.ok_or_else(|| incomplete(Noun::Group, &group.name))?,
        })
    }

    async fn itself(gather: &mut Gather<'_>, group: &Group) -> Result<(), ControlError> {
        Ok(gather.groups(&[group.id]).await?)
    }

    async fn around(gather: &mut Gather<'_>, group: &Group) -> Result<(), ControlError> {
        let grants = gather.reads.grants_for_groups(&[group.id]).await?;
        gather.add_grants(grants);
        Ok(())
    }

    async fn page(
        gather: &mut Gather<'_>,
        filter: &ListFilter,
        page: &ListPage,
    ) -> Result<Vec<Stored<Group>>, ControlError> {
        let of = object::objects_of(gather, filter).await?;
        Ok(gather.reads.list_groups(&of, page).await?)
    }
}

/// The caller that is meant, in the group's account.
async fn member_id(
    gather: &mut Gather<'_>,
    group: &Group,
    member: &MemberSpec,
) -> Result<CallerId, ControlError> {
    let names = std::slice::from_ref(&member.name);
    let found = gather.reads.callers_named(group.account, member.kind, names).await?.pop();
    found.map(|caller| caller.object.id).ok_or_else(|| {
        let text = format!(
            "there is no {} `{}` in the group's account: members belong to the account of their group",
            member.kind.noun(),
            member.name
        );
        ControlError::new(ErrorKind::NotFound, "member_unknown", text)
    })
}
