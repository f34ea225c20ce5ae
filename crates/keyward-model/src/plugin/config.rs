//! A plugin's configuration as it was given: JSON, read strictly.

use super::built_in::{BuiltIn, BuiltInConfig};
use super::json::{ConfigError, StrictJson};
use super::{PluginKind, PluginSecret};

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
            PluginKind::Custom(_) if config.0.value().is_object() => {}
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
    pub fn secrets(&self, kind: &PluginKind) -> Vec<(String, PluginSecret)> {
        let mut found = Vec::new();
        match kind {
            PluginKind::BuiltIn(kind) => {
                let mut note =
                    |path: &str, text: &str| found.push((path.to_owned(), PluginSecret::new(text)));
                kind.shape().each_secret("", self.0.value(), &mut note);
            }
            PluginKind::Custom(_) => each_reference("", self.0.value(), &mut found),
        }
        found
    }
}

fn each_reference(path: &str, value: &serde_json::Value, found: &mut Vec<(String, PluginSecret)>) {
    use serde_json::Value;
    match value {
        Value::String(text) => {
            let secret = PluginSecret::new(text);
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
