//! How the audit shows an object: as JSON, without any secret.

use std::collections::BTreeSet;
use std::fmt::Display;

use keyward_model::{
    AccountId, Api, Caller, Credential, Gateway, Grant, Grantee, JwtKeys, KeySource, Module, Name, Operation,
    Operator, Plugin, PluginOn, Proof, Role, Secret, SecretSource, SecretText, Service, ServiceAuth,
    Timestamp,
};
use keyward_store::{CredentialRow, Record};
use serde_json::{Value, json};

/// An object without its secrets.
pub(crate) fn describe(record: &Record) -> Value {
    match record {
        Record::Account(account) => json!({
            "name": account.name.as_str(),
            "description": account.description,
            "enabled": account.enabled,
            "reveal": account.reveal,
            "grant_validity_max_s": account.grant_validity_max_s,
        }),
        Record::Gateway(gateway) => describe_gateway(gateway),
        Record::Secret(secret) => describe_secret(secret),
        Record::Service(service) => describe_service(service),
        Record::Api(api) => describe_api(api),
        Record::Caller(caller) => describe_caller(caller),
        Record::Credential(record) => describe_proof(&record.credential),
        Record::Group(group) => json!({
            "name": group.name.as_str(),
            "description": group.description,
            "enabled": group.enabled,
        }),
        Record::Member(group, caller) => json!({"group": group.to_string(), "caller": caller.to_string()}),
        Record::Grant(grant) => describe_grant(grant),
        Record::Module(module) => describe_module(module),
        Record::Plugin(plugin) => describe_plugin(plugin),
        Record::Operator(operator) => describe_operator(operator),
        Record::OperatorToken(token) => json!({
            "operator": token.operator.to_string(),
            "name": token.name.as_str(),
            "hint": token.hint,
            "role": token.scope.role.map(Role::as_str),
            "accounts": token.scope.accounts.as_deref().map(texts),
            "valid_until": token.valid_until.to_string(),
        }),
    }
}

/// The account that an object belongs to.
pub(crate) fn account_of(record: &Record) -> Option<AccountId> {
    match record {
        Record::Account(account) => Some(account.id),
        Record::Secret(secret) => Some(secret.account),
        Record::Service(service) => Some(service.account),
        Record::Api(api) => Some(api.account),
        Record::Caller(caller) => Some(caller.account),
        Record::Credential(record) => Some(record.account),
        Record::Group(group) => Some(group.account),
        Record::Grant(grant) => Some(grant.account),
        Record::Module(module) => Some(module.account),
        Record::Plugin(plugin) => Some(plugin.account),
        Record::Operator(operator) => crate::operators::home(operator),
        Record::Gateway(_) | Record::Member(..) | Record::OperatorToken(_) => None,
    }
}

/// Of the password only that there is one.
fn describe_operator(operator: &Operator) -> Value {
    let roles: Vec<Value> = operator
        .roles
        .iter()
        .map(|role| json!({"role": role.role.as_str(), "account": text(role.account)}))
        .collect();
    let identities: Vec<Value> = operator
        .identities
        .iter()
        .map(|identity| json!({"issuer": identity.issuer, "subject": identity.subject}))
        .collect();
    json!({
        "name": operator.name.as_str(),
        "description": operator.description,
        "enabled": operator.enabled,
        "has_password": operator.password.is_some(),
        "roles": roles,
        "identities": identities,
    })
}

/// A stored credential without its value.
pub(crate) fn describe_credential(row: &CredentialRow) -> Value {
    json!({
        "caller": row.caller.to_string(),
        "kind": row.kind,
        "app_key": text(row.app_key.as_ref()),
        "scheme": text(row.scheme),
        "is_default": row.is_default,
        "identity_claim": row.identity_claim.as_ref().map(|claim| json!({"name": claim.name, "value": claim.value})),
        "enabled": row.enabled,
        "valid_until": time(row.valid_until),
        "origin": row.origin.as_str(),
        "hint": row.hint,
    })
}

fn describe_proof(credential: &Credential) -> Value {
    let mut value = json!({
        "caller": credential.caller.to_string(),
        "kind": credential.proof.kind(),
        "enabled": credential.enabled,
        "valid_until": time(credential.valid_until),
        "origin": credential.origin.as_str(),
        "reference": credential.proof.reference().and_then(SecretText::shown),
    });
    let more = match &credential.proof {
        Proof::KeyPair { app_key, scheme, is_default, .. } => {
            json!({"app_key": app_key.as_str(), "scheme": scheme.as_str(), "is_default": is_default})
        }
        Proof::AppCode(_) | Proof::ApiKey(_) => json!({}),
        Proof::Jwt(binding) => {
            let claim = &binding.identity_claim;
            json!({
                "identity_claim": {"name": claim.name, "value": claim.value},
                "keys": match &binding.keys {
                    JwtKeys::Own(set) => Some(set.keys().len()),
                    JwtKeys::Reference(_) => None,
                },
                "remote": binding.settings.remote.as_ref().map(|remote| remote.url.as_str()),
                "issuer": binding.settings.issuer,
                "audiences": binding.settings.audiences,
                "clock_skew_s": binding.settings.clock_skew_s,
                "require_exp": binding.settings.require_exp,
                "forward": binding.settings.forward,
            })
        }
    };
    if let (Value::Object(value), Value::Object(more)) = (&mut value, more) {
        value.extend(more);
    }
    value
}

fn describe_gateway(gateway: &Gateway) -> Value {
    let limits = &gateway.spec.limits;
    json!({
        "name": gateway.spec.name.as_str(),
        "description": gateway.spec.description,
        "trusted_proxies": texts(&gateway.spec.trusted_proxies),
        "limits": {
            "head_bytes": limits.head_bytes,
            "headers": limits.headers,
            "body_bytes": limits.body_bytes,
            "header_timeout_ms": limits.header_timeout_ms,
        },
    })
}

fn describe_secret(secret: &Secret) -> Value {
    let spec = &secret.spec;
    json!({
        "name": spec.name.as_str(),
        "description": spec.description,
        "enabled": spec.enabled,
        "valid_until": time(spec.valid_until),
        "held_by": match &spec.source {
            SecretSource::Stored(_) => None,
            SecretSource::Held(held) => Some(held.to_string()),
        },
        "version": secret.version,
        "previous": spec.previous.as_ref().map(|previous| {
            json!({"version": previous.version, "until": previous.until.to_string()})
        }),
        "destinations": spec.destinations.as_deref().map(texts),
        "use": spec.use_by.as_ref().map(names),
        "read": spec.read_by.as_ref().map(names),
    })
}

fn names(names: &BTreeSet<Name>) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn describe_service(service: &Service) -> Value {
    let spec = &service.spec;
    let endpoints: Vec<Value> = spec
        .endpoints
        .iter()
        .map(|endpoint| json!({"url": endpoint.url.as_str(), "weight": endpoint.weight}))
        .collect();
    let auth = spec.service_auth.as_ref().map(|auth| match auth {
        ServiceAuth::Header { name, value } => {
            json!({"header": name.as_str(), "reference": value.as_ref().and_then(SecretText::shown)})
        }
    });
    json!({
        "name": spec.name.as_str(),
        "description": spec.description,
        "enabled": spec.enabled,
        "endpoints": endpoints,
        "timeouts": {
            "connect_ms": spec.timeouts.connect_ms,
            "first_byte_ms": spec.timeouts.first_byte_ms,
            "idle_ms": spec.timeouts.idle_ms,
        },
        "auth": auth,
    })
}

/// Of its code the digest and the size.
fn describe_module(module: &Module) -> Value {
    let settings = &module.settings;
    let services: Vec<&str> = module.services.iter().map(|(name, _)| name.as_str()).collect();
    let limits: serde_json::Map<String, Value> =
        settings.limits.each().iter().map(|(name, value, _)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "name": module.name.as_str(),
        "description": settings.description,
        "enabled": settings.enabled,
        "sha256": settings.wasm.sha256(),
        "bytes": settings.wasm.size(),
        "services": services,
        "on_failure": settings.on_failure.as_str(),
        "sees": {
            "request_body": settings.sees.request_body,
            "response_head": settings.sees.response_head,
            "response_body": settings.sees.response_body,
        },
        "limits": limits,
    })
}

/// Of its configuration without the secrets that are written out in it.
fn describe_plugin(plugin: &Plugin) -> Value {
    let settings = &plugin.settings;
    let on = match &plugin.on {
        PluginOn::Gateway(gateway) => json!({"gateway": gateway.to_string()}),
        PluginOn::Api(api) => json!({"api": api.to_string()}),
        PluginOn::Operation(api, operation) => {
            json!({"api": api.to_string(), "operation": operation.to_string()})
        }
    };
    json!({
        "plugin": settings.kind.to_string(),
        "on": on,
        "order": settings.order,
        "enabled": settings.enabled,
        "description": settings.description,
        "config": settings.config.without_secrets(&settings.kind).json().value(),
    })
}

fn describe_api(api: &Api) -> Value {
    let settings = &api.settings;
    let policy = &settings.signature;
    let stages: serde_json::Map<String, Value> = api
        .stages
        .iter()
        .map(|(stage, binding)| {
            let binding = json!({
                "service": binding.service.to_string(),
                "path_prefix": text(binding.path_prefix.as_ref()),
                "host": text(binding.host.as_ref()),
            });
            (stage.to_string(), binding)
        })
        .collect();
    let words = |words: Vec<&str>| json!(words);
    json!({
        "name": api.name.as_str(),
        "description": settings.description,
        "enabled": settings.enabled,
        "kind": settings.kind.as_str(),
        "gateways": texts(&api.gateways),
        "hosts": texts(&settings.hosts),
        "base_path": settings.base_path.to_string(),
        "strip_base_path": settings.strip_base_path,
        "admits": words(settings.admits.iter().map(|kind| kind.as_str()).collect()),
        "operations": operations(&settings.operations),
        "stages": stages,
        "signature": {
            "schemes": words(policy.schemes.iter().map(|scheme| scheme.as_str()).collect()),
            "algorithms": words(policy.algorithms.iter().map(|algorithm| algorithm.as_str()).collect()),
            "strict": policy.mode == keyward_model::SignatureMode::Strict,
            "window_s": policy.window_s,
            "require_nonce": policy.require_nonce,
            "require_timestamp": policy.require_timestamp,
            "require_body_digest": policy.require_body_digest,
        },
        "app_code_in": {"header": settings.app_code_in.header, "query": settings.app_code_in.query},
        "app_code_requires_tls": settings.app_code_requires_tls,
        "stream_before_digest": settings.stream_before_digest,
        "max_staleness_s": settings.max_staleness_s,
        "allowed_addresses": texts(&settings.allowed_addresses),
        "system_parameters": words(settings.system_parameters.iter().map(|p| p.name.as_str()).collect()),
    })
}

fn describe_caller(caller: &Caller) -> Value {
    let sources: Vec<String> = caller
        .key_sources
        .iter()
        .map(|source| match source {
            KeySource::Bearer => "bearer".to_owned(),
            KeySource::Header(name) => format!("header {name}"),
            KeySource::Query(name) => format!("query {name}"),
        })
        .collect();
    json!({
        "kind": caller.id.kind().noun(),
        "name": caller.name.as_str(),
        "description": caller.description,
        "enabled": caller.enabled,
        "tags": caller.tags,
        "extension": caller.extension,
        "sources": sources,
    })
}

fn describe_grant(grant: &Grant) -> Value {
    let to = match grant.grantee {
        Grantee::Caller(caller) => caller.to_string(),
        Grantee::Group(group) => group.to_string(),
    };
    json!({
        "to": to,
        "api": grant.api.to_string(),
        "stages": texts(&grant.stages.iter().collect::<Vec<_>>()),
        "gateways": grant.gateways.as_deref().map(texts),
        "operations": grant.operations.as_deref().map(operations),
        "valid_from": time(grant.validity.from),
        "valid_until": time(grant.validity.until),
        "revoked": time(grant.revoked),
        "description": grant.description,
    })
}

fn operations(operations: &[Operation]) -> Vec<String> {
    operations.iter().map(ToString::to_string).collect()
}

fn texts<T: Display>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn text<T: Display>(value: Option<T>) -> Option<String> {
    value.map(|value| value.to_string())
}

fn time(at: Option<Timestamp>) -> Option<String> {
    text(at)
}
