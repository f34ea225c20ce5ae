//! What a configuration looks like, written down once: the reader checks by it, and the JSON Schema is made from it.

use serde_json::{Map, Value};

use super::given;
use super::json::{ConfigError, member_path};
use crate::SecretText;

/// What a value may be.
#[derive(Debug)]
pub enum Shape {
    /// A text of this many characters and of this format.
    Text {
        /// Fewest characters.
        least: usize,
        /// Most characters.
        most: usize,
        /// What else must hold.
        format: Format,
    },
    /// A text that is a secret, or refers to secrets by `$ref{name}`.
    Secret {
        /// Most characters.
        most: usize,
    },
    /// A whole number within these bounds.
    Whole {
        /// The smallest.
        least: i64,
        /// The largest.
        most: i64,
    },
    /// `true` or `false`.
    Flag,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A list of so many.
    List {
        /// What each is.
        of: &'static Shape,
        /// Fewest.
        least: usize,
        /// Most.
        most: usize,
    },
    /// An object with these members and no others.
    Object(&'static [Member]),
    /// An object whose members all look like this and have names of this format.
    Map {
        /// What each is.
        of: &'static Shape,
        /// What the names must be.
        names: Format,
        /// Most members.
        most: usize,
    },
    /// One of these; no two may be of the same JSON type.
    Either(&'static [Shape]),
    /// Any JSON.
    Any,
    /// A JSON Schema.
    Schema,
}

/// A member of an object.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub shape: Shape,
    /// Must it be there?
    pub need: Need,
    /// What it is for, in one sentence.
    pub help: &'static str,
}

/// Whether a member must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// It must be there.
    Required,
    /// It may be left out.
    Optional,
    /// Left out, it is this JSON.
    Default(&'static str),
}

/// A rule about texts.
#[derive(Clone, Copy)]
pub struct Format {
    /// What such a text is called.
    pub what: &'static str,
    /// A regular expression (ECMA 262) that says it exactly, or as far as one can; empty: says nothing.
    pub pattern: &'static str,
    /// Does the pattern say it exactly?
    pub exact: bool,
    /// Is it one?
    pub holds: fn(&str) -> bool,
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Format({})", self.what)
    }
}

impl Format {
    /// Any text.
    pub const ANY: Self = Self { what: "text", pattern: "", exact: true, holds: |_| true };
}

impl Shape {
    /// Any text of so many characters.
    pub const fn text(least: usize, most: usize) -> Self {
        Self::Text { least, most, format: Format::ANY }
    }

    /// A text of this format.
    pub const fn format(most: usize, format: Format) -> Self {
        Self::Text { least: 1, most, format }
    }

    /// Does the value look like this?
    ///
    /// # Errors
    /// The first thing that does not, with its path.
    pub fn check(&self, path: &str, value: &Value) -> Result<(), ConfigError> {
        let wrong = |text: String| Err(ConfigError::shape(path, text));
        match (self, value) {
            (Self::Any, _) | (Self::Flag, Value::Bool(_)) => Ok(()),
            (Self::Schema, Value::Object(_) | Value::Bool(_)) => Ok(()),
            (Self::Text { least, most, format }, Value::String(text)) => {
                check_text(path, text, (*least, *most), format)
            }
            (Self::Secret { most }, Value::String(text)) => match text.chars().count() {
                0 => wrong("is empty: write the secret, or `$ref{name}`".into()),
                length if length > *most => wrong(format!("has {length} characters: at most {most}")),
                _ => match SecretText::parse(text) {
                    Ok(_) => Ok(()),
                    Err(error) => Err(ConfigError::rule(path, error.to_string())),
                },
            },
            (Self::Whole { least, most }, Value::Number(_)) => {
                match given::whole(value).filter(|number| (*least..=*most).contains(number)) {
                    Some(_) => Ok(()),
                    None => wrong(format!("must be a whole number from {least} to {most}")),
                }
            }
            (Self::OneOf(texts), Value::String(text)) if texts.contains(&&**text) => Ok(()),
            (Self::List { of, least, most }, Value::Array(values)) => {
                if !(*least..=*most).contains(&values.len()) {
                    return wrong(format!("has {} elements: it must have {least} to {most}", values.len()));
                }
                let mut places = values.iter().enumerate();
                places.try_for_each(|(at, value)| of.check(&format!("{path}[{at}]"), value))
            }
            (Self::Object(members), Value::Object(given)) => check_members(path, members, given),
            (Self::Map { of, names, most }, Value::Object(given)) => {
                if given.len() > *most {
                    return wrong(format!("has {} members: at most {most}", given.len()));
                }
                given.iter().try_for_each(|(name, value)| {
                    let path = member_path(path, name);
                    check_format(&path, name, names)?;
                    of.check(&path, value)
                })
            }
            (Self::Either(shapes), value) => match shapes.iter().find(|shape| shape.takes_type_of(value)) {
                Some(shape) => shape.check(path, value),
                None => wrong(format!("must be {}", self.described())),
            },
            _ => wrong(format!("must be {}", self.described())),
        }
    }

    /// The value with every default filled in. It must look like this.
    pub(super) fn completed(&self, value: &Value) -> Value {
        match (self, value) {
            (Self::Object(members), Value::Object(given)) => Value::Object(complete(members, given)),
            (Self::List { of, .. }, Value::Array(values)) => {
                Value::Array(values.iter().map(|value| of.completed(value)).collect())
            }
            (Self::Map { of, .. }, Value::Object(given)) => {
                let completed = given.iter().map(|(name, value)| (name.clone(), of.completed(value)));
                Value::Object(completed.collect())
            }
            (Self::Either(shapes), value) => {
                let shape = shapes.iter().find(|shape| shape.takes_type_of(value));
                shape.map_or_else(|| value.clone(), |shape| shape.completed(value))
            }
            _ => value.clone(),
        }
    }

    /// Calls `visit` with every text that is a secret, and its path.
    pub(super) fn each_secret<'v>(&self, path: &str, value: &'v Value, visit: &mut dyn FnMut(&str, &'v str)) {
        match (self, value) {
            (Self::Secret { .. }, Value::String(text)) => visit(path, text),
            (Self::Object(members), Value::Object(given)) => {
                for member in *members {
                    if let Some(value) = given.get(member.name) {
                        member.shape.each_secret(&member_path(path, member.name), value, visit);
                    }
                }
            }
            (Self::List { of, .. }, Value::Array(values)) => {
                for (at, value) in values.iter().enumerate() {
                    of.each_secret(&format!("{path}[{at}]"), value, visit);
                }
            }
            (Self::Map { of, .. }, Value::Object(given)) => {
                for (name, value) in given {
                    of.each_secret(&member_path(path, name), value, visit);
                }
            }
            (Self::Either(shapes), value) => {
                if let Some(shape) = shapes.iter().find(|shape| shape.takes_type_of(value)) {
                    shape.each_secret(path, value, visit);
                }
            }
            _ => {}
        }
    }

    /// The value with every text of it changed: `change` is told where it stands, whether it is a secret, and what it is.
    pub(super) fn with_texts(
        &self,
        path: &str,
        value: &Value,
        change: &mut dyn FnMut(&str, bool, &str) -> Result<String, ConfigError>,
    ) -> Result<Value, ConfigError> {
        Ok(match (self, value) {
            (_, Value::String(text)) => {
                let shape = self.among(value);
                Value::String(change(path, matches!(shape, Self::Secret { .. }), text)?)
            }
            (_, Value::Array(values)) => {
                let of = match self.among(value) {
                    Self::List { of, .. } => of,
                    _ => &Self::Any,
                };
                let values = values.iter().enumerate();
                let values = values.map(|(at, value)| of.with_texts(&format!("{path}[{at}]"), value, change));
                Value::Array(values.collect::<Result<_, _>>()?)
            }
            (_, Value::Object(given)) => {
                let shape = self.among(value);
                let mut members = Map::new();
                for (name, value) in given {
                    let path = member_path(path, name);
                    members.insert(name.clone(), shape.member(name).with_texts(&path, value, change)?);
                }
                Value::Object(members)
            }
            (_, value) => value.clone(),
        })
    }

    /// Of several that a value may look like, the one that it is to look like.
    pub fn among(&self, value: &Value) -> &Self {
        match self {
            Self::Either(shapes) => shapes
                .iter()
                .find(|shape| shape.takes_type_of(value))
                .map_or(&Self::Any, |one| one.among(value)),
            shape => shape,
        }
    }

    /// What a member of this name is to look like.
    pub fn member(&self, name: &str) -> &Self {
        match self {
            Self::Object(members) => {
                members.iter().find(|member| member.name == name).map_or(&Self::Any, |member| &member.shape)
            }
            Self::Map { of, .. } => of,
            _ => &Self::Any,
        }
    }

    fn takes_type_of(&self, value: &Value) -> bool {
        match self {
            Self::Text { .. } | Self::Secret { .. } | Self::OneOf(_) => value.is_string(),
            Self::Whole { .. } => value.is_number(),
            Self::Flag => value.is_boolean(),
            Self::List { .. } => value.is_array(),
            Self::Object(_) | Self::Map { .. } => value.is_object(),
            Self::Either(shapes) => shapes.iter().any(|shape| shape.takes_type_of(value)),
            Self::Schema => value.is_object() || value.is_boolean(),
            Self::Any => true,
        }
    }

    fn described(&self) -> String {
        match self {
            Self::Text { format, .. } if !format.pattern.is_empty() => format!("a text: {}", format.what),
            Self::Text { .. } => "a text".into(),
            Self::Secret { .. } => "a text: the secret, or `$ref{name}`".into(),
            Self::Whole { least, most } => format!("a whole number from {least} to {most}"),
            Self::Flag => "true or false".into(),
            Self::OneOf(texts) => format!("one of `{}`", texts.join("`, `")),
            Self::List { of, .. } => format!("a list; each element {}", of.described()),
            Self::Object(_) | Self::Map { .. } => "an object".into(),
            Self::Either(shapes) => {
                let described: Vec<String> = shapes.iter().map(Self::described).collect();
                described.join(", or ")
            }
            Self::Any => "any JSON".into(),
            Self::Schema => "a JSON Schema".into(),
        }
    }
}

fn check_text(
    path: &str,
    text: &str,
    (least, most): (usize, usize),
    format: &Format,
) -> Result<(), ConfigError> {
    let length = text.chars().count();
    if !(least..=most).contains(&length) {
        let text = format!("has {length} characters: it must have {least} to {most}");
        return Err(ConfigError::shape(path, text));
    }
    check_format(path, text, format)
}

fn check_format(path: &str, text: &str, format: &Format) -> Result<(), ConfigError> {
    if (format.holds)(text) {
        return Ok(());
    }
    let text = format!("`{}` is not {}", text.escape_debug(), format.what);
    Err(ConfigError { in_schema: format.exact, ..ConfigError::rule(path, text) })
}

fn check_members(path: &str, members: &[Member], given: &Map<String, Value>) -> Result<(), ConfigError> {
    if let Some(name) = given.keys().find(|name| members.iter().all(|member| member.name != **name)) {
        let known: Vec<&str> = members.iter().map(|member| member.name).collect();
        let text = format!("is not known here: use {}", known.join(", "));
        return Err(ConfigError::shape(&member_path(path, name), text));
    }
    for member in members {
        match given.get(member.name) {
            Some(value) => member.shape.check(&member_path(path, member.name), value)?,
            None if member.need == Need::Required => {
                let text = format!("is missing: it must be {}", member.shape.described());
                return Err(ConfigError::shape(&member_path(path, member.name), text));
            }
            None => {}
        }
    }
    Ok(())
}

fn complete(members: &[Member], given: &Map<String, Value>) -> Map<String, Value> {
    let mut completed = Map::new();
    for member in members {
        let value = match (given.get(member.name), member.need) {
            (Some(value), _) => Some(member.shape.completed(value)),
            (None, Need::Default(text)) => {
                serde_json::from_str(text).ok().map(|value| member.shape.completed(&value))
            }
            (None, _) => None,
        };
        completed.extend(value.map(|value| (member.name.to_owned(), value)));
    }
    completed
}
