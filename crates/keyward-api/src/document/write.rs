//! [`Node`] to YAML or JSON, by serde.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Node, Value};

/// Where secrets may be referred to, by keys; `*` is every item. What stands there has its dollar signs doubled already,
/// so that a reference differs from plain text.
const WRITTEN: &[&[&str]] = &[
    &["services", "*", "auth", "header", "value"],
    &["applications", "*", "key_pairs", "*", "app_secret"],
    &["applications", "*", "app_codes", "*"],
    &["consumers", "*", "api_key", "keys", "*"],
    &["consumers", "*", "jwt", "jwks"],
    &["plugins", "*", "config"],
];

/// Writes a world with every `$` in a text doubled, so that a world file reads it back as it is.
pub(crate) struct Doubled<'n> {
    node: &'n Node,
    /// What is left of the paths of [`WRITTEN`] that lead on from here.
    paths: Vec<&'static [&'static str]>,
}

impl<'n> Doubled<'n> {
    /// Of a whole world.
    pub(crate) fn world(node: &'n Node) -> Self {
        Self { node, paths: WRITTEN.to_vec() }
    }

    fn within(&self, node: &'n Node, key: &str) -> Self {
        let leads_on = |path: &&'static [&'static str]| match path {
            [] => Some(*path),
            [first, rest @ ..] => (*first == key).then_some(rest),
        };
        Self { node, paths: self.paths.iter().filter_map(leads_on).collect() }
    }

    fn text(&self, text: &str) -> String {
        match self.paths.iter().any(|path| path.is_empty()) {
            true => text.to_owned(),
            false => text.replace('$', "$$"),
        }
    }
}

impl Serialize for Doubled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.node.value {
            Value::Null => serializer.serialize_unit(),
            Value::Plain(text) => self.plain(text, serializer),
            Value::Quoted(text) => serializer.serialize_str(&self.text(text)),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&self.within(item, "*"))?;
                }
                list.end()
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(&key.name, &self.within(node, &key.name))?;
                }
                map.end()
            }
        }
    }
}

impl Doubled<'_> {
    /// Truth values and numbers as such, anything else as a text.
    fn plain<S: Serializer>(&self, text: &str, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(value) = text.parse::<bool>() {
            return serializer.serialize_bool(value);
        }
        match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) => number.serialize(serializer),
            Err(_) => serializer.serialize_str(&self.text(text)),
        }
    }
}
