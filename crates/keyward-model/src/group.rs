//! Groups: several callers of one account under one name.

use crate::{AccountId, CallerId, CallerKind, GroupId, Name};

/// Several callers of one account, granted together. Groups do not nest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: GroupId,
    /// Whose it is.
    pub account: AccountId,
    /// Its name, unique in the account.
    pub name: Name,
    /// For people.
    pub description: String,
    /// The grants of a disabled group permit nothing.
    pub enabled: bool,
    /// Who belongs to it, in id order.
    pub members: Vec<CallerId>,
}

/// A group as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    /// Name of its account.
    pub account: Name,
    /// Its name.
    pub name: Name,
    /// For people.
    pub description: String,
    /// See [`Group::enabled`].
    pub enabled: bool,
    /// Its members, by name.
    pub members: Vec<MemberSpec>,
}

/// A member of a group, by name, in the group's account.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberSpec {
    /// Application or consumer.
    pub kind: CallerKind,
    /// Its name.
    pub name: Name,
}
