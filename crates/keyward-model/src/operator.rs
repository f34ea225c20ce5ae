//! Operators: who operates Keyward, and what they may do where.

use std::fmt;
use std::str::FromStr;

use crate::{
    AccountId, CredentialDigest, Name, OperatorId, OperatorTokenId, ParseError, Plaintext, Timestamp,
};

/// A person or a program that operates Keyward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Its id.
    pub id: OperatorId,
    /// Its name, unique over all operators.
    pub name: Name,
    /// For people.
    pub description: String,
    /// A disabled operator may do nothing.
    pub enabled: bool,
    /// The password as an argon2id PHC string; absent: no sign-in by password.
    pub password: Option<PasswordHash>,
    /// What it may do where, by account; at most one role per account.
    pub roles: Vec<RoleIn>,
    /// Who it is at OpenID providers.
    pub identities: Vec<Identity>,
}

/// An operator as another one describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSpec {
    /// Its name.
    pub name: Name,
    /// For people.
    pub description: String,
    /// See [`Operator::enabled`].
    pub enabled: bool,
    /// Its new password. Of an operator that exists: absent keeps the one it has.
    pub password: Option<Plaintext>,
    /// What it may do where.
    pub roles: Vec<RoleSpec>,
    /// Who it is at OpenID providers.
    pub identities: Vec<Identity>,
}

/// A role, and where it holds, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RoleSpec {
    /// The role.
    pub role: Role,
    /// In this account; absent: everywhere.
    pub account: Option<Name>,
}

/// A role, and where it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoleIn {
    /// In this account; absent: everywhere.
    pub account: Option<AccountId>,
    /// The role.
    pub role: Role,
}

/// What an operator may do in an account. `spec/admin-roles.txt` has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everything, operators included.
    Owner,
    /// Everything but operators and the account itself.
    Admin,
    /// Services, APIs, callers and their credentials; no grants, no secret shown again.
    Developer,
    /// Sees everything, the audit included; changes nothing.
    Auditor,
    /// Sees everything but the audit and the operators; changes nothing.
    Viewer,
}

impl Role {
    /// Every role, the mightiest first.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Developer, Self::Auditor, Self::Viewer];

    /// `owner`, `admin`, `developer`, `auditor` or `viewer`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Auditor => "auditor",
            Self::Viewer => "viewer",
        }
    }

    /// May this role do everything that the other may?
    pub const fn covers(self, other: Self) -> bool {
        match (self, other) {
            (Self::Owner, _) | (_, Self::Viewer) => true,
            (Self::Admin, other) => !matches!(other, Self::Owner),
            (Self::Developer, Self::Developer) | (Self::Auditor, Self::Auditor) => true,
            _ => false,
        }
    }

    /// What both roles may do.
    #[must_use]
    pub const fn narrowed(self, to: Self) -> Self {
        if self.covers(to) {
            to
        } else if to.covers(self) {
            self
        } else {
            Self::Viewer
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|role| role.as_str() == text).ok_or_else(|| {
            ParseError::new(format!(
                "`{}` is not a role; use owner, admin, developer, auditor or viewer",
                text.escape_debug()
            ))
        })
    }
}

/// Who an operator is at an OpenID provider. Never by e-mail address, which changes hands.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// The provider's issuer address.
    pub issuer: String,
    /// The subject there.
    pub subject: String,
}

/// An argon2id hash in PHC form.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// Takes over a PHC string.
    pub fn new(phc: impl Into<String>) -> Self {
        Self(phc.into())
    }

    /// The PHC string: for the store and for verifying only.
    pub fn as_phc(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// A token by which a program acts for an operator, with at most the operator's rights at the time of use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorToken {
    /// Its id.
    pub id: OperatorTokenId,
    /// For whom it acts.
    pub operator: OperatorId,
    /// For people.
    pub name: Name,
    /// What it is looked up by.
    pub digest: CredentialDigest,
    /// How it begins and ends.
    pub hint: String,
    /// What it is narrowed to.
    pub scope: TokenScope,
    /// First moment in which it no longer holds.
    pub valid_until: Timestamp,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
}

/// What token is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorTokenSpec {
    /// For people.
    pub name: Name,
    /// At most this role; absent: the operator's.
    pub role: Option<Role>,
    /// Only these accounts; absent: the operator's.
    pub accounts: Option<Vec<Name>>,
    /// First moment in which it no longer holds; absent: after 90 days.
    pub valid_until: Option<Timestamp>,
}

/// What a token is narrowed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenScope {
    /// At most this role; absent: the operator's.
    pub role: Option<Role>,
    /// Only these accounts; absent: the operator's.
    pub accounts: Option<Vec<AccountId>>,
}

impl TokenScope {
    /// What is left of these roles.
    pub fn narrow(&self, roles: &[RoleIn]) -> Vec<RoleIn> {
        let mut left = Vec::new();
        for held in roles {
            let role = self.role.map_or(held.role, |cap| held.role.narrowed(cap));
            match (&self.accounts, held.account) {
                (None, account) => left.push(RoleIn { account, role }),
                (Some(only), Some(account)) if only.contains(&account) => {
                    left.push(RoleIn { account: Some(account), role });
                }
                (Some(_), Some(_)) => {}
                (Some(only), None) => {
                    left.extend(only.iter().map(|&account| RoleIn { account: Some(account), role }));
                }
            }
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn account(number: u128) -> AccountId {
        AccountId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_role_covers_what_it_contains_and_no_other() {
        let covered =
            |role: Role| Role::ALL.into_iter().filter(|&other| role.covers(other)).collect::<Vec<_>>();
        assert_eq!(covered(Role::Owner), Role::ALL);
        assert_eq!(covered(Role::Admin), [Role::Admin, Role::Developer, Role::Auditor, Role::Viewer]);
        assert_eq!(covered(Role::Developer), [Role::Developer, Role::Viewer]);
        assert_eq!(covered(Role::Auditor), [Role::Auditor, Role::Viewer]);
        assert_eq!(covered(Role::Viewer), [Role::Viewer]);
    }

    #[test]
    fn what_a_role_covers_follows_from_the_table_of_permissions() {
        let nouns = [
            "account",
            "gateway",
            "service",
            "application",
            "grant",
            "operator",
            "audit",
            "credential",
            "member",
        ];
        let actions = [
            crate::Action::List,
            crate::Action::Create,
            crate::Action::Change,
            crate::Action::Delete,
            crate::Action::Reveal,
            crate::Action::Verify,
        ];
        for role in Role::ALL {
            for other in Role::ALL.into_iter().filter(|&other| role.covers(other)) {
                for (noun, action) in nouns.iter().flat_map(|noun| actions.map(|action| (noun, action))) {
                    let roles = crate::permission(noun, action).roles;
                    assert!(
                        !roles.contains(&other) || roles.contains(&role),
                        "{role} {other} {noun} {action}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_token_never_has_more_than_its_operator() {
        let (one, two) = (account(1), account(2));
        let held = [RoleIn { account: Some(one), role: Role::Developer }];
        let wide = TokenScope { role: Some(Role::Owner), accounts: Some(vec![one, two]) };
        assert_eq!(wide.narrow(&held), held);
        let other = TokenScope { role: Some(Role::Auditor), accounts: None };
        assert_eq!(other.narrow(&held), [RoleIn { account: Some(one), role: Role::Viewer }]);
        let everywhere = [RoleIn { account: None, role: Role::Owner }];
        let narrow = TokenScope { role: Some(Role::Admin), accounts: Some(vec![two]) };
        assert_eq!(narrow.narrow(&everywhere), [RoleIn { account: Some(two), role: Role::Admin }]);
    }
}
