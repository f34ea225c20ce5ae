//! Groups and their members.

use std::collections::BTreeMap;

use keyward_model::{AccountId, CallerId, Group, GroupId, Name};

use super::{ListPage, Listing, ObjectsOf, read_list, stored};
use crate::columns::Columns;
use crate::{Reads, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, account, name, description, enabled, revision, created, changed FROM caller_groups ",
            $rest
        )
    };
}

pub(crate) const ALL: &str = select!("");
pub(crate) const ALL_MEMBERS: &str = "SELECT group_id, caller FROM group_members";

/// A group without its members, which stand in a table of their own.
pub(crate) fn read(row: &impl Columns) -> Result<Stored<Group>, String> {
    let group = Group {
        id: row.parsed("id")?,
        account: row.parsed("account")?,
        name: row.parsed("name")?,
        description: row.text("description")?,
        enabled: row.flag("enabled")?,
        members: Vec::new(),
    };
    stored(row, group)
}

pub(crate) fn read_member(row: &impl Columns) -> Result<(GroupId, CallerId), String> {
    Ok((row.parsed("group_id")?, row.parsed("caller")?))
}

impl Reads<'_> {
    /// A page of groups, by account and a part of the name, without members.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_groups(
        &mut self,
        of: &ObjectsOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Group>>, StoreError> {
        let listing = Listing::new(select!(""))
            .within("account", &of.within)
            .name_has("name", of.name.as_deref())
            .flag("enabled", of.enabled);
        let statement = listing.page(page, "id", Some("name"));
        Ok(read_list("group", &self.all(statement).await?, read))
    }

    /// The group with this id, without members.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn group(&mut self, id: GroupId) -> Result<Option<Stored<Group>>, StoreError> {
        Ok(self.groups(&[id]).await?.pop())
    }

    /// The groups with these ids, as far as there are any, without members.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn groups(&mut self, ids: &[GroupId]) -> Result<Vec<Stored<Group>>, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let rows = self.all_in(select!("WHERE id IN"), &[], &ids).await?;
        Ok(read_list("group", &rows, read))
    }

    /// The groups of this account with these names, as far as there are any, without members.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn groups_named(
        &mut self,
        account: AccountId,
        names: &[Name],
    ) -> Result<Vec<Stored<Group>>, StoreError> {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let rows =
            self.all_in(select!("WHERE account = $1 AND name IN"), &[&account.to_string()], &names).await?;
        Ok(read_list("group", &rows, read))
    }

    /// Who is in these groups, in id order.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn members_of(
        &mut self,
        groups: &[GroupId],
    ) -> Result<BTreeMap<GroupId, Vec<CallerId>>, StoreError> {
        let ids: Vec<String> = groups.iter().map(ToString::to_string).collect();
        let rows = self
            .all_in("SELECT group_id, caller, group_id AS id FROM group_members WHERE group_id IN", &[], &ids)
            .await?;
        let mut members: BTreeMap<GroupId, Vec<CallerId>> = BTreeMap::new();
        for (group, caller) in read_list("member", &rows, read_member) {
            members.entry(group).or_default().push(caller);
        }
        members.values_mut().for_each(|callers| callers.sort_unstable());
        Ok(members)
    }

    /// The groups that these callers are in, as pairs.
    ///
    /// # Errors
    /// The store does not answer, or a row cannot be believed.
    pub async fn memberships_of(
        &mut self,
        callers: &[CallerId],
    ) -> Result<Vec<(GroupId, CallerId)>, StoreError> {
        let ids: Vec<String> = callers.iter().map(ToString::to_string).collect();
        let rows = self
            .all_in("SELECT group_id, caller, caller AS id FROM group_members WHERE caller IN", &[], &ids)
            .await?;
        let mut pairs = read_list("member", &rows, read_member);
        pairs.sort_unstable();
        Ok(pairs)
    }

    pub(crate) async fn is_member(&mut self, group: GroupId, caller: CallerId) -> Result<bool, StoreError> {
        let statement = sqlx::query("SELECT caller FROM group_members WHERE group_id = $1 AND caller = $2");
        Ok(self.optional(statement.bind(group.to_string()).bind(caller.to_string())).await?.is_some())
    }
}

impl WriteTx<'_> {
    pub(crate) async fn put_group(&mut self, group: &Group) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "INSERT INTO caller_groups (id, account, name, description, enabled, revision, created, changed) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7) ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
             description = excluded.description, enabled = excluded.enabled, revision = excluded.revision, \
             changed = excluded.changed",
        )
        .bind(group.id.to_string())
        .bind(group.account.to_string())
        .bind(group.name.to_string())
        .bind(group.description.clone())
        .bind(i64::from(group.enabled))
        .bind(self.next_revision())
        .bind(self.at());
        self.run(statement).await?;
        Ok(())
    }

    pub(crate) async fn delete_group(&mut self, id: GroupId) -> Result<(), StoreError> {
        self.run(sqlx::query("DELETE FROM caller_groups WHERE id = $1").bind(id.to_string())).await?;
        Ok(())
    }

    pub(crate) async fn put_member(&mut self, group: GroupId, caller: CallerId) -> Result<(), StoreError> {
        let statement = sqlx::query(
            "INSERT INTO group_members (group_id, caller) VALUES ($1, $2) ON CONFLICT (group_id, caller) DO NOTHING",
        );
        self.run(statement.bind(group.to_string()).bind(caller.to_string())).await?;
        self.touch_group(group).await
    }

    pub(crate) async fn delete_member(&mut self, group: GroupId, caller: CallerId) -> Result<(), StoreError> {
        let statement = sqlx::query("DELETE FROM group_members WHERE group_id = $1 AND caller = $2");
        self.run(statement.bind(group.to_string()).bind(caller.to_string())).await?;
        self.touch_group(group).await
    }

    /// A group's ETag also covers who is in it.
    async fn touch_group(&mut self, group: GroupId) -> Result<(), StoreError> {
        let statement = sqlx::query("UPDATE caller_groups SET revision = $2, changed = $3 WHERE id = $1");
        self.run(statement.bind(group.to_string()).bind(self.next_revision()).bind(self.at())).await?;
        Ok(())
    }
}
