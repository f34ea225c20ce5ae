//! A secret in a plugin's configuration: the text itself, or one that refers to secrets.

use std::fmt;

use crate::Plaintext;

/// A text of a configuration that is a secret, or refers to secrets by `$ref{name}`. Not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct PluginSecret(Plaintext);

impl PluginSecret {
    /// Takes over the text as it was written.
    pub fn new(text: &str) -> Self {
        Self(Plaintext::new(text))
    }

    /// Does it refer to no secret, so that what was written is the value?
    pub fn is_plain(&self) -> bool {
        !self.0.expose_secret().contains("$ref{")
    }

    /// The value, unless it has to be looked up.
    pub fn plain(&self) -> Option<&Plaintext> {
        self.is_plain().then_some(&self.0)
    }
}

impl fmt::Debug for PluginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PluginSecret(…)")
    }
}
