//! Who calls the admin plane: signing in and out, tokens, and the one-time way in of a store without operators.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use keyward_model::{
    Identity, Name, Operator, OperatorSpec, OperatorTokenId, Plaintext, Role, RoleSpec, Timestamp,
};
use keyward_store::{Bootstrap, RecordId, Session, Stored, Touch};
use serde_json::json;

use crate::actor::Acting;
use crate::open_id::Spent;
use crate::operators;
use crate::{Actor, Control, ControlError, ErrorKind};

/// How long a session lives at most, and how long unused, in milliseconds.
const SESSION_MS: i64 = 12 * 3_600_000;
const IDLE_MS: i64 = 30 * 60_000;
/// How exactly the last use of a session or token is noted, in milliseconds.
const SEEN_MS: i64 = 60_000;
/// How long the one-time way in stays open, in milliseconds.
const BOOTSTRAP_MS: i64 = 3_600_000;
/// Failures in a row before waiting begins, the longest wait, and how many names and addresses are remembered.
const FREE_FAILURES: u32 = 5;
/// The same of one source, behind which many may stand: everybody comes from the address of a TLS terminator.
const FREE_FAILURES_OF_A_SOURCE: u32 = 50;
/// Begins the keys of sources; no name begins so.
const SOURCE: &str = "@";
const WAIT_MAX_MS: i64 = 60_000;
const REMEMBERED_MAX: usize = 10_000;

/// A session that has begun: the cookie's value is shown this once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// What the browser keeps.
    pub cookie: Plaintext,
    /// What its writes carry besides.
    pub csrf: String,
    /// When it ends at the latest.
    pub valid_until: Timestamp,
    /// Who is signed in.
    pub actor: Actor,
}

/// A session that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Who is signed in, with the rights it has now.
    pub actor: Actor,
    /// What a write must carry besides the cookie.
    pub csrf: String,
    /// When it ends at the latest.
    pub valid_until: Timestamp,
}

/// Signing in and out.
#[derive(Clone, Copy, Debug)]
pub struct Sessions<'c> {
    pub(crate) control: &'c Control,
}

impl Sessions<'_> {
    /// Opens the one-time way in for an hour if there are no operators: its password is the answer. An earlier one is closed.
    ///
    /// # Errors
    /// The store takes no writes.
    pub async fn open_bootstrap(&self) -> Result<Option<Plaintext>, ControlError> {
        let work = self.control.write(&Actor::Start, "bootstrap.open", |job| {
            Box::pin(async move {
                if job.gather().reads.has_operators().await? {
                    job.tx().put_bootstrap(None).await?;
                    return Ok(None);
                }
                let password = job.minter.bootstrap_password()?;
                let digest = job.gather().reads.digest(&password);
                let valid_until = later(job.now(), BOOTSTRAP_MS);
                job.tx().put_bootstrap(Some(&Bootstrap { digest, valid_until })).await?;
                Ok(Some(password))
            })
        });
        Ok(work.await?.0)
    }

    /// Is the one-time way in open?
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn bootstrap_is_open(&self) -> Result<bool, ControlError> {
        let open = self.control.store().reader().await?.reads().bootstrap().await?;
        Ok(open.is_some_and(|open| open.valid_until > self.control.now()))
    }

    /// Makes the first operator, who owns everything, and signs it in. Of two at once, one succeeds.
    ///
    /// # Errors
    /// The one-time password is wrong (401), or the way in is closed (410).
    pub async fn bootstrap(
        &self,
        one_time: Plaintext,
        name: Name,
        password: Plaintext,
        source: IpAddr,
    ) -> Result<NewSession, ControlError> {
        self.control.attempts().may_try(&[&source_key(source)], self.control.now())?;
        let hash = self.control.passwords().hash(password).await?;
        let made = self.control.write(&Actor::Start, "operator.bootstrap", move |job| {
            Box::pin(async move {
                let now = job.now();
                let mut gather = job.gather();
                let digest = gather.reads.digest(&one_time);
                let open = gather.reads.bootstrap().await?;
                let closed = || {
                    let text = "the one-time way in is closed: sign in, or start a node without operators to open it again";
                    ControlError::new(ErrorKind::Gone, "bootstrap_closed", text)
                };
                let open = open.filter(|open| open.valid_until > now).ok_or_else(closed)?;
                if gather.reads.has_operators().await? {
                    return Err(closed());
                }
                if open.digest != digest {
                    return Err(wrong());
                }
                let spec = OperatorSpec {
                    name,
                    description: "made by the one-time way in".to_owned(),
                    enabled: true,
                    password: None,
                    roles: vec![RoleSpec { role: Role::Owner, account: None }],
                    identities: Vec::new(),
                };
                let id = operators::create(job, spec, Some(hash)).await?;
                job.tx().put_bootstrap(None).await?;
                Ok(id)
            })
        });
        let id = match made.await {
            Ok((id, _)) => id,
            Err(error) => {
                self.control.attempts().failed(&[&source_key(source)], self.control.now());
                return Err(error);
            }
        };
        let operator = self.control.store().reader().await?.reads().operator(id).await?;
        let operator = operator.ok_or_else(wrong)?;
        self.begin(&operator.object, None).await
    }

    /// Signs an operator in by name and password.
    ///
    /// # Errors
    /// Name or password is wrong, or the operator is disabled: all told alike (401). Too many attempts (429).
    pub async fn sign_in(
        &self,
        name: &str,
        password: Plaintext,
        source: IpAddr,
    ) -> Result<NewSession, ControlError> {
        // A name that none can have takes the same way as one that nobody has.
        let name: Option<Name> = name.parse().ok();
        let shown = name.as_ref().map_or("", Name::as_str);
        let (by_name, by_source) = (format!("{shown} {source}"), source_key(source));
        let keys = [by_name.as_str(), by_source.as_str()];
        self.control.attempts().may_try(&keys, self.control.now())?;
        let found = match &name {
            Some(name) => self.control.store().reader().await?.reads().operator_named(name).await?,
            None => None,
        };
        let operator = found.map(|found| found.object).filter(|operator| operator.enabled);
        let hash = operator.as_ref().and_then(|operator| operator.password.clone());
        let right = self.control.passwords().verify(password, hash).await?;
        let Some(operator) = operator.filter(|_| right) else {
            self.control.attempts().failed(&keys, self.control.now());
            tracing::warn!(%source, "a sign-in failed");
            return Err(wrong());
        };
        self.control.attempts().succeeded(&by_name);
        self.begin(&operator, None).await
    }

    /// Signs in the operator that an OpenID provider has just told us of, once for each sign-in that was begun.
    ///
    /// # Errors
    /// No enabled operator has this identity, or this sign-in is over.
    pub(crate) async fn sign_in_identified(
        &self,
        identity: &Identity,
        spent: Spent,
    ) -> Result<NewSession, ControlError> {
        let found = self.control.store().reader().await?.reads().operator_identified(identity).await?;
        let operator = found.map(|found| found.object).filter(|operator| operator.enabled);
        let operator = operator.ok_or_else(|| {
            let text = format!(
                "no operator is `{}` at {}: an owner adds this identity to one first",
                identity.subject.escape_debug(),
                identity.issuer.escape_debug()
            );
            ControlError::new(ErrorKind::Unauthenticated, "identity_unknown", text)
        })?;
        self.begin(&operator, Some((identity.issuer.clone(), spent))).await
    }

    /// Begins a session: by a password, or through the provider of this issuer, by a sign-in that is spent with it.
    async fn begin(
        &self,
        operator: &Operator,
        through: Option<(String, Spent)>,
    ) -> Result<NewSession, ControlError> {
        let actor = acting(operator, None, operator.roles.clone());
        let work = self.control.write(&actor, "session.create", {
            let (operator, known) = (operator.id, operator.clone());
            move |job| {
                Box::pin(async move {
                    // What was proven was proven of the operator as it was: a password that was changed meanwhile proves nothing.
                    let now_is = job.gather().reads.operator(operator).await?.map(|found| found.object);
                    if now_is.as_ref() != Some(&known) {
                        return Err(wrong());
                    }
                    let cookie = job.minter.session()?;
                    let csrf = job.minter.session()?.expose_secret().to_owned();
                    let now = job.now();
                    if let Some((_, spent)) = &through
                        && !job.tx().spend_sign_in(&spent.digest, spent.valid_until, now).await?
                    {
                        let text = "this sign-in is over: begin anew on the sign-in page";
                        return Err(ControlError::new(ErrorKind::Unauthenticated, "sign_in_not_begun", text));
                    }
                    let session = Session {
                        digest: job.gather().reads.digest(&cookie),
                        operator,
                        csrf: csrf.clone(),
                        created: now,
                        last_seen: now,
                        valid_until: later(now, SESSION_MS),
                    };
                    job.tx().put_session(&session).await?;
                    let issuer = through.as_ref().map(|(issuer, _)| issuer);
                    let after = match issuer {
                        Some(issuer) => json!({"session": "signed in", "issuer": issuer}),
                        None => json!({"session": "signed in"}),
                    };
                    let detail = json!({"before": null, "after": after});
                    job.audit(Touch::Created, &RecordId::Operator(operator), None, &detail);
                    Ok((cookie, csrf, session.valid_until))
                })
            }
        });
        let ((cookie, csrf, valid_until), _) = work.await?;
        Ok(NewSession { cookie, csrf, valid_until, actor })
    }

    /// The session that has this cookie, if it holds, with its operator's rights as they are now.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn by_cookie(&self, cookie: &str) -> Result<Option<Known>, ControlError> {
        let now = self.control.now();
        let digest = self.control.store().digest(cookie);
        let mut reader = self.control.store().reader().await?;
        let mut reads = reader.reads();
        let Some(session) = reads.session(&digest).await? else { return Ok(None) };
        let holds = session.valid_until > now && later(session.last_seen, IDLE_MS) > now;
        let operator = reads.operator(session.operator).await?;
        let operator = operator.map(|found| found.object).filter(|operator| operator.enabled && holds);
        let Some(operator) = operator else { return Ok(None) };
        drop(reader);
        if later(session.last_seen, SEEN_MS) <= now {
            self.note_seen(Seen::Session(session.digest), now).await;
        }
        let actor = acting(&operator, None, operator.roles.clone());
        Ok(Some(Known { actor, csrf: session.csrf, valid_until: session.valid_until }))
    }

    /// Whoever this token acts for, with what is left of the operator's rights as they are now.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn by_token(&self, presented: &str) -> Result<Option<Actor>, ControlError> {
        let now = self.control.now();
        let digest = self.control.store().digest(presented);
        let mut reader = self.control.store().reader().await?;
        let mut reads = reader.reads();
        let Some(Stored { object: token, .. }) = reads.operator_token_by_digest(&digest).await? else {
            return Ok(None);
        };
        let operator = reads.operator(token.operator).await?.map(|found| found.object);
        let operator = operator.filter(|operator| operator.enabled && token.valid_until > now);
        let Some(operator) = operator else { return Ok(None) };
        drop(reader);
        if token.last_used.is_none_or(|used| later(used, SEEN_MS) <= now) {
            self.note_seen(Seen::Token(token.id), now).await;
        }
        let roles = token.scope.narrow(&operator.roles);
        Ok(Some(acting(&operator, Some(token.id), roles)))
    }

    /// Ends the session that has this cookie. Ending it twice is no error.
    ///
    /// # Errors
    /// The store takes no writes.
    pub async fn sign_out(&self, actor: &Actor, cookie: &str) -> Result<(), ControlError> {
        let digest = self.control.store().digest(cookie);
        let work = self.control.write(actor, "session.delete", move |job| {
            Box::pin(async move {
                let session = job.gather().reads.session(&digest).await?;
                if let Some(session) = session {
                    job.tx().delete_session(&digest).await?;
                    let detail = json!({"before": {"session": "signed in"}, "after": null});
                    job.audit(Touch::Deleted, &RecordId::Operator(session.operator), None, &detail);
                }
                Ok(())
            })
        });
        work.await?;
        Ok(())
    }

    /// A use that cannot be noted must not keep anybody out.
    async fn note_seen(&self, what: Seen, now: Timestamp) {
        let work = self.control.write(&Actor::Start, "session.seen", move |job| {
            Box::pin(async move {
                match what {
                    Seen::Session(digest) => job.tx().touch_session(&digest, now).await?,
                    Seen::Token(id) => job.tx().touch_operator_token(id, now).await?,
                }
                Ok(())
            })
        });
        if let Err(error) = work.await {
            tracing::warn!(%error, "the last use of a session or token could not be noted");
        }
    }
}

#[derive(Clone, Copy)]
enum Seen {
    Session(keyward_model::CredentialDigest),
    Token(OperatorTokenId),
}

fn acting(operator: &Operator, token: Option<OperatorTokenId>, roles: Vec<keyward_model::RoleIn>) -> Actor {
    Actor::Operator(std::sync::Arc::new(Acting {
        id: operator.id,
        name: operator.name.clone(),
        roles,
        token,
    }))
}

fn later(at: Timestamp, millis: i64) -> Timestamp {
    Timestamp::from_millis(at.as_millis().saturating_add(millis))
}

fn wrong() -> ControlError {
    ControlError::new(ErrorKind::Unauthenticated, "sign_in_failed", "name or password is not right")
}

/// Addresses of one IPv6 network are one source.
pub(crate) fn source_key(source: IpAddr) -> String {
    match source.to_canonical() {
        IpAddr::V4(address) => format!("{SOURCE}{address}"),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{SOURCE}{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Failed attempts by name and by source: after some in a row each next one waits longer.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    failures: Mutex<HashMap<String, Failures>>,
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

impl Failures {
    fn until(self, key: &str) -> Timestamp {
        let free = if key.starts_with(SOURCE) { FREE_FAILURES_OF_A_SOURCE } else { FREE_FAILURES };
        let beyond = self.count.saturating_sub(free);
        let wait =
            if beyond == 0 { 0 } else { 1_000_i64.saturating_mul(1 << beyond.min(16)).min(WAIT_MAX_MS) };
        later(self.last, wait)
    }
}

impl Attempts {
    /// # Errors
    /// Too many attempts failed: when the next may be made.
    pub(crate) fn may_try(&self, keys: &[&str], now: Timestamp) -> Result<(), ControlError> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let until = keys.iter().filter_map(|key| Some(failures.get(*key)?.until(key))).max();
        match until {
            Some(until) if until > now => {
                let seconds = (until.as_millis() - now.as_millis() + 999) / 1_000;
                let text = format!("too many attempts failed: try again in {seconds} s");
                let error = ControlError::new(ErrorKind::TooMany, "sign_in_waits", text);
                Err(error.after_s(u64::try_from(seconds).unwrap_or(1)))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn failed(&self, keys: &[&str], now: Timestamp) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED_MAX {
            failures.retain(|key, failures| later(failures.until(key), IDLE_MS) > now);
        }
        if failures.len() >= REMEMBERED_MAX {
            // A flood of names: what is newest counts.
            failures.clear();
        }
        for key in keys {
            let failures = failures.entry((*key).to_owned()).or_insert(Failures { count: 0, last: now });
            // After a quiet while it begins anew.
            let count = if later(failures.until(key), IDLE_MS) <= now { 0 } else { failures.count };
            *failures = Failures { count: count.saturating_add(1), last: now };
        }
    }

    pub(crate) fn succeeded(&self, key: &str) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    #[test]
    fn the_first_failures_cost_nothing_and_later_ones_ever_more() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            assert!(attempts.may_try(&["alice"], at(0)).is_ok());
            attempts.failed(&["alice"], at(0));
        }
        assert!(attempts.may_try(&["alice"], at(0)).is_ok());
        attempts.failed(&["alice"], at(0));
        assert_eq!(attempts.may_try(&["alice"], at(1)).unwrap_err().code(), "sign_in_waits");
        assert!(attempts.may_try(&["alice"], at(2)).is_ok());
        attempts.failed(&["alice"], at(2));
        assert!(attempts.may_try(&["alice"], at(5)).is_err());
        assert!(attempts.may_try(&["alice"], at(6)).is_ok());
        assert!(attempts.may_try(&["bob"], at(2)).is_ok());
    }

    #[test]
    fn no_wait_is_longer_than_a_minute_and_success_ends_it() {
        let attempts = Attempts::default();
        for _ in 0..100 {
            attempts.failed(&["alice"], at(0));
        }
        assert!(attempts.may_try(&["alice"], at(59)).is_err());
        assert!(attempts.may_try(&["alice"], at(60)).is_ok());
        attempts.succeeded("alice");
        assert!(attempts.may_try(&["alice"], at(0)).is_ok());
    }

    #[test]
    fn a_flood_of_names_takes_no_more_room() {
        let attempts = Attempts::default();
        for number in 0..3 * REMEMBERED_MAX {
            attempts.failed(&[&number.to_string()], at(0));
        }
        assert!(attempts.failures.lock().unwrap().len() <= REMEMBERED_MAX);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_source() {
        let key = |text: &str| source_key(text.parse().unwrap());
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
    }
}
