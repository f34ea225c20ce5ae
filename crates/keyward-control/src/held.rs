//! Secrets whose values are held elsewhere: in the node's environment, in files, in a Vault-compatible server.
//!
//! A Snapshot asks for a place when it is compiled; from then on its value is fetched and kept up to date here, and when it
//! changes, the writer lets the Snapshot look again. Where nothing is known yet, or no more, every reference is refused.

mod file;
mod schedule;
mod table;
mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use keyward_access::Snapshot;
use keyward_model::{HeldBy, Plaintext};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::Control;
pub use file::HeldRules;
use file::Watched;
use schedule::{Read, Schedule};
pub(crate) use table::HeldTable;
use table::Put;
use vault::{Trouble, Vault};
pub use vault::{VaultAddress, VaultLogin, VaultOptions};

/// Longest value that is held elsewhere, in bytes.
const VALUE_MAX: usize = 64 * 1024;
/// Most reads of the vault at once.
const READS_MAX: usize = 8;
/// For how long a place is kept up to date that nothing needs any more: a write that names it may be under way.
const UNUSED: Duration = Duration::from_secs(60);
/// Variables of this program, which hold what is nobody else's.
const OWN_VARIABLES: &str = "KEYWARD_";

/// How values that are held elsewhere are fetched.
#[derive(Clone)]
pub struct HeldOptions {
    /// How often files are looked at, and what is due.
    pub look_every: Duration,
    /// Looks up the variables of the node's environment.
    pub environment: fn(&str) -> Option<String>,
    /// Which files may hold values.
    pub rules: HeldRules,
    /// For how long the value before a change still proves who calls.
    pub overlap: Duration,
    /// The server that vault places are in; absent: they have no value.
    pub vault: Option<VaultOptions>,
}

impl Default for HeldOptions {
    /// Environment and files, looked at every second, without a vault.
    fn default() -> Self {
        Self {
            look_every: Duration::from_secs(1),
            environment: |name| std::env::var(name).ok(),
            rules: HeldRules::default(),
            overlap: Duration::ZERO,
            vault: None,
        }
    }
}

impl fmt::Debug for HeldOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldOptions")
            .field("rules", &self.rules)
            .field("vault", &self.vault)
            .finish_non_exhaustive()
    }
}

/// What was fetched so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldCounts {
    /// Values that files were found to have, and files that were found to have none.
    pub files: (u64, u64),
    /// Reads of the vault that brought something, and those that failed.
    pub vault: (u64, u64),
    /// Places that are looked at, and those of them that have no value now.
    pub places: (usize, usize),
    /// Age of the vault's value that was read longest ago.
    pub oldest: Duration,
}

#[derive(Default)]
struct Counters {
    files: [AtomicU64; 2],
    vault: [AtomicU64; 2],
    oldest_ms: AtomicU64,
}

/// The task that fetches what is held elsewhere.
pub struct HeldKeeper {
    table: Arc<HeldTable>,
    counters: Arc<Counters>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl HeldKeeper {
    /// Starts it, on the runtime that this is called on. It ends when this is dropped.
    ///
    /// # Errors
    /// The vault cannot be used as it is described.
    pub fn start(control: Control, options: HeldOptions) -> Result<Self, String> {
        let table = Arc::clone(&control.shared_arc().held);
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = oneshot::channel();
        let (finished, finishes) = mpsc::channel(2);
        let keeper = Keeper {
            vault: options.vault.clone().map(Vault::new).transpose()?.map(Arc::new),
            rules: Arc::new(options.rules.clone()),
            table: Arc::clone(&table),
            counters: Arc::clone(&counters),
            seen: None,
            in_use: BTreeSet::new(),
            unused: BTreeMap::new(),
            files: Some(BTreeMap::new()),
            schedule: Schedule::default(),
            reading: false,
            control,
            options,
            finished,
        };
        table.note_kept(true);
        Ok(Self { table, counters, stop, task: tokio::spawn(keeper.run(finishes, stopped)) })
    }

    /// Waits until everything that is asked for was tried once, but not for longer than this.
    pub async fn settled(&self, longest: Duration) {
        self.table.settled(longest).await;
    }

    /// Tells what was fetched so far.
    pub fn counts(&self) -> Arc<dyn Fn() -> HeldCounts + Send + Sync> {
        let (table, counters) = (Arc::clone(&self.table), Arc::clone(&self.counters));
        let both =
            |[good, failed]: &[AtomicU64; 2]| (good.load(Ordering::Relaxed), failed.load(Ordering::Relaxed));
        Arc::new(move || HeldCounts {
            files: both(&counters.files),
            vault: both(&counters.vault),
            places: table.count(),
            oldest: Duration::from_millis(counters.oldest_ms.load(Ordering::Relaxed)),
        })
    }

    /// Ends it. What is known stays as it is.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the task that fetches what is held elsewhere did not end as it should");
        }
    }
}

impl fmt::Debug for HeldKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldKeeper").field("table", &self.table).finish_non_exhaustive()
    }
}

/// What is to be told of a place; `None`: what there is goes on holding.
type Told = Vec<(HeldBy, Option<Result<Plaintext, String>>)>;

type Files = BTreeMap<Box<str>, Watched>;

/// What came of looking elsewhere.
enum Finding {
    Files(Files, Told),
    Vault(Vec<Read>),
}

struct Keeper {
    control: Control,
    options: HeldOptions,
    rules: Arc<HeldRules>,
    table: Arc<HeldTable>,
    counters: Arc<Counters>,
    /// The Snapshot of which it is known what it needs.
    seen: Option<Arc<Snapshot>>,
    in_use: BTreeSet<HeldBy>,
    /// Places that nothing needs, and since when.
    unused: BTreeMap<HeldBy, Instant>,
    /// `None` while they are looked at.
    files: Option<Files>,
    vault: Option<Arc<Vault>>,
    schedule: Schedule,
    /// Is the vault being read?
    reading: bool,
    finished: mpsc::Sender<Finding>,
}

impl Keeper {
    async fn run(mut self, mut finishes: mpsc::Receiver<Finding>, mut stopped: oneshot::Receiver<()>) {
        let mut ticks = tokio::time::interval(self.options.look_every.max(Duration::from_millis(1)));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let table = Arc::clone(&self.table);
        loop {
            let mut told = Told::new();
            tokio::select! {
                _ = ticks.tick() => self.learn(),
                () = table.asked() => {}
                Some(finding) = finishes.recv() => told = self.take(finding),
                _ = &mut stopped => break,
            }
            self.look(&mut told);
            self.tell(told).await;
        }
        self.table.note_kept(false);
    }

    /// Sees what the Snapshot needs. What it has asked for itself is known already.
    fn learn(&mut self) {
        let snapshot = self.control.snapshots().load_full();
        if self.seen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &snapshot)) {
            self.in_use = snapshot.secrets().filter_map(|secret| secret.held_by().cloned()).collect();
            self.table.want(self.in_use.iter());
            self.seen = Some(snapshot);
        }
        let now = Instant::now();
        let places = self.table.places();
        let unused = places.iter().map(|(by, _)| by).filter(|by| !self.in_use.contains(*by));
        self.unused = unused.map(|by| (by.clone(), self.unused.get(by).copied().unwrap_or(now))).collect();
        if self.unused.values().any(|since| now.saturating_duration_since(*since) >= UNUSED) {
            let is_over = |by: &HeldBy| {
                self.unused.get(by).is_some_and(|since| now.saturating_duration_since(*since) >= UNUSED)
            };
            self.table.keep(|by| !is_over(by));
        }
    }

    /// Has everything looked at that is due; what is known at once is told at once.
    fn look(&mut self, told: &mut Told) {
        let places = self.table.places();
        for (by, _) in places.iter().filter(|(_, tried)| !tried) {
            match by {
                HeldBy::Env(name) => told.push((by.clone(), Some(self.variable(name)))),
                HeldBy::Vault { .. } if self.vault.is_none() => {
                    let why = "this node has no vault: it is named by --vault-address";
                    told.push((by.clone(), Some(Err(why.to_owned()))));
                }
                _ => {}
            }
        }
        self.look_at_files(&places);
        self.read_vault(&places, told);
        let now = self.control.now();
        self.table.end_overlaps(now);
    }

    fn variable(&self, name: &str) -> Result<Plaintext, String> {
        if name.starts_with(OWN_VARIABLES) {
            return Err(format!("variables that begin with {OWN_VARIABLES} are Keyward's own"));
        }
        match (self.options.environment)(name) {
            Some(value) if value.is_empty() => Err("the variable is empty".to_owned()),
            Some(value) if value.len() > VALUE_MAX => Err(format!("it has more than {VALUE_MAX} bytes")),
            Some(value) => Ok(Plaintext::new(value)),
            None => Err("the node was started without this variable".to_owned()),
        }
    }

    /// Files are looked at elsewhere: a disk may not answer.
    fn look_at_files(&mut self, places: &[(HeldBy, bool)]) {
        let Some(mut known) = self.files.take() else { return };
        let mut files = Files::new();
        for (by, tried) in places {
            if let HeldBy::File(path) = by {
                let watched = known.remove(path).filter(|_| *tried).unwrap_or_default();
                files.insert(path.clone(), watched);
            }
        }
        if files.is_empty() {
            self.files = Some(files);
            return;
        }
        let (rules, finished) = (Arc::clone(&self.rules), self.finished.clone());
        tokio::task::spawn_blocking(move || {
            let now = Instant::now();
            let mut told = Told::new();
            for (path, watched) in &mut files {
                let found = watched.look(path, &rules, now);
                told.extend(found.map(|found| (HeldBy::File(path.clone()), Some(found))));
            }
            // Whoever asked may have ended.
            let _ = finished.blocking_send(Finding::Files(files, told));
        });
    }

    fn read_vault(&mut self, places: &[(HeldBy, bool)], told: &mut Told) {
        let Some(vault) = self.vault.clone() else { return };
        let now = Instant::now();
        self.schedule.want(places);
        let overdue = self.schedule.take_overdue(now, vault.options().keep);
        told.extend(overdue.into_iter().map(|(by, why)| (by, Some(Err(why)))));
        let oldest = self.schedule.oldest(now).unwrap_or_default();
        self.counters
            .oldest_ms
            .store(u64::try_from(oldest.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if self.reading {
            return;
        }
        let due = self.schedule.take_due(now);
        if !due.is_empty() {
            self.reading = true;
            let finished = self.finished.clone();
            tokio::spawn(async move {
                let reads = read_all(&vault, due).await;
                // Whoever asked may have ended.
                let _ = finished.send(Finding::Vault(reads)).await;
            });
        }
    }

    fn take(&mut self, finding: Finding) -> Told {
        match finding {
            Finding::Files(files, told) => {
                self.files = Some(files);
                told.iter().for_each(|(_, found)| {
                    count(&self.counters.files, found.as_ref().is_some_and(|found| found.is_ok()));
                });
                told
            }
            Finding::Vault(reads) => {
                self.reading = false;
                let Some(vault) = &self.vault else { return Told::new() };
                let now = Instant::now();
                let mut told = Told::new();
                for read in reads {
                    count(&self.counters.vault, read.1.is_ok());
                    told.extend(self.schedule.finish(read, now, vault.options()));
                }
                told
            }
        }
    }

    /// Puts what was found in effect.
    async fn tell(&self, told: Told) {
        if told.is_empty() {
            return;
        }
        let overlap = i64::try_from(self.options.overlap.as_millis()).unwrap_or(i64::MAX);
        let until = (overlap > 0).then(|| self.control.now().plus_millis(overlap));
        let mut places = Vec::with_capacity(told.len());
        let mut changed = BTreeSet::new();
        for (by, found) in told {
            if let Some(Err(why)) = &found {
                tracing::debug!(%by, why, "no value");
            }
            if found.is_some_and(|found| self.table.put(&by, found, until) == Put::Changed) {
                changed.insert(by.clone());
            }
            places.push(by);
        }
        if !changed.is_empty() {
            self.control.renew_held(changed).await;
        }
        self.table.note_tried(&places);
    }
}

/// Reads these paths. Once the server is seen to be away, it is not asked for the rest.
async fn read_all(vault: &Arc<Vault>, paths: Vec<Box<str>>) -> Vec<Read> {
    let mut paths = paths.into_iter();
    let mut running = JoinSet::new();
    let mut reads: Vec<Read> = Vec::with_capacity(paths.len());
    let mut away = None;
    loop {
        while running.len() < READS_MAX
            && let Some(path) = paths.next()
        {
            match &away {
                Some(why) => reads.push((path, Err(Trouble::Away(String::clone(why))))),
                None => {
                    let vault = Arc::clone(vault);
                    running.spawn(async move {
                        let found = vault.read(&path).await;
                        (path, found)
                    });
                }
            }
        }
        match running.join_next().await {
            Some(Ok(read)) => {
                if let Err(Trouble::Away(why)) = &read.1 {
                    away = Some(why.clone());
                }
                reads.push(read);
            }
            Some(Err(error)) => tracing::error!(%error, "a read of the vault did not end as it should"),
            None => return reads,
        }
    }
}

fn count([good, failed]: &[AtomicU64; 2], is_good: bool) {
    let counter = if is_good { good } else { failed };
    counter.fetch_add(1, Ordering::Relaxed);
}
