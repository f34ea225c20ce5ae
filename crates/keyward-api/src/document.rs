//! Documents as people write them: a tree of values, each of which knows where it stands.
//!
//! A tree and not a target type, because a reader that stops at the first mistake makes people repair a file
//! line by line, and because duplicate keys must be seen rather than resolved.

mod json;
mod write;
mod yaml;

pub(crate) use write::Doubled;

use keyward_model::Place;

/// One value of a document.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    /// Where it begins.
    pub(crate) at: Position,
    /// What it is.
    pub(crate) value: Value,
}

/// Line and column, both from 1; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// The forms a value can have.
#[derive(Clone, PartialEq)]
pub(crate) enum Value {
    /// Nothing: `null`, `~`, or left empty.
    Null,
    /// Unquoted: what it is (a number, a truth value, a text) depends on what is expected.
    Plain(String),
    /// Quoted: always a text.
    Quoted(String),
    /// A list.
    List(Vec<Node>),
    /// Keys and values in the order of the document, duplicates included.
    Map(Vec<(Key, Node)>),
}

/// A key of a [`Value::Map`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) at: Position,
    pub(crate) name: String,
}

/// A text that is no document at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) at: Position,
    pub(crate) message: String,
}

impl Node {
    /// Reads YAML 1.2, one document, without merge keys and foreign tags.
    pub(crate) fn from_yaml(text: &str) -> Result<Self, SyntaxError> {
        yaml::parse(text)
    }

    /// Reads JSON. Its nodes have no positions.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, SyntaxError> {
        json::parse(text)
    }

    /// The tree of what would be written as JSON.
    pub(crate) fn of(value: &impl serde::Serialize) -> Result<Self, SyntaxError> {
        let text = serde_json::to_vec(value)
            .map_err(|error| SyntaxError { at: Position::default(), message: error.to_string() })?;
        Self::from_json(&text)
    }

    /// The value under this key, where this is a map that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find(|(key, _)| key.name == name).map(|(_, node)| node)
    }

    pub(crate) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// Puts what `patch` says over this (RFC 7396). A `null` stays there as a `null`, which says "absent" to a
    /// reader, so that a field that does not exist is still seen.
    pub(crate) fn merge(&mut self, patch: Self) {
        let (Value::Map(ours), Value::Map(theirs)) = (&mut self.value, patch.value) else { return };
        for (key, node) in theirs {
            match ours.iter_mut().find(|(known, _)| known.name == key.name) {
                Some((_, known)) if known.is_map() && node.is_map() => known.merge(node),
                Some((_, known)) => *known = node,
                None => ours.push((key, node)),
            }
        }
    }

    /// The path of the first key that is given twice.
    pub(crate) fn repeated(&self) -> Option<String> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().enumerate().find_map(|(at, (key, node))| {
            if entries.iter().take(at).any(|(other, _)| other.name == key.name) {
                return Some(key.name.clone());
            }
            node.repeated().map(|below| format!("{}.{below}", key.name))
        })
    }

    /// What kind of thing this is, for people.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Plain(_) | Value::Quoted(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The place of the deepest value on this path (`applications[0].name`) that is there.
    pub(crate) fn locate(&self, path: &str) -> Place {
        let mut here = self;
        let mut at = self.at;
        for step in path.split(['.', '[']).filter(|step| !step.is_empty()) {
            let next = match (&here.value, step.strip_suffix(']')) {
                (Value::List(items), Some(index)) => index.parse().ok().and_then(|i: usize| items.get(i)),
                (Value::Map(_), None) => here.get(step),
                _ => None,
            };
            let Some(next) = next else { break };
            (here, at) = (next, next.at);
        }
        Place { line: at.line, column: at.column, path: path.to_owned() }
    }
}

/// Documents carry secrets, so their texts are not shown.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Null => f.write_str("Null"),
            Self::Plain(_) => f.write_str("Plain(…)"),
            Self::Quoted(_) => f.write_str("Quoted(…)"),
            Self::List(items) => f.debug_list().entries(items).finish(),
            Self::Map(entries) => {
                f.debug_map().entries(entries.iter().map(|(key, node)| (&key.name, node))).finish()
            }
        }
    }
}

/// Deepest nesting of a document: far above what any noun needs, far below what a stack bears.
const DEPTH_MAX: usize = 32;
