//! What is known of use: when a credential or a grant was last used, and how many calls there were.

use std::fmt;
use std::str::FromStr;

use crate::{ApiId, CallerId, CredentialId, DenyReason, GrantId, ParseError, SecretId, Timestamp};

/// A day (UTC): days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(i64);

impl Day {
    const MILLIS: i64 = 86_400_000;

    /// This many days after 1970-01-01.
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Days since 1970-01-01.
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The day that this moment lies in.
    pub const fn of(at: Timestamp) -> Self {
        Self(at.as_millis().div_euclid(Self::MILLIS))
    }

    /// So many days earlier.
    #[must_use]
    pub fn minus_days(self, days: u16) -> Self {
        Self(self.0.saturating_sub(i64::from(days)))
    }
}

impl FromStr for Day {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong =
            || ParseError::new(format!("`{}` is not a day: write it like `2026-01-31`", text.escape_debug()));
        if text.len() != 10 {
            return Err(wrong());
        }
        format!("{text}T00:00:00Z").parse().map(Self::of).map_err(|_| wrong())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Timestamp::from_millis(self.0.saturating_mul(Self::MILLIS)).to_string();
        f.write_str(text.split('T').next().unwrap_or_default())
    }
}

/// Which calls are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallsKey {
    /// When they began.
    pub day: Day,
    /// Who was proven to call; `None` where nobody was.
    pub caller: Option<CallerId>,
    /// What was called; `None` where no API was reached.
    pub api: Option<ApiId>,
    /// Why they were refused (or ended badly); `None` where they passed.
    pub reason: Option<DenyReason>,
}

/// How many calls there were, and when the last one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// How many.
    pub count: u64,
    /// When the last one began.
    pub last: Timestamp,
}

impl Calls {
    /// Counts others along.
    pub fn add(&mut self, more: Self) {
        self.count = self.count.saturating_add(more.count);
        self.last = self.last.max(more.last);
    }
}

/// What a node saw of use since it last told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageBatch {
    /// Credentials that requests were proven by, each once, and when last.
    pub credentials: Vec<(CredentialId, Timestamp)>,
    /// Grants that requests passed by, each once, and when last.
    pub grants: Vec<(GrantId, Timestamp)>,
    /// Secrets that were used, each version once, and when last.
    pub secrets: Vec<(SecretId, u64, Timestamp)>,
    /// Calls that are over, each key once.
    pub calls: Vec<(CallsKey, Calls)>,
}

impl UsageBatch {
    /// Is there nothing to tell?
    pub fn is_empty(&self) -> bool {
        self.credentials.is_empty()
            && self.grants.is_empty()
            && self.secrets.is_empty()
            && self.calls.is_empty()
    }

    /// Takes up to `most` entries out of it.
    #[must_use]
    pub fn split_off(&mut self, most: usize) -> Self {
        let credentials = split_off(&mut self.credentials, most);
        let grants = split_off(&mut self.grants, most - credentials.len());
        let secrets = split_off(&mut self.secrets, most - credentials.len() - grants.len());
        let calls = split_off(&mut self.calls, most - credentials.len() - grants.len() - secrets.len());
        Self { credentials, grants, secrets, calls }
    }

    /// Puts back what was taken out.
    pub fn put_back(&mut self, part: Self) {
        self.credentials.extend(part.credentials);
        self.grants.extend(part.grants);
        self.secrets.extend(part.secrets);
        self.calls.extend(part.calls);
    }
}

/// The last `most` of these, in their order.
fn split_off<T>(all: &mut Vec<T>, most: usize) -> Vec<T> {
    all.split_off(all.len().saturating_sub(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_comes_in_parts() {
        let at = Timestamp::from_millis(1);
        let credential = |n| (CredentialId::from_uuid(uuid::Uuid::from_u128(n)), at);
        let grant = |n| (GrantId::from_uuid(uuid::Uuid::from_u128(n)), at);
        let whole = UsageBatch {
            credentials: vec![credential(1), credential(2)],
            grants: vec![grant(3)],
            secrets: vec![(SecretId::from_uuid(uuid::Uuid::from_u128(4)), 2, at)],
            calls: vec![],
        };
        let mut rest = whole.clone();
        let first = rest.split_off(1);
        assert_eq!(first.credentials, [credential(2)]);
        let second = rest.split_off(5);
        assert_eq!((second.credentials.len(), second.grants.len(), second.secrets.len()), (1, 1, 1));
        assert!(rest.is_empty());
        rest.put_back(second);
        rest.put_back(first);
        assert_eq!(rest, whole);
    }

    #[test]
    fn days_are_read_and_written() {
        let day: Day = "2026-06-01".parse().unwrap();
        assert_eq!(day.number(), 20_605);
        assert_eq!(day.to_string(), "2026-06-01");
        assert_eq!(Day::of("2026-06-01T23:59:59.999Z".parse().unwrap()), day);
        assert_eq!(Day::of("2026-06-02T00:00:00Z".parse().unwrap()).number(), day.number() + 1);
        assert_eq!(Day::of(Timestamp::from_millis(-1)).to_string(), "1969-12-31");
        for wrong in ["", "2026-6-1", "2026-13-01", "2026-06-01T", "today", "+026-06-01"] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
    }
}
