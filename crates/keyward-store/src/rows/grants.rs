//! Grants.

use keyward_model::{
    AccountId, ApiId, CallerId, GatewayId, Grant, GrantId, Grantee, GroupId, StageSet, Timestamp, Validity,
};

use super::list::Value;
use super::{ListPage, Listing, Within, read_all, read_list, stored};
use crate::columns::Columns;
use crate::docs;
use crate::{Reads, StoreError, Stored, WriteTx};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT id, account, caller, group_id, api, stages, gateways, operations, valid_from, \
             valid_until, revoked, description, revision, created, changed FROM grants ",
            $rest
        )
    };
}

pub(crate) const ALL: &str = select!("");

/// Which grants a list has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantsOf {
    /// Only those this account gave.
    pub account: Option<AccountId>,
    /// Only those on this API.
    pub api: Option<ApiId>,
    /// Only those for this caller itself, or for a group it is in.
    pub caller: Option<CallerId>,
    /// Only those for this group itself.
    pub group: Option<GroupId>,
    /// Also those that were revoked.
    pub revoked: bool,
    /// Only those in this state at [`GrantsOf::at`].
    pub state: Option<GrantState>,
    /// The moment at which the state is meant.
    pub at: Timestamp,
    /// Only those that one of these accounts gave, or whose caller or group is one of these accounts'.
    pub seen_by: Within,
}

/// Grants have two sides: who gave them, and, where that is another one, the account of whom they are for. Groups are of the
/// giver's account.
const SEEN_BY: [&str; 2] = ["account", "grantee_account"];

/// Where a grant stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// Its validity has not begun.
    NotYet,
    /// It permits.
    InEffect,
    /// Its validity has ended.
    Expired,
    /// It was revoked, which is final.
    Revoked,
}

impl GrantsOf {
    /// Every grant that is not revoked; states are meant at this moment.
    pub fn at(at: Timestamp) -> Self {
        Self {
            account: None,
            api: None,
            caller: None,
            group: None,
            revoked: false,
            state: None,
            at,
            seen_by: Within::All,
        }
    }
}

pub(crate) fn read(row: &impl Columns) -> Result<Stored<Grant>, String> {
    let grantee =
        match (row.parsed_or_null::<CallerId>("caller")?, row.parsed_or_null::<GroupId>("group_id")?) {
            (Some(caller), None) => Grantee::Caller(caller),
            (None, Some(group)) => Grantee::Group(group),
            _ => return Err("it is for neither one caller nor one group".to_owned()),
        };
    let bits = u8::try_from(row.number("stages")?).unwrap_or(u8::MAX);
    let stages = StageSet::from_bits(bits);
    if stages.bits() != bits {
        return Err("its `stages` names one that this version does not know".to_owned());
    }
    let operations = row.text_or_null("operations")?;
    let gateways = row.text_or_null("gateways")?;
    let grant = Grant {
        id: row.parsed("id")?,
        account: row.parsed("account")?,
        grantee,
        api: row.parsed("api")?,
        stages,
        gateways: gateways.as_deref().map(docs::grant::read_gateways).transpose()?,
        operations: operations.as_deref().map(docs::grant::read_operations).transpose()?,
        validity: Validity::new(row.time_or_null("valid_from")?, row.time_or_null("valid_until")?)
            .map_err(|error| error.to_string())?,
        revoked: row.time_or_null("revoked")?,
        description: row.text("description")?,
        created: row.time("created")?,
    };
    stored(row, grant)
}

impl Reads<'_> {
    /// A page of grants.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn list_grants(
        &mut self,
        of: &GrantsOf,
        page: &ListPage,
    ) -> Result<Vec<Stored<Grant>>, StoreError> {
        let now = of.at.as_millis();
        let listing = Listing::new(select!(""))
            .text("account = ?", of.account)
            .text("api = ?", of.api)
            .text(
                "(caller = ? OR group_id IN (SELECT group_id FROM group_members WHERE caller = ?))",
                of.caller,
            )
            .text("group_id = ?", of.group)
            .beside(&SEEN_BY, &of.seen_by);
        let time = |at: i64| Some(Value::Number(at));
        let listing = match of.state {
            None if of.revoked => listing,
            None => listing.fixed("revoked IS NULL"),
            Some(GrantState::Revoked) => listing.fixed("revoked IS NOT NULL"),
            Some(GrantState::NotYet) => listing.fixed("revoked IS NULL").only("valid_from > ?", time(now)),
            Some(GrantState::Expired) => listing.fixed("revoked IS NULL").only("valid_until <= ?", time(now)),
            Some(GrantState::InEffect) => listing
                .fixed("revoked IS NULL")
                .only("(valid_from IS NULL OR valid_from <= ?)", time(now))
                .only("(valid_until IS NULL OR valid_until > ?)", time(now)),
        };
        let statement = listing.page(page, "id", None);
        Ok(read_list("grant", &self.all(statement).await?, read))
    }

    /// Is there a grant on this API that permits something, now or later?
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn is_granted_on(&mut self, api: ApiId, now: Timestamp) -> Result<bool, StoreError> {
        let one = sqlx::query(
            "SELECT id FROM grants WHERE api = $1 AND revoked IS NULL \
             AND (valid_until IS NULL OR valid_until > $2) LIMIT 1",
        );
        Ok(self.optional(one.bind(api.to_string()).bind(now.as_millis())).await?.is_some())
    }

    /// The grant with this id.
    ///
    /// # Errors
    /// The store does not answer, or the row cannot be believed.
    pub async fn grant(&mut self, id: GrantId) -> Result<Option<Stored<Grant>>, StoreError> {
        let row = self.all(sqlx::query(select!("WHERE id = $1")).bind(id.to_string())).await?;
        Ok(read_all("grant", &row, read)?.pop())
    }

    /// The grants with these ids, as far as there are any.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn grants(&mut self, ids: &[GrantId]) -> Result<Vec<Stored<Grant>>, StoreError> {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        self.grants_in(select!("WHERE id IN"), &ids).await
    }

    /// Who gave this grant, as the audit names actors; empty where that was before this was kept.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn granted_by(&mut self, id: GrantId) -> Result<String, StoreError> {
        let row = sqlx::query("SELECT granted_by FROM grants WHERE id = $1").bind(id.to_string());
        Ok(self.optional(row).await?.and_then(|row| row.text("granted_by").ok()).unwrap_or_default())
    }

    /// Every grant for these callers themselves, revoked ones included, in id order.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn grants_for_callers(
        &mut self,
        callers: &[CallerId],
    ) -> Result<Vec<Stored<Grant>>, StoreError> {
        let ids: Vec<String> = callers.iter().map(ToString::to_string).collect();
        self.grants_in(select!("WHERE caller IN"), &ids).await
    }

    /// Every grant for these groups, revoked ones included, in id order.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn grants_for_groups(&mut self, groups: &[GroupId]) -> Result<Vec<Stored<Grant>>, StoreError> {
        let ids: Vec<String> = groups.iter().map(ToString::to_string).collect();
        self.grants_in(select!("WHERE group_id IN"), &ids).await
    }

    /// Every grant on this API, revoked ones included, in id order.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn grants_on(&mut self, api: ApiId) -> Result<Vec<Stored<Grant>>, StoreError> {
        self.grants_in(select!("WHERE api IN"), &[api.to_string()]).await
    }

    /// Every grant that is narrowed to gateways among which this one is, revoked ones included, in id order.
    ///
    /// # Errors
    /// The store does not answer. A row that cannot be believed is left out.
    pub async fn grants_naming(&mut self, gateway: GatewayId) -> Result<Vec<Stored<Grant>>, StoreError> {
        let statement = sqlx::query(select!(
            "WHERE gateways IS NOT NULL AND replace(gateways, $1, '') <> gateways ORDER BY id"
        ));
        let rows = self.all(statement.bind(gateway.to_string())).await?;
        Ok(read_list("grant", &rows, read))
    }

    async fn grants_in(
        &mut self,
        select: &'static str,
        ids: &[String],
    ) -> Result<Vec<Stored<Grant>>, StoreError> {
        let rows = self.all_in(select, &[], ids).await?;
        let mut grants = read_list("grant", &rows, read);
        grants.sort_unstable_by_key(|grant| grant.object.id);
        Ok(grants)
    }
}

impl WriteTx<'_> {
    pub(crate) async fn put_grant(&mut self, grant: &Grant) -> Result<(), StoreError> {
        let (caller, group) = match grant.grantee {
            Grantee::Caller(caller) => (Some(caller.to_string()), None),
            Grantee::Group(group) => (None, Some(group.to_string())),
        };
        let statement = sqlx::query(
            "INSERT INTO grants (id, account, caller, group_id, api, stages, gateways, operations, valid_from, \
             valid_until, revoked, description, granted_by, grantee_account, revision, created, changed) VALUES ($1, $2, $3, \
             $4, $5, $6, $7, $8, $9, $10, $11, $12, $16, (SELECT account FROM callers WHERE id = $3 AND account <> $2), \
             $13, $14, $15) ON CONFLICT (id) DO UPDATE SET stages = excluded.stages, \
             gateways = excluded.gateways, operations = excluded.operations, valid_from = excluded.valid_from, \
             valid_until = excluded.valid_until, revoked = excluded.revoked, \
             description = excluded.description, revision = excluded.revision, changed = excluded.changed",
        )
        .bind(grant.id.to_string())
        .bind(grant.account.to_string())
        .bind(caller)
        .bind(group)
        .bind(grant.api.to_string())
        .bind(i64::from(grant.stages.bits()))
        .bind(grant.gateways.as_deref().map(docs::grant::write_gateways))
        .bind(grant.operations.as_deref().map(docs::grant::write_operations))
        .bind(grant.validity.from.map(keyward_model::Timestamp::as_millis))
        .bind(grant.validity.until.map(keyward_model::Timestamp::as_millis))
        .bind(grant.revoked.map(keyward_model::Timestamp::as_millis))
        .bind(grant.description.clone())
        .bind(self.next_revision())
        .bind(grant.created.as_millis())
        .bind(self.at())
        .bind(self.actor().to_owned());
        self.run(statement).await?;
        Ok(())
    }

    /// Whom it was for.
    pub(crate) async fn delete_grant(&mut self, id: GrantId) -> Result<Option<Grantee>, StoreError> {
        let statement = sqlx::query("DELETE FROM grants WHERE id = $1 RETURNING caller, group_id");
        let Some(row) = self.row(statement.bind(id.to_string())).await? else { return Ok(None) };
        let caller = row.parsed_or_null("caller").ok().flatten().map(Grantee::Caller);
        Ok(caller.or(row.parsed_or_null("group_id").ok().flatten().map(Grantee::Group)))
    }
}
