//! Grants: who may call what.

use crate::{
    AccountId, ApiId, CallerId, CallerKind, GatewayId, GrantId, GroupId, Name, Operation, Qualified,
    StageSet, Timestamp, Validity,
};

/// This caller (or group) may call this API, on these stages and gateways, optionally only these operations, during this validity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The API's account, which gave it.
    pub account: AccountId,
    /// Who may call.
    pub grantee: Grantee,
    /// What may be called.
    pub api: ApiId,
    /// On which stages.
    pub stages: StageSet,
    /// On which gateways, in id order; absent: every one.
    pub gateways: Option<Vec<GatewayId>>,
    /// Which operations, in order; absent: all.
    pub operations: Option<Vec<Operation>>,
    /// When.
    pub validity: Validity,
    /// When it was revoked. Revoked is final.
    pub revoked: Option<Timestamp>,
    /// For people.
    pub description: String,
    /// When it was given.
    pub created: Timestamp,
}

/// Who a grant is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Grantee {
    /// One caller.
    Caller(CallerId),
    /// Every member of a group.
    Group(GroupId),
}

/// A grant as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantSpec {
    /// Name of the API's account.
    pub account: Name,
    /// Who may call.
    pub to: GranteeSpec,
    /// Name of the API.
    pub api: Name,
    /// On which stages.
    pub stages: StageSet,
    /// Names of gateways; absent: every one.
    pub gateways: Option<Vec<Name>>,
    /// Which operations; absent: all.
    pub operations: Option<Vec<Operation>>,
    /// When.
    pub validity: Validity,
    /// For people.
    pub description: String,
}

/// Who a grant is for, as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GranteeSpec {
    /// A caller by name, in its account.
    Named(CallerKind, Qualified),
    /// A caller by id, in any account.
    ById(CallerId),
    /// A group of the API's account.
    Group(Name),
}
