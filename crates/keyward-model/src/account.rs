//! Accounts: the tenants.

use crate::{AccountId, Name};

/// A tenant; owns everything below it. The account `default` exists from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Its name, unique over all accounts.
    pub name: Name,
    /// For people.
    pub description: String,
    /// A disabled account's callers may call nothing.
    pub enabled: bool,
    /// May secrets be shown again? If not, only digests are kept where a digest suffices.
    pub reveal: bool,
    /// The longest validity of a grant that it gives, in seconds; absent: no bound.
    pub grant_validity_max_s: Option<u64>,
}

/// An account as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountSpec {
    /// Its name.
    pub name: Name,
    /// For people.
    pub description: String,
    /// See [`Account::enabled`].
    pub enabled: bool,
    /// See [`Account::reveal`].
    pub reveal: bool,
    /// See [`Account::grant_validity_max_s`].
    pub grant_validity_max_s: Option<u64>,
}
