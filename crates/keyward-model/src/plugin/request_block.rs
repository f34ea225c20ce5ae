//! `request-block`: what must not be in a call.

use super::given::Given;
use super::json::ConfigError;
use super::shape::{Member, Need, Shape};
use super::{held_body, refusal_status};

/// What refuses a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestBlock {
    /// Texts in the URL: path and query, as they came and decoded.
    pub urls: Vec<Box<str>>,
    /// Whole URLs.
    pub exact_urls: Vec<Box<str>>,
    /// Regular expressions that find something in the URL.
    pub url_patterns: Vec<Box<str>>,
    /// Texts in the lines of header fields, `name: value`.
    pub headers: Vec<Box<str>>,
    /// Regular expressions that find something in such a line.
    pub header_patterns: Vec<Box<str>>,
    /// Texts in the body.
    pub bodies: Vec<Box<str>>,
    /// Regular expressions that find something in the body.
    pub body_patterns: Vec<Box<str>>,
    /// Does case count?
    pub case_sensitive: bool,
    /// Largest body that is looked into, in bytes; larger ones are refused.
    pub body_bytes: u32,
    /// The status of a refusal.
    pub status: u16,
    /// What a refusal says.
    pub message: Option<Box<str>>,
}

const TEXTS: Shape = Shape::List { of: &Shape::text(1, 1_024), least: 0, most: 100 };
const PATTERNS: Shape = Shape::List { of: &Shape::text(1, 1_024), least: 0, most: 20 };

const fn list(name: &'static str, shape: Shape, help: &'static str) -> Member {
    Member { name, shape, need: Need::Default("[]"), help }
}

impl RequestBlock {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        list("urls", TEXTS, "Texts that must not be in path and query, as they came or decoded."),
        list("exact_urls", TEXTS, "Paths with their query that must not be called, as they came."),
        list("url_patterns", PATTERNS, "Regular expressions that must find nothing in path and query."),
        list("headers", TEXTS, "Texts that must not be in a header field, written as `name: value`."),
        list("header_patterns", PATTERNS, "Regular expressions that must find nothing in such a field."),
        list("bodies", TEXTS, "Texts that must not be in the body."),
        list("body_patterns", PATTERNS, "Regular expressions that must find nothing in the body."),
        Member {
            name: "case_sensitive",
            shape: Shape::Flag,
            need: Need::Default("true"),
            help: "Does case count?",
        },
        held_body("Largest body that is looked into, in bytes; larger ones are refused."),
        refusal_status("403"),
        Member {
            name: "message",
            shape: Shape::text(1, 512),
            need: Need::Optional,
            help: "What a refusal says.",
        },
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let read = Self {
            urls: given.texts("urls"),
            exact_urls: given.texts("exact_urls"),
            url_patterns: given.texts("url_patterns"),
            headers: given.texts("headers"),
            header_patterns: given.texts("header_patterns"),
            bodies: given.texts("bodies"),
            body_patterns: given.texts("body_patterns"),
            case_sensitive: given.flag("case_sensitive"),
            body_bytes: given.whole("body_bytes"),
            status: given.whole("status"),
            message: given.text_if("message"),
        };
        let head = [&read.urls, &read.exact_urls, &read.url_patterns, &read.headers, &read.header_patterns];
        if head.iter().all(|list| list.is_empty()) && !read.looks_into_bodies() {
            return Err(ConfigError::rule("urls", "it blocks nothing: give one of the lists"));
        }
        Ok(read)
    }

    /// Does it need the body?
    pub fn looks_into_bodies(&self) -> bool {
        !self.bodies.is_empty() || !self.body_patterns.is_empty()
    }
}
