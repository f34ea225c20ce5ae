//! `basic-auth`: names and passwords (RFC 7617).

use super::given::{Given, REALM, check_distinct};
use super::json::ConfigError;
use super::shape::{Format, Member, Need, Shape};
use crate::SecretText;

/// Which names and passwords open the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicAuth {
    /// Who may come in.
    pub users: Vec<BasicUser>,
    /// What the challenge says.
    pub realm: Box<str>,
}

/// A name and its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicUser {
    /// The name, without `:`.
    pub name: Box<str>,
    /// The password.
    pub password: SecretText,
}

const USER_NAME: Format = Format {
    what: "a name: no `:` and no control characters",
    pattern: r"^[^:\u0000-\u001f\u007f]+$",
    exact: true,
    holds: |text| !text.is_empty() && text.chars().all(|c| c != ':' && !(c <= '\u{1f}' || c == '\u{7f}')),
};

/// Shortest password that may be written in a configuration, in bytes.
const PASSWORD_LENGTH_MIN: usize = 8;

impl BasicAuth {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        Member {
            name: "users",
            shape: Shape::List {
                of: &Shape::Object(&[
                    Member {
                        name: "name",
                        shape: Shape::format(128, USER_NAME),
                        need: Need::Required,
                        help: "The name.",
                    },
                    Member {
                        name: "password",
                        shape: Shape::Secret { most: 256 },
                        need: Need::Required,
                        help: "The password, at least 8 characters, or a reference.",
                    },
                ]),
                least: 1,
                most: 256,
            },
            need: Need::Required,
            help: "Who may come in.",
        },
        Member {
            name: "realm",
            shape: Shape::format(128, REALM),
            need: Need::Default("\"keyward\""),
            help: "What `WWW-Authenticate` says.",
        },
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let user = |given: Given<'_>| BasicUser {
            name: given.text("name").into(),
            password: given.secret("password"),
        };
        let read = Self { users: given.list("users").map(user).collect(), realm: given.text("realm").into() };
        check_distinct("users", read.users.iter().map(|user| &*user.name))?;
        for (at, user) in read.users.iter().enumerate() {
            let length = user.password.plain().map(|literal| literal.expose_secret().len());
            if length.is_some_and(|length| length < PASSWORD_LENGTH_MIN) {
                let text = "is too short: a password has at least 8 characters";
                return Err(ConfigError::rule(&format!("users[{at}].password"), text));
            }
        }
        Ok(read)
    }
}
