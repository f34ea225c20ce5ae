//! A plugin's configuration as it was given: JSON, read strictly.

use super::PluginKind;
use super::built_in::{BuiltIn, BuiltInConfig};
use super::given;
use super::json::{ConfigError, StrictJson};
use crate::SecretText;

/// A plugin's configuration. `Debug` does not show it: it may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginConfig(StrictJson);

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

    /// What it says to a built-in of this kind.
    ///
    /// # Errors
    /// What is wrong, with its path.
    pub fn read(&self, kind: BuiltIn) -> Result<BuiltInConfig, ConfigError> {
        kind.read(&self.0)
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
