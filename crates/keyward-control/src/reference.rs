//! How a use case is told what object is meant.

use std::fmt;
use std::str::FromStr;

use keyward_model::{Name, Qualified};

/// An object by its id, or by account and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ObjectRef<I> {
    /// By id.
    Id(I),
    /// By id, if it is this account's.
    IdIn(I, Name),
    /// By account and name. For accounts and gateways, which are global, the account is not looked at.
    Named(Qualified),
}

impl<I: FromStr> ObjectRef<I> {
    /// Reads `text` as an id if it has the form of one, else as a name in `account`.
    ///
    /// No object can be named like an id, so there is no doubt.
    ///
    /// # Errors
    /// `text` is neither an id nor a name.
    pub fn parse(text: &str, account: &Name) -> Result<Self, keyward_model::ParseError> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        Ok(Self::Named(Qualified { account: account.clone(), name: text.parse()? }))
    }
}

impl<I: fmt::Display> fmt::Display for ObjectRef<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "`{id}`"),
            Self::IdIn(id, account) => write!(f, "`{id}` in account `{account}`"),
            Self::Named(named) => write!(f, "`{}` in account `{}`", named.name, named.account),
        }
    }
}

impl<I> From<Qualified> for ObjectRef<I> {
    fn from(named: Qualified) -> Self {
        Self::Named(named)
    }
}
