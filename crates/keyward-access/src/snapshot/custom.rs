//! Custom plugins, in the form that whoever runs WebAssembly needs: the module, and the configuration with its secrets.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::sync::Arc;

use keyward_model::{AccountId, Module, Plaintext, Plugin, PluginId, SecretName, SecretText, Timestamp};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Snapshot;
use super::entry::END_OF_TIME;
use super::secrets::ValueUse;

/// A plugin that WebAssembly does.
#[derive(Debug)]
pub struct CustomPlugin {
    plugin: PluginId,
    account: AccountId,
    module: Arc<Module>,
    configuration: Result<CustomConfiguration, String>,
    digest: CustomDigest,
}

/// What a custom plugin is told, with the current values of its secrets. Wiped when it is dropped; never shown by `Debug`.
pub struct CustomConfiguration {
    json: Zeroizing<Vec<u8>>,
    secrets: Vec<Plaintext>,
    uses: Vec<Arc<ValueUse>>,
    until: Timestamp,
}

/// By what a running instance is recognised: it changes with the code, with what the code may use and with what it is told. Keyed, so
/// that nobody finds out a secret by it; never shown all the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomDigest([u8; 32]);

/// Whether modules can run, found out before they are to. Implemented by whoever has an engine.
pub trait ModuleCheck: fmt::Debug + Send + Sync + 'static {
    /// Is this WebAssembly that can run here? Takes up to seconds: not for a loop.
    ///
    /// # Errors
    /// Why not: lower case, no full stop.
    fn check_module(&self, module: &Module) -> Result<(), String>;

    /// Does it start with its configuration? It is started for that, sharing nothing with one that runs, and stopped. Takes up to
    /// many seconds: not for a loop.
    ///
    /// # Errors
    /// Why not: lower case, no full stop, without secrets.
    fn check_plugin(&self, plugin: &CustomPlugin) -> Result<(), String>;
}

impl CustomPlugin {
    pub(super) fn new(plugin: &Plugin, module: &Arc<Module>, secrets: &Snapshot) -> Self {
        let value = plugin.settings.config.json().value();
        let configuration = Resolving::new(plugin.account, secrets).resolve(value);
        let digest = digest_of(plugin, module, configuration.as_ref().ok(), secrets);
        Self { plugin: plugin.id, account: plugin.account, module: Arc::clone(module), configuration, digest }
    }

    /// The plugin's id.
    pub fn plugin(&self) -> PluginId {
        self.plugin
    }

    /// Whose it is.
    pub fn account(&self) -> AccountId {
        self.account
    }

    /// The WebAssembly, and how it is to be run.
    pub fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// By what a running instance of it is recognised.
    pub fn digest(&self) -> CustomDigest {
        self.digest
    }

    /// What it is told.
    ///
    /// # Errors
    /// Why a secret in it has no value now: lower case, no full stop, without the value.
    pub fn configuration(&self, now: Timestamp) -> Result<&CustomConfiguration, &str> {
        match &self.configuration {
            Ok(configuration) if now < configuration.until => Ok(configuration),
            Ok(_) => Err("a secret in its configuration is no longer valid"),
            Err(why) => Err(why),
        }
    }

    /// The same, whatever the time is.
    ///
    /// # Errors
    /// Why a secret in it has no value.
    pub fn configuration_at_any_time(&self) -> Result<&CustomConfiguration, &str> {
        self.configuration.as_ref().map_err(String::as_str)
    }
}

impl CustomConfiguration {
    /// The JSON that the guest reads, with its secrets in it. For the guest alone.
    pub fn expose_json(&self) -> &[u8] {
        &self.json
    }

    /// The values of the secrets that it refers to, also those that are on their way out: what must be in no log.
    pub fn expose_secrets(&self) -> &[Plaintext] {
        &self.secrets
    }

    /// First moment in which a secret in it no longer holds.
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Its secrets are used now.
    pub fn note_use(&self, now: Timestamp) {
        self.uses.iter().for_each(|one| one.note(now));
    }
}

impl fmt::Debug for CustomConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomConfiguration(until {})", self.until)
    }
}

impl fmt::Debug for CustomDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomDigest(…)")
    }
}

/// A configuration, on its way to one without references.
struct Resolving<'s> {
    account: AccountId,
    snapshot: &'s Snapshot,
    names: BTreeSet<SecretName>,
    /// What each text comes to, in the order in which they stand.
    texts: Vec<Plaintext>,
    uses: Vec<Arc<ValueUse>>,
    until: Timestamp,
}

impl<'s> Resolving<'s> {
    fn new(account: AccountId, snapshot: &'s Snapshot) -> Self {
        Self {
            account,
            snapshot,
            names: BTreeSet::new(),
            texts: Vec::new(),
            uses: Vec::new(),
            until: END_OF_TIME,
        }
    }

    fn resolve(mut self, value: &Value) -> Result<CustomConfiguration, String> {
        self.read(value)?;
        // Measured first: what grows leaves copies of itself behind.
        let mut length = Length(0);
        let wrong = |_| "it cannot be written as JSON".to_owned();
        write_json(&mut length, value, &mut self.texts.iter()).map_err(wrong)?;
        let mut json = Zeroizing::new(Vec::with_capacity(length.0));
        write_json(&mut *json, value, &mut self.texts.iter()).map_err(wrong)?;
        let secrets = self.secrets();
        Ok(CustomConfiguration { json, secrets, uses: self.uses, until: self.until })
    }

    fn read(&mut self, value: &Value) -> Result<(), String> {
        match value {
            Value::String(text) => self.read_text(text),
            Value::Array(values) => values.iter().try_for_each(|value| self.read(value)),
            Value::Object(members) => members.values().try_for_each(|value| self.read(value)),
            _ => Ok(()),
        }
    }

    fn read_text(&mut self, text: &str) -> Result<(), String> {
        let text = SecretText::parse(text).map_err(|error| error.to_string())?;
        if let Some(plain) = text.plain() {
            self.texts.push(plain.clone());
            return Ok(());
        }
        for name in text.refs() {
            // Where a secret says where it may be sent, nobody can hold a guest to that.
            let entry = self.snapshot.secret_named(self.account, name);
            if entry.is_some_and(|entry| entry.secret.spec.destinations.is_some()) {
                return Err(format!(
                    "secret `{name}` may be sent to some services only, so that no module is given it"
                ));
            }
            self.names.insert(name.clone());
        }
        let resolved = self.snapshot.resolve_secrets(self.account, &text);
        if let Some(trouble) = resolved.trouble {
            return Err(trouble.text);
        }
        let current = resolved.values.into_iter().next().ok_or("a secret has no value")?;
        self.texts.push(current.value);
        self.uses.extend(current.uses);
        self.until = self.until.min(current.until);
        Ok(())
    }

    /// The values of each secret by itself, also the one before the current one.
    fn secrets(&self) -> Vec<Plaintext> {
        let texts = self.names.iter().filter_map(|name| SecretText::parse(&format!("$ref{{{name}}}")).ok());
        let values = texts.flat_map(|text| self.snapshot.resolve_secrets(self.account, &text).values);
        values.map(|one| one.value).collect()
    }
}

/// Writes JSON without blanks, each text as it was resolved.
fn write_json<'t>(
    out: &mut impl io::Write,
    value: &Value,
    texts: &mut impl Iterator<Item = &'t Plaintext>,
) -> io::Result<()> {
    match value {
        Value::String(_) => {
            let text = texts.next().map(Plaintext::expose_secret).unwrap_or_default();
            serde_json::to_writer(out, text).map_err(Into::into)
        }
        Value::Array(values) => {
            out.write_all(b"[")?;
            for (at, value) in values.iter().enumerate() {
                out.write_all(if at == 0 { b"" } else { b"," })?;
                write_json(out, value, texts)?;
            }
            out.write_all(b"]")
        }
        Value::Object(members) => {
            out.write_all(b"{")?;
            for (at, (name, value)) in members.iter().enumerate() {
                out.write_all(if at == 0 { b"" } else { b"," })?;
                serde_json::to_writer(&mut *out, name)?;
                out.write_all(b":")?;
                write_json(out, value, texts)?;
            }
            out.write_all(b"}")
        }
        other => serde_json::to_writer(out, other).map_err(Into::into),
    }
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Over everything that an instance depends on. What is looked at call by call (what it sees, what becomes of its failures) is not.
fn digest_of(
    plugin: &Plugin,
    module: &Module,
    configuration: Option<&CustomConfiguration>,
    snapshot: &Snapshot,
) -> CustomDigest {
    let told = configuration.map(|configuration| snapshot.digest(&configuration.json).0).unwrap_or_default();
    let mut text = format!(
        "keyward: a custom plugin\n{}\n{}\n{}\n{}\n",
        plugin.id,
        plugin.account,
        module.name,
        module.settings.wasm.sha256()
    );
    for (name, value, _) in module.settings.limits.each() {
        text.push_str(&format!("{name}={value}\n"));
    }
    for (name, id) in &module.services {
        text.push_str(&format!("service {name}={id}\n"));
    }
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(&told);
    CustomDigest(snapshot.digest(&bytes).0)
}
