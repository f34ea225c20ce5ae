//! Who does something in the admin plane, and whether they may.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use keyward_model::{
    AccountId, Action, Name, OperatorId, OperatorTokenId, Permission, Role, RoleIn, Secret, permission,
};

use keyward_store::Within;

use crate::{ControlError, ErrorKind};

/// Who does something in the admin plane. Goes into every audit entry.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Actor {
    /// The holder of the node's `admin-token`, who may do everything, as whoever can read the data folder could anyway.
    LocalToken,
    /// The node itself: its first start, and a world file named on its command line (`serve --apply`).
    Start,
    /// An operator, signed in or by a token.
    Operator(Arc<Acting>),
}

/// An operator as it acts in one request: its rights are read anew for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acting {
    /// Who.
    pub id: OperatorId,
    /// Its name.
    pub name: Name,
    /// What it may do where, narrowed to the token's scope.
    pub roles: Vec<RoleIn>,
    /// By which token; absent: signed in.
    pub token: Option<OperatorTokenId>,
}

/// Which accounts someone may see anything of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Everything,
    Only(Vec<AccountId>),
}

impl Seen {
    pub(crate) fn has(&self, account: AccountId) -> bool {
        match self {
            Self::Everything => true,
            Self::Only(accounts) => accounts.contains(&account),
        }
    }
}

impl From<Seen> for Within {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Everything => Self::All,
            Seen::Only(accounts) => Self::Accounts(accounts),
        }
    }
}

impl Actor {
    /// May this actor do this with some account's objects, or with what belongs to none? The coarse question, asked
    /// before anything is read; [`Actor::may_in`] asks the fine one about the object.
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]: no role of this actor allows it anywhere.
    pub fn may(&self, noun: &str, action: Action) -> Result<(), ControlError> {
        let needed = permission(noun, action);
        let Self::Operator(acting) = self else { return Ok(()) };
        let holds = |held: &RoleIn| {
            needed.roles.contains(&held.role) && (held.account.is_none() || !needed.everywhere)
        };
        match acting.roles.iter().any(holds) {
            true => Ok(()),
            false => Err(forbidden(noun, action, &needed)),
        }
    }

    /// May this actor do this in this account (absent: with what belongs to no account)?
    ///
    /// # Errors
    /// [`ErrorKind::Forbidden`]. Whoever must not even know that the account exists was told so before: [`Actor::sees`].
    pub(crate) fn may_in(
        &self,
        account: Option<AccountId>,
        noun: &str,
        action: Action,
    ) -> Result<(), ControlError> {
        let needed = permission(noun, action);
        let Self::Operator(acting) = self else { return Ok(()) };
        let account = account.filter(|_| !needed.everywhere);
        // What belongs to no account, such as a gateway, is there for all to see.
        let anywhere = account.is_none() && !needed.everywhere && action.reads();
        let holds = |held: &RoleIn| {
            needed.roles.contains(&held.role)
                && (held.account.is_none() || anywhere || account.is_some() && held.account == account)
        };
        match acting.roles.iter().any(holds) {
            true => Ok(()),
            false => Err(forbidden(noun, action, &needed)),
        }
    }

    /// Everything that this actor may see something of.
    pub(crate) fn seen(&self) -> Seen {
        let Self::Operator(acting) = self else { return Seen::Everything };
        let accounts: Option<Vec<AccountId>> = acting.roles.iter().map(|held| held.account).collect();
        accounts.map_or(Seen::Everything, Seen::Only)
    }

    /// May the actor know of this account?
    pub(crate) fn sees(&self, account: AccountId) -> bool {
        self.seen().has(account)
    }

    /// Where this actor may do this. Less than what it sees where it has another role in another account.
    pub(crate) fn reach(&self, noun: &str, action: Action) -> Seen {
        let needed = permission(noun, action);
        let Self::Operator(acting) = self else { return Seen::Everything };
        let held = acting.roles.iter().filter(|held| needed.roles.contains(&held.role));
        let accounts: Option<Vec<AccountId>> = held.map(|held| held.account).collect();
        accounts.map_or(Seen::Everything, Seen::Only)
    }

    /// May this actor refer to this secret, or send it to other addresses?
    ///
    /// # Errors
    /// Why not, and who may.
    pub(crate) fn may_use(&self, secret: &Secret) -> Result<(), String> {
        self.may_with(secret, secret.spec.use_by.as_ref(), Action::Use)
    }

    /// May this actor see the value of this secret?
    ///
    /// # Errors
    /// Why not, and who may.
    pub(crate) fn may_read(&self, secret: &Secret) -> Result<(), String> {
        self.may_with(secret, secret.spec.read_by.as_ref(), Action::Reveal)
    }

    /// May this actor say that a value is held elsewhere? What the nodes can reach (their environment, files, vault) is no
    /// account's own, so it takes a role in every account.
    ///
    /// # Errors
    /// Why not, and who may.
    pub(crate) fn may_hold(&self) -> Result<(), String> {
        let Self::Operator(acting) = self else { return Ok(()) };
        let roles = permission("secret", Action::Create).roles;
        match acting.roles.iter().any(|held| held.account.is_none() && roles.contains(&held.role)) {
            true => Ok(()),
            false => Err(format!(
                "`{}` may not say that a value is held elsewhere: what nodes can reach is no account's own, so only operators \
                 of all accounts may; give the value itself, or ask one of them",
                acting.name
            )),
        }
    }

    /// Owners may; besides them those who are named, or where nobody is, those whose role allows it.
    fn may_with(
        &self,
        secret: &Secret,
        named: Option<&BTreeSet<Name>>,
        action: Action,
    ) -> Result<(), String> {
        let Self::Operator(acting) = self else { return Ok(()) };
        let here = |held: &&RoleIn| held.account.is_none_or(|account| account == secret.account);
        let mut held = acting.roles.iter().filter(here);
        let may = match named {
            Some(named) => named.contains(&acting.name) || held.any(|held| held.role == Role::Owner),
            None => held.any(|held| permission("secret", action).roles.contains(&held.role)),
        };
        if may {
            return Ok(());
        }
        let verb = if action == Action::Use { "use" } else { "read" };
        let who = match named {
            Some(named) => {
                let names: Vec<String> = named.iter().map(|name| format!("`{name}`")).collect();
                format!(
                    "only owners and {} may",
                    if names.is_empty() { "nobody else".to_owned() } else { names.join(", ") }
                )
            }
            None => "only owners and admins may".to_owned(),
        };
        Err(format!("to {verb} secret `{}` is not allowed to `{}`: {who}", secret.spec.name, acting.name))
    }

    /// The only account that this actor has to do with, if it is one: where names are looked up unless told.
    pub fn only_account(&self) -> Option<AccountId> {
        match self.seen() {
            Seen::Only(accounts) => match accounts.as_slice() {
                [only] => Some(*only),
                _ => None,
            },
            Seen::Everything => None,
        }
    }

    /// Everything that this actor holds, as texts to be compared.
    pub fn rights(&self) -> Vec<String> {
        let Self::Operator(acting) = self else { return vec![self.to_string()] };
        let account = |held: &RoleIn| held.account.map_or_else(|| "*".to_owned(), |id| id.to_string());
        acting.roles.iter().map(|held| format!("{} {}", held.role, account(held))).collect()
    }

    /// The operator, if it is one.
    pub fn operator(&self) -> Option<&Acting> {
        match self {
            Self::Operator(acting) => Some(acting),
            Self::LocalToken | Self::Start => None,
        }
    }

    /// Does this actor hold everything that these roles hold? Nobody hands out more than they have.
    pub(crate) fn covers(&self, roles: &[RoleIn]) -> bool {
        let Self::Operator(acting) = self else { return true };
        roles.iter().all(|wanted| {
            acting.roles.iter().any(|held| {
                held.role.covers(wanted.role) && (held.account.is_none() || held.account == wanted.account)
            })
        })
    }
}

fn forbidden(noun: &str, action: Action, needed: &Permission) -> ControlError {
    let roles: Vec<&str> = needed.roles.iter().map(|role: &Role| role.as_str()).collect();
    let place = if needed.everywhere { ", held everywhere" } else { "" };
    let text = format!(
        "to {action} {} needs one of the roles {}{place}: ask an owner for it",
        // Nobody knows applications and consumers by the word for both.
        if noun == "caller" { "application or consumer".to_owned() } else { noun.replace('_', " ") },
        roles.join(", ")
    );
    ControlError::new(ErrorKind::Forbidden, "role_lacking", text)
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalToken => f.write_str("local-token"),
            Self::Start => f.write_str("start"),
            Self::Operator(acting) => match acting.token {
                None => write!(f, "operator {}", acting.id),
                Some(token) => write!(f, "operator {} token {token}", acting.id),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn account(number: u128) -> AccountId {
        AccountId::from_uuid(Uuid::from_u128(number))
    }

    fn operator(roles: &[(Option<u128>, Role)]) -> Actor {
        Actor::Operator(Arc::new(Acting {
            id: OperatorId::from_uuid(Uuid::from_u128(9)),
            name: "someone".parse().unwrap(),
            roles: roles.iter().map(|&(of, role)| RoleIn { account: of.map(account), role }).collect(),
            token: None,
        }))
    }

    #[test]
    fn a_role_in_one_account_is_worth_nothing_in_another() {
        let actor = operator(&[(Some(1), Role::Owner)]);
        assert!(actor.may_in(Some(account(1)), "grant", Action::Create).is_ok());
        assert!(actor.may_in(Some(account(2)), "grant", Action::Create).is_err());
        assert_eq!(actor.seen(), Seen::Only(vec![account(1)]));
    }

    #[test]
    fn what_belongs_to_no_account_is_changed_by_a_role_that_holds_everywhere() {
        assert!(operator(&[(Some(1), Role::Owner)]).may("gateway", Action::Change).is_err());
        assert!(operator(&[(Some(1), Role::Owner)]).may_in(None, "gateway", Action::Change).is_err());
        assert!(operator(&[(Some(1), Role::Viewer)]).may_in(None, "gateway", Action::List).is_ok());
        assert!(operator(&[(None, Role::Admin)]).may_in(None, "gateway", Action::Change).is_ok());
    }

    #[test]
    fn an_account_is_made_by_owners_of_everything_only() {
        assert!(
            operator(&[(Some(1), Role::Owner)]).may_in(Some(account(1)), "account", Action::Create).is_err()
        );
        assert!(
            operator(&[(Some(1), Role::Owner)]).may_in(Some(account(1)), "account", Action::Change).is_ok()
        );
        assert!(operator(&[(None, Role::Owner)]).may_in(Some(account(1)), "account", Action::Create).is_ok());
    }

    #[test]
    fn nobody_covers_more_than_they_have() {
        let admin = operator(&[(Some(1), Role::Admin)]);
        let held = |of: Option<u128>, role| RoleIn { account: of.map(account), role };
        assert!(admin.covers(&[held(Some(1), Role::Developer)]));
        assert!(!admin.covers(&[held(Some(1), Role::Owner)]));
        assert!(!admin.covers(&[held(Some(2), Role::Viewer)]));
        assert!(!admin.covers(&[held(None, Role::Viewer)]));
        assert!(
            operator(&[(None, Role::Owner)]).covers(&[held(None, Role::Owner), held(Some(5), Role::Admin)])
        );
    }

    #[test]
    fn without_a_role_nothing_is_seen_or_done() {
        let nobody = operator(&[]);
        assert!(nobody.may("application", Action::List).is_err());
        assert_eq!(nobody.seen(), Seen::Only(Vec::new()));
    }
}
