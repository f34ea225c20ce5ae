//! `custom-response`: an answer of Keyward's own.

use super::given::{FIELD_VALUE, Given, HEADER, check_settable, element, no_secret};
use super::json::ConfigError;
use super::shape::{Member, Need, Shape};
use super::transform::NamedValue;

/// What to answer, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomResponse {
    /// The status; absent: the one that is replaced, or 200.
    pub status: Option<u16>,
    /// The fields.
    pub headers: Vec<NamedValue>,
    /// The body.
    pub body: Box<str>,
    /// The statuses of the service's answers that it replaces; empty: every call is answered, and none goes on.
    pub enable_on_status: Vec<u16>,
}

impl CustomResponse {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        Member {
            name: "status",
            shape: Shape::Whole { least: 200, most: 599 },
            need: Need::Optional,
            help: "The status; absent: the one that is replaced, or 200.",
        },
        Member {
            name: "headers",
            shape: Shape::List {
                of: &Shape::Object(&[
                    Member {
                        name: "name",
                        shape: Shape::format(256, HEADER),
                        need: Need::Required,
                        help: "The field's name.",
                    },
                    Member {
                        name: "value",
                        shape: Shape::Text { least: 0, most: 4_096, format: FIELD_VALUE },
                        need: Need::Required,
                        help: "Its value.",
                    },
                ]),
                least: 0,
                most: 32,
            },
            need: Need::Default("[]"),
            help: "The fields of the answer.",
        },
        Member {
            name: "body",
            shape: Shape::text(0, 65_536),
            need: Need::Default("\"\""),
            help: "The body of the answer.",
        },
        Member {
            name: "enable_on_status",
            shape: Shape::List { of: &Shape::Whole { least: 200, most: 599 }, least: 0, most: 64 },
            need: Need::Default("[]"),
            help: "The statuses of the service's answers that it replaces; none: every call is answered here.",
        },
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let header = |(at, given): (usize, Given<'_>)| {
            let value = no_secret(&format!("headers[{at}].value"), given.text("value"))?;
            Ok(NamedValue { name: given.text("name").into(), value })
        };
        no_secret("body", given.text("body"))?;
        let statuses = given.list("enable_on_status");
        let read = Self {
            status: given.whole_if("status"),
            headers: given.list("headers").enumerate().map(header).collect::<Result<_, ConfigError>>()?,
            body: given.text("body").into(),
            enable_on_status: statuses
                .filter_map(|value| u16::try_from(super::given::whole(value.0)?).ok())
                .collect(),
        };
        for (at, header) in read.headers.iter().enumerate() {
            check_settable(&element("", "headers", at), &header.name)?;
        }
        Ok(read)
    }
}
