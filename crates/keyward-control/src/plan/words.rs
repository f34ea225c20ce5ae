//! Small words shared by plans and views.

use keyward_model::{
    AccountId, ApiId, CallerId, CredentialId, GatewayId, GrantId, GrantSpec, GranteeSpec, GroupId, ModuleId,
    Noun, PluginId, PluginOn, PluginSpec, SecretId, ServiceId,
};
use keyward_store::RecordId;

use crate::Touched;

/// Would this text, given where an id or a name is expected, be read as an id?
pub(crate) fn looks_like_an_id(text: &str) -> bool {
    fn is<T: std::str::FromStr>(text: &str) -> bool {
        text.parse::<T>().is_ok()
    }
    is::<AccountId>(text)
        || is::<GatewayId>(text)
        || is::<CredentialId>(text)
        || is::<GroupId>(text)
        || is::<SecretId>(text)
        || is::<ServiceId>(text)
        || is::<ApiId>(text)
        || is::<GrantId>(text)
        || is::<ModuleId>(text)
        || is::<PluginId>(text)
        || is::<CallerId>(text)
}

/// How a grant is called in lists, for it has no name: `application shop -> orders`.
pub(crate) fn grant_label(spec: &GrantSpec) -> String {
    let to = match &spec.to {
        GranteeSpec::Named(kind, named) if named.account == spec.account => {
            format!("{} {}", kind.noun(), named.name)
        }
        GranteeSpec::Named(kind, named) => format!("{} {}/{}", kind.noun(), named.account, named.name),
        GranteeSpec::ById(id) => id.to_string(),
        GranteeSpec::Group(name) => format!("group {name}"),
    };
    format!("{to} -> {}", spec.api)
}

/// How a plugin is called in lists, for it has no name: `key-auth on orders GET /{id}`.
pub(crate) fn plugin_label(spec: &PluginSpec) -> String {
    let kind = &spec.settings.kind;
    match &spec.on {
        PluginOn::Gateway(gateway) => format!("{kind} on gateway {gateway}"),
        PluginOn::Api(api) => format!("{kind} on {api}"),
        PluginOn::Operation(api, operation) => format!("{kind} on {api} {operation}"),
    }
}

/// What a report says about an object.
pub(super) fn touched(
    noun: Noun,
    account: Option<&keyward_model::Name>,
    name: impl ToString,
    id: RecordId,
) -> Touched {
    Touched { noun, account: account.cloned(), name: name.to_string(), id: id.to_string() }
}
