//! `backend-signature`: the vendor's signature of what goes to a service (`X-Ca-Proxy-Signature`).

use super::given::{FIELD_VALUE, Given, HEADER, check_distinct};
use super::json::ConfigError;
use super::shape::{Member, Need, Shape};
use crate::HeaderName;
use crate::SecretText;

/// What is signed, and with what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendSignature {
    /// Names the secret; sent along.
    pub key: Box<str>,
    /// Makes the signature.
    pub secret: SecretText,
    /// The fields that are signed, where they are there.
    pub headers: Vec<HeaderName>,
    /// The same, as they were written: their order is that of these spellings.
    pub names: Vec<Box<str>>,
    /// Largest body that is signed along, in bytes; larger ones are refused.
    pub body_bytes: u32,
}

impl BackendSignature {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        Member {
            name: "key",
            shape: Shape::format(128, FIELD_VALUE),
            need: Need::Required,
            help: "Names the secret; sent as X-Ca-Proxy-Signature-Secret-Key.",
        },
        Member {
            name: "secret",
            shape: Shape::Secret { most: 1_024 },
            need: Need::Required,
            help: "Makes the signature; or a reference.",
        },
        Member {
            name: "headers",
            shape: Shape::List { of: &Shape::format(256, HEADER), least: 0, most: 32 },
            need: Need::Default("[]"),
            help: "The fields that are signed, where they are there.",
        },
        super::held_body("Largest body that is signed along, in bytes; larger ones are refused."),
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let read = Self {
            key: given.text("key").into(),
            secret: given.secret("secret"),
            headers: given.parsed("headers"),
            names: given.texts("headers"),
            body_bytes: given.whole("body_bytes"),
        };
        check_distinct("headers", read.headers.iter().map(HeaderName::as_str))?;
        Ok(read)
    }
}
