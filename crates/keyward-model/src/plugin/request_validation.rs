//! `request-validation`: what a call must be like.

use super::given::Given;
use super::json::{ConfigError, StrictJson};
use super::shape::{Member, Need, Shape};
use super::{held_body, refusal_status};

/// What a call must be like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestValidation {
    /// The JSON Schema of the body, which then must be JSON.
    pub body: Option<StrictJson>,
    /// The JSON Schema of the header fields: an object of texts, names in lower case.
    pub headers: Option<StrictJson>,
    /// The JSON Schema of the query parameters: an object of texts, or lists of texts where a name is repeated.
    pub query: Option<StrictJson>,
    /// The content types that a body may have, without parameters, in lower case; empty: any.
    pub content_types: Vec<Box<str>>,
    /// Largest body, in bytes.
    pub body_bytes: u32,
    /// The status of a refusal.
    pub status: u16,
}

const fn schema(name: &'static str, help: &'static str) -> Member {
    Member { name, shape: Shape::Schema, need: Need::Optional, help }
}

impl RequestValidation {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        schema("body", "The JSON Schema of the body, which then must be JSON."),
        schema("headers", "The JSON Schema of the header fields: an object of texts, names in lower case."),
        schema(
            "query",
            "The JSON Schema of the query: an object of texts, lists of texts where a name is repeated.",
        ),
        Member {
            name: "content_types",
            shape: Shape::List { of: &Shape::text(3, 128), least: 0, most: 20 },
            need: Need::Default("[]"),
            help: "The content types that a body may have, without parameters; none: any.",
        },
        held_body("Largest body, in bytes."),
        refusal_status("400"),
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let schema = |name| given.has(name).then(|| StrictJson::of(given.value(name).clone()));
        let read = Self {
            body: schema("body"),
            headers: schema("headers"),
            query: schema("query"),
            content_types: given
                .texts("content_types")
                .iter()
                .map(|text| text.to_ascii_lowercase().into())
                .collect(),
            body_bytes: given.whole("body_bytes"),
            status: given.whole("status"),
        };
        for (name, schema) in [("body", &read.body), ("headers", &read.headers), ("query", &read.query)] {
            let far = schema.as_ref().and_then(|schema| far_reference(name, schema.value()));
            if let Some((path, reference)) = far {
                let text = format!(
                    "`{}` is not in this schema: `$ref` begins with `#` here",
                    reference.escape_debug()
                );
                return Err(ConfigError::rule(&path, text));
            }
        }
        Ok(read)
    }
}

/// A reference that leads out of the schema: nothing is fetched for one.
fn far_reference(path: &str, schema: &serde_json::Value) -> Option<(String, String)> {
    use serde_json::Value;
    match schema {
        Value::Object(members) => members.iter().find_map(|(name, value)| {
            let path = super::json::member_path(path, name);
            match value {
                Value::String(text)
                    if matches!(&**name, "$ref" | "$dynamicRef" | "$recursiveRef")
                        && !text.starts_with('#') =>
                {
                    Some((path, text.clone()))
                }
                value => far_reference(&path, value),
            }
        }),
        Value::Array(values) => {
            values.iter().enumerate().find_map(|(at, value)| far_reference(&format!("{path}[{at}]"), value))
        }
        _ => None,
    }
}
