//! What is read from the vault, and when: each path before its value is too old, and later and later while the server is away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use keyward_model::HeldBy;

use super::vault::{Fields, Trouble, VaultOptions};
use crate::follow::jitter;

/// The first wait after a failure, and the longest.
const WAIT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// What was found at a path.
pub(super) type Read = (Box<str>, Result<Fields, Trouble>);

/// The paths that are read, and when.
#[derive(Default)]
pub(super) struct Schedule {
    paths: BTreeMap<Box<str>, PathState>,
}

#[derive(Default)]
struct PathState {
    /// `None`: at once.
    due: Option<Instant>,
    /// When it was last read.
    good: Option<Instant>,
    /// How often it could not be, since.
    failed: u32,
    /// Why it could not be.
    why: Option<String>,
    fields: BTreeSet<Box<str>>,
    under_way: bool,
}

impl Schedule {
    /// These places are wanted; those that were never tried, at once.
    pub(super) fn want(&mut self, places: &[(HeldBy, bool)]) {
        self.paths.values_mut().for_each(|path| path.fields.clear());
        for (by, tried) in places {
            let HeldBy::Vault { path, field } = by else { continue };
            let known = self.paths.entry(path.clone()).or_default();
            known.fields.insert(field.clone());
            if !tried && known.failed == 0 {
                known.due = None;
            }
        }
        self.paths.retain(|_, path| path.under_way || !path.fields.is_empty());
    }

    /// The paths to be read now: they count as under way.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Box<str>> {
        let mut due = Vec::new();
        for (name, path) in &mut self.paths {
            if !path.under_way && path.due.is_none_or(|due| due <= now) {
                path.under_way = true;
                due.push(name.clone());
            }
        }
        due
    }

    /// Takes what was read; gives what there is to tell of each place.
    pub(super) fn finish(
        &mut self,
        (name, outcome): Read,
        now: Instant,
        options: &VaultOptions,
    ) -> Vec<(HeldBy, Option<Result<keyward_model::Plaintext, String>>)> {
        let Some(path) = self.paths.get_mut(&name) else { return Vec::new() };
        path.under_way = false;
        let places = std::mem::take(&mut path.fields);
        path.fields.clone_from(&places);
        let place = |field: &str| HeldBy::Vault { path: name.clone(), field: field.into() };
        match outcome {
            Ok(mut found) => {
                if path.why.take().is_some() {
                    tracing::info!(path = %name, "the vault is read again");
                }
                (path.good, path.failed) = (Some(now), 0);
                path.due = now.checked_add(earlier(options.refresh));
                let none = || Err("there is no such field at this path of the vault".to_owned());
                places
                    .iter()
                    .map(|field| (place(field), Some(found.remove(field).unwrap_or_else(none))))
                    .collect()
            }
            Err(Trouble::Gone(why)) => {
                path.tell(&name, &why);
                (path.good, path.failed) = (None, 0);
                path.due = now.checked_add(earlier(options.refresh));
                places.iter().map(|field| (place(field), Some(Err(why.clone())))).collect()
            }
            Err(Trouble::Away(why) | Trouble::Denied(why)) => {
                path.tell(&name, &why);
                path.failed = path.failed.saturating_add(1);
                path.due = now.checked_add(wait(path.failed));
                // What was read before holds for a while: `None`.
                let told = path.good.is_none().then_some(Err(why));
                places.iter().map(|field| (place(field), told.clone())).collect()
            }
        }
    }

    /// Places whose value is too old to be believed any longer, and why there is no newer one.
    pub(super) fn take_overdue(&mut self, now: Instant, keep: Duration) -> Vec<(HeldBy, String)> {
        let mut overdue = Vec::new();
        for (name, path) in &mut self.paths {
            if path.good.take_if(|good| now.saturating_duration_since(*good) >= keep).is_none() {
                continue;
            }
            let why = path.why.clone().unwrap_or_else(|| "the vault does not answer".to_owned());
            let place = |field: &str| HeldBy::Vault { path: name.clone(), field: field.into() };
            overdue.extend(path.fields.iter().map(|field| (place(field), why.clone())));
        }
        overdue
    }

    /// Age of the value that was read longest ago.
    pub(super) fn oldest(&self, now: Instant) -> Option<Duration> {
        self.paths.values().filter_map(|path| path.good).map(|good| now.saturating_duration_since(good)).max()
    }
}

impl PathState {
    /// Says what is wrong, once.
    fn tell(&mut self, name: &str, why: &str) {
        if self.why.as_deref() != Some(why) {
            tracing::warn!(path = %name, why, "a secret cannot be read from the vault");
            self.why = Some(why.to_owned());
        }
    }
}

/// Up to a tenth sooner, so that what was read together is not always read together, and nothing is older than it may be.
fn earlier(refresh: Duration) -> Duration {
    let most = u64::try_from(refresh.as_millis()).unwrap_or(u64::MAX);
    jitter((most.saturating_sub(most / 10), most))
}

/// Twice as long after each failure, and random, so that nodes do not all come back at once.
fn wait(failed: u32) -> Duration {
    let (first, longest) = WAIT;
    let most = first.saturating_mul(1 << failed.saturating_sub(1).min(10)).min(longest);
    let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
    jitter((most / 2, most))
}

#[cfg(test)]
mod tests {
    use keyward_model::Plaintext;

    use super::super::vault::VaultLogin;
    use super::*;

    const REFRESH: Duration = Duration::from_secs(60);
    const KEEP: Duration = Duration::from_secs(3600);

    fn options() -> VaultOptions {
        VaultOptions {
            address: "https://vault".parse().unwrap(),
            login: VaultLogin::TokenFile("/nowhere".into()),
            namespace: None,
            ca_file: None,
            refresh: REFRESH,
            keep: KEEP,
        }
    }

    fn place(field: &str) -> HeldBy {
        HeldBy::Vault { path: "secret/a".into(), field: field.into() }
    }

    fn value(text: &str) -> Result<Fields, Trouble> {
        Ok(BTreeMap::from([("f".into(), Ok(Plaintext::new(text)))]))
    }

    fn away() -> Result<Fields, Trouble> {
        Err(Trouble::Away("away".to_owned()))
    }

    /// A schedule that has read its one path.
    fn read_once(now: Instant) -> Schedule {
        let mut schedule = Schedule::default();
        schedule.want(&[(place("f"), false)]);
        assert_eq!(schedule.take_due(now), ["secret/a".into()]);
        assert!(schedule.take_due(now).is_empty(), "it is under way");
        let told = schedule.finish(("secret/a".into(), value("x")), now, &options());
        assert_eq!(told, [(place("f"), Some(Ok(Plaintext::new("x"))))]);
        schedule.want(&[(place("f"), true)]);
        schedule
    }

    #[test]
    fn a_value_is_read_again_before_it_is_older_than_it_may_be() {
        let now = Instant::now();
        let mut schedule = read_once(now);
        assert!(schedule.take_due(now + REFRESH * 89 / 100).is_empty());
        assert_eq!(schedule.take_due(now + REFRESH).len(), 1);
    }

    #[test]
    fn the_last_good_value_holds_for_its_time_while_the_server_is_away() {
        let now = Instant::now();
        let mut schedule = read_once(now);
        schedule.take_due(now + REFRESH);
        let told = schedule.finish(("secret/a".into(), away()), now + REFRESH, &options());
        assert_eq!(told, [(place("f"), None)]);
        assert!(schedule.take_overdue(now + KEEP - Duration::from_millis(1), KEEP).is_empty());
        assert_eq!(schedule.oldest(now + REFRESH), Some(REFRESH));
        assert_eq!(schedule.take_overdue(now + KEEP, KEEP), [(place("f"), "away".to_owned())]);
        assert!(schedule.take_overdue(now + KEEP, KEEP).is_empty(), "it is told once");
        schedule.take_due(now + KEEP);
        let told = schedule.finish(("secret/a".into(), away()), now + KEEP, &options());
        assert_eq!(told, [(place("f"), Some(Err("away".to_owned())))]);
    }

    #[test]
    fn what_is_gone_is_gone_at_once() {
        let now = Instant::now();
        let mut schedule = read_once(now);
        schedule.take_due(now + REFRESH);
        let gone = Err(Trouble::Gone("gone".to_owned()));
        let told = schedule.finish(("secret/a".into(), gone), now + REFRESH, &options());
        assert_eq!(told, [(place("f"), Some(Err("gone".to_owned())))]);
        // A field that is not there is no other than a path that is not.
        schedule.want(&[(place("f"), true), (place("g"), false)]);
        assert_eq!(schedule.take_due(now + REFRESH).len(), 1, "a new field is read at once");
        let told = schedule.finish(("secret/a".into(), value("x")), now + REFRESH, &options());
        assert!(matches!(&told[..], [(_, Some(Ok(_))), (_, Some(Err(_)))]), "{told:?}");
    }

    #[test]
    fn a_server_that_is_away_is_asked_less_and_less_and_never_more_than_the_longest_wait_apart() {
        let now = Instant::now();
        let mut schedule = read_once(now);
        let mut at = now + REFRESH;
        for _ in 0..12 {
            assert_eq!(schedule.take_due(at).len(), 1);
            schedule.finish(("secret/a".into(), away()), at, &options());
            assert!(schedule.take_due(at).is_empty());
            at += WAIT.1;
        }
        // Nor does one more place that is wanted make it be asked at once.
        schedule.take_due(at);
        schedule.finish(("secret/a".into(), away()), at, &options());
        schedule.want(&[(place("f"), true), (place("g"), false)]);
        assert!(schedule.take_due(at).is_empty());
    }

    #[test]
    fn a_path_that_nobody_wants_is_forgotten() {
        let now = Instant::now();
        let mut schedule = read_once(now);
        schedule.want(&[]);
        assert!(schedule.take_due(now + KEEP).is_empty());
        assert_eq!(schedule.oldest(now), None);
    }
}
