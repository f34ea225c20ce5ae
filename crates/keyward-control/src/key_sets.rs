//! Remote key sets: fetched on a timer, and sooner where a token names a key that nobody here has.
//!
//! Whatever consumers share an address, it is fetched once. What was fetched is kept in the store, so that restarts and
//! other nodes have it; how long it is believed is judged with each token.

pub(crate) mod fetch;
mod nudges;
mod sets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use keyward_access::jwt::{FetchedKeys as _, FetchedSet, KeySetNudge, VerifyingKeys};
use keyward_model::{JwkSet, KeySetUrl, RemoteKeys, Timestamp};
use keyward_store::{FetchedDocument, KeySetFailure, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::Control;
use crate::egress::Egress;
use fetch::{Fetched, fetch};
use nudges::Nudges;
pub(crate) use sets::KeySets;

/// How key sets are fetched.
#[derive(Clone, Debug)]
pub struct KeySetOptions {
    /// How often it is looked what is due.
    pub look_every: Duration,
    /// Hosts that may be fetched from although they are on this machine or in a private network.
    pub allow_egress: Vec<String>,
}

impl Default for KeySetOptions {
    /// From public addresses alone.
    fn default() -> Self {
        Self { look_every: Duration::from_secs(2), allow_egress: Vec::new() }
    }
}

/// How a fetched key set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetHealth {
    /// Is there one, and did the last attempt work?
    pub healthy: bool,
    /// When it was last fetched.
    pub fetched: Option<Timestamp>,
    /// When the last attempt failed, and why; `None` where it worked.
    pub failed: Option<(Timestamp, String)>,
}

/// The task that fetches key sets.
#[derive(Debug)]
pub struct KeySetKeeper {
    nudges: Arc<Nudges>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl KeySetKeeper {
    /// Starts it, on the runtime that this is called on. It ends when this is dropped.
    ///
    /// # Errors
    /// The system gives no HTTP client.
    pub fn start(control: Control, options: KeySetOptions) -> Result<Self, String> {
        let nudges = Arc::new(Nudges::new(control.clock()));
        let (stop, stopped) = oneshot::channel();
        let (finished, finishes) = mpsc::channel(FETCHES_MAX);
        let keeper = Keeper {
            egress: Arc::new(Egress::new(&options.allow_egress)?),
            fetched: Arc::clone(&control.shared_arc().fetched),
            control,
            options,
            nudges: Arc::clone(&nudges),
            sources: BTreeMap::new(),
            finished,
        };
        Ok(Self { nudges, stop, task: tokio::spawn(keeper.run(finishes, stopped)) })
    }

    /// Where the data plane tells that a key is missing.
    pub fn nudge(&self) -> Arc<dyn KeySetNudge> {
        Arc::<Nudges>::clone(&self.nudges)
    }

    /// Ends it.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task that fetches key sets did not end as it should");
        }
    }
}

/// Most fetches at once.
const FETCHES_MAX: usize = 8;
/// Pause after a failure.
const RETRY_MS: i64 = 30_000;
/// What `max-age` may say, in seconds.
const MAX_AGE_S: std::ops::RangeInclusive<u64> = 60..=3_600;

struct Keeper {
    control: Control,
    options: KeySetOptions,
    egress: Arc<Egress>,
    fetched: Arc<KeySets>,
    nudges: Arc<Nudges>,
    sources: BTreeMap<KeySetUrl, Source>,
    finished: mpsc::Sender<(KeySetUrl, Result<Fetched, String>)>,
}

/// An address that key sets are fetched from.
struct Source {
    due: Timestamp,
    /// How often, in seconds.
    refresh_s: u32,
    under_way: bool,
    /// What was last told to be wrong.
    wrong: Option<String>,
}

impl Keeper {
    async fn run(
        mut self,
        mut finishes: mpsc::Receiver<(KeySetUrl, Result<Fetched, String>)>,
        mut stopped: oneshot::Receiver<()>,
    ) {
        let mut ticks = tokio::time::interval(self.options.look_every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let nudges = Arc::clone(&self.nudges);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look().await,
                () = nudges.asked() => {}
                Some((url, outcome)) = finishes.recv() => self.finish(&url, outcome).await,
                _ = &mut stopped => break,
            }
            self.fetch_what_is_due();
        }
        self.nudges.close();
    }

    /// Sees which addresses are named, and what other nodes fetched.
    async fn look(&mut self) {
        if let Err(error) = self.read().await {
            tracing::debug!(%error, "key sets are fetched from the addresses that were known last");
        }
    }

    async fn read(&mut self) -> Result<(), keyward_store::StoreError> {
        let mut reader = self.control.store().reader().await?;
        let named = reader.reads().key_set_urls().await?;
        let stored = if named.is_empty() { Vec::new() } else { reader.reads().key_sets().await? };
        drop(reader);
        let now = self.control.now();
        for (url, refresh_s) in &named {
            self.sources.entry(url.clone()).or_insert_with(|| Source::new(now)).refresh_s = *refresh_s;
        }
        let before = self.sources.len();
        self.sources.retain(|url, source| source.under_way || named.contains_key(url));
        if self.sources.len() < before {
            self.fetched.keep(|url| named.contains_key(url));
            self.control.store().forget_key_sets().await?;
        }
        for document in stored {
            if self.adopt(&document)
                && let Some(source) = self.sources.get_mut(&document.url)
            {
                source.due =
                    source.due.max(document.fetched.plus_millis(seconds_ms(source.refresh_s.into())));
            }
        }
        Ok(())
    }

    /// Takes a set that another node fetched later, or this one in an earlier run.
    fn adopt(&self, stored: &FetchedDocument) -> bool {
        if self.fetched.get(&stored.url).is_some_and(|ours| ours.at >= stored.fetched) {
            return false;
        }
        put(&self.fetched, stored)
    }

    fn fetch_what_is_due(&mut self) {
        let now = self.control.now();
        for url in self.nudges.wanted() {
            let source = self.sources.entry(url).or_insert_with(|| Source::new(now));
            source.due = source.due.min(now);
        }
        let mut under_way = self.sources.values().filter(|source| source.under_way).count();
        for (url, source) in &mut self.sources {
            if source.under_way || source.due > now || under_way >= FETCHES_MAX {
                continue;
            }
            source.under_way = true;
            under_way += 1;
            let (egress, finished, url) = (Arc::clone(&self.egress), self.finished.clone(), url.clone());
            tokio::spawn(async move {
                let outcome = fetch(&egress, &url).await;
                // Whoever asked may have ended.
                let _ = finished.send((url, outcome)).await;
            });
        }
    }

    async fn finish(&mut self, url: &KeySetUrl, outcome: Result<Fetched, String>) {
        let now = self.control.now();
        let outcome = outcome.and_then(|fetched| {
            let document = FetchedDocument { url: url.clone(), document: fetched.document, fetched: now };
            put(&self.fetched, &document).then_some((document, fetched.max_age_s)).ok_or_else(unsound)
        });
        // Whoever waits can go on: what is left to do is for restarts and for people.
        self.nudges.finished(url);
        let told = self.sources.get_mut(url).and_then(|source| {
            source.under_way = false;
            source.due = now.plus_millis(match &outcome {
                Ok((_, max_age_s)) => source.holds_ms(*max_age_s),
                Err(_) => RETRY_MS,
            });
            let wrong = outcome.as_ref().err().cloned();
            let changed = source.wrong != wrong;
            source.wrong.clone_from(&wrong);
            changed.then_some(wrong)
        });
        match (&outcome, told) {
            (Err(error), Some(_)) => tracing::warn!(%url, error, "a key set cannot be fetched"),
            (Ok(_), Some(_)) => tracing::info!(%url, "the key set is fetched again"),
            _ => {}
        }
        let kept = match outcome {
            Ok((document, _)) => self.control.store().write_key_set(&document).await,
            Err(why) => {
                let failure = KeySetFailure { url: url.clone(), at: now, why };
                self.control.store().write_key_set_failure(&failure).await
            }
        };
        if let Err(error) = kept {
            tracing::warn!(%url, %error, "what was fetched cannot be kept for other nodes now");
        }
    }
}

impl Source {
    fn new(now: Timestamp) -> Self {
        Self { due: now, refresh_s: RemoteKeys::REFRESH_S, under_way: false, wrong: None }
    }

    /// How long an answer holds, as it says itself within bounds, else as the consumers say.
    fn holds_ms(&self, max_age_s: Option<u64>) -> i64 {
        let bounded = max_age_s.map(|seconds| seconds.clamp(*MAX_AGE_S.start(), *MAX_AGE_S.end()));
        seconds_ms(bounded.unwrap_or(self.refresh_s.into()))
    }
}

fn unsound() -> String {
    "its keys are not sound".to_owned()
}

fn seconds_ms(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

/// Takes what was fetched in earlier runs, or by other nodes. Where the store is away, it is fetched anew.
pub(crate) async fn load(store: &Store, fetched: &KeySets) {
    let read = async { store.reader().await?.reads().key_sets().await };
    match read.await {
        Ok(stored) => stored.iter().for_each(|set| {
            put(fetched, set);
        }),
        Err(error) => tracing::warn!(%error, "the key sets that were fetched before cannot be read now"),
    }
}

/// Puts a stored set where tokens are verified by it, if it is sound.
pub(crate) fn put(fetched: &KeySets, stored: &FetchedDocument) -> bool {
    let keys = JwkSet::parse_fetched(&stored.document).and_then(|set| VerifyingKeys::compile(&set));
    match keys {
        Ok(keys) => {
            fetched.put(&stored.url, &FetchedSet { keys: Arc::new(keys), at: stored.fetched });
            true
        }
        Err(error) => {
            tracing::warn!(url = %stored.url, %error, "a fetched key set is not sound");
            false
        }
    }
}
