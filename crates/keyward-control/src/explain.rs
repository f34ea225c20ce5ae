//! Asking before the fact: would this be permitted, and who may do it?

use std::sync::Arc;

use keyward_access::{Basis, Explanation, Question, Snapshot, staleness_ms};
use keyward_model::{
    ApiId, AppKey, CallerId, CallerKind, CredentialId, DenyReason, GatewayId, GrantId, Name, Revision, Stage,
    Timestamp,
};

use crate::gather::Gather;
use crate::past::Past;
use crate::{Actor, Control, ControlError, ErrorKind, ObjectRef};

/// What an operator asks, by names or ids.
#[derive(Clone, Debug)]
pub struct Ask {
    /// At which gateway.
    pub gateway: ObjectRef<GatewayId>,
    /// Which API.
    pub api: ObjectRef<ApiId>,
    /// Where to look for an API that is not in the account named first; absent: nowhere.
    pub api_else: Option<ObjectRef<ApiId>>,
    /// Which stage.
    pub stage: Stage,
    /// Method, and path below the base path; absent: at least one operation.
    pub operation: Option<(String, String)>,
    /// When; absent: now. Of a moment that has passed, what was so then is meant.
    pub at: Option<Timestamp>,
}

/// Of whom an operator asks.
#[derive(Clone, Debug)]
pub enum AskedCaller {
    /// Nobody in particular.
    Anyone,
    /// A caller, by whichever of its credentials.
    Caller(CallerKind, ObjectRef<CallerId>),
    /// The holder of this key pair, by it.
    AppKey(AppKey),
}

/// What would be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The configuration that it follows from.
    pub revision: Revision,
    /// The grant that a permit rests on (`None`: the API admits anyone), or the reason of the denial.
    pub decision: Result<Option<GrantId>, DenyReason>,
    /// The grant that a permit rests on, or that came nearest.
    pub grant: Option<GrantId>,
    /// The grants that do not permit it, those that come nearest first: which, why, and why in words.
    pub near_misses: Vec<(GrantId, DenyReason, String)>,
}

/// Who would be permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoCan {
    /// The configuration that it follows from.
    pub revision: Revision,
    /// Is everybody who presents nothing?
    pub anyone: bool,
    /// Whom a grant permits it, in id order.
    pub callers: Vec<PermittedCaller>,
}

/// A caller that would be permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PermittedCaller {
    /// Who.
    pub id: CallerId,
    /// Its name.
    pub name: Name,
    /// Its account's name; absent where it is one that the actor does not know of.
    pub account: Option<Name>,
    /// The grant that it rests on.
    pub grant: GrantId,
}

impl Control {
    /// Would this be permitted, and why? Decided by the same code that decides requests, on the Snapshot in effect; of a
    /// moment that has passed, on a Snapshot of what was in effect then.
    ///
    /// # Errors
    /// Something that is named does not exist.
    pub async fn explain(&self, actor: &Actor, ask: Ask, of: AskedCaller) -> Result<Explained, ControlError> {
        let (caller, credential) = self.asked_caller(actor, of).await?;
        let (question, snapshot) = self.question(actor, ask, caller, credential).await?;
        let Explanation { decision, grant, near_misses } = keyward_access::explain(&snapshot, &question);
        Ok(Explained {
            revision: snapshot.revision(),
            decision: decision.map(|basis| match basis {
                // Whom a plugin admits is no caller that could be asked about.
                Basis::Anyone | Basis::Plugin(_) => None,
                Basis::Grant(grant) => Some(grant),
            }),
            grant,
            near_misses: near_misses.into_iter().map(|miss| (miss.grant, miss.reason, miss.detail)).collect(),
        })
    }

    /// Everybody who would be permitted this, or was at a moment that has passed. Reads every caller.
    ///
    /// # Errors
    /// Something that is named does not exist.
    pub async fn who_can(&self, actor: &Actor, ask: Ask) -> Result<WhoCan, ControlError> {
        let (question, snapshot) = self.question(actor, ask, None, None).await?;
        let permitted =
            keyward_access::who_can(&snapshot, &question).into_iter().filter_map(|(entry, grant)| {
                let account = snapshot.account(entry.account())?;
                let seen = actor.sees(account.id);
                Some(PermittedCaller {
                    id: entry.id(),
                    name: entry.name().clone(),
                    account: seen.then(|| account.name.clone()),
                    grant,
                })
            });
        let callers = permitted.collect();
        let anyone = keyward_access::explain(&snapshot, &question).decision == Ok(Basis::Anyone);
        Ok(WhoCan { revision: snapshot.revision(), anyone, callers })
    }

    /// What the question is judged by.
    async fn snapshot_for(
        &self,
        actor: &Actor,
        question: &Question,
        past: Option<Timestamp>,
    ) -> Result<Arc<Snapshot>, ControlError> {
        let snapshot = self.snapshots().load_full();
        let Some(at) = past else { return Ok(snapshot) };
        let mut reader = self.store().reader_at_one_moment().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.now());
        let mut past = Past::at(&mut gather, at).await?;
        Ok(Arc::new(past.around(question.api, question.caller, &snapshot).await?))
    }

    async fn asked_caller(
        &self,
        actor: &Actor,
        of: AskedCaller,
    ) -> Result<(Option<CallerId>, Option<CredentialId>), ControlError> {
        Ok(match of {
            AskedCaller::Anyone => (None, None),
            AskedCaller::Caller(CallerKind::Application, of) => {
                (Some(self.applications().get(actor, of).await?.id), None)
            }
            AskedCaller::Caller(CallerKind::Consumer, of) => {
                (Some(self.consumers().get(actor, of).await?.id), None)
            }
            AskedCaller::AppKey(app_key) => {
                let credential = self.credentials().find_app_key(actor, &app_key).await?;
                (Some(credential.caller), Some(credential.id))
            }
        })
    }

    /// The question, and what it is judged by.
    async fn question(
        &self,
        actor: &Actor,
        ask: Ask,
        caller: Option<CallerId>,
        credential: Option<CredentialId>,
    ) -> Result<(Question, Arc<Snapshot>), ControlError> {
        let past = ask.at.filter(|at| *at < self.now());
        let api = match (self.apis().get(actor, ask.api.clone()).await, ask.api_else) {
            (Err(error), elsewhere) if error.kind() == ErrorKind::NotFound => {
                match (self.api_that_was(actor, &ask.api, past).await?, elsewhere) {
                    (Some(id), _) => id,
                    // What the operator named is told, not where else was looked.
                    (None, Some(elsewhere)) => self.apis().get(actor, elsewhere).await.map_err(|_| error)?.id,
                    (None, None) => return Err(error),
                }
            }
            (found, _) => found?.id,
        };
        let gateway = self.gateways().get(actor, ask.gateway).await?;
        let question = Question {
            gateway: gateway.id,
            api,
            stage: ask.stage,
            operation: ask.operation,
            caller,
            credential,
            at: ask.at.unwrap_or_else(|| self.now()),
            staleness_ms: staleness_ms(self.freshness().confirmed_at(), self.now()),
        };
        let snapshot = self.snapshot_for(actor, &question, past).await?;
        Ok((question, snapshot))
    }

    /// An API that is no more, by the id it had.
    async fn api_that_was(
        &self,
        actor: &Actor,
        of: &ObjectRef<ApiId>,
        past: Option<Timestamp>,
    ) -> Result<Option<ApiId>, ControlError> {
        let Some(at) = past else { return Ok(None) };
        let (id, within) = match of {
            ObjectRef::Id(id) => (*id, None),
            ObjectRef::IdIn(id, account) => (*id, Some(account)),
            ObjectRef::Named(_) => return Ok(None),
        };
        let mut reader = self.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.now());
        let account = Past::at(&mut gather, at).await?.account_of_api(id).await?;
        if let Some(name) = within
            && gather.account_named(name).await?.map(|account| account.id) != account
        {
            return Ok(None);
        }
        Ok(account.filter(|account| gather.sees(Some(*account))).map(|_| id))
    }
}
