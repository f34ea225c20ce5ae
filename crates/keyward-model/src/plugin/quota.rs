//! `quota`: so many calls in a day, week or month of the calendar.

use super::counting::{BY, CountBy, Counting, SHARED, WHEN_AWAY, count_by, counting};
use super::given::Given;
use super::json::ConfigError;
use super::shape::{Format, Member, Need, Shape};

/// How many calls may be made in a period of the calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// By what they are counted.
    pub by: CountBy,
    /// How many.
    pub requests: u64,
    /// In which period.
    pub period: QuotaPeriod,
    /// Whose calendar.
    pub zone: QuotaZone,
    /// Where they are counted.
    pub counting: Counting,
}

/// A period of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuotaPeriod {
    /// From midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
}

/// A time zone by its distance from UTC, in minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct QuotaZone(pub i16);

const ZONE: Format = Format {
    what: "a time zone: write it like UTC, +08:00 or -05:30",
    pattern: r"^(UTC|[+-](0[0-9]|1[0-4]):[0-5][0-9])$",
    exact: true,
    holds: |text| zone(text).is_some(),
};

fn zone(text: &str) -> Option<QuotaZone> {
    if text == "UTC" {
        return Some(QuotaZone(0));
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two = |digits: &str| (digits.len() == 2).then(|| digits.parse::<u8>().ok()).flatten();
    let digits = rest.bytes().all(|b| b.is_ascii_digit() || b == b':');
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    let sound = digits && hours <= 14 && minutes <= 59;
    sound.then(|| QuotaZone(sign * (i16::from(hours) * 60 + i16::from(minutes))))
}

impl Quota {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        BY,
        Member {
            name: "requests",
            shape: Shape::Whole { least: 1, most: 1_000_000_000_000 },
            need: Need::Required,
            help: "How many calls in the period.",
        },
        Member {
            name: "per",
            shape: Shape::OneOf(&["day", "week", "month"]),
            need: Need::Required,
            help: "The period: from midnight, from Monday, or from the first of the month.",
        },
        Member {
            name: "time_zone",
            shape: Shape::format(6, ZONE),
            need: Need::Default("\"UTC\""),
            help: "Whose midnight: UTC, or a distance from it like +08:00.",
        },
        SHARED,
        WHEN_AWAY,
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let period = match given.text("per") {
            "day" => QuotaPeriod::Day,
            "week" => QuotaPeriod::Week,
            _ => QuotaPeriod::Month,
        };
        Ok(Self {
            by: count_by(given),
            requests: given.whole("requests"),
            period,
            zone: zone(given.text("time_zone")).unwrap_or_default(),
            counting: counting(given),
        })
    }
}
