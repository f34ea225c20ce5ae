//! What `rate-limit` and `quota` have in common: by what calls are counted, and where.

use super::given::{Given, HEADER};
use super::shape::{Member, Need, Shape};
use crate::HeaderName;

/// By what calls are counted: each value has a count of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CountBy {
    /// By who calls; all who need not prove it together.
    Caller,
    /// All calls of the API together.
    Api,
    /// By the address they come from.
    Address,
    /// By the value of this header field; all without it together.
    Header(HeaderName),
}

/// Where calls are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Counting {
    /// Each node by itself.
    Node,
    /// All nodes together; and what is so where their common memory cannot be asked.
    Shared(WhenAway),
}

/// What is so where the memory that nodes share cannot be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhenAway {
    /// Each node counts by itself meanwhile.
    Node,
    /// Calls are refused.
    Refuse,
    /// Calls pass.
    Pass,
}

pub(super) const BY: Member = Member {
    name: "by",
    shape: Shape::Either(&[
        Shape::OneOf(&["caller", "api", "address"]),
        Shape::Object(&[Member {
            name: "header",
            shape: Shape::format(256, HEADER),
            need: Need::Required,
            help: "The field's name.",
        }]),
    ]),
    need: Need::Default("\"caller\""),
    help: "By what calls are counted: `caller`, `api`, `address` or {header: NAME}.",
};

pub(super) const SHARED: Member = Member {
    name: "shared",
    shape: Shape::Flag,
    need: Need::Default("false"),
    help: "Are calls counted over all nodes, in the memory that they share?",
};

pub(super) const WHEN_AWAY: Member = Member {
    name: "when_away",
    shape: Shape::OneOf(&["node", "refuse", "pass"]),
    need: Need::Default("\"node\""),
    help: "Where that memory cannot be asked: each node counts by itself, calls are refused, or calls pass.",
};

pub(super) fn count_by(given: Given<'_>) -> CountBy {
    match given.text("by") {
        "api" => CountBy::Api,
        "address" => CountBy::Address,
        _ => match given.object("by").text("header").parse() {
            Ok(header) => CountBy::Header(header),
            Err(_) => CountBy::Caller,
        },
    }
}

pub(super) fn counting(given: Given<'_>) -> Counting {
    match (given.flag("shared"), given.text("when_away")) {
        (false, _) => Counting::Node,
        (true, "refuse") => Counting::Shared(WhenAway::Refuse),
        (true, "pass") => Counting::Shared(WhenAway::Pass),
        (true, _) => Counting::Shared(WhenAway::Node),
    }
}
