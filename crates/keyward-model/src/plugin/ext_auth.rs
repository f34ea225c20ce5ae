//! `ext-auth`: a service of yours is asked about each call.

use super::given::{Given, HEADER, NAME, PATH, check_settable, element};
use super::json::ConfigError;
use super::refusal_status;
use super::shape::{Member, Need, Shape};
use crate::{HeaderName, Name};

/// Whom to ask, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtAuth {
    /// The service that is asked.
    pub service: Name,
    /// With which method; absent: that of the call.
    pub method: Option<Box<str>>,
    /// At which path.
    pub path: Box<str>,
    /// The fields of the call that go along.
    pub headers: Vec<HeaderName>,
    /// How much of its body goes along, in bytes; a larger body is refused, and 0 sends none.
    pub body_bytes: u32,
    /// How long it is waited for an answer, in milliseconds.
    pub timeout_ms: u32,
    /// The statuses that let a call pass; empty: 200 to 299.
    pub allow_statuses: Vec<u16>,
    /// The fields of the answer that go on with a call that passes.
    pub headers_to_service: Vec<HeaderName>,
    /// The fields of the answer that go to the client with a refusal.
    pub headers_to_client: Vec<HeaderName>,
    /// Do calls pass where the service cannot be asked?
    pub failure_mode_allow: bool,
    /// The status of a refusal.
    pub status: u16,
}

const NAMES: Shape = Shape::List { of: &Shape::format(256, HEADER), least: 0, most: 64 };

impl ExtAuth {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        Member {
            name: "service",
            shape: Shape::format(128, NAME),
            need: Need::Required,
            help: "The name of the service that is asked, one of the same account.",
        },
        Member {
            name: "method",
            shape: Shape::OneOf(&["GET", "POST", "same"]),
            need: Need::Default("\"GET\""),
            help: "With which method it is asked; `same`: that of the call.",
        },
        Member {
            name: "path",
            shape: Shape::format(1_024, PATH),
            need: Need::Default("\"/\""),
            help: "At which path it is asked. What was called is told in X-Forwarded-Method, -Host and -Uri.",
        },
        Member {
            name: "headers",
            shape: NAMES,
            need: Need::Default("[\"authorization\"]"),
            help: "The fields of the call that it is shown.",
        },
        Member {
            name: "body_bytes",
            shape: Shape::Whole { least: 0, most: 8 * 1024 * 1024 },
            need: Need::Default("0"),
            help: "Largest body that it is shown, in bytes; larger ones are refused. 0: it is shown none.",
        },
        Member {
            name: "timeout_ms",
            shape: Shape::Whole { least: 1, most: 10_000 },
            need: Need::Default("1000"),
            help: "How long its answer is waited for, in milliseconds.",
        },
        Member {
            name: "allow_statuses",
            shape: Shape::List { of: &Shape::Whole { least: 200, most: 599 }, least: 0, most: 32 },
            need: Need::Default("[]"),
            help: "The statuses of its answer that let a call pass; none: 200 to 299.",
        },
        Member {
            name: "headers_to_service",
            shape: NAMES,
            need: Need::Default("[]"),
            help: "The fields of its answer that go on to the API's service with a call that passes; the client's own are taken out.",
        },
        Member {
            name: "headers_to_client",
            shape: NAMES,
            need: Need::Default("[]"),
            help: "The fields of its answer that go to the client with a refusal.",
        },
        Member {
            name: "failure_mode_allow",
            shape: Shape::Flag,
            need: Need::Default("false"),
            help: "DANGEROUS: do calls pass unasked where the service cannot be reached, is late or fails?",
        },
        refusal_status("403"),
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let service = given
            .text("service")
            .parse()
            .map_err(|error: crate::ParseError| ConfigError::rule("service", error.to_string()))?;
        let read = Self {
            service,
            method: Some(given.text("method")).filter(|method| *method != "same").map(Into::into),
            path: given.text("path").into(),
            headers: given.parsed("headers"),
            body_bytes: given.whole("body_bytes"),
            timeout_ms: given.whole("timeout_ms"),
            allow_statuses: given
                .list("allow_statuses")
                .filter_map(|value| u16::try_from(super::given::whole(value.0)?).ok())
                .collect(),
            headers_to_service: given.parsed("headers_to_service"),
            headers_to_client: given.parsed("headers_to_client"),
            failure_mode_allow: given.flag("failure_mode_allow"),
            status: given.whole("status"),
        };
        for (at, name) in read.headers_to_service.iter().enumerate() {
            check_settable(&element("", "headers_to_service", at), name.as_str())?;
        }
        for (at, name) in read.headers_to_client.iter().enumerate() {
            check_settable(&element("", "headers_to_client", at), name.as_str())?;
        }
        Ok(read)
    }
}
