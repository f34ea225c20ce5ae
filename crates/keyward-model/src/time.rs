//! Points in time, and validity.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// A point in time: UTC milliseconds since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// This many milliseconds after 1970-01-01T00:00:00Z.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This much later (or, negative, earlier), without overflow.
    #[must_use]
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl FromStr for Timestamp {
    type Err = ParseError;

    /// RFC 3339, with any offset. What is left of the year 9999 after the last moment that the calendar here
    /// knows (`9999-12-30T22:00:00Z`) is that moment: such dates are written for "for ever".
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let at = text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond);
        match at.ok().or_else(|| is_after_the_last(text).then_some(LAST_MILLIS)) {
            Some(millis) => Ok(Self(millis.min(LAST_MILLIS))),
            None => Err(ParseError::new(format!(
                "`{}` is not a point in time: write it like `2026-01-31T12:00:00Z`",
                text.escape_debug()
            ))),
        }
    }
}

/// 9999-12-30T22:00:00Z, which any offset leaves within the year 9999.
const LAST_MILLIS: i64 = 253_402_207_200_000;

/// Is it a moment between the last one and the end of the year 9999?
fn is_after_the_last(text: &str) -> bool {
    jiff::fmt::temporal::Pieces::parse(text).is_ok_and(|pieces| {
        let is_moment = pieces.time().is_some() && pieces.to_numeric_offset().is_some();
        is_moment && pieces.date() >= jiff::civil::date(9999, 12, 30)
    })
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => fmt::Display::fmt(&at, f),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// When something holds: half-open, `[from, until)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Validity {
    /// First millisecond in which it holds; absent: no lower bound.
    pub from: Option<Timestamp>,
    /// First millisecond in which it no longer holds; absent: for ever.
    pub until: Option<Timestamp>,
}

/// Where a moment lies relative to a [`Validity`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValidityState {
    /// Before `from`.
    NotYet,
    /// In `[from, until)`.
    InEffect,
    /// At or after `until`.
    Expired,
}

impl Validity {
    /// A validity with these bounds.
    ///
    /// # Errors
    /// `until` must lie after `from`.
    pub fn new(from: Option<Timestamp>, until: Option<Timestamp>) -> Result<Self, ParseError> {
        match (from, until) {
            (Some(from), Some(until)) if until <= from => {
                Err(ParseError::new(format!("valid_until `{until}` must lie after valid_from `{from}`")))
            }
            _ => Ok(Self { from, until }),
        }
    }

    /// Where `now` lies.
    pub fn state_at(&self, now: Timestamp) -> ValidityState {
        if self.from.is_some_and(|from| now < from) {
            ValidityState::NotYet
        } else if self.until.is_some_and(|until| now >= until) {
            ValidityState::Expired
        } else {
            ValidityState::InEffect
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validity_is_half_open() {
        let at = Timestamp::from_millis;
        let validity = Validity::new(Some(at(10)), Some(at(20))).unwrap();
        let states = [9, 10, 19, 20].map(|ms| validity.state_at(at(ms)));
        use ValidityState::{Expired, InEffect, NotYet};
        assert_eq!(states, [NotYet, InEffect, InEffect, Expired]);
        assert!(Validity::new(Some(at(5)), Some(at(5))).is_err());
    }

    #[test]
    fn a_timestamp_reads_any_offset_and_writes_utc() {
        let noon: Timestamp = "2026-01-31T13:00:00+01:00".parse().unwrap();
        assert_eq!(noon.to_string(), "2026-01-31T12:00:00Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }

    #[test]
    fn the_end_of_the_year_9999_is_for_ever() {
        let read = |text: &str| text.parse::<Timestamp>();
        let last = read("9999-12-31T23:59:59Z").unwrap();
        assert_eq!(read("9999-12-31T23:59:59.999+08:00").unwrap(), last);
        assert_eq!(last.to_string(), "9999-12-30T22:00:00Z");
        assert_eq!(read("9999-12-30T22:00:00.999Z").unwrap(), last);
        assert!(read("9999-12-30T12:00:00Z").unwrap() < last);
        for wrong in ["9999-12-31", "9999-12-31T23:59:59", "9999-12-32T00:00:00Z", "10000-01-01T00:00:00Z"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
