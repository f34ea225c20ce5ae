//! `key-auth`: keys, presented as they are.

use super::given::{Given, HEADER, REALM, check_distinct, element, secret_of};
use super::json::ConfigError;
use super::shape::{Member, Need, Shape};
use crate::{HeaderName, Plaintext, SecretText};

/// Which keys open the door, and where they are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAuth {
    /// The keys.
    pub credentials: Vec<SecretText>,
    /// The names of header fields and query parameters that may hold one.
    pub keys: Vec<HeaderName>,
    /// The same, as they were written: names of query parameters are compared exactly.
    pub names: Vec<Box<str>>,
    /// Are header fields looked at?
    pub in_header: bool,
    /// Are query parameters?
    pub in_query: bool,
    /// What the challenge says.
    pub realm: Box<str>,
}

/// Shortest key that may be written in a configuration, in bytes.
pub(super) const KEY_LENGTH_MIN: usize = 16;

impl KeyAuth {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        Member {
            name: "credentials",
            shape: Shape::List { of: &Shape::Secret { most: 1_024 }, least: 1, most: 256 },
            need: Need::Required,
            help: "The keys that open the door; each at least 16 characters, or a reference.",
        },
        Member {
            name: "keys",
            shape: Shape::List { of: &Shape::format(256, HEADER), least: 1, most: 10 },
            need: Need::Required,
            help: "Names of the header fields and query parameters in which a key may stand.",
        },
        Member {
            name: "in_header",
            shape: Shape::Flag,
            need: Need::Default("true"),
            help: "Is a key looked for in header fields?",
        },
        Member {
            name: "in_query",
            shape: Shape::Flag,
            need: Need::Default("true"),
            help: "Is a key looked for in query parameters?",
        },
        Member {
            name: "realm",
            shape: Shape::format(128, REALM),
            need: Need::Default("\"keyward\""),
            help: "What `WWW-Authenticate` says where a key is missing or unknown.",
        },
    ]);

    /// Can this be a key?
    ///
    /// # Errors
    /// Why not.
    pub fn fits(key: &Plaintext) -> Result<(), &'static str> {
        match key.expose_secret().len() >= KEY_LENGTH_MIN {
            true => Ok(()),
            false => Err("is too short: a key has at least 16 characters"),
        }
    }

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let read = Self {
            credentials: given.texts("credentials").iter().map(|text| secret_of(text)).collect(),
            keys: given.parsed("keys"),
            names: given.texts("keys"),
            in_header: given.flag("in_header"),
            in_query: given.flag("in_query"),
            realm: given.text("realm").into(),
        };
        if !read.in_header && !read.in_query {
            return Err(ConfigError::rule("in_query", "one of `in_header` and `in_query` must be true"));
        }
        for (at, credential) in read.credentials.iter().enumerate() {
            if let Some(Err(why)) = credential.plain().map(Self::fits) {
                return Err(ConfigError::rule(&element("", "credentials", at), why));
            }
        }
        for (at, name) in read.keys.iter().enumerate() {
            if read.in_header && name.is_reserved() {
                let text = format!("`{name}` is a reserved header: keep keys in another");
                return Err(ConfigError::rule(&element("", "keys", at), text));
            }
        }
        check_distinct("credentials", given.list("credentials").filter_map(|value| value.0.as_str()))?;
        check_distinct("keys", read.keys.iter().map(HeaderName::as_str))?;
        Ok(read)
    }
}
