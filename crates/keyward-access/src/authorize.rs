//! May this caller call this?

use keyward_model::{
    Api, ApiId, CredentialKind, DenyReason, GatewayId, GrantId, SignatureScheme, Stage, Timestamp,
};

use crate::freshness;
use crate::operations::Template;
use crate::snapshot::Scope;
use crate::{
    Authentication, Basis, CallerEntry, CredentialEntry, Denial, Dialect, GrantEntry, Permit, PluginEntry,
    Snapshot, Target, Verified,
};

/// Decides whether the one who was proven to call may call the target. `confirmed_at`: see [`Freshness`](crate::Freshness).
///
/// # Errors
/// `credential_disabled` to `operation_not_granted`, `secret_unresolvable` where the service's own credential has no
/// value, `snapshot_stale`, and `upstream_unavailable` where the service is disabled.
pub fn authorize(
    snapshot: &Snapshot,
    target: &Target<'_>,
    authentication: &Authentication<'_>,
    confirmed_at: Timestamp,
    now: Timestamp,
) -> Result<Permit, Denial> {
    let permit = match authentication {
        Authentication::Verified(verified) => match verified.plugin {
            Some(plugin) => permit_admitted(snapshot, target, verified, plugin, now)?,
            None => permit_caller(snapshot, target, verified, now)?,
        },
        // A plugin that admits callers stands in the place of `anyone`.
        Authentication::Absent if target.plugins().is_guarded() => {
            return Err(target.refuse(DenyReason::CredentialMissing));
        }
        Authentication::Absent if target.api.api.settings.admits.contains(CredentialKind::Anyone) => {
            permit_anyone(target)
        }
        // Nobody was proven to call: closed, whatever led here.
        Authentication::Absent | Authentication::NeedsBody(_) => {
            return Err(target.refuse(DenyReason::CredentialMissing));
        }
    };
    let answers = check_secrets(target, authentication, now)
        .and_then(|()| freshness::check(snapshot, target, confirmed_at, now));
    match answers.and_then(|()| check_enabled(target)) {
        Ok(()) => Ok(permit),
        Err(refused) => {
            let (caller, credential, grant) = (permit.caller, permit.credential, permit.grant());
            Err(Denial { caller, credential, grant, ..refused })
        }
    }
}

/// Does the secret still hold that the caller proved itself by, and can we prove ourselves to the service?
fn check_secrets(
    target: &Target<'_>,
    authentication: &Authentication<'_>,
    now: Timestamp,
) -> Result<(), Denial> {
    let rests_on_nothing = matches!(authentication, Authentication::Verified(verified) if verified.credential.trouble().is_some());
    if rests_on_nothing || !target.service.can_be_called(now) {
        return Err(target.refuse(DenyReason::SecretUnresolvable));
    }
    Ok(())
}

fn check_enabled(target: &Target<'_>) -> Result<(), Denial> {
    if target.service.spec.enabled {
        return Ok(());
    }
    Err(target.refuse(DenyReason::UpstreamUnavailable).with_hint("the API's service is disabled"))
}

fn permit_anyone(target: &Target<'_>) -> Permit {
    Permit {
        basis: Basis::Anyone,
        caller: None,
        credential: None,
        api: target.api.api.id,
        stage: target.stage,
        gateway: target.gateway,
        admitted_by: None,
        scope: None,
    }
}

/// Whoever presented what a plugin was told may call what the plugin is bound to, and nothing else.
fn permit_admitted(
    snapshot: &Snapshot,
    target: &Target<'_>,
    verified: &Verified<'_>,
    plugin: &PluginEntry,
    now: Timestamp,
) -> Result<Permit, Denial> {
    let plugin = plugin.plugin().id;
    let good =
        check_credential(verified.credential, now).and_then(|()| check_caller(snapshot, verified.caller));
    good.map_err(|reason| target.refuse(reason))?;
    Ok(Permit {
        basis: Basis::Plugin(plugin),
        admitted_by: Some(verified.credential.id),
        ..permit_anyone(target)
    })
}

fn permit_caller(
    snapshot: &Snapshot,
    target: &Target<'_>,
    verified: &Verified<'_>,
    now: Timestamp,
) -> Result<Permit, Denial> {
    let (caller, credential) = (verified.caller, verified.credential);
    let api = target.api.api.id;
    let ask = Ask {
        api,
        stage: target.stage,
        gateway: target.gateway,
        operation: AskedOperation::Request {
            method: target.method,
            path: target.operation_path(),
            template: target.template,
        },
        now,
    };
    match judge(snapshot, caller, Some(credential), &ask) {
        Ok(grant) => Ok(Permit {
            basis: Basis::Grant(grant.id),
            caller: Some(caller.id),
            credential: Some(credential.id),
            api,
            stage: target.stage,
            gateway: target.gateway,
            admitted_by: None,
            scope: grant.scope.clone(),
        }),
        Err(Refused { reason, grant }) => {
            let dialect = dialect_of_credential(credential)
                .unwrap_or_else(|| crate::resolve::dialect_of(&target.api.api));
            let refused = target.refuse(reason);
            Err(Denial {
                dialect,
                caller: Some(caller.id),
                credential: Some(credential.id),
                grant,
                ..refused
            })
        }
    }
}

/// The vendor whose words the holder of this credential reads.
fn dialect_of_credential(credential: &CredentialEntry) -> Option<Dialect> {
    match (credential.kind(), credential.scheme()) {
        (CredentialKind::AppCode, _) | (_, Some(SignatureScheme::Alibaba)) => Some(Dialect::Alibaba),
        (_, Some(SignatureScheme::Tencent | SignatureScheme::TencentKeyPair)) => Some(Dialect::Tencent),
        _ => None,
    }
}

impl Permit {
    /// Would it be given again? For streams that outlive the Snapshot they began under.
    ///
    /// It holds by the grant that it rests on, or by another that reaches as far.
    ///
    /// # Errors
    /// The reason why not.
    pub fn still_holds(&self, snapshot: &Snapshot, now: Timestamp) -> Result<(), DenyReason> {
        let entry = snapshot.api(self.api).ok_or(DenyReason::ApiNotFound)?;
        if !is_published(snapshot, &entry.api, self.gateway, self.stage) {
            return Err(DenyReason::ApiNotFound);
        }
        if let Basis::Plugin(plugin) = self.basis {
            let admit = snapshot.admitting(self.gateway, self.api, plugin);
            let admit = admit.ok_or(DenyReason::CredentialNotAdmitted)?;
            let credential = self.admitted_by.and_then(|id| admit.caller.credential(id));
            check_credential(credential.ok_or(DenyReason::CredentialUnknown)?, now)?;
            return check_caller(snapshot, &admit.caller);
        }
        let Some(caller) = self.caller else {
            let anyone = entry.api.settings.admits.contains(CredentialKind::Anyone);
            return if anyone { Ok(()) } else { Err(DenyReason::CredentialMissing) };
        };
        let caller = snapshot.caller(caller).ok_or(DenyReason::CredentialUnknown)?;
        let credential =
            self.credential.and_then(|id| caller.credential(id)).ok_or(DenyReason::CredentialUnknown)?;
        if !entry.api.settings.admits.contains(credential.kind()) {
            return Err(DenyReason::CredentialNotAdmitted);
        }
        let ask = Ask {
            api: self.api,
            stage: self.stage,
            gateway: self.gateway,
            operation: AskedOperation::AsFarAs(self.scope.as_deref()),
            now,
        };
        judge(snapshot, caller, Some(credential), &ask).map(|_| ()).map_err(|refused| refused.reason)
    }
}

/// Does the API answer to anything on this gateway and stage?
pub(crate) fn is_published(snapshot: &Snapshot, api: &Api, gateway: GatewayId, stage: Stage) -> bool {
    api.settings.enabled
        && api.gateways.contains(&gateway)
        && api.stages.contains_key(&stage)
        && snapshot.account(api.account).is_some_and(|account| account.enabled)
}

/// What is asked of a caller's grants.
pub(crate) struct Ask<'a> {
    pub(crate) api: ApiId,
    pub(crate) stage: Stage,
    pub(crate) gateway: GatewayId,
    pub(crate) operation: AskedOperation<'a>,
    pub(crate) now: Timestamp,
}

/// Which operation is asked for.
pub(crate) enum AskedOperation<'a> {
    /// The one of a request: its path below the base path, decoded, and what the API declares for it.
    Request { method: &'a str, path: &'a str, template: Option<&'a Template> },
    /// Any one at all.
    Some,
    /// Whatever a grant with this scope covers.
    AsFarAs(Option<&'a Scope>),
}

/// Why nothing permits it: the reason reached furthest in the list, and the oldest grant that reached it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    pub(crate) reason: DenyReason,
    pub(crate) grant: Option<GrantId>,
}

/// The oldest grant that permits it, or why none does. The one place where this is decided.
pub(crate) fn judge<'s>(
    snapshot: &'s Snapshot,
    caller: &'s CallerEntry,
    credential: Option<&CredentialEntry>,
    ask: &Ask<'_>,
) -> Result<&'s GrantEntry, Refused> {
    let refused = |reason| Refused { reason, grant: None };
    if let Some(credential) = credential {
        check_credential(credential, ask.now).map_err(refused)?;
    }
    check_caller(snapshot, caller).map_err(refused)?;
    let mut best: Option<&GrantEntry> = None;
    let mut furthest = refused(DenyReason::GrantMissing);
    for grant in grants_of(snapshot, caller, ask.api) {
        match verdict(grant, ask) {
            Ok(()) => {
                if best.is_none_or(|best| grant.id < best.id) {
                    best = Some(grant);
                }
            }
            Err(reason) => furthest = furthest.or_further(reason, grant.id),
        }
    }
    best.ok_or(furthest)
}

impl Refused {
    fn or_further(self, reason: DenyReason, grant: GrantId) -> Self {
        let is_further =
            reason > self.reason || reason == self.reason && self.grant.is_none_or(|ours| grant < ours);
        if is_further { Self { reason, grant: Some(grant) } } else { self }
    }
}

/// Is the credential good at this moment?
pub(crate) fn check_credential(credential: &CredentialEntry, now: Timestamp) -> Result<(), DenyReason> {
    if !credential.enabled {
        Err(DenyReason::CredentialDisabled)
    } else if now >= credential.until {
        Err(DenyReason::CredentialExpired)
    } else {
        Ok(())
    }
}

fn check_caller(snapshot: &Snapshot, caller: &CallerEntry) -> Result<(), DenyReason> {
    if !caller.enabled {
        Err(DenyReason::CallerDisabled)
    } else if !snapshot.account(caller.account).is_some_and(|account| account.enabled) {
        Err(DenyReason::AccountDisabled)
    } else {
        Ok(())
    }
}

/// The caller's grants on an API: its own, and those of its groups that are enabled.
fn grants_of<'s>(
    snapshot: &'s Snapshot,
    caller: &'s CallerEntry,
    api: ApiId,
) -> impl Iterator<Item = &'s GrantEntry> {
    let groups = caller.groups().iter().filter_map(|id| snapshot.group(*id)).filter(|group| group.enabled);
    caller.grants_on(api).iter().chain(groups.flat_map(move |group| group.grants_on(api)))
}

/// Does this grant permit it? The ladder of the list; a revoked grant is that, whatever its validity.
pub(crate) fn verdict(grant: &GrantEntry, ask: &Ask<'_>) -> Result<(), DenyReason> {
    if !grant.is_for_gateway(ask.gateway) {
        Err(DenyReason::GrantOtherGateway)
    } else if !grant.stages.contains(ask.stage) {
        Err(DenyReason::GrantOtherStage)
    } else if grant.revoked {
        Err(DenyReason::GrantRevoked)
    } else if ask.now < grant.from {
        Err(DenyReason::GrantNotYetValid)
    } else if ask.now >= grant.until {
        Err(DenyReason::GrantExpired)
    } else if !covers(grant, &ask.operation) {
        Err(DenyReason::OperationNotGranted)
    } else {
        Ok(())
    }
}

fn covers(grant: &GrantEntry, asked: &AskedOperation<'_>) -> bool {
    let Some(operations) = grant.operations() else { return true };
    match asked {
        AskedOperation::Request { method, path, template } => {
            operations.iter().any(|operation| operation.covers(method, path, *template))
        }
        AskedOperation::Some => !operations.is_empty(),
        AskedOperation::AsFarAs(scope) => {
            scope.is_some_and(|scope| scope.operations.as_deref() == Some(operations))
        }
    }
}
