//! JSON read strictly into a tree: no two members of one name, not too deep, and every error with its path.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Levels of objects and lists within each other.
const DEPTH_MAX: usize = 64;

/// What is wrong with a configuration, and where. Never holds the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{text}", prefix(.path))]
pub struct ConfigError {
    /// Where: `credentials[0]`; empty for the whole.
    pub path: String,
    /// What is wrong and what would be right.
    pub text: String,
    /// Could the JSON Schema have told?
    pub in_schema: bool,
}

fn prefix(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("`{path}`: ") }
}

impl ConfigError {
    /// An error that the schema tells as well.
    pub(super) fn shape(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), text: text.into(), in_schema: true }
    }

    /// An error of a rule that a schema cannot say.
    pub(super) fn rule(path: &str, text: impl Into<String>) -> Self {
        Self { path: path.to_owned(), text: text.into(), in_schema: false }
    }
}

/// A JSON document that was read strictly. `Debug` does not show it: it may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct StrictJson(Value);

impl StrictJson {
    /// Reads one document.
    ///
    /// # Errors
    /// It is not JSON, is nested deeper than 64 levels, or has two members of one name.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let place = Place::default();
        let mut reader = serde_json::Deserializer::from_str(text);
        let read = Strict { place: &place, depth: 0 }.deserialize(&mut reader);
        let read = read.and_then(|value| reader.end().map(|()| value));
        read.map(Self).map_err(|error| place.error(&error))
    }

    /// An empty object.
    pub fn empty() -> Self {
        Self(Value::Object(Map::new()))
    }

    /// The tree.
    pub fn value(&self) -> &Value {
        &self.0
    }

    /// The tree as text, without blanks, members in the order of their names.
    pub fn to_text(&self) -> String {
        self.0.to_string()
    }

    /// Takes over a tree that was made from one that was read strictly.
    pub(super) fn of(value: Value) -> Self {
        Self(value)
    }
}

impl fmt::Debug for StrictJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StrictJson(…)")
    }
}

/// `path` and the name of a member.
pub(super) fn member_path(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Where the reader is, and what it found wrong there itself.
#[derive(Default)]
struct Place {
    path: RefCell<String>,
    fault: RefCell<Option<ConfigError>>,
}

impl Place {
    fn within<T>(&self, step: &str, read: impl FnOnce() -> T) -> T {
        let length = self.path.borrow().len();
        self.path.borrow_mut().push_str(step);
        let result = read();
        self.path.borrow_mut().truncate(length);
        result
    }

    fn refuse<E: Error>(&self, text: &str) -> E {
        let path = self.path.borrow().trim_start_matches('.').to_owned();
        self.fault.borrow_mut().get_or_insert(ConfigError::rule(&path, text));
        E::custom("refused")
    }

    fn error(self, error: &serde_json::Error) -> ConfigError {
        self.fault.into_inner().unwrap_or_else(|| {
            let (line, column) = (error.line(), error.column());
            ConfigError::rule("", format!("is not JSON: see line {line}, column {column}"))
        })
    }
}

struct Strict<'p> {
    place: &'p Place,
    depth: usize,
}

impl Strict<'_> {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        let depth = self.depth + 1;
        if depth > DEPTH_MAX {
            return Err(self.place.refuse("is nested too deep: at most 64 levels"));
        }
        Ok(Self { place: self.place, depth })
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| self.place.refuse("is too large a number"))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let seed = self.deeper()?;
            let step = format!("[{}]", values.len());
            match self.place.within(&step, || list.next_element_seed(seed))? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let seed = self.deeper()?;
            let step = format!(".{name}");
            let value = self.place.within(&step, || {
                if members.contains_key(&name) {
                    return Err(self.place.refuse("two members have this name: keep one"));
                }
                map.next_value_seed(seed)
            })?;
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_members_of_one_name_are_refused_with_their_path() {
        for (text, path) in
            [(r#"{"a":1,"a":2}"#, "a"), (r#"{"a":[{"b":1},{"b":{"c":1,"\u0063":2}}]}"#, "a[1].b.c")]
        {
            let error = StrictJson::parse(text).unwrap_err();
            assert_eq!((&*error.path, error.in_schema), (path, false), "{text}");
        }
        assert!(StrictJson::parse(r#"{"a":{"b":1},"c":{"b":1}}"#).is_ok());
    }

    #[test]
    fn what_is_not_one_document_is_refused_without_being_shown() {
        for text in ["", "{", "{}x", "{'a':1}", "{\"hunter2\"", "[1,]", "nul", "1e999"] {
            let error = StrictJson::parse(text).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
        let deep = format!("{}1{}", "[".repeat(80), "]".repeat(80));
        assert!(StrictJson::parse(&deep).unwrap_err().text.contains("64 levels"));
    }

    #[test]
    fn a_document_is_not_shown_by_debug() {
        assert!(!format!("{:?}", StrictJson::parse(r#"{"a":"hunter2"}"#).unwrap()).contains("hunter2"));
    }
}
