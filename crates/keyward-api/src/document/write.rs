//! [`Node`] to YAML or JSON, by serde.

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};

use super::{Node, Value};

/// Writes a tree with every `$` in a text doubled, so that a world file reads it back as it is.
pub(crate) struct Doubled<'n>(pub(crate) &'n Node);

impl Serialize for Doubled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0.value {
            Value::Null => serializer.serialize_unit(),
            Value::Plain(text) => plain(text, serializer),
            Value::Quoted(text) => serializer.serialize_str(&text.replace('$', "$$")),
            Value::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    list.serialize_element(&Doubled(item))?;
                }
                list.end()
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, node) in entries {
                    map.serialize_entry(&key.name, &Doubled(node))?;
                }
                map.end()
            }
        }
    }
}

/// Truth values and whole numbers as such, anything else as a text.
fn plain<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if let Ok(value) = text.parse::<bool>() {
        return serializer.serialize_bool(value);
    }
    match text.parse::<u64>() {
        Ok(number) => serializer.serialize_u64(number),
        Err(_) => serializer.serialize_str(&text.replace('$', "$$")),
    }
}
