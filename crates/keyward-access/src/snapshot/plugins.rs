//! Plugins, in the form that calls need: configurations read, secrets resolved, patterns and schemas compiled.

use std::fmt;
use std::sync::Arc;

use keyward_model::{
    AccountId, ApiId, BasicAuth, BuiltIn, BuiltInConfig, CallerId, CallerKind, Counting, Credential,
    CredentialDigest, CredentialId, HmacAuth, IdentityClaim, JwkSet, JwtAuth, KeyAuth, OpaqueProof,
    Operation, Origin, ParseError, Plaintext, Plugin, PluginId, PluginKind, PluginPhase, Proof, SecretText,
    Timestamp, owned,
};
use uuid::Uuid;

use super::Snapshot;
use super::custom::CustomPlugin;
use super::entry::{
    CallerEntry, CredentialEntry, END_OF_TIME, Extras, JwtEntry, KeyPairEntry, ProofEntry, Referred,
};
use super::secrets::{Alternative, Resolved, Trouble, ValueUse};
use super::usage::{Part, place_parts};
use crate::jwt::VerifyingKeys;
use crate::plugin_rules::{BlockRules, CallSchemas};
use crate::signature::SigningSecret;

/// A plugin, in the form that calls need.
#[derive(Debug)]
pub struct PluginEntry {
    pub(crate) plugin: Plugin,
    work: PluginWork,
    /// What those texts of the configuration come to that go out: to a service or with an answer.
    values: Vec<(SecretText, Option<Outgoing>)>,
    /// What is wrong with secrets that it refers to.
    trouble: Option<Trouble>,
}

/// What a plugin does to a call.
#[derive(Debug)]
#[non_exhaustive]
pub enum PluginWork {
    /// It admits those who present something.
    Admit(Box<Admit>),
    /// It refuses calls by what is in them.
    Block(Box<BlockRules>),
    /// It refuses calls that are not as schemas say.
    Validate(Box<CallSchemas>),
    /// What the configuration says.
    BuiltIn(BuiltInConfig),
    /// What WebAssembly does.
    Custom(Arc<CustomPlugin>),
    /// It cannot do what it is for: what it is bound to is closed. Lower case, no full stop, without secrets.
    Broken(Box<str>),
}

impl PluginEntry {
    /// Works a plugin up.
    ///
    /// # Errors
    /// Why it cannot do what it is for.
    pub(crate) fn new(plugin: Plugin, secrets: &Snapshot) -> Result<Self, String> {
        let (work, values) = match &plugin.settings.kind {
            PluginKind::Custom(name) => {
                let module = secrets.module_named(plugin.account, name);
                let module = module.ok_or_else(|| format!("there is no module `{name}`"))?;
                let custom = CustomPlugin::new(&plugin, module, secrets);
                (PluginWork::Custom(Arc::new(custom)), Vec::new())
            }
            PluginKind::BuiltIn(kind) => {
                let config = plugin.settings.config.read(*kind).map_err(|error| error.to_string())?;
                let unknown = config
                    .services()
                    .into_iter()
                    .find(|(_, name)| !plugin.services.iter().any(|(other, _)| other == *name));
                if let Some((field, name)) = unknown {
                    return Err(format!("`{field}`: there is no service `{name}`"));
                }
                let values = match kind.phase() {
                    PluginPhase::Authentication => Vec::new(),
                    _ => values_of(&plugin, secrets),
                };
                (work_of(&plugin, config, secrets)?, values)
            }
        };
        let trouble = trouble_of(&plugin, secrets);
        Ok(Self { plugin, work, values, trouble })
    }

    /// The same where it cannot do what it is for.
    pub(crate) fn broken(plugin: Plugin, why: &str) -> Self {
        let trouble = Some(Trouble::away(why));
        Self { plugin, work: PluginWork::Broken(why.into()), values: Vec::new(), trouble }
    }

    /// The plugin itself.
    pub fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    /// What it does.
    pub fn work(&self) -> &PluginWork {
        &self.work
    }

    /// Why it cannot do all that it is for; lower case, no full stop, without secrets.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_ref().map(|trouble| &*trouble.text)
    }

    /// Why a value that a secret has cannot be used in it.
    pub(crate) fn unfit(&self) -> Option<&str> {
        self.trouble.as_ref().filter(|trouble| trouble.unfit).map(|trouble| &*trouble.text)
    }

    /// When it acts. What is broken closes the door where the first of all would open it.
    pub fn phase(&self) -> PluginPhase {
        match &self.plugin.settings.kind {
            PluginKind::BuiltIn(kind) => kind.phase(),
            PluginKind::Custom(_) => PluginPhase::Request,
        }
    }

    /// What a text of the configuration comes to now; `None` where a secret in it has no value.
    pub fn value_of<'a>(&'a self, text: &'a SecretText, now: Timestamp) -> Option<&'a Plaintext> {
        if let Some(plain) = text.plain() {
            return Some(plain);
        }
        let outgoing = self.values.iter().find(|(other, _)| other == text)?.1.as_ref()?;
        outgoing.uses.iter().for_each(|one| one.note(now));
        (now < outgoing.until).then_some(&outgoing.value)
    }

    /// Can it not do what it is for?
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.work, PluginWork::Broken(_))
    }

    pub(crate) fn admit(&self) -> Option<&Admit> {
        match &self.work {
            PluginWork::Admit(admit) => Some(admit),
            _ => None,
        }
    }
}

fn work_of(plugin: &Plugin, config: BuiltInConfig, secrets: &Snapshot) -> Result<PluginWork, String> {
    let admit = |admit: Result<Admit, String>| admit.map(|admit| PluginWork::Admit(Box::new(admit)));
    match config {
        BuiltInConfig::KeyAuth(config) => admit(Admit::keys(plugin, &config, secrets)),
        BuiltInConfig::BasicAuth(config) => admit(Admit::users(plugin, &config, secrets)),
        BuiltInConfig::JwtAuth(config) => admit(Admit::tokens(plugin, &config, secrets)),
        BuiltInConfig::HmacAuth(config) => admit(Admit::pairs(plugin, &config, secrets)),
        BuiltInConfig::RequestBlock(config) => Ok(PluginWork::Block(Box::new(BlockRules::compile(*config)?))),
        BuiltInConfig::RequestValidation(config) => {
            Ok(PluginWork::Validate(Box::new(CallSchemas::compile(*config)?)))
        }
        BuiltInConfig::Quota(config) if config.counting != Counting::Node => {
            Err("`shared` is not supported by this version".to_owned())
        }
        BuiltInConfig::RateLimit(config) if config.counting != Counting::Node => {
            Err("`shared` is not supported by this version".to_owned())
        }
        other => Ok(PluginWork::BuiltIn(other)),
    }
}

/// What the texts come to that refer to secrets.
fn values_of(plugin: &Plugin, secrets: &Snapshot) -> Vec<(SecretText, Option<Outgoing>)> {
    let texts = plugin.settings.config.secrets(&plugin.settings.kind).into_iter();
    let texts = texts.map(|(_, text)| text).filter(|text| !text.is_plain());
    let is_signature = plugin.settings.kind == PluginKind::BuiltIn(BuiltIn::BackendSignature);
    let current = |text: SecretText| {
        // Where a secret says where it may be sent, that is for services to hold to. A signature is not the secret.
        let names = text.refs();
        let mut entries = names.iter().filter_map(|name| secrets.secret_named(plugin.account, name));
        if !is_signature && entries.any(|entry| entry.secret.spec.destinations.is_some()) {
            return (text, None);
        }
        let value = resolve(secrets, plugin.account, &text).into_iter().next();
        let outgoing = value.map(|Alternative { value, uses, until }| Outgoing { value, uses, until });
        (text, outgoing)
    };
    texts.map(current).collect()
}

/// What is wrong with the secrets that a plugin refers to: the first that has no value, or one that cannot be used.
fn trouble_of(plugin: &Plugin, secrets: &Snapshot) -> Option<Trouble> {
    let kind = &plugin.settings.kind;
    let texts = plugin.settings.config.secrets(kind);
    texts.iter().filter(|(_, text)| !text.is_plain()).find_map(|(path, text)| {
        let Resolved { values, trouble } = secrets.resolve_secrets(plugin.account, text);
        let trouble = trouble.or_else(|| {
            let current = values.first()?;
            plugin_takes(kind, &current.value).err().map(Trouble::unfit)
        })?;
        Some(Trouble { text: format!("`{path}`: {}", trouble.text), ..trouble })
    })
}

/// Can a plugin of this kind use this value, which a secret has that it refers to?
///
/// # Errors
/// Why not.
pub fn plugin_takes(kind: &PluginKind, value: &Plaintext) -> Result<(), String> {
    match kind {
        PluginKind::BuiltIn(BuiltIn::KeyAuth) => KeyAuth::fits(value).map_err(str::to_owned),
        PluginKind::BuiltIn(BuiltIn::JwtAuth) => {
            let compiled = JwkSet::of_secret(value).and_then(|set| VerifyingKeys::compile(&set));
            compiled.map(drop).map_err(|error| error.to_string())
        }
        _ => Ok(()),
    }
}

/// What a text with references comes to, to be sent.
struct Outgoing {
    value: Plaintext,
    uses: Box<[Arc<ValueUse>]>,
    until: Timestamp,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing(until {})", self.until)
    }
}

/// What a text may come to now, the current value first; nothing where a secret in it is not to be had.
fn resolve(secrets: &Snapshot, account: AccountId, text: &SecretText) -> Vec<Alternative> {
    if let Some(plain) = text.plain() {
        return vec![Alternative { value: plain.clone(), uses: Box::default(), until: END_OF_TIME }];
    }
    let Resolved { values, trouble } = secrets.resolve_secrets(account, text);
    if trouble.is_some() { Vec::new() } else { values }
}

/// Who is admitted by a plugin. The plugin itself stands for whoever that is.
pub struct Admit {
    /// A caller of the plugin's own, which is in no list of callers, and its credentials.
    pub(crate) caller: CallerEntry,
    pub(crate) by: AdmitBy,
    /// Where credentials may stand.
    pub(crate) places: Vec<(Part, Box<str>)>,
    /// What a refusal says that lacks one.
    pub(crate) challenge: Box<str>,
}

/// By what it is admitted.
pub(crate) enum AdmitBy {
    /// A key as it is.
    Keys,
    /// Name and password.
    Users,
    /// A token with these claims.
    Tokens { claims: Vec<(Box<str>, Box<str>)> },
    /// A signature.
    Pairs,
}

impl fmt::Debug for Admit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admit").field("places", &self.places).finish_non_exhaustive()
    }
}

impl Admit {
    fn keys(plugin: &Plugin, config: &KeyAuth, secrets: &Snapshot) -> Result<Self, String> {
        let values = config.credentials.iter().flat_map(|text| resolve(secrets, plugin.account, text));
        // What a secret holds may be anything; what is no key admits nobody.
        let values = values.filter(|one| KeyAuth::fits(&one.value).is_ok());
        let credentials = values.map(|one| {
            let digest = secrets.digest(one.value.expose_secret().as_bytes());
            credential(plugin, &digest.0, &one, ProofEntry::ApiKey(digest))
        });
        let mut places = Vec::new();
        if config.in_header {
            places.extend(config.keys.iter().map(|name| (Part::Header, name.as_str().into())));
        }
        if config.in_query {
            places.extend(config.names.iter().map(|name| (Part::Query, name.clone())));
        }
        let challenge = format!("Key realm=\"{}\"", config.realm);
        Self::new(plugin, credentials.collect(), AdmitBy::Keys, places, &challenge)
    }

    fn users(plugin: &Plugin, config: &BasicAuth, secrets: &Snapshot) -> Result<Self, String> {
        let mut credentials = Vec::new();
        for user in &config.users {
            for one in resolve(secrets, plugin.account, &user.password) {
                let pair = Plaintext::new(format!("{}:{}", user.name, one.value.expose_secret()));
                let digest = secrets.digest(pair.expose_secret().as_bytes());
                credentials.push(credential(plugin, &digest.0, &one, ProofEntry::ApiKey(digest)));
            }
        }
        let places = vec![(Part::Header, "authorization".into())];
        let challenge = format!("Basic realm=\"{}\", charset=\"UTF-8\"", config.realm);
        Self::new(plugin, credentials, AdmitBy::Users, places, &challenge)
    }

    fn tokens(plugin: &Plugin, config: &JwtAuth, secrets: &Snapshot) -> Result<Self, String> {
        let mut credentials = Vec::new();
        for one in resolve(secrets, plugin.account, &config.jwks) {
            let compiled = JwkSet::of_secret(&one.value).and_then(|set| VerifyingKeys::compile(&set));
            let keys = match compiled {
                Ok(keys) => Arc::new(keys),
                Err(error) if config.jwks.is_plain() => return Err(error.to_string()),
                // What a secret holds may be anything; by what is no key set nobody is admitted.
                Err(_) => continue,
            };
            let digest = secrets.digest(one.value.expose_secret().as_bytes());
            let entry = JwtEntry {
                keys: Some(keys),
                settings: config.settings.clone(),
                identity: IdentityClaim { name: "".into(), value: "".into() },
            };
            credentials.push(credential(plugin, &digest.0, &one, ProofEntry::Jwt(Box::new(entry))));
        }
        let (part, name, _) = place_parts(&config.settings.token);
        let by = AdmitBy::Tokens { claims: config.claims.clone() };
        Self::new(plugin, credentials, by, vec![(part, name.into())], "Bearer realm=\"keyward\"")
    }

    fn pairs(plugin: &Plugin, config: &HmacAuth, secrets: &Snapshot) -> Result<Self, String> {
        let mut credentials = Vec::new();
        for pair in &config.key_pairs {
            for one in resolve(secrets, plugin.account, &pair.app_secret) {
                let entry = KeyPairEntry {
                    app_key: pair.app_key.clone(),
                    secret: SigningSecret::new(&one.value),
                    scheme: pair.scheme,
                };
                let digest =
                    secrets.digest(format!("{}:{}", pair.app_key, one.value.expose_secret()).as_bytes());
                credentials.push(credential(plugin, &digest.0, &one, ProofEntry::KeyPair(Box::new(entry))));
            }
        }
        // What signs stands in fields that are never carried on, or in `Authorization`.
        let places = vec![(Part::Header, "authorization".into())];
        Self::new(plugin, credentials, AdmitBy::Pairs, places, "X-Ca-Signature realm=\"keyward\"")
    }

    fn new(
        plugin: &Plugin,
        mut credentials: Vec<CredentialEntry>,
        by: AdmitBy,
        places: Vec<(Part, Box<str>)>,
        challenge: &str,
    ) -> Result<Self, String> {
        credentials.sort_by_key(|credential| credential.id);
        let name = plugin.settings.kind.to_string().parse().map_err(|error: ParseError| error.to_string())?;
        let caller = CallerEntry {
            id: CallerId::from_uuid(CallerKind::Consumer, plugin.id.uuid()),
            account: plugin.account,
            enabled: true,
            name,
            extras: Arc::new(Extras::default()),
            credentials: credentials.into(),
            grants: Arc::default(),
        };
        Ok(Self { caller, by, places, challenge: challenge.into() })
    }

    /// The credential of this digest, compared in constant time.
    pub(crate) fn by_digest(&self, digest: &CredentialDigest) -> Option<&CredentialEntry> {
        self.caller.credentials.iter().find(|credential| match &credential.proof {
            ProofEntry::ApiKey(ours) => super::same_digest(ours, digest),
            _ => false,
        })
    }

    /// The key pairs of this AppKey: one, or two while a secret of it changes.
    pub(crate) fn by_app_key(
        &self,
        app_key: &str,
    ) -> impl Iterator<Item = (&CredentialEntry, &KeyPairEntry)> {
        self.caller.credentials.iter().filter_map(move |credential| match &credential.proof {
            ProofEntry::KeyPair(pair) if pair.app_key.as_str() == app_key => Some((credential, &**pair)),
            _ => None,
        })
    }

    /// Is there nothing by which anybody could be admitted now?
    pub(crate) fn is_without_credentials(&self) -> bool {
        self.caller.credentials.is_empty()
    }
}

/// An entry whose id follows from what it is, so that it is the same one as long as that is so.
fn credential(plugin: &Plugin, digest: &[u8; 32], one: &Alternative, proof: ProofEntry) -> CredentialEntry {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    let id = CredentialId::from_uuid(Uuid::from_bytes(bytes));
    let source = Credential {
        id,
        caller: CallerId::from_uuid(CallerKind::Consumer, plugin.id.uuid()),
        enabled: true,
        valid_until: None,
        origin: Origin::Reference,
        created: Timestamp::from_millis(0),
        proof: Proof::ApiKey(OpaqueProof::Digest(CredentialDigest(*digest))),
    };
    let referred = (!one.uses.is_empty()).then(|| {
        let uses = one.uses.clone();
        Arc::new(Referred { source: Arc::new(source), trouble: None, has_value: true, uses })
    });
    CredentialEntry { id, enabled: true, until: one.until, proof, referred }
}

/// What is bound to an API and its operations.
#[derive(Debug)]
pub struct ApiPlugins {
    pub(crate) api: ApiId,
    /// In id order, those that are disabled left out.
    pub(crate) all: Vec<Arc<PluginEntry>>,
    /// What is bound to the API itself, in order.
    pub(crate) of_api: Arc<[Arc<PluginEntry>]>,
    /// What is bound to operations, each in order.
    pub(crate) of_operations: Vec<(Operation, Arc<[Arc<PluginEntry>]>)>,
}

impl ApiPlugins {
    pub(crate) fn new(api: ApiId, mut all: Vec<Arc<PluginEntry>>) -> Self {
        use keyward_model::PluginOn as On;
        all.sort_by_key(|entry| entry.plugin.id);
        let mut of_operations: Vec<(Operation, Vec<Arc<PluginEntry>>)> = Vec::new();
        let mut of_api = Vec::new();
        for entry in all.iter().filter(|entry| entry.plugin.settings.enabled) {
            match &entry.plugin.on {
                On::Gateway(_) => {}
                On::Api(_) => of_api.push(Arc::clone(entry)),
                On::Operation(_, operation) => {
                    match of_operations.iter_mut().find(|(other, _)| other == operation) {
                        Some((_, list)) => list.push(Arc::clone(entry)),
                        None => of_operations.push((operation.clone(), vec![Arc::clone(entry)])),
                    }
                }
            }
        }
        let of_operations = of_operations.into_iter().map(|(operation, list)| (operation, in_order(list)));
        Self { api, all, of_api: in_order(of_api), of_operations: of_operations.collect() }
    }
}

/// By order, then by age.
pub(crate) fn in_order(mut list: Vec<Arc<PluginEntry>>) -> Arc<[Arc<PluginEntry>]> {
    list.sort_by_key(|entry| (entry.plugin.settings.order, entry.plugin.id));
    list.into()
}

/// The plugins that act on one call: those of its gateway, then of its API, then of its operation.
#[derive(Clone, Copy, Debug, Default)]
pub struct PluginSet<'a> {
    gateway: &'a [Arc<PluginEntry>],
    api: &'a [Arc<PluginEntry>],
    operation: &'a [Arc<PluginEntry>],
    /// All that is bound to the API and any of its operations.
    bound: &'a [Arc<PluginEntry>],
    /// The account whose API is called: who authenticates for others opens nothing.
    account: Option<AccountId>,
}

impl<'a> PluginSet<'a> {
    pub(crate) fn new(
        gateway: &'a [Arc<PluginEntry>],
        bound: Option<&'a ApiPlugins>,
        operation: Option<&Operation>,
        account: AccountId,
    ) -> Self {
        let api = bound.map_or(&[][..], |bound| &bound.of_api);
        let list_of = |bound: &'a ApiPlugins| {
            let mut lists = bound.of_operations.iter();
            lists.find(|(other, _)| Some(other) == operation).map(|(_, list)| &**list)
        };
        let operation = bound.and_then(list_of).unwrap_or_default();
        let bound = bound.map_or(&[][..], |bound| &bound.all);
        Self { gateway, api, operation, bound, account: Some(account) }
    }

    /// Is nothing to be done?
    pub fn is_empty(self) -> bool {
        self.gateway.is_empty() && self.api.is_empty() && self.operation.is_empty()
    }

    /// All of them, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a Arc<PluginEntry>> {
        self.gateway.iter().chain(self.api).chain(self.operation)
    }

    /// Those that admit callers: of a gateway's, only to APIs of their own account.
    pub(crate) fn admits(self) -> impl Iterator<Item = (&'a Arc<PluginEntry>, &'a Admit)> {
        let all = self.iter().filter_map(|entry| Some((entry, entry.admit()?)));
        all.filter(move |(entry, _)| Some(entry.plugin.account) == self.account)
    }

    /// Those that admit callers to any operation of the API: what is a credential for one is one for all.
    fn bound_admits(self) -> impl Iterator<Item = &'a Admit> {
        let of_gateway = self.gateway.iter().filter(move |entry| Some(entry.plugin.account) == self.account);
        let bound = self.bound.iter().filter(|entry| entry.plugin.settings.enabled);
        of_gateway.chain(bound).filter_map(|entry| entry.admit())
    }

    /// Those that were to admit callers and are broken close the door.
    pub(crate) fn is_guarded(self) -> bool {
        let guards = |entry: &Arc<PluginEntry>| {
            entry.phase() == PluginPhase::Authentication && Some(entry.plugin.account) == self.account
        };
        self.iter().any(guards)
    }

    /// What to tell who presented nothing.
    pub fn challenges(self) -> impl Iterator<Item = &'a str> {
        self.admits().map(|(_, admit)| &*admit.challenge)
    }

    /// The same lists as these? Then what was made of them still holds.
    pub fn is_same(self, other: PluginSet<'_>) -> bool {
        let same = |one: &[Arc<PluginEntry>], other: &[Arc<PluginEntry>]| {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| Arc::ptr_eq(one, other))
        };
        same(self.gateway, other.gateway)
            && same(self.api, other.api)
            && same(self.operation, other.operation)
    }

    /// Is a header field, parameter or cookie of this name where a plugin looks for credentials?
    pub(crate) fn is_place(self, part: Part, name: &str) -> bool {
        self.bound_admits().any(|admit| is_place(admit, part, name))
    }

    /// Are there places of this part?
    pub(crate) fn has_places(self, part: Part) -> bool {
        self.bound_admits().any(|admit| admit.places.iter().any(|(other, _)| *other == part))
    }

    /// Is it a field in which a plugin hands claims to the service?
    pub(crate) fn is_claim_field(self, name: &str) -> bool {
        self.bound_admits().flat_map(|admit| admit.caller.credentials.iter()).any(|credential| {
            let ProofEntry::Jwt(jwt) = &credential.proof else { return false };
            let mut fields = jwt.settings.claims_to_headers.iter();
            fields.any(|claim| owned::reads_as(name, &owned::folded(claim.header.as_str())))
        })
    }
}

fn is_place(admit: &Admit, part: Part, name: &str) -> bool {
    admit.places.iter().any(|(other, place)| {
        *other == part
            && match part {
                Part::Header => place.eq_ignore_ascii_case(name),
                Part::Query | Part::Cookie => **place == *name,
            }
    })
}

impl Snapshot {
    /// What is bound to an API, as far as there is anything.
    pub(crate) fn bound_to(&self, api: ApiId) -> Option<&Arc<ApiPlugins>> {
        super::find(&self.bound, self.hashes.uuid(api.uuid()), &api)
    }

    /// The entry of a plugin that admits callers to this API at this gateway.
    pub(crate) fn admitting(
        &self,
        gateway: keyward_model::GatewayId,
        api: ApiId,
        id: PluginId,
    ) -> Option<&Admit> {
        let entry = self.plugin(id).filter(|entry| entry.plugin.settings.enabled)?;
        let is_bound = match &entry.plugin.on {
            keyward_model::PluginOn::Gateway(other) => *other == gateway,
            on => on.api() == Some(&api),
        };
        entry.admit().filter(|_| is_bound)
    }
}
