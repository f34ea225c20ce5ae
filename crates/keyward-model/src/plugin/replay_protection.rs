//! `replay-protection`: a nonce for calls that are not signed.

use super::given::{Given, HEADER};
use super::json::ConfigError;
use super::shape::{Member, Need, Shape};
use crate::HeaderName;

/// Where nonces stand, and for how long they are remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayProtection {
    /// The field that holds the nonce.
    pub header: HeaderName,
    /// How long a nonce is remembered, in seconds.
    pub ttl_s: u32,
    /// Is a call without a nonce refused?
    pub required: bool,
}

impl ReplayProtection {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        Member {
            name: "header",
            shape: Shape::format(256, HEADER),
            need: Need::Default("\"x-apigw-nonce\""),
            help: "The field that holds the nonce: 16 to 128 visible ASCII characters.",
        },
        Member {
            name: "ttl_s",
            shape: Shape::Whole { least: 1, most: 1_800 },
            need: Need::Default("900"),
            help: "How long a nonce is remembered, in seconds.",
        },
        Member {
            name: "required",
            shape: Shape::Flag,
            need: Need::Default("true"),
            help: "Is a call without a nonce refused?",
        },
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let header: Option<HeaderName> = given.text("header").parse().ok();
        let header = header
            .filter(|name| !name.is_reserved())
            .ok_or_else(|| ConfigError::rule("header", "is a reserved header: keep nonces in another"))?;
        Ok(Self { header, ttl_s: given.whole("ttl_s"), required: given.flag("required") })
    }
}
