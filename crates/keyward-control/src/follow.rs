//! Following: what other nodes changed reaches this node's Snapshot, by the change log.
//!
//! One task watches the store, woken by it and looking once a second all the same; the writer's task, which alone moves the
//! Snapshot, catches up: when the watch has seen a newer revision, and before each write of its own.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use keyward_access::{CompileError, Freshness, ObjectId, Snapshot, SnapshotUpdate};
use keyward_model::{Grantee, Timestamp};
use keyward_store::{Change, Frame, Look, Mark, Reads, Store, StoreError, Watch};
use tokio::sync::watch;

use crate::dirty::Dirty;
use crate::shared::Shared;

/// How often the store is looked at when it tells nothing.
const LOOK: Duration = Duration::from_secs(1);

/// Waits between two attempts to reach a store that is away: a random one between these.
const AWAY_MS: (u64, u64) = (100, 900);

/// Most entries of the log that are caught up with before everything is read instead.
pub(crate) const FAR: usize = 200_000;

/// When this node last knew that it had everything.
#[derive(Debug, Default)]
pub(crate) struct Confirmed {
    /// Does nobody else write? Then it always has everything.
    alone: bool,
    confirmed: AtomicI64,
}

impl Freshness for Confirmed {
    fn confirmed_at(&self) -> Timestamp {
        let confirmed = if self.alone { i64::MAX } else { self.confirmed.load(Ordering::Relaxed) };
        Timestamp::from_millis(confirmed)
    }
}

/// How this node stands to its store.
pub(crate) struct Standing {
    pub(crate) freshness: Arc<Confirmed>,
    /// The revision in effect here.
    pub(crate) applied: watch::Sender<u64>,
    /// Counts what was heard of other nodes.
    pub(crate) heard: watch::Sender<u64>,
    /// Why the store is not followed.
    trouble: Mutex<Option<StoreError>>,
}

impl Standing {
    pub(crate) fn new(alone: bool) -> Self {
        Self {
            freshness: Arc::new(Confirmed { alone, confirmed: AtomicI64::new(i64::MIN) }),
            applied: watch::Sender::default(),
            heard: watch::Sender::default(),
            trouble: Mutex::default(),
        }
    }

    /// Everything that was committed at this moment is in effect here.
    pub(crate) fn confirm(&self, at: Timestamp) {
        self.freshness.confirmed.fetch_max(at.as_millis(), Ordering::Relaxed);
        *self.trouble() = None;
    }

    /// What was found cannot be followed.
    pub(crate) fn refuse(&self, error: StoreError) {
        let mut trouble = self.trouble();
        if trouble.as_ref() != Some(&error) {
            tracing::error!(%error, "this node keeps the configuration that it has");
            *trouble = Some(error);
        }
    }

    /// Why the store is not followed, if it is not.
    pub(crate) fn refused(&self) -> Option<StoreError> {
        self.trouble().clone()
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<StoreError>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Is it an error about what the store is, rather than about reaching it?
pub(crate) fn is_refusal(error: &StoreError) -> bool {
    matches!(error, StoreError::AnotherStore | StoreError::WentBack { .. })
}

/// What the watch saw, and when it looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) revision: u64,
    pub(crate) at: Timestamp,
}

/// Watches the store until nobody looks at what it sees.
pub(crate) async fn watch_store(
    store: Arc<Store>,
    shared: Arc<Shared>,
    sights: watch::Sender<Option<Sight>>,
) {
    let mut away = false;
    while !sights.is_closed() {
        let outcome = tokio::select! {
            outcome = watch_once(&store, &shared, &sights) => outcome,
            () = sights.closed() => return,
        };
        match outcome {
            Ok(()) => return,
            Err(error) if is_refusal(&error) => shared.standing.refuse(error),
            Err(error) if !away => {
                tracing::warn!(%error, "the store is away; this node goes on with what it has")
            }
            Err(error) => tracing::debug!(%error, "the store is still away"),
        }
        away = true;
        // Nodes that lost it together do not all come back at once.
        tokio::time::sleep(jitter(AWAY_MS)).await;
    }
}

async fn watch_once(
    store: &Store,
    shared: &Shared,
    sights: &watch::Sender<Option<Sight>>,
) -> Result<(), StoreError> {
    let Some(mut watching) = store.watch().await? else { return Ok(()) };
    tracing::info!("following the store");
    loop {
        let at = shared.now();
        let Look { revision, applied } = watching.look().await?;
        sights.send_replace(Some(Sight { revision, at }));
        let told = hear(&mut watching).await?;
        if applied || told {
            shared.standing.heard.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

async fn hear(watching: &mut Watch) -> Result<bool, StoreError> {
    let most = u64::try_from(LOOK.as_millis()).unwrap_or(u64::MAX);
    watching.told(jitter((most / 2, most))).await
}

/// A random time between these, in milliseconds.
pub(crate) fn jitter((least, most): (u64, u64)) -> Duration {
    let mut random = [0_u8; 8];
    // Without a random number it is the least.
    let _ = aws_lc_rs::rand::fill(&mut random);
    let span = most.saturating_sub(least).saturating_add(1);
    Duration::from_millis(least.saturating_add(u64::from_le_bytes(random) % span))
}

/// What came of catching up.
pub(crate) enum Caught {
    /// There is nothing new.
    Already(Mark),
    /// Where the store stands, the Snapshot that follows, and what the local copy is to keep.
    Up(Mark, Arc<Snapshot>, Option<Frame>),
    /// The log does not say enough: everything must be read.
    Reload,
}

/// Ids of what is in the store and not in the Snapshot, because it cannot be believed or does not compile. Where one of them changes,
/// everything is read anew: others may be missing only because of it.
pub(crate) type LeftOut = BTreeSet<String>;

/// Catches up with the store as `reads` sees it, which must stay so meanwhile.
pub(crate) async fn catch_up(
    reads: &mut Reads<'_>,
    shared: &Shared,
    known: &Mark,
    snapshot: &Arc<Snapshot>,
    left_out: &mut LeftOut,
) -> Result<Caught, StoreError> {
    let mark = reads.continues(known).await?;
    let from = snapshot.revision().number;
    if mark.revision < from {
        return Err(StoreError::WentBack { known: from, found: mark.revision });
    }
    if mark.revision == from {
        return Ok(Caught::Already(mark));
    }
    let Some(changes) = reads.changes_up_to(from, mark.revision, FAR).await? else {
        return Ok(Caught::Reload);
    };
    if touches(&changes, left_out) {
        return Ok(Caught::Reload);
    }
    let mut dirty = Dirty::default();
    changes.iter().for_each(|change| dirty.change(change));
    for account in dirty.accounts() {
        reads.learn_keys(account).await?;
    }
    let updates = dirty.updates(reads).await?;
    if updates.unclear {
        return Ok(Caught::Reload);
    }
    left_out.extend(updates.left_out);
    let frame = Some(reads.frame(from, &mark, &changes).await?);
    let next = shared.revision(mark.revision);
    Ok(match compile(snapshot, next, updates.list, left_out) {
        Some(snapshot) => Caught::Up(mark, Arc::new(snapshot), frame),
        None => Caught::Reload,
    })
}

/// Is something of this among what was left out?
pub(crate) fn touches(changes: &[Change], left_out: &LeftOut) -> bool {
    let touched = |change: &Change| {
        let owner = change.owner.map(|owner| match owner {
            Grantee::Caller(id) => id.to_string(),
            Grantee::Group(id) => id.to_string(),
        });
        let id = change.record.map(|id| id.to_string());
        [id, owner].into_iter().flatten().any(|id| left_out.contains(&id))
    };
    !left_out.is_empty() && changes.iter().any(touched)
}

/// The Snapshot that follows, without what does not compile: an object that is wrong now is taken out, as a restart would leave it out.
fn compile(
    snapshot: &Snapshot,
    next: keyward_model::Revision,
    mut updates: Vec<SnapshotUpdate>,
    left_out: &mut LeftOut,
) -> Option<Snapshot> {
    // Each round takes something out or gives up on it, and what is left out can make more impossible.
    for _ in 0..=updates.len().saturating_mul(2).min(64) {
        match snapshot.apply(next, &updates) {
            Ok(next) => return Some(next),
            Err(error) => {
                left_out.extend(error.problems.iter().map(|problem| whole(problem.object).to_string()));
                updates = without(updates, &error)?;
            }
        }
    }
    None
}

fn without(updates: Vec<SnapshotUpdate>, error: &CompileError) -> Option<Vec<SnapshotUpdate>> {
    let wrong: BTreeSet<ObjectId> = error.problems.iter().map(|problem| whole(problem.object)).collect();
    for problem in &error.problems {
        tracing::error!(%problem, "left out of the configuration");
    }
    let before = updates.len();
    let mut removed = false;
    let updates: Vec<SnapshotUpdate> = updates
        .into_iter()
        .filter_map(|update| {
            if !wrong.contains(&object_of(&update)) {
                return Some(update);
            }
            let removal = removal_of(&update);
            removed |= removal.is_some();
            removal
        })
        .collect();
    (removed || updates.len() < before).then_some(updates)
}

/// A credential is part of its caller.
pub(crate) fn whole(object: ObjectId) -> ObjectId {
    match object {
        ObjectId::Credential(caller, _) => ObjectId::Caller(caller),
        other => other,
    }
}

fn object_of(update: &SnapshotUpdate) -> ObjectId {
    use SnapshotUpdate as U;
    match update {
        U::UpsertAccount(account) => ObjectId::Account(account.id),
        U::RemoveAccount(id) => ObjectId::Account(*id),
        U::UpsertGateway(gateway) => ObjectId::Gateway(gateway.id),
        U::RemoveGateway(id) => ObjectId::Gateway(*id),
        U::UpsertSecret(secret) => ObjectId::Secret(secret.id),
        U::RemoveSecret(id) => ObjectId::Secret(*id),
        U::UpsertService(service) => ObjectId::Service(service.id),
        U::RemoveService(id) => ObjectId::Service(*id),
        U::UpsertApi(api) => ObjectId::Api(api.id),
        U::RemoveApi(id) => ObjectId::Api(*id),
        U::UpsertPlugin(plugin) | U::ClosePlugin(plugin) => ObjectId::Plugin(plugin.id),
        U::RemovePlugin(id) => ObjectId::Plugin(*id),
        U::UpsertModule(module) => ObjectId::Module(module.id),
        U::RemoveModule(id) => ObjectId::Module(*id),
        U::UpsertCaller { caller, .. } => ObjectId::Caller(caller.id),
        U::RemoveCaller(id) => ObjectId::Caller(*id),
        U::UpsertGroup(group) => ObjectId::Group(group.id),
        U::RemoveGroup(id) => ObjectId::Group(*id),
        U::UpsertGrant(grant) => ObjectId::Grant(grant.id),
        U::RemoveGrant { id, .. } => ObjectId::Grant(*id),
    }
}

/// What takes out an object that is wrong; `None` where it is the removal itself that does not compile.
fn removal_of(update: &SnapshotUpdate) -> Option<SnapshotUpdate> {
    use SnapshotUpdate as U;
    Some(match update {
        U::UpsertAccount(account) => U::RemoveAccount(account.id),
        U::UpsertGateway(gateway) => U::RemoveGateway(gateway.id),
        U::UpsertSecret(secret) => U::RemoveSecret(secret.id),
        U::UpsertService(service) => U::RemoveService(service.id),
        U::UpsertApi(api) => U::RemoveApi(api.id),
        // Without it, what it should keep out would come in.
        U::UpsertPlugin(plugin) => U::ClosePlugin(plugin.clone()),
        U::ClosePlugin(plugin) => U::RemovePlugin(plugin.id),
        U::UpsertModule(module) => U::RemoveModule(module.id),
        U::UpsertCaller { caller, .. } => U::RemoveCaller(caller.id),
        U::UpsertGroup(group) => U::RemoveGroup(group.id),
        U::UpsertGrant(grant) => U::RemoveGrant { id: grant.id, grantee: grant.grantee },
        _ => return None,
    })
}
