//! Operators and their tokens: what can be done with them.

use std::collections::BTreeSet;

use keyward_model::{
    AccountId, Action, Identity, Name, Operator, OperatorId, OperatorSpec, OperatorToken, OperatorTokenId,
    OperatorTokenSpec, PasswordHash, Plaintext, Role, RoleIn, RoleSpec, Timestamp, TokenScope,
};
use keyward_store::{After, Record, Stored};

use crate::gather::Gather;
use crate::job::Job;
use crate::minter::hint;
use crate::object::{NO_WARNINGS, cut, list_page};
use crate::plan::{Step, describe};
use crate::{
    Actor, Control, ControlError, Deleted, ErrorKind, ListFilter, ObjectRef, Page, Problem, Written,
};

/// Longest life of a token, in days, and how long one lives unless told.
const TOKEN_DAYS_MAX: i64 = 366;
const TOKEN_DAYS_USUAL: i64 = 90;
const DAY_MS: i64 = 86_400_000;

/// An operator, as the admin plane shows it. Roles in accounts that are not the asking actor's are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorView {
    /// Its id.
    pub id: OperatorId,
    /// As it was described, without the password.
    pub spec: OperatorSpec,
    /// Can it sign in by password?
    pub has_password: bool,
    /// Its own last revision: the ETag.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub changed: Timestamp,
}

/// A token, without its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorTokenView {
    /// Its id.
    pub id: OperatorTokenId,
    /// For whom it acts.
    pub operator: OperatorId,
    /// For people.
    pub name: Name,
    /// How it begins and ends.
    pub hint: String,
    /// At most this role; absent: the operator's.
    pub role: Option<Role>,
    /// Only these accounts; absent: the operator's.
    pub accounts: Option<Vec<Name>>,
    /// First moment in which it no longer holds.
    pub valid_until: Timestamp,
    /// When it was last used, to the minute.
    pub last_used: Option<Timestamp>,
    /// Its own last revision.
    pub revision: u64,
    /// When it was made.
    pub created: Timestamp,
}

/// A token that was made, with its value: shown this once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MintedToken {
    /// The token.
    pub token: OperatorTokenView,
    /// Its value; absent where nothing was kept.
    pub value: Option<Plaintext>,
}

/// What can be done with operators.
#[derive(Clone, Copy, Debug)]
pub struct Operators<'c> {
    pub(crate) control: &'c Control,
}

impl Operators<'_> {
    /// Makes one.
    ///
    /// # Errors
    /// The name or an identity is taken, an account does not exist, or the actor does not have what it would hand out.
    pub async fn create(
        &self,
        actor: &Actor,
        spec: OperatorSpec,
    ) -> Result<Written<OperatorView>, ControlError> {
        actor.may("operator", Action::Create)?;
        let password = self.hashed(&spec.password).await?;
        let work = self.control.write(actor, "operator.create", move |job| {
            Box::pin(async move {
                let id = create(job, spec, password).await?;
                shown(job, id).await
            })
        });
        let (object, revision) = work.await?;
        Ok(Written { revision, object, warnings: NO_WARNINGS })
    }

    /// Shows one.
    ///
    /// # Errors
    /// It does not exist.
    pub async fn get(&self, actor: &Actor, of: ObjectRef<OperatorId>) -> Result<OperatorView, ControlError> {
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now());
        let found = find(&mut gather, actor, &of).await?;
        may_look_at(actor, &found.object)?;
        view(&mut gather, found).await
    }

    /// Lists them, oldest first. Only those with a role in one of the actor's accounts, unless it has one everywhere.
    ///
    /// # Errors
    /// An account does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: ListFilter) -> Result<Page<OperatorView>, ControlError> {
        actor.may("operator", Action::List)?;
        let page = list_page::<OperatorId>(filter.after.as_deref(), filter.limit, filter.order)?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now());
        let within =
            crate::object::within_reach(&mut gather, actor, filter.account.as_ref(), "operator").await?;
        let name = filter.name_contains.as_deref();
        let mut found = gather.reads.list_operators(&within, name, filter.enabled, &page).await?;
        let next = cut(&mut found, &page, |operator| After {
            name: operator.name.to_string(),
            id: operator.id.to_string(),
        });
        let mut items = Vec::with_capacity(found.len());
        for operator in found {
            items.push(view(&mut gather, operator).await?);
        }
        Ok(Page { items, next })
    }

    /// Changes one: `edit` gets the current spec as the actor sees it (without the password; leaving it out keeps it) and
    /// changes it. Whoever is signed in as it is signed out where rights or password change.
    ///
    /// # Errors
    /// It does not exist, the actor does not have what it would hand out or take away, or nobody would own everything any more.
    pub async fn change(
        &self,
        actor: &Actor,
        of: ObjectRef<OperatorId>,
        edit: impl FnOnce(&mut OperatorSpec) -> Result<(), Problem> + Send + 'static,
    ) -> Result<Written<OperatorView>, ControlError> {
        actor.may("operator", Action::Change)?;
        // What comes of the edit is only known within the write; a password is hashed before it.
        let seen = self.get(actor, of).await?;
        let id = seen.id;
        let mut spec = seen.spec.clone();
        edit(&mut spec)?;
        let password = self.hashed(&spec.password).await?;
        let work = self.control.write(actor, "operator.change", move |job| {
            Box::pin(async move {
                change(job, &seen, spec, password).await?;
                shown(job, id).await
            })
        });
        let (object, revision) = work.await?;
        Ok(Written { revision, object, warnings: NO_WARNINGS })
    }

    /// Enables or disables it; disabled, it is signed out everywhere and its tokens act no more.
    ///
    /// # Errors
    /// As [`Operators::change`].
    pub async fn set_enabled(
        &self,
        actor: &Actor,
        of: ObjectRef<OperatorId>,
        enabled: bool,
    ) -> Result<Written<OperatorView>, ControlError> {
        let edit = move |spec: &mut OperatorSpec| {
            spec.enabled = enabled;
            Ok(())
        };
        self.change(actor, of, edit).await
    }

    /// Gives an operator a new password on its own behalf, who must know the old one.
    ///
    /// # Errors
    /// The actor is no operator that signed in, or the old password is wrong.
    pub async fn change_own_password(
        &self,
        actor: &Actor,
        old: Plaintext,
        new: Plaintext,
    ) -> Result<Written<OperatorView>, ControlError> {
        let acting = actor.operator().filter(|acting| acting.token.is_none()).ok_or_else(|| {
            let text = "only an operator that signed in has a password of its own to change";
            ControlError::new(ErrorKind::Forbidden, "not_signed_in", text)
        })?;
        let id = acting.id;
        let held = self.control.store().reader().await?.reads().operator(id).await?;
        let held = held.and_then(|operator| operator.object.password);
        // Whoever found an open browser must not find out the password by trying.
        let key = format!("{id} password");
        self.control.attempts().may_try(&[&key], self.control.now())?;
        if !self.control.passwords().verify(old, held).await? {
            self.control.attempts().failed(&[&key], self.control.now());
            let text = "the old password is not right";
            return Err(Problem::new_forbidden("password_wrong", "old_password", text).into());
        }
        self.control.attempts().succeeded(&key);
        let password = self.control.passwords().hash(new).await?;
        let work = self.control.write(actor, "operator.change_password", move |job| {
            Box::pin(async move {
                let before = stored(&mut job.gather(), id).await?.object;
                let after = Operator { password: Some(password), ..before.clone() };
                put(job, Some(before), after).await?;
                job.tx().delete_sessions_of(id).await?;
                shown(job, id).await
            })
        });
        let (object, revision) = work.await?;
        Ok(Written { revision, object, warnings: NO_WARNINGS })
    }

    /// Deletes it with its tokens and sessions.
    ///
    /// # Errors
    /// As [`Operators::change`].
    pub async fn delete(
        &self,
        actor: &Actor,
        of: ObjectRef<OperatorId>,
        dry_run: bool,
    ) -> Result<Deleted, ControlError> {
        actor.may("operator", Action::Delete)?;
        let control = self.control.dry(dry_run);
        let work = control.write(actor, "operator.delete", move |job| {
            Box::pin(async move {
                let asking = job.actor().clone();
                let mut gather = job.gather();
                let found = find(&mut gather, &asking, &of).await?.object;
                let tokens = gather.reads.operator_tokens(found.id).await?;
                may_manage(&asking, &found.roles, Action::Delete)?;
                keeps_an_owner(job, &found, None).await?;
                job.unchecked_step(Step::delete(&Record::Operator(Box::new(found)))).await?;
                Ok(u64::try_from(tokens.len()).unwrap_or(u64::MAX))
            })
        });
        let (credentials, revision) = work.await?;
        Ok(Deleted { revision, dry_run: control.is_dry_run(), along: Vec::new(), credentials })
    }

    /// Makes a token that acts for this operator, with at most what the actor has.
    ///
    /// # Errors
    /// The operator does not exist, the scope asks for more than the operator or the actor has, or the life is too long.
    pub async fn create_token(
        &self,
        actor: &Actor,
        of: ObjectRef<OperatorId>,
        spec: OperatorTokenSpec,
    ) -> Result<Written<MintedToken>, ControlError> {
        actor.may("operator_token", Action::Create)?;
        let work = self.control.write(actor, "operator_token.create", move |job| {
            Box::pin(async move {
                let asking = job.actor().clone();
                let mut gather = job.gather();
                let operator = find(&mut gather, &asking, &of).await?.object;
                let scope = scope(&mut gather, &asking, &operator, &spec).await?;
                let own_end = match asking.operator().and_then(|acting| acting.token) {
                    Some(id) => Some(stored_token(&mut gather, id).await?.object.valid_until),
                    None => None,
                };
                let valid_until = end(spec.valid_until, own_end, job.now())?;
                let value = job.minter.operator_token()?;
                let token = OperatorToken {
                    id: OperatorTokenId::from_uuid(job.minter_uuid()?),
                    operator: operator.id,
                    name: spec.name,
                    digest: job.gather().reads.digest(&value),
                    hint: hint(&value).unwrap_or_default(),
                    scope,
                    valid_until,
                    last_used: None,
                };
                let id = token.id;
                let record = Box::new(Record::OperatorToken(Box::new(token)));
                job.unchecked_step(Step::Put { record, before: None }).await?;
                let mut gather = job.gather();
                let found = stored_token(&mut gather, id).await?;
                Ok((token_view(&mut gather, found).await?, value))
            })
        });
        let ((token, value), revision) = work.await?;
        let value = (!self.control.is_dry_run()).then_some(value);
        Ok(Written { revision, object: MintedToken { token, value }, warnings: NO_WARNINGS })
    }

    /// Lists the tokens of an operator, oldest first.
    ///
    /// # Errors
    /// The operator does not exist, or is not the actor's to manage.
    pub async fn tokens(
        &self,
        actor: &Actor,
        of: ObjectRef<OperatorId>,
    ) -> Result<Vec<OperatorTokenView>, ControlError> {
        actor.may("operator_token", Action::List)?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now());
        let operator = find(&mut gather, actor, &of).await?.object;
        may_look_at(actor, &operator)?;
        let mut views = Vec::new();
        for found in gather.reads.operator_tokens(operator.id).await? {
            views.push(token_view(&mut gather, found).await?);
        }
        Ok(views)
    }

    /// Ends a token: it acts no more once this is answered.
    ///
    /// # Errors
    /// It does not exist, or is not the actor's to manage.
    pub async fn delete_token(&self, actor: &Actor, id: OperatorTokenId) -> Result<Deleted, ControlError> {
        actor.may("operator_token", Action::Delete)?;
        let work = self.control.write(actor, "operator_token.delete", move |job| {
            Box::pin(async move {
                let asking = job.actor().clone();
                let mut gather = job.gather();
                let token = stored_token(&mut gather, id).await?.object;
                let hidden = || ControlError::not_found("operator token", format!("`{id}`"));
                let of = ObjectRef::Id(token.operator);
                let operator = find(&mut gather, &asking, &of).await.map_err(|_| hidden())?.object;
                if !is_self(&asking, operator.id) {
                    may_manage(&asking, &operator.roles, Action::Change)?;
                }
                job.unchecked_step(Step::delete(&Record::OperatorToken(Box::new(token)))).await
            })
        });
        let ((), revision) = work.await?;
        Ok(Deleted { revision, dry_run: self.control.is_dry_run(), along: Vec::new(), credentials: 0 })
    }

    async fn hashed(&self, password: &Option<Plaintext>) -> Result<Option<PasswordHash>, ControlError> {
        match password {
            Some(password) => Ok(Some(self.control.passwords().hash(password.clone()).await?)),
            None => Ok(None),
        }
    }
}

/// Makes an operator within a write. The first one of a store is made by the bootstrap, as the node itself.
pub(crate) async fn create(
    job: &mut Job<'_>,
    spec: OperatorSpec,
    password: Option<PasswordHash>,
) -> Result<OperatorId, ControlError> {
    let asking = job.actor().clone();
    let id = OperatorId::from_uuid(job.minter_uuid()?);
    let mut gather = job.gather();
    let roles = roles(&mut gather, &spec.roles).await?;
    may_hand_out(&asking, &roles, Action::Create)?;
    free_name(&mut gather, &spec.name, None).await?;
    free_identities(&mut gather, &spec.identities, None).await?;
    let operator = Operator {
        id,
        name: spec.name,
        description: spec.description,
        enabled: spec.enabled,
        password,
        roles,
        identities: spec.identities,
    };
    put(job, None, operator).await?;
    Ok(id)
}

async fn change(
    job: &mut Job<'_>,
    seen: &OperatorView,
    spec: OperatorSpec,
    password: Option<PasswordHash>,
) -> Result<(), ControlError> {
    let asking = job.actor().clone();
    let mut gather = job.gather();
    let found = find(&mut gather, &asking, &ObjectRef::Id(seen.id)).await?;
    if found.revision != seen.revision {
        let text = "it was changed by somebody else meanwhile: look at it, and try again";
        return Err(ControlError::new(ErrorKind::Conflict, "changed_meanwhile", text));
    }
    let before = found.object;
    let edited = roles(&mut gather, &spec.roles).await?;
    // Roles that the actor does not see stay as they are.
    let hidden = before.roles.iter().filter(|role| !gather.sees_role(role)).copied();
    let mut after_roles: Vec<RoleIn> = hidden.chain(edited).collect();
    after_roles.sort_unstable();
    let after = Operator {
        id: before.id,
        name: spec.name,
        description: spec.description,
        enabled: spec.enabled,
        password: password.clone().or_else(|| before.password.clone()),
        roles: after_roles,
        identities: spec.identities,
    };
    if after == before {
        return Ok(());
    }
    let differing: Vec<RoleIn> = before
        .roles
        .iter()
        .filter(|role| !after.roles.contains(role))
        .chain(after.roles.iter().filter(|role| !before.roles.contains(role)))
        .copied()
        .collect();
    may_hand_out(&asking, &differing, Action::Change)?;
    let only_roles = Operator { roles: before.roles.clone(), ..after.clone() } == before;
    if !only_roles {
        may_manage(&asking, &before.roles, Action::Change)?;
    }
    let mut gather = job.gather();
    free_name(&mut gather, &after.name, Some(before.id)).await?;
    free_identities(&mut gather, &after.identities, Some(before.id)).await?;
    keeps_an_owner(job, &before, Some(&after)).await?;
    let rights_change = after.roles != before.roles
        || after.enabled != before.enabled
        || after.password != before.password
        || after.identities != before.identities;
    let id = before.id;
    put(job, Some(before), after).await?;
    if rights_change {
        job.tx().delete_sessions_of(id).await?;
    }
    Ok(())
}

async fn put(job: &mut Job<'_>, before: Option<Operator>, after: Operator) -> Result<(), ControlError> {
    let before = before.map(|before| describe(&Record::Operator(Box::new(before))));
    let record = Box::new(Record::Operator(Box::new(after)));
    job.unchecked_step(Step::Put { record, before }).await
}

fn is_self(actor: &Actor, id: OperatorId) -> bool {
    actor.operator().is_some_and(|acting| acting.id == id)
}

/// May the actor do this to an operator with these roles? Only with all that they have.
fn may_manage(actor: &Actor, roles: &[RoleIn], action: Action) -> Result<(), ControlError> {
    actor.may("operator", action)?;
    may_hand_out(actor, roles, action)
}

fn may_hand_out(actor: &Actor, roles: &[RoleIn], action: Action) -> Result<(), ControlError> {
    if !actor.covers(roles) {
        let text = "nobody hands out or takes away more than they have: ask an owner of that account";
        return Err(ControlError::new(ErrorKind::Forbidden, "more_than_held", text));
    }
    for role in roles {
        // A role everywhere is handed out by whoever holds one everywhere, which `covers` has seen to.
        if let Some(account) = role.account {
            actor.may_in(Some(account), "operator", action)?;
        }
    }
    Ok(())
}

/// Somebody must own everything, else nobody could ever make owners again.
async fn keeps_an_owner(
    job: &mut Job<'_>,
    before: &Operator,
    after: Option<&Operator>,
) -> Result<(), ControlError> {
    let owns = |operator: &Operator| {
        let everything = RoleIn { account: None, role: Role::Owner };
        operator.enabled && operator.roles.contains(&everything)
    };
    if owns(before) && !after.is_some_and(owns) && job.gather().reads.other_owners(before.id).await? == 0 {
        let text = "this is the only enabled operator that owns everything: make another owner first";
        return Err(ControlError::new(ErrorKind::Conflict, "last_owner", text));
    }
    Ok(())
}

/// Role by role, with the accounts' ids.
async fn roles(gather: &mut Gather<'_>, specs: &[RoleSpec]) -> Result<Vec<RoleIn>, ControlError> {
    let mut roles = Vec::with_capacity(specs.len());
    let mut places = BTreeSet::new();
    for (at, spec) in specs.iter().enumerate() {
        let account = match &spec.account {
            None => None,
            Some(name) => {
                let found = gather.account_named(name).await?.map(|account| account.id);
                let unknown = || {
                    let text = format!("there is no account `{name}`");
                    Problem::invalid("account_unknown", format!("roles[{at}].account"), text)
                };
                Some(found.ok_or_else(unknown)?)
            }
        };
        if !places.insert(account) {
            let text = "an operator has one role per account: leave one out";
            return Err(Problem::invalid("role_twice", format!("roles[{at}]"), text).into());
        }
        roles.push(RoleIn { account, role: spec.role });
    }
    roles.sort_unstable();
    Ok(roles)
}

async fn free_name(
    gather: &mut Gather<'_>,
    name: &Name,
    but: Option<OperatorId>,
) -> Result<(), ControlError> {
    let taken = gather.reads.operator_named(name).await?;
    if taken.is_some_and(|taken| Some(taken.object.id) != but) {
        let text = format!("the operator `{name}` exists already: choose another name");
        let problem = Problem::invalid("name_taken", "name", text);
        return Err(Problem { kind: ErrorKind::Conflict, ..problem }.into());
    }
    Ok(())
}

async fn free_identities(
    gather: &mut Gather<'_>,
    identities: &[Identity],
    but: Option<OperatorId>,
) -> Result<(), ControlError> {
    for (at, identity) in identities.iter().enumerate() {
        let taken = gather.reads.operator_identified(identity).await?;
        if taken.is_some_and(|taken| Some(taken.object.id) != but)
            || identities.iter().skip(at + 1).any(|other| other == identity)
        {
            let text = "this identity belongs to another operator, or stands here twice";
            let problem = Problem::invalid("identity_taken", format!("identities[{at}]"), text);
            return Err(Problem { kind: ErrorKind::Conflict, ..problem }.into());
        }
    }
    Ok(())
}

/// What the token is narrowed to. Asking for more than there is would look as if it had been given.
async fn scope(
    gather: &mut Gather<'_>,
    actor: &Actor,
    operator: &Operator,
    spec: &OperatorTokenSpec,
) -> Result<TokenScope, ControlError> {
    let mut accounts: Option<Vec<AccountId>> = None;
    for name in spec.accounts.iter().flatten() {
        let found = gather.account_named(name).await?;
        let unknown = || {
            let text = format!("there is no account `{name}`");
            Problem::invalid("account_unknown", "accounts", text)
        };
        accounts.get_or_insert_default().push(found.ok_or_else(unknown)?.id);
    }
    if spec.accounts.as_ref().is_some_and(Vec::is_empty) {
        let text = "a token is for at least one account; leave `accounts` out for all of the operator's";
        return Err(Problem::invalid("accounts_empty", "accounts", text).into());
    }
    let scope = TokenScope { role: spec.role, accounts };
    let more = |text: &str| ControlError::new(ErrorKind::Forbidden, "more_than_held", text);
    let narrowed = scope.narrow(&operator.roles);
    let holds = |role: Role| narrowed.iter().any(|held| held.role == role);
    if spec.role.is_some_and(|role| !holds(role)) {
        return Err(more("the operator does not have this role in any of the accounts"));
    }
    let in_account = |account: &AccountId| narrowed.iter().any(|held| held.account == Some(*account));
    if !scope.accounts.iter().flatten().all(in_account) {
        return Err(more("the operator has no role in one of the accounts"));
    }
    if !actor.covers(&narrowed) {
        return Err(more("a token has at most what you have: name a role or accounts to narrow it"));
    }
    if !is_self(actor, operator.id) {
        may_manage(actor, &operator.roles, Action::Change)?;
    }
    Ok(scope)
}

/// When a token ends. One that is made by a token ends no later than that one (`own`).
fn end(wanted: Option<Timestamp>, own: Option<Timestamp>, now: Timestamp) -> Result<Timestamp, ControlError> {
    let after = |days: i64| Timestamp::from_millis(now.as_millis().saturating_add(days * DAY_MS));
    let usual = after(TOKEN_DAYS_USUAL);
    let until = wanted.unwrap_or_else(|| own.map_or(usual, |own| own.min(usual)));
    if let Some(own) = own.filter(|own| until > *own) {
        let text = format!("the token that makes it ends at {own}: one that it makes ends no later");
        return Err(Problem::new_forbidden("more_than_held", "valid_until", text).into());
    }
    if until <= now || until > after(TOKEN_DAYS_MAX) {
        let text = format!("a token ends after now, and within {TOKEN_DAYS_MAX} days");
        return Err(Problem::invalid("validity_malformed", "valid_until", text).into());
    }
    Ok(until)
}

/// Whoever is not this operator needs a role that may look at operators, in one of the accounts where this one has a role.
fn may_look_at(actor: &Actor, operator: &Operator) -> Result<(), ControlError> {
    if is_self(actor, operator.id) {
        return Ok(());
    }
    let in_each = operator.roles.iter().map(|role| actor.may_in(role.account, "operator", Action::Show));
    in_each.reduce(Result::or).unwrap_or_else(|| actor.may("operator", Action::Show))
}

/// The operator that is meant, if the actor may know of it: it is itself, or has a role where the actor has one.
async fn find(
    gather: &mut Gather<'_>,
    actor: &Actor,
    of: &ObjectRef<OperatorId>,
) -> Result<Stored<Operator>, ControlError> {
    let found = match of {
        ObjectRef::Id(id) | ObjectRef::IdIn(id, _) => gather.reads.operator(*id).await?,
        ObjectRef::Named(named) => gather.reads.operator_named(&named.name).await?,
    };
    let known = |found: &Stored<Operator>| {
        is_self(actor, found.object.id)
            || found.object.roles.iter().any(|role| gather.sees_role(role))
            || gather.sees_everything()
    };
    let named = match of {
        ObjectRef::Id(id) | ObjectRef::IdIn(id, _) => format!("`{id}`"),
        ObjectRef::Named(named) => format!("`{}`", named.name),
    };
    found.filter(known).ok_or_else(|| ControlError::not_found("operator", named))
}

async fn stored(gather: &mut Gather<'_>, id: OperatorId) -> Result<Stored<Operator>, ControlError> {
    let found = gather.reads.operator(id).await?;
    found.ok_or_else(|| ControlError::not_found("operator", format!("`{id}`")))
}

async fn stored_token(
    gather: &mut Gather<'_>,
    id: OperatorTokenId,
) -> Result<Stored<OperatorToken>, ControlError> {
    let found = gather.reads.operator_token(id).await?;
    found.ok_or_else(|| ControlError::not_found("operator token", format!("`{id}`")))
}

/// Shows it as it is now, within the write.
pub(crate) async fn shown(job: &mut Job<'_>, id: OperatorId) -> Result<OperatorView, ControlError> {
    let mut gather = job.gather();
    let found = stored(&mut gather, id).await?;
    view(&mut gather, found).await
}

async fn view(gather: &mut Gather<'_>, found: Stored<Operator>) -> Result<OperatorView, ControlError> {
    let mut roles = Vec::new();
    for role in found.object.roles.iter().filter(|role| gather.sees_role(role)).copied().collect::<Vec<_>>() {
        let account = match role.account {
            None => None,
            Some(id) => {
                gather.account(id).await?;
                // An account that is gone took its roles along.
                let Some(name) = gather.existing.account_name(id) else { continue };
                Some(name.clone())
            }
        };
        roles.push(RoleSpec { role: role.role, account });
    }
    let operator = found.object;
    Ok(OperatorView {
        id: operator.id,
        has_password: operator.password.is_some(),
        spec: OperatorSpec {
            name: operator.name,
            description: operator.description,
            enabled: operator.enabled,
            password: None,
            roles,
            identities: operator.identities,
        },
        revision: found.revision,
        created: found.created,
        changed: found.changed,
    })
}

async fn token_view(
    gather: &mut Gather<'_>,
    found: Stored<OperatorToken>,
) -> Result<OperatorTokenView, ControlError> {
    let token = found.object;
    let mut accounts = token.scope.accounts.as_ref().map(|_| Vec::new());
    for id in token.scope.accounts.iter().flatten() {
        gather.account(*id).await?;
        if let (Some(accounts), Some(name)) = (&mut accounts, gather.existing.account_name(*id)) {
            accounts.push(name.clone());
        }
    }
    Ok(OperatorTokenView {
        id: token.id,
        operator: token.operator,
        name: token.name,
        hint: token.hint,
        role: token.scope.role,
        accounts,
        valid_until: token.valid_until,
        last_used: token.last_used,
        revision: found.revision,
        created: found.created,
    })
}

/// The audit's account of an operator: the one account in which it has roles; absent where there are several, or everywhere.
pub(crate) fn home(operator: &Operator) -> Option<AccountId> {
    match operator.roles.as_slice() {
        [only] => only.account,
        _ => None,
    }
}
