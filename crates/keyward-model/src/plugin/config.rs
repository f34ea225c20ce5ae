//! A plugin's configuration as it was given: JSON, read strictly.

use super::PluginKind;
use super::built_in::{BuiltIn, BuiltInConfig};
use super::given;
use super::json::{ConfigError, StrictJson};
use super::shape::Shape;
use crate::{CredentialDigest, Plaintext, SecretText};

/// A plugin's configuration. `Debug` does not show it: it may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginConfig(StrictJson);

/// Digests a secret under the store's key.
pub type Digest<'d> = dyn Fn(&Plaintext) -> CredentialDigest + 'd;

impl PluginConfig {
    /// Longest, in bytes of its text.
    pub const LENGTH_MAX: usize = 256 * 1024;

    /// Reads a configuration for a plugin of this kind: an object that its schema allows.
    ///
    /// # Errors
    /// What is wrong, with its path.
    pub fn parse(kind: &PluginKind, text: &str) -> Result<Self, ConfigError> {
        if text.len() > Self::LENGTH_MAX {
            let text = format!("has {} bytes: at most {}", text.len(), Self::LENGTH_MAX);
            return Err(ConfigError::rule("", text));
        }
        let config = Self(StrictJson::parse(text)?);
        match kind {
            // What stands for a stored secret is checked once that is put in its place.
            PluginKind::BuiltIn(built_in) if config.has_marks(kind) => {
                built_in.shape().check("", config.0.value())?;
            }
            PluginKind::BuiltIn(kind) => config.read(*kind).map(drop)?,
            // What a custom one is told is its own affair.
            PluginKind::Custom(_) if config.0.value().is_object() => {
                check_references("", config.0.value())?;
            }
            PluginKind::Custom(_) => return Err(ConfigError::rule("", "must be an object")),
        }
        Ok(config)
    }

    /// No configuration: an empty object.
    pub fn empty() -> Self {
        Self(StrictJson::empty())
    }

    /// The configuration of a plugin whose stored one cannot be read: no kind takes it, so what it is bound to is closed.
    pub fn unreadable() -> Self {
        Self(StrictJson::of(serde_json::Value::Null))
    }

    /// Is it the one of a plugin whose stored one cannot be read?
    pub fn is_unreadable(&self) -> bool {
        self.0.value().is_null()
    }

    /// What it says to a built-in of this kind.
    ///
    /// # Errors
    /// What is wrong, with its path.
    pub fn read(&self, kind: BuiltIn) -> Result<BuiltInConfig, ConfigError> {
        if self.is_unreadable() {
            return Err(ConfigError::rule("", "the stored configuration cannot be read: give it anew"));
        }
        kind.read(&self.0)
    }

    /// The configuration as it may be shown: where a secret is written out, a mark stands for it. References stay.
    #[must_use]
    pub fn shown(&self, kind: &PluginKind, digest: &Digest<'_>) -> Self {
        self.with_texts(kind, |_, is_secret, text| {
            Ok(match plain_secret(is_secret, text) {
                Some(plain) => mark_of(&plain, digest),
                None => text.to_owned(),
            })
        })
        .unwrap_or_else(|_| Self::unreadable())
    }

    /// The configuration without the secrets that are written out in it: `…` stands for each.
    #[must_use]
    pub fn without_secrets(&self, kind: &PluginKind) -> Self {
        self.with_texts(kind, |_, is_secret, text| {
            Ok(match plain_secret(is_secret, text) {
                Some(_) => "…".to_owned(),
                None => text.to_owned(),
            })
        })
        .unwrap_or_else(|_| Self::unreadable())
    }

    /// The same with what marks stand for in their places, as far as one of these stored configurations of the same kind has it.
    ///
    /// # Errors
    /// A mark that stands for nothing, or a configuration that is wrong then; with its path.
    pub fn restored(
        &self,
        kind: &PluginKind,
        stored: &[&Self],
        digest: &Digest<'_>,
    ) -> Result<Self, ConfigError> {
        if !self.has_marks(kind) {
            return Ok(self.clone());
        }
        let texts = stored.iter().flat_map(|config| config.secrets(kind)).map(|(_, text)| text);
        let known: Vec<(String, SecretText)> =
            texts.filter_map(|text| Some((mark_of(text.plain()?, digest), text))).collect();
        let restored = self.with_texts(kind, |path, is_secret, text| {
            let Some(mark) = plain_secret(is_secret, text).filter(is_mark) else { return Ok(text.to_owned()) };
            match known.iter().find(|(other, _)| other == mark.expose_secret()) {
                Some((_, stored)) => Ok(stored.written().expose_secret().to_owned()),
                None => Err(ConfigError::rule(path, "stands for a stored secret, of which there is none here: write the secret, or `$ref{name}`")),
            }
        })?;
        Self::parse(kind, &restored.0.to_text())
    }

    /// The configuration as a world file has it: every dollar sign doubled that is no reference's.
    #[must_use]
    pub fn doubled(&self, kind: &PluginKind) -> Self {
        let is_custom = matches!(kind, PluginKind::Custom(_));
        let doubled = self.with_texts(kind, |_, is_secret, text| {
            Ok(match is_secret || is_custom {
                true => text.to_owned(),
                false => text.replace('$', "$$"),
            })
        });
        doubled.unwrap_or_else(|_| Self::unreadable())
    }

    fn has_marks(&self, kind: &PluginKind) -> bool {
        let texts = self.secrets(kind);
        texts.iter().any(|(_, text)| text.plain().is_some_and(is_mark))
    }

    fn with_texts(
        &self,
        kind: &PluginKind,
        mut change: impl FnMut(&str, bool, &str) -> Result<String, ConfigError>,
    ) -> Result<Self, ConfigError> {
        let shape = match kind {
            PluginKind::BuiltIn(kind) => kind.shape(),
            PluginKind::Custom(_) => &Shape::Any,
        };
        shape.with_texts("", self.0.value(), &mut change).map(|value| Self(StrictJson::of(value)))
    }

    /// The JSON.
    pub fn json(&self) -> &StrictJson {
        &self.0
    }

    /// The texts that are secrets or may refer to some, each with its path: of a built-in those that its schema marks,
    /// of a custom one every text that has a reference in it.
    pub fn secrets(&self, kind: &PluginKind) -> Vec<(String, SecretText)> {
        let mut found = Vec::new();
        match kind {
            PluginKind::BuiltIn(kind) => {
                let mut note = |path: &str, text: &str| found.push((path.to_owned(), given::secret_of(text)));
                kind.shape().each_secret("", self.0.value(), &mut note);
            }
            PluginKind::Custom(_) => each_reference("", self.0.value(), &mut found),
        }
        found
    }
}

/// A secret that is written out.
fn plain_secret(is_secret: bool, text: &str) -> Option<Plaintext> {
    is_secret.then(|| given::secret_of(text).plain().cloned()).flatten()
}

/// What stands for a secret that is written out, where it must not be shown: the same for the same secret of the same store.
fn mark_of(plain: &Plaintext, digest: &Digest<'_>) -> String {
    let hex: String = digest(plain).0.iter().take(MARK_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("{MARK_START}{hex}}}")
}

/// Is it such a mark?
fn is_mark(plain: &Plaintext) -> bool {
    let hex = plain.expose_secret().strip_prefix(MARK_START).and_then(|rest| rest.strip_suffix('}'));
    hex.is_some_and(|hex| hex.len() == 2 * MARK_BYTES && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

const MARK_START: &str = "$stored{";
const MARK_BYTES: usize = 8;

/// Every text of a custom plugin's configuration may refer to secrets: each must be a text that can be read as one.
fn check_references(path: &str, value: &serde_json::Value) -> Result<(), ConfigError> {
    use serde_json::Value;
    match value {
        Value::String(text) => {
            SecretText::parse(text).map(drop).map_err(|error| ConfigError::rule(path, error.to_string()))
        }
        Value::Array(values) => {
            let mut places = values.iter().enumerate();
            places.try_for_each(|(at, value)| check_references(&format!("{path}[{at}]"), value))
        }
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, value)| check_references(&super::json::member_path(path, name), value)),
        _ => Ok(()),
    }
}

fn each_reference(path: &str, value: &serde_json::Value, found: &mut Vec<(String, SecretText)>) {
    use serde_json::Value;
    match value {
        Value::String(text) => {
            let secret = given::secret_of(text);
            if !secret.is_plain() {
                found.push((path.to_owned(), secret));
            }
        }
        Value::Array(values) => {
            for (at, value) in values.iter().enumerate() {
                each_reference(&format!("{path}[{at}]"), value, found);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                each_reference(&super::json::member_path(path, name), value, found);
            }
        }
        _ => {}
    }
}
