//! `rate-limit`: so many calls in a time, so many at once.

use super::counting::{BY, CountBy, Counting, SHARED, WHEN_AWAY, count_by, counting};
use super::given::{DURATION, Given, duration_s};
use super::json::ConfigError;
use super::shape::{Member, Need, Shape};

/// How many calls may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// By what they are counted.
    pub by: CountBy,
    /// How many in a time; absent: any number.
    pub rate: Option<RequestRate>,
    /// How many at once, on one node; absent: any number.
    pub concurrency: Option<u32>,
    /// Where they are counted.
    pub counting: Counting,
    /// Do answers say how many are left?
    pub headers: bool,
}

/// So many requests in so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestRate {
    /// How many.
    pub requests: u32,
    /// In how many seconds.
    pub per_s: u32,
}

/// Longest time that requests are counted over, in seconds: 31 days.
const PER_MAX_S: u64 = 31 * 86_400;

impl RateLimit {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        BY,
        Member {
            name: "requests",
            shape: Shape::Whole { least: 1, most: 1_000_000_000 },
            need: Need::Optional,
            help: "How many calls in the time that `per` says.",
        },
        Member {
            name: "per",
            shape: Shape::format(7, DURATION),
            need: Need::Optional,
            help: "The time: 1s to 31d.",
        },
        Member {
            name: "concurrency",
            shape: Shape::Whole { least: 1, most: 1_000_000 },
            need: Need::Optional,
            help: "How many calls at once, on each node.",
        },
        SHARED,
        WHEN_AWAY,
        Member {
            name: "headers",
            shape: Shape::Flag,
            need: Need::Default("true"),
            help: "Do answers carry `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset`?",
        },
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let rate = match (given.whole_if("requests"), duration_s(given.text("per"))) {
            (None, None) => None,
            (Some(requests), Some(per_s)) if per_s <= PER_MAX_S => {
                Some(RequestRate { requests, per_s: u32::try_from(per_s).unwrap_or(u32::MAX) })
            }
            (Some(_), Some(_)) => return Err(ConfigError::rule("per", "is longer than 31d")),
            (Some(_), None) => {
                return Err(ConfigError::rule("per", "is missing: say in what time, like 1m"));
            }
            (None, Some(_)) => {
                return Err(ConfigError::rule("requests", "is missing: say how many in that time"));
            }
        };
        let concurrency = given.whole_if("concurrency");
        if rate.is_none() && concurrency.is_none() {
            return Err(ConfigError::rule("requests", "give `requests` and `per`, or `concurrency`"));
        }
        let (by, counting, headers) = (count_by(given), counting(given), given.flag("headers"));
        Ok(Self { by, rate, concurrency, counting, headers })
    }
}
