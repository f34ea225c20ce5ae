//! Objects as they would stand in a world file: names instead of ids, no secret values.

use keyward_model::{
    Account, AccountSpec, Api, ApiId, ApiKeySpec, ApiSpec, ApplicationSpec, Caller, ConsumerSpec, Digest,
    Grant, GrantSpec, Grantee, GranteeSpec, Group, GroupSpec, IdentityClaimSpec, JwtKeySource, JwtSpec,
    KeyPairSpec, MemberSpec, Module, ModuleSource, ModuleSpec, OpaqueSpec, Origin, Plugin, PluginOn,
    PluginSettings, PluginSpec, Qualified, Secret, SecretSource, SecretSpec, SecretText, Service,
    ServiceAuth, ServiceSpec, SignatureScheme, StageSpec,
};
use keyward_store::{CredentialRow, Stored};

use crate::CredentialView;
use crate::plan::Existing;

pub(crate) fn account_spec(account: &Account) -> AccountSpec {
    AccountSpec {
        name: account.name.clone(),
        description: account.description.clone(),
        enabled: account.enabled,
        reveal: account.reveal,
        grant_validity_max_s: account.grant_validity_max_s,
    }
}

pub(crate) fn service_spec(service: &Service) -> ServiceSpec {
    let service_auth = service.spec.service_auth.as_ref().map(|auth| match auth {
        // What refers to a secret is no secret.
        ServiceAuth::Header { name, value } => {
            let value = value.as_ref().filter(|text| !text.is_plain()).cloned();
            ServiceAuth::Header { name: name.clone(), value }
        }
    });
    ServiceSpec { service_auth, ..service.spec.clone() }
}

/// `None` if something that it names was not gathered.
pub(crate) fn api_spec(existing: &Existing, api: &Api) -> Option<ApiSpec> {
    let gateways = api.gateways.iter().map(|id| Some(existing.gateways.get(id)?.spec.name.clone()));
    let stages = api.stages.iter().map(|(stage, binding)| {
        let described = StageSpec {
            service: existing.services.get(&binding.service)?.spec.name.clone(),
            path_prefix: binding.path_prefix.clone(),
            host: binding.host.clone(),
        };
        Some((*stage, described))
    });
    Some(ApiSpec {
        account: existing.account_name(api.account)?.clone(),
        name: api.name.clone(),
        gateways: gateways.collect::<Option<_>>()?,
        stages: stages.collect::<Option<_>>()?,
        settings: api.settings.clone(),
    })
}

/// The default key pair first.
pub(crate) fn application_spec<'r>(
    existing: &Existing,
    caller: &Caller,
    credentials: impl Iterator<Item = &'r CredentialRow> + Clone,
) -> Option<ApplicationSpec> {
    let mut pairs: Vec<&CredentialRow> = credentials.clone().filter(|row| row.kind == "key_pair").collect();
    pairs.sort_by_key(|row| (!row.is_default, row.id));
    let pairs = pairs.into_iter().map(|row| KeyPairSpec {
        app_key: row.app_key.clone(),
        app_secret: row.reference.clone(),
        scheme: row.scheme.unwrap_or(SignatureScheme::Alibaba),
        enabled: row.enabled,
        valid_until: row.valid_until,
    });
    Some(ApplicationSpec {
        account: existing.account_name(caller.account)?.clone(),
        name: caller.name.clone(),
        description: caller.description.clone(),
        enabled: caller.enabled,
        tags: caller.tags.clone(),
        extension: caller.extension.clone(),
        key_pairs: Some(pairs.collect()),
        app_codes: credentials.filter(|row| row.kind == "app_code").map(opaque).collect(),
    })
}

pub(crate) fn consumer_spec<'r>(
    existing: &Existing,
    caller: &Caller,
    credentials: impl Iterator<Item = &'r CredentialRow> + Clone,
) -> Option<ConsumerSpec> {
    let keys: Vec<OpaqueSpec> = credentials.clone().filter(|row| row.kind == "api_key").map(opaque).collect();
    let has_keys = !keys.is_empty() || !caller.key_sources.is_empty();
    Some(ConsumerSpec {
        account: existing.account_name(caller.account)?.clone(),
        name: caller.name.clone(),
        description: caller.description.clone(),
        enabled: caller.enabled,
        tags: caller.tags.clone(),
        api_key: has_keys.then(|| ApiKeySpec { sources: caller.key_sources.clone(), keys: Some(keys) }),
        jwt: credentials.filter(|row| row.kind == "jwt").find_map(jwt_spec),
    })
}

/// Without a value, unless it is a reference: described again so, the stored one is kept.
fn opaque(row: &CredentialRow) -> OpaqueSpec {
    OpaqueSpec { value: row.reference.clone(), enabled: row.enabled, valid_until: row.valid_until }
}

fn jwt_spec(row: &CredentialRow) -> Option<JwtSpec> {
    Some(JwtSpec {
        keys: match row.origin {
            _ if row.jwt.as_ref().is_some_and(|jwt| jwt.remote.is_some()) => JwtKeySource::Remote,
            Origin::Generated => JwtKeySource::Symmetric,
            Origin::Custom | Origin::Reference => {
                row.reference.clone().map_or(JwtKeySource::Kept, JwtKeySource::Reference)
            }
        },
        settings: row.jwt.clone()?,
        identity_claim: row
            .identity_claim
            .as_ref()
            .map(|claim| IdentityClaimSpec { name: claim.name.clone(), value: Some(claim.value.clone()) }),
        enabled: row.enabled,
        valid_until: row.valid_until,
    })
}

pub(crate) fn group_spec(existing: &Existing, group: &Group) -> Option<GroupSpec> {
    let members = group.members.iter().map(|id| {
        let caller = existing.callers.get(id)?;
        Some(MemberSpec { kind: id.kind(), name: caller.name.clone() })
    });
    Some(GroupSpec {
        account: existing.account_name(group.account)?.clone(),
        name: group.name.clone(),
        description: group.description.clone(),
        enabled: group.enabled,
        members: members.collect::<Option<_>>()?,
    })
}

pub(crate) fn grant_spec(existing: &Existing, grant: &Grant) -> Option<GrantSpec> {
    let to = match grant.grantee {
        Grantee::Group(id) => GranteeSpec::Group(existing.groups.get(&id)?.name.clone()),
        Grantee::Caller(id) => {
            let caller = existing.callers.get(&id)?;
            let account = existing.account_name(caller.account)?.clone();
            GranteeSpec::Named(id.kind(), Qualified { account, name: caller.name.clone() })
        }
    };
    let gateways = grant.gateways.as_ref().map(|ids| {
        ids.iter().map(|id| Some(existing.gateways.get(id)?.spec.name.clone())).collect::<Option<_>>()
    });
    Some(GrantSpec {
        account: existing.account_name(grant.account)?.clone(),
        to,
        api: existing.apis.get(&grant.api)?.name.clone(),
        stages: grant.stages,
        gateways: match gateways {
            None => None,
            Some(names) => Some(names?),
        },
        operations: grant.operations.clone(),
        validity: grant.validity,
        description: grant.description.clone(),
    })
}

/// The digest in place of the code: described again so, the stored one is kept.
pub(crate) fn module_spec(existing: &Existing, module: &Module) -> Option<ModuleSpec> {
    let settings = &module.settings;
    Some(ModuleSpec {
        account: existing.account_name(module.account)?.clone(),
        name: module.name.clone(),
        services: module.services.iter().map(|(name, _)| name.clone()).collect(),
        wasm: ModuleSource::Stored(settings.wasm.sha256().into()),
        description: settings.description.clone(),
        enabled: settings.enabled,
        on_failure: settings.on_failure,
        sees: settings.sees,
        limits: settings.limits,
    })
}

/// A configuration is shown with marks for the secrets that are written out in it. `None` if something that it names was not
/// gathered.
pub(crate) fn plugin_spec(existing: &Existing, plugin: &Plugin, digest: &Digest<'_>) -> Option<PluginSpec> {
    let api = |id: &ApiId| Some(existing.apis.get(id)?.name.clone());
    let on = match &plugin.on {
        PluginOn::Gateway(id) => PluginOn::Gateway(existing.gateways.get(id)?.spec.name.clone()),
        PluginOn::Api(id) => PluginOn::Api(api(id)?),
        PluginOn::Operation(id, operation) => PluginOn::Operation(api(id)?, operation.clone()),
    };
    let config = plugin.settings.config.shown(&plugin.settings.kind, digest);
    Some(PluginSpec {
        account: existing.account_name(plugin.account)?.clone(),
        on,
        settings: PluginSettings { config, ..plugin.settings.clone() },
    })
}

/// A credential without its value. `reveal` is what its account says.
pub(crate) fn credential_view(found: &Stored<CredentialRow>, reveal: bool) -> CredentialView {
    let row = &found.object;
    CredentialView {
        id: row.id,
        caller: row.caller,
        kind: row.kind,
        app_key: row.app_key.clone(),
        scheme: row.scheme,
        is_default: row.is_default,
        hint: row.hint.clone(),
        reference: row.reference.as_ref().and_then(SecretText::shown),
        trouble: None,
        identity_claim: row.identity_claim.clone(),
        jwt: row.jwt.clone(),
        key_set: None,
        enabled: row.enabled,
        valid_until: row.valid_until,
        origin: row.origin,
        revealable: reveal && row.is_sealed() && row.reference.is_none(),
        created: row.created,
        last_used: row.last_used,
        lineage: row.lineage,
        revision: found.revision,
    }
}

/// Without its values: described again so, the stored ones are kept.
pub(crate) fn secret_spec(secret: &Secret) -> SecretSpec {
    let source = match &secret.spec.source {
        SecretSource::Stored(_) => SecretSource::Stored(None),
        held @ SecretSource::Held(_) => held.clone(),
    };
    SecretSpec { source, previous: None, ..secret.spec.clone() }
}
