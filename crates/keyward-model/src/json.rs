//! JSON read strictly: an object whose member names are all different, and its values as they were written.
//!
//! Key sets and tokens are read through this. Most parsers let the last of two members of one name win, some the
//! first; two of them behind each other then see two different objects, and that is an attack.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of a JSON object, in the order in which they were written. No two have the same name.
#[derive(Clone)]
pub struct JsonObject<'a> {
    members: Vec<(Cow<'a, str>, JsonValue<'a>)>,
}

/// Why a text is not such an object. Says nothing of what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// It is not JSON; line and column, from 1.
    Syntax(usize, usize),
    /// It is JSON, but not an object.
    NotAnObject,
    /// Two members have the same name, once escapes are resolved.
    DuplicateMember,
    /// It has more members than its reader allows.
    TooManyMembers,
}

impl<'a> JsonObject<'a> {
    /// Reads an object of at most `members_max` members; blanks around it are allowed, anything else is not.
    ///
    /// Objects within it are checked for syntax only: read them in the same way.
    ///
    /// # Errors
    /// See [`JsonFault`].
    pub fn parse(text: &'a str, members_max: usize) -> Result<Self, JsonFault> {
        if !text.trim_ascii_start().starts_with('{') {
            let syntax = serde_json::from_str::<IgnoredAny>(text).err();
            return Err(syntax.map_or(JsonFault::NotAnObject, |error| JsonFault::at(&error)));
        }
        let Members(members) = serde_json::from_str(text).map_err(|error| JsonFault::at(&error))?;
        if members.len() > members_max {
            return Err(JsonFault::TooManyMembers);
        }
        let mut rest = members.as_slice();
        while let Some(((name, _), later)) = rest.split_first() {
            if later.iter().any(|(other, _)| other == name) {
                return Err(JsonFault::DuplicateMember);
            }
            rest = later;
        }
        Ok(Self { members })
    }

    /// The value of the member of this name, compared exactly.
    pub fn get(&self, name: &str) -> Option<JsonValue<'a>> {
        self.members.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    /// Names and values, in the order in which they were written.
    pub fn into_members(self) -> Vec<(Cow<'a, str>, JsonValue<'a>)> {
        self.members
    }
}

impl JsonFault {
    fn at(error: &serde_json::Error) -> Self {
        Self::Syntax(error.line(), error.column())
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(line, column) => write!(f, "is not JSON: see line {line}, column {column}"),
            Self::NotAnObject => f.write_str("is not a JSON object"),
            Self::DuplicateMember => f.write_str("has two members of the same name"),
            Self::TooManyMembers => f.write_str("has too many members"),
        }
    }
}

/// A JSON value, valid and as it was written.
#[derive(Clone, Copy)]
pub struct JsonValue<'a>(&'a str);

impl<'a> JsonValue<'a> {
    /// The value as it was written, without blanks around it.
    pub fn as_written(self) -> &'a str {
        self.0
    }

    /// Is it a string, escapes resolvable or not?
    pub fn is_string(self) -> bool {
        self.0.starts_with('"')
    }

    /// The text of a string, escapes resolved; `None` for any other value, and for escapes that are not Unicode.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        if inner.contains('\\') {
            return serde_json::from_str(self.0).ok().map(Cow::Owned);
        }
        Some(Cow::Borrowed(inner))
    }

    /// The elements of an array; `None` for any other value.
    pub fn elements(self) -> Option<Vec<JsonValue<'a>>> {
        if !self.0.starts_with('[') {
            return None;
        }
        let elements: Vec<&'a RawValue> = serde_json::from_str(self.0).ok()?;
        Some(elements.into_iter().map(|raw| JsonValue(raw.get())).collect())
    }
}

struct Members<'a>(Vec<(Cow<'a, str>, JsonValue<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(Cow<'de, str>, JsonValue<'de>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(8);
        while let Some(MemberName(name)) = map.next_key()? {
            members.push((name, JsonValue(map.next_value::<&'de RawValue>()?.get())));
        }
        Ok(members)
    }
}

/// A member's name, borrowed unless it has escapes.
struct MemberName<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for MemberName<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(NameVisitor).map(MemberName)
    }
}

struct NameVisitor;

impl<'de> Visitor<'de> for NameVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Option<JsonFault> {
        JsonObject::parse(text, 3).err()
    }

    #[test]
    fn members_are_found_by_exact_name_and_kept_as_written() {
        let object = JsonObject::parse(r#" {"a": "x\u0041", "n": 1.50e2, "l": [ "p", 2 ]} "#, 3).unwrap();
        assert_eq!(object.get("a").unwrap().as_str().unwrap(), "xA");
        assert_eq!(object.get("n").unwrap().as_written(), "1.50e2");
        assert!(object.get("n").unwrap().as_str().is_none());
        let elements = object.get("l").unwrap().elements().unwrap();
        assert_eq!(elements.iter().map(|e| e.as_written()).collect::<Vec<_>>(), ["\"p\"", "2"]);
        assert!(object.get("A").is_none() && object.get("a ").is_none());
    }

    #[test]
    fn two_members_of_one_name_are_refused_also_when_one_is_escaped() {
        assert_eq!(fault(r#"{"a":1,"a":1}"#), Some(JsonFault::DuplicateMember));
        assert_eq!(fault(r#"{"a":1,"b":2,"\u0061":1}"#), Some(JsonFault::DuplicateMember));
        assert_eq!(fault(r#"{"a":1,"A":1}"#), None);
    }

    #[test]
    fn what_is_not_one_object_is_refused() {
        for text in ["", "null", "[]", "\"a\"", "1"] {
            assert!(matches!(fault(text), Some(JsonFault::NotAnObject | JsonFault::Syntax(..))), "{text}");
        }
        for text in [
            "{",
            "{}{}",
            "{} x",
            "{\"a\":01}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":\"\n\"}",
            "\u{feff}{}",
            "{'a':1}",
        ] {
            assert!(matches!(fault(text), Some(JsonFault::Syntax(..))), "{text}");
        }
        assert_eq!(fault(r#"{"a":1,"b":1,"c":1,"d":1}"#), Some(JsonFault::TooManyMembers));
    }

    #[test]
    fn a_string_that_is_not_unicode_has_no_text() {
        let object = JsonObject::parse(r#"{"a":"\ud800"}"#, 3).unwrap();
        assert!(object.get("a").unwrap().is_string());
        assert!(object.get("a").unwrap().as_str().is_none());
    }

    #[test]
    fn deep_nesting_costs_no_stack() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
        assert!(JsonObject::parse(&deep, 3).is_ok());
    }
}
