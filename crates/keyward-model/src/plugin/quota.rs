//! `quota`: so many calls in a day, week or month of the calendar.

use super::counting::{BY, CountBy, Counting, SHARED, WHEN_AWAY, count_by, counting};
use super::given::Given;
use super::json::ConfigError;
use super::shape::{Format, Member, Need, Shape};
use crate::Timestamp;

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

impl QuotaPeriod {
    /// First moment of the period after the one that `now` is in, by the calendar of this zone; `None` at the end of time.
    pub fn end(self, now: Timestamp, zone: QuotaZone) -> Option<Timestamp> {
        let offset_ms = i64::from(zone.0) * 60_000;
        let local_ms = now.as_millis().checked_add(offset_ms)?;
        let today = local_ms.div_euclid(DAY_MS);
        let next = match self {
            Self::Day => today + 1,
            // The first of January 1970 was a Thursday.
            Self::Week => (today + 3).div_euclid(7) * 7 + 4,
            Self::Month => first_of_next_month(today)?,
        };
        Some(Timestamp::from_millis(next.checked_mul(DAY_MS)?.checked_sub(offset_ms)?))
    }
}

const DAY_MS: i64 = 86_400_000;

/// The day, counted from 1970-01-01, on which the month after this day's begins.
fn first_of_next_month(day: i64) -> Option<i64> {
    let epoch = jiff::civil::date(1970, 1, 1);
    let date = epoch.checked_add(jiff::Span::new().try_days(day).ok()?).ok()?;
    let next = date.last_of_month().tomorrow().ok()?;
    Some(i64::from(epoch.until((jiff::Unit::Day, next)).ok()?.get_days()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_end_where_the_calendar_says() {
        use QuotaPeriod::{Day, Month, Week};
        for (period, now, zone, end) in [
            (Day, "2026-11-22T00:00:00Z", 0, "2026-11-23T00:00:00Z"),
            (Day, "2026-11-22T23:59:59.999Z", 0, "2026-11-23T00:00:00Z"),
            (Day, "2026-11-22T15:59:59Z", 480, "2026-11-22T16:00:00Z"),
            (Day, "2026-11-22T16:00:00Z", 480, "2026-11-23T16:00:00Z"),
            (Day, "2026-11-22T04:30:00Z", -330, "2026-11-22T05:30:00Z"),
            (Week, "2026-11-22T12:00:00Z", 0, "2026-11-23T00:00:00Z"),
            (Week, "2026-11-23T00:00:00Z", 0, "2026-11-30T00:00:00Z"),
            (Week, "1969-12-31T12:00:00Z", 0, "1970-01-05T00:00:00Z"),
            (Month, "2026-11-30T23:00:00Z", 0, "2026-12-01T00:00:00Z"),
            (Month, "2026-11-30T23:00:00Z", 60, "2026-12-31T23:00:00Z"),
            (Month, "2026-12-31T00:00:00Z", 0, "2027-01-01T00:00:00Z"),
            (Month, "2028-02-29T08:00:00Z", 0, "2028-03-01T00:00:00Z"),
        ] {
            let found = period.end(now.parse().unwrap(), QuotaZone(zone)).unwrap();
            assert_eq!(found, end.parse().unwrap(), "{period:?} {now} {zone}");
        }
        assert_eq!(Month.end(Timestamp::from_millis(i64::MAX), QuotaZone(0)), None);
    }
}
