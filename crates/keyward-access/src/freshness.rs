//! How old a configuration may be that judges a request, and how old it is.

use keyward_model::{DenyReason, Timestamp};
use uuid::Uuid;

use crate::{Denial, RequestHead, Snapshot, Target};

/// Tells how long ago this node's Snapshot was last known to be the newest.
pub trait Freshness: std::fmt::Debug + Send + Sync + 'static {
    /// The last moment at which the store was heard to have nothing newer, by the wall clock.
    fn confirmed_at(&self) -> Timestamp;
}

/// For a store that is this node's own: nobody else writes to it, so its Snapshot is always the newest.
#[derive(Clone, Copy, Debug, Default)]
pub struct AlwaysFresh;

impl Freshness for AlwaysFresh {
    fn confirmed_at(&self) -> Timestamp {
        Timestamp::from_millis(i64::MAX)
    }
}

/// What a request demands of the configuration that judges it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demand {
    /// `X-Keyward-Min-Revision`.
    pub min_revision: Option<MinRevision>,
    /// `X-Keyward-Max-Staleness`, in seconds.
    pub max_staleness_s: Option<u32>,
}

/// The least revision that a request demands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MinRevision {
    /// Of which store; absent: of whichever the node has.
    pub store: Option<Uuid>,
    /// The number.
    pub number: u64,
}

/// The field that demands a least revision: `NUMBER` or `STORE/NUMBER`, folded.
const MIN_REVISION: &str = "x-keyward-min-revision";
/// The field that demands a greatest staleness in seconds, folded.
const MAX_STALENESS: &str = "x-keyward-max-staleness";

impl Demand {
    /// What this head demands.
    ///
    /// # Errors
    /// `request_malformed`: a demand that is not understood would otherwise pass for none.
    pub(crate) fn of(head: &RequestHead<'_>) -> Result<Self, Denial> {
        let min_revision = once(head, MIN_REVISION)?;
        let max_staleness = once(head, MAX_STALENESS)?;
        Ok(Self {
            min_revision: min_revision.map(read_revision).transpose()?,
            max_staleness_s: max_staleness.map(|text| number(text).ok_or_else(malformed)).transpose()?,
        })
    }
}

/// Is the configuration as new as the request and the API demand?
///
/// # Errors
/// `snapshot_stale`.
pub(crate) fn check(
    snapshot: &Snapshot,
    target: &Target<'_>,
    confirmed_at: Timestamp,
    now: Timestamp,
) -> Result<(), Denial> {
    let stale = |hint: &'static str| Err(target.refuse(DenyReason::SnapshotStale).with_hint(hint));
    if let Some(wanted) = target.demand.min_revision {
        let ours = snapshot.revision();
        if wanted.store.is_some_and(|store| store != ours.store) {
            return stale(OTHER_STORE);
        }
        if wanted.number > ours.number {
            return stale("this node has not reached the revision that the request demands");
        }
    }
    let age_ms = staleness_ms(confirmed_at, now);
    let demanded = [target.demand.max_staleness_s, target.api.api.settings.max_staleness_s];
    if demanded.into_iter().flatten().any(|max_s| is_over(age_ms, max_s)) {
        return stale("it is longer ago than is allowed that this node heard what the newest revision is");
    }
    Ok(())
}

/// The hint where a request demands a revision of a store that is not the node's.
pub const OTHER_STORE: &str = "the revision that the request demands is another store's";

/// How long ago it was confirmed, in milliseconds.
pub fn staleness_ms(confirmed_at: Timestamp, now: Timestamp) -> u64 {
    u64::try_from(now.as_millis().saturating_sub(confirmed_at.as_millis())).unwrap_or(0)
}

pub(crate) fn is_over(age_ms: u64, max_s: u32) -> bool {
    age_ms > u64::from(max_s).saturating_mul(1000)
}

/// The value of a field that may stand once.
fn once<'a>(head: &RequestHead<'a>, name: &str) -> Result<Option<&'a str>, Denial> {
    let mut values = head.values(name);
    let Some(value) = values.next() else { return Ok(None) };
    match (std::str::from_utf8(value), values.next()) {
        (Ok(text), None) => Ok(Some(text)),
        _ => Err(malformed()),
    }
}

fn read_revision(text: &str) -> Result<MinRevision, Denial> {
    let (store, digits) = match text.split_once('/') {
        None => (None, text),
        Some((store, digits)) => {
            // As answers write it; other forms of the same id are not told apart from mistakes.
            let read = Uuid::try_parse(store).ok().filter(|_| store.len() == 36);
            (Some(read.ok_or_else(malformed)?), digits)
        }
    };
    Ok(MinRevision { store, number: number(digits).ok_or_else(malformed)? })
}

/// Digits alone: no sign, no blank.
fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn malformed() -> Denial {
    Denial::new(DenyReason::RequestMalformed).with_hint(
        "write `X-Keyward-Min-Revision: NUMBER` or `STORE/NUMBER`, and `X-Keyward-Max-Staleness: SECONDS`, each once",
    )
}
