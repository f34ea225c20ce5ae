//! Answers to operators: why, and who.

use std::sync::Arc;

use keyward_model::{
    ApiId, CallerId, CredentialId, CredentialKind, DenyReason, GatewayId, GrantId, GroupId, Stage, StageSet,
    Timestamp,
};

use crate::authorize::{Ask, AskedOperation, Refused, check_credential, is_published, judge, verdict};
use crate::freshness;
use crate::operations::Found;
use crate::{ApiEntry, Basis, CallerEntry, CredentialEntry, GrantEntry, ServiceEntry, Snapshot};

/// What an operator asks: would this be permitted?
#[derive(Clone, Debug)]
pub struct Question {
    /// At which gateway.
    pub gateway: GatewayId,
    /// Which API.
    pub api: ApiId,
    /// Which stage.
    pub stage: Stage,
    /// Method, and path below the base path; absent: at least one operation.
    pub operation: Option<(String, String)>,
    /// Who. Not read by [`who_can`]. Absent: nobody in particular (`anyone`).
    pub caller: Option<CallerId>,
    /// By which credential; absent: any of the caller's.
    pub credential: Option<CredentialId>,
    /// When.
    pub at: Timestamp,
    /// How long ago the Snapshot was last known to be the newest, in milliseconds; 0: it is. Not read by [`who_can`].
    pub staleness_ms: u64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What a permit would rest on, or the reason of the denial.
    pub decision: Result<Basis, DenyReason>,
    /// The grant that a permit rests on, or that came nearest.
    pub grant: Option<GrantId>,
    /// The grants that do not permit it, those that come nearest first.
    pub near_misses: Vec<NearMiss>,
}

/// A grant that does not permit what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NearMiss {
    /// The grant.
    pub grant: GrantId,
    /// Why it does not.
    pub reason: DenyReason,
    /// The same in words, with the values that differ.
    pub detail: String,
}

/// Would this be permitted, and why?
///
/// A caller is judged by the credential that is asked about, else by the one of its credentials that gets furthest, and
/// one that has no credential by its grants alone. Addresses, what a request itself demands, signatures and limits are not asked about.
pub fn explain(snapshot: &Snapshot, question: &Question) -> Explanation {
    let refused = |reason| Explanation { decision: Err(reason), grant: None, near_misses: Vec::new() };
    let asked = match Asked::new(snapshot, question) {
        Ok(asked) => asked,
        Err(reason) => return refused(reason),
    };
    let admits = asked.api.api.settings.admits;
    let Some(id) = question.caller.filter(|_| !admits.is_anyone_alone()) else {
        if !admits.contains(CredentialKind::Anyone) {
            return refused(DenyReason::CredentialMissing);
        }
        let decision = asked.check_rest(question).map(|()| Basis::Anyone);
        return Explanation { decision, grant: None, near_misses: Vec::new() };
    };
    let Some(caller) = snapshot.caller(id) else { return refused(DenyReason::CredentialUnknown) };
    let near_misses = asked.near_misses(caller);
    let (decision, grant) = match asked.judge(caller, question.credential) {
        Ok(grant) => (asked.check_rest(question).map(|()| Basis::Grant(grant)), Some(grant)),
        Err(Refused { reason, grant }) => (Err(reason), grant),
    };
    Explanation { decision, grant, near_misses }
}

/// Everybody who would be permitted this, each with the grant it rests on, in id order.
///
/// Reads every caller: meant for operators, not for the request path.
pub fn who_can<'s>(snapshot: &'s Snapshot, question: &Question) -> Vec<(&'s Arc<CallerEntry>, GrantId)> {
    let Ok(asked) = Asked::new(snapshot, question) else { return Vec::new() };
    if asked.check_service().is_err() {
        return Vec::new();
    }
    let judged = snapshot.callers().filter_map(|caller| Some((caller, asked.judge(caller, None).ok()?)));
    let mut permitted: Vec<_> = judged.collect();
    permitted.sort_by_key(|(caller, _)| caller.id);
    permitted
}

/// A question about an API that answers.
struct Asked<'q> {
    snapshot: &'q Snapshot,
    api: &'q ApiEntry,
    ask: Ask<'q>,
    service: &'q ServiceEntry,
}

impl<'q> Asked<'q> {
    fn new(snapshot: &'q Snapshot, question: &'q Question) -> Result<Self, DenyReason> {
        let api = snapshot.api(question.api).ok_or(DenyReason::ApiNotFound)?;
        if !is_published(snapshot, &api.api, question.gateway, question.stage) {
            return Err(DenyReason::ApiNotFound);
        }
        let operation = match &question.operation {
            None => AskedOperation::Some,
            Some((method, path)) => {
                let template = match api.operations.find(method, path) {
                    _ if api.api.settings.operations.is_empty() => None,
                    Found::Operation(_, template) => Some(template),
                    Found::OtherMethod => return Err(DenyReason::MethodNotAllowed),
                    Found::Nothing => return Err(DenyReason::ApiNotFound),
                };
                AskedOperation::Request { method, path, template }
            }
        };
        let binding = api.api.stages.get(&question.stage).ok_or(DenyReason::ApiNotFound)?;
        let service = snapshot.service(binding.service).ok_or(DenyReason::ApiNotFound)?;
        let (stage, gateway, now) = (question.stage, question.gateway, question.at);
        let ask = Ask { api: question.api, stage, gateway, operation, now };
        Ok(Self { snapshot, api, ask, service })
    }

    /// What comes after the grants.
    fn check_rest(&self, question: &Question) -> Result<(), DenyReason> {
        if !self.service.can_be_called(self.ask.now) {
            return Err(DenyReason::SecretUnresolvable);
        }
        let max_s = self.api.api.settings.max_staleness_s;
        if max_s.is_some_and(|max_s| freshness::is_over(question.staleness_ms, max_s)) {
            return Err(DenyReason::SnapshotStale);
        }
        self.check_service()
    }

    fn check_service(&self) -> Result<(), DenyReason> {
        if self.service.spec.enabled { Ok(()) } else { Err(DenyReason::UpstreamUnavailable) }
    }

    /// The grant that permits it, or why none does.
    fn judge(&self, caller: &CallerEntry, credential: Option<CredentialId>) -> Result<GrantId, Refused> {
        let refused = |reason| Refused { reason, grant: None };
        let credentials =
            caller.credentials().iter().filter(|one| credential.is_none_or(|id| one.id() == id));
        let checks: Vec<_> = credentials.map(|one| self.check_credential(one)).collect();
        if credential.is_some() && checks.is_empty() {
            return Err(refused(DenyReason::CredentialUnknown));
        }
        // The one that gets furthest counts; all fail only where the best of them does.
        if !checks.is_empty() && !checks.contains(&Ok(())) {
            let furthest = checks.into_iter().filter_map(Result::err).max();
            return Err(refused(furthest.unwrap_or(DenyReason::CredentialUnknown)));
        }
        judge(self.snapshot, caller, None, &self.ask).map(GrantEntry::id)
    }

    fn check_credential(&self, credential: &CredentialEntry) -> Result<(), DenyReason> {
        let settings = &self.api.api.settings;
        if !settings.admits.contains(credential.kind()) {
            return Err(DenyReason::CredentialNotAdmitted);
        }
        if credential.scheme().is_some_and(|scheme| !settings.signature.schemes.contains(&scheme)) {
            return Err(DenyReason::AlgorithmNotAdmitted);
        }
        check_credential(credential, self.ask.now)
    }

    /// Every grant on the API that does not permit it, those that come nearest first.
    fn near_misses(&self, caller: &CallerEntry) -> Vec<NearMiss> {
        let own = caller.grants_on(self.ask.api).iter().map(|grant| (grant, None));
        let groups = caller.groups().iter().filter_map(|id| self.snapshot.group(*id));
        let theirs = groups.flat_map(|group| {
            let idle = (!group.is_enabled()).then_some(group.id());
            group.grants_on(self.ask.api).iter().map(move |grant| (grant, idle))
        });
        let mut misses: Vec<NearMiss> =
            own.chain(theirs).filter_map(|(grant, idle)| self.miss(grant, idle)).collect();
        misses.sort_by_key(|miss| (std::cmp::Reverse(miss.reason), miss.grant));
        misses
    }

    fn miss(&self, grant: &GrantEntry, idle: Option<GroupId>) -> Option<NearMiss> {
        if let Some(group) = idle {
            let detail = format!("it is for the group `{group}`, which is disabled: enable that");
            return Some(NearMiss { grant: grant.id(), reason: DenyReason::GrantMissing, detail });
        }
        let reason = verdict(grant, &self.ask).err()?;
        Some(NearMiss { grant: grant.id(), reason, detail: self.detail(grant, reason) })
    }

    fn detail(&self, grant: &GrantEntry, reason: DenyReason) -> String {
        let validity = grant.validity();
        let now = self.ask.now;
        match reason {
            DenyReason::GrantOtherGateway => {
                format!(
                    "it is for {}, not for `{}`",
                    self.gateways(grant),
                    self.gateway_name(self.ask.gateway)
                )
            }
            DenyReason::GrantOtherStage => {
                format!("it is for {}, not for {}", stages(grant.stages()), self.ask.stage)
            }
            DenyReason::GrantNotYetValid => {
                format!("it is valid from {}, which is after {now}", written(validity.from))
            }
            DenyReason::GrantExpired => {
                format!("it was valid until {}, which is not after {now}", written(validity.until))
            }
            DenyReason::GrantRevoked => "it was revoked, which is final: give a new grant".into(),
            DenyReason::OperationNotGranted => match &self.ask.operation {
                AskedOperation::Request { method, path, .. } => {
                    let path = if path.is_empty() { "/" } else { path };
                    format!("it is for other operations than `{method} {path}`")
                }
                AskedOperation::Some | AskedOperation::AsFarAs(_) => "it is for no operation".into(),
            },
            other => other.code().into(),
        }
    }

    fn gateways(&self, grant: &GrantEntry) -> String {
        let ids = grant.scope.as_ref().and_then(|scope| scope.gateways.as_deref()).unwrap_or_default();
        let names: Vec<_> = ids.iter().map(|id| format!("`{}`", self.gateway_name(*id))).collect();
        if names.is_empty() { "no gateway".into() } else { names.join(", ") }
    }

    fn gateway_name(&self, id: GatewayId) -> String {
        self.snapshot.gateway(id).map_or_else(|| id.to_string(), |gateway| gateway.spec.name.to_string())
    }
}

fn stages(stages: StageSet) -> String {
    stages.iter().map(Stage::as_str).collect::<Vec<_>>().join(", ")
}

fn written(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "any time".into(), |at| at.to_string())
}
