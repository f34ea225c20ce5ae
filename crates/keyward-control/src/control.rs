//! The way in.

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use keyward_access::{Freshness, ModuleCheck, Snapshot};
use keyward_model::{HeldBy, Name, Plaintext, Revision, World};
use keyward_store::{Store, StoreOptions};
use tokio::task::JoinHandle;

use crate::follow::Standing;
use crate::nodes::Presence;
use crate::password::Passwords;
use crate::sessions::Attempts;
use crate::shared::Shared;
use crate::writer::{Work, Writes};
use crate::{
    Accounts, Actor, Apis, Applications, Applied, ApplyOptions, Audit, Callers, Clock, Consumers,
    ControlError, Credentials, ErrorKind, Gateways, Grants, Groups, Minter, Modules, Operators, Plugins,
    Random, Review, Secrets, Services, Sessions, Usage, follow, load, nodes, writer,
};

/// How a node's control is set up.
pub struct ControlOptions {
    /// The node's data folder; made if it is not there.
    pub data_dir: PathBuf,
    /// A store elsewhere (`postgres://…`); absent: SQLite in the data folder.
    pub store_url: Option<Plaintext>,
    /// The master key file; absent: `master.key` in the data folder, made on first start.
    pub master_key_file: Option<PathBuf>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Where ids and secrets come from: [`SystemRandom`](crate::SystemRandom).
    pub random: Arc<dyn Random>,
    /// The node's own listeners, refused as endpoints of services. More can be told by [`Control::add_own_listeners`].
    pub own_listeners: Vec<SocketAddr>,
}

/// The use cases of one node. Cheap to clone; every clone speaks to the same writer.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
    asking: Asking,
}

/// How a write is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// Do everything but keep it: what would be refused is refused, nothing changes, nothing generated is shown.
    pub dry_run: bool,
    /// The request that it came by, for the audit.
    pub request: Option<String>,
    /// Do it once, however often it is asked for.
    pub once: Option<crate::Once>,
}

/// How long the answer to a write waits for values that are held elsewhere and were not asked for before.
const SETTLE: Duration = Duration::from_secs(5);

struct Inner {
    store: Arc<Store>,
    shared: Arc<Shared>,
    snapshots: Arc<ArcSwap<Snapshot>>,
    quarantined: Vec<String>,
    passwords: Passwords,
    attempts: Attempts,
    /// `None` once closed.
    writes: Mutex<Option<Writes>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    node_id: String,
    /// `None` before [`Control::join`] and after closing.
    presence: Mutex<Option<Presence>>,
}

impl Control {
    /// Opens (or makes) the store, loads it, and starts the writer on the runtime that this is called on.
    ///
    /// # Errors
    /// The store cannot be opened: another process has it, its master key is missing or another one, or it is damaged.
    pub async fn open(options: ControlOptions) -> Result<Self, ControlError> {
        let store = Store::open(StoreOptions {
            data_dir: options.data_dir.clone(),
            url: options.store_url,
            master_key_file: options.master_key_file,
        })
        .await?;
        let shared = Arc::new(Shared {
            clock: options.clock,
            digest_key: store.digest_key().clone(),
            store_id: store.id(),
            own_listeners: RwLock::new(options.own_listeners),
            standing: Standing::new(!store.is_shared()),
            fetched: Arc::default(),
            held: Arc::default(),
            module_check: OnceLock::new(),
        });
        let mut minter = Minter::new(options.random);
        let node_id = nodes::node_id(&options.data_dir, &mut minter, shared.now())?;
        let (mark, loaded) = match store.opened_from_copy() {
            Some(mark) => (mark.clone(), load::snapshot_of_copy(&store, &shared).await?),
            None => {
                load::seed(&store, &mut minter, shared.now()).await?;
                // Before the rows, so that what others write meanwhile counts as new.
                let mark = store.reader().await?.reads().mark().await?;
                (mark, load::snapshot(&store, &shared).await?)
            }
        };
        // Nothing is in effect that a restart without the store would not know.
        match store.opened_from_copy() {
            Some(_) => store.go_on_with_copy().await?,
            None => store.resume_copy().await?,
        }
        if store.last_good().is_none() {
            store.loaded();
        }
        shared.standing.applied.send_replace(loaded.snapshot.revision().number);
        let store = Arc::new(store);
        let snapshots = Arc::new(ArcSwap::from_pointee(loaded.snapshot));
        let (sights, seen) = tokio::sync::watch::channel(None);
        tokio::spawn(follow::watch_store(Arc::clone(&store), Arc::clone(&shared), sights));
        let (writes, writer) = writer::start(
            Arc::clone(&store),
            Arc::clone(&shared),
            Arc::clone(&snapshots),
            minter,
            mark,
            loaded.left_out,
            seen,
        );
        let inner = Inner {
            store,
            shared,
            snapshots,
            quarantined: loaded.quarantined,
            passwords: Passwords::new()?,
            attempts: Attempts::default(),
            writes: Mutex::new(Some(writes)),
            writer: Mutex::new(Some(writer)),
            node_id,
            presence: Mutex::default(),
        };
        Ok(Self { inner: Arc::new(inner), asking: Asking::default() })
    }

    /// The same use cases, asked in this way.
    #[must_use]
    pub fn asking(&self, asking: Asking) -> Self {
        Self { inner: Arc::clone(&self.inner), asking }
    }

    /// Is nothing kept of what is asked through this?
    pub(crate) fn is_dry_run(&self) -> bool {
        self.asking.dry_run
    }

    /// Values that were generated, unless nothing was kept.
    pub(crate) fn kept(&self, minted: Vec<crate::Minted>) -> Vec<crate::Minted> {
        if self.asking.dry_run { Vec::new() } else { minted }
    }

    /// The Snapshot in effect, replaced as a whole by every write before that write is answered.
    pub fn snapshots(&self) -> Arc<ArcSwap<Snapshot>> {
        Arc::clone(&self.inner.snapshots)
    }

    /// What is not well with this node, although it goes on, in words.
    pub fn trouble(&self) -> Option<String> {
        nodes::trouble_of(&self.inner.store)
    }

    /// Are changes taken, as far as is known?
    pub fn takes_changes(&self) -> bool {
        self.ready().is_ok() && !self.inner.store.is_full()
    }

    /// The revision of the local copy that this node started from because loading the store had failed in the starts before.
    pub fn last_good(&self) -> Option<u64> {
        self.inner.store.last_good()
    }

    /// Did this node start from its local copy, the store being away or not to be loaded?
    pub fn started_from_copy(&self) -> bool {
        self.inner.store.opened_from_copy().is_some()
    }

    /// When this node last knew that it had everything.
    pub fn freshness(&self) -> Arc<dyn Freshness> {
        Arc::<crate::follow::Confirmed>::clone(&self.inner.shared.standing.freshness)
    }

    /// The revision in effect.
    pub fn revision(&self) -> Revision {
        self.inner.snapshots.load().revision()
    }

    /// What could not be loaded at the start, in words: left out, so that the rest works.
    pub fn quarantined(&self) -> &[String] {
        &self.inner.quarantined
    }

    /// Does the store take writes, and is it the one that this node follows? For readiness. (A store elsewhere that is away for a
    /// while is no reason to turn requests away.)
    ///
    /// # Errors
    /// Why it does not.
    pub fn ready(&self) -> Result<(), ControlError> {
        if let Some(refused) = self.inner.shared.standing.refused() {
            return Err(refused.into());
        }
        Ok(self.inner.store.takes_writes()?)
    }

    /// Has modules and custom plugins tried from now on, before they are kept. Told once; without it nothing is tried.
    pub fn try_modules_by(&self, check: Arc<dyn ModuleCheck>) {
        // Whoever was told first stays.
        let _ = self.inner.shared.module_check.set(check);
    }

    pub(crate) fn module_check(&self) -> Option<Arc<dyn ModuleCheck>> {
        self.inner.shared.module_check.get().cloned()
    }

    /// Tells of listeners whose addresses were not known at the start (port 0).
    pub fn add_own_listeners(&self, listeners: &[SocketAddr]) {
        let mut own = self.inner.shared.own_listeners.write().unwrap_or_else(PoisonError::into_inner);
        own.extend_from_slice(listeners);
    }

    /// Makes what `world` names so, in one transaction. Applying twice changes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) or [`Conflict`](crate::ErrorKind::Conflict) with every problem and its place;
    /// nothing is changed then.
    pub async fn apply(
        &self,
        actor: &Actor,
        world: World,
        options: ApplyOptions,
    ) -> Result<Applied, ControlError> {
        crate::apply::apply(self, actor, world, options).await
    }

    /// Everything of these accounts (none: of all), without secret values, such that applying it changes nothing.
    ///
    /// # Errors
    /// An account does not exist, or the store does not answer.
    pub async fn export(&self, actor: &Actor, accounts: Vec<Name>) -> Result<World, ControlError> {
        crate::export::export(self, actor, accounts).await
    }

    /// Stops after the writes that wait, and lets go of the data folder. Decisions go on from the last Snapshot.
    pub async fn close(&self) {
        let presence = self.inner.presence.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(presence) = presence {
            presence.end().await;
        }
        let writes = self.inner.writes.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(writes);
        let writer = self.inner.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer
            && let Err(error) = writer.await
        {
            tracing::error!(%error, "the writer did not end as it should");
        }
        self.inner.store.close().await;
    }

    /// What can be done with accounts.
    pub fn accounts(&self) -> Accounts<'_> {
        Accounts { control: self }
    }

    /// What can be done with gateways.
    pub fn gateways(&self) -> Gateways<'_> {
        Gateways { control: self }
    }

    /// What can be done with services.
    pub fn services(&self) -> Services<'_> {
        Services { control: self }
    }

    /// What can be done with modules.
    pub fn modules(&self) -> Modules<'_> {
        Modules { control: self }
    }

    /// What can be done with plugins.
    pub fn plugins(&self) -> Plugins<'_> {
        Plugins { control: self }
    }

    /// What can be done with secrets.
    pub fn secrets(&self) -> Secrets<'_> {
        Secrets { control: self }
    }

    /// What can be done with APIs.
    pub fn apis(&self) -> Apis<'_> {
        Apis { control: self }
    }

    /// What can be done with applications.
    pub fn applications(&self) -> Applications<'_> {
        Applications { control: self }
    }

    /// What can be done with consumers.
    pub fn consumers(&self) -> Consumers<'_> {
        Consumers { control: self }
    }

    /// What can be done with credentials, whoever's they are.
    pub fn credentials(&self) -> Credentials<'_> {
        Credentials { control: self }
    }

    /// What can be done with groups.
    pub fn groups(&self) -> Groups<'_> {
        Groups { control: self }
    }

    /// What can be asked about callers of any account.
    pub fn callers(&self) -> Callers<'_> {
        Callers { control: self }
    }

    /// What can be done with the audit.
    pub fn audit(&self) -> Audit<'_> {
        Audit { control: self }
    }

    /// What can be done with operators.
    pub fn operators(&self) -> Operators<'_> {
        Operators { control: self }
    }

    /// Signing in and out.
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions { control: self }
    }

    /// What can be done with grants.
    pub fn grants(&self) -> Grants<'_> {
        Grants { control: self }
    }

    pub(crate) fn passwords(&self) -> &Passwords {
        &self.inner.passwords
    }

    pub(crate) fn attempts(&self) -> &Attempts {
        &self.inner.attempts
    }

    /// The same, keeping nothing if this says so, or if nothing was to be kept anyway.
    pub(crate) fn dry(&self, dry_run: bool) -> Self {
        let mut asking = self.asking.clone();
        asking.dry_run |= dry_run;
        self.asking(asking)
    }

    pub(crate) fn store_arc(&self) -> Arc<Store> {
        Arc::clone(&self.inner.store)
    }

    pub(crate) fn shared_arc(&self) -> Arc<Shared> {
        Arc::clone(&self.inner.shared)
    }

    /// Is this the id of this node?
    pub(crate) fn is_this(&self, node: &str) -> bool {
        self.inner.node_id == node
    }

    /// The id of this node.
    pub fn node_id(&self) -> &str {
        &self.inner.node_id
    }

    pub(crate) fn keep_presence(&self, presence: Presence) {
        *self.inner.presence.lock().unwrap_or_else(PoisonError::into_inner) = Some(presence);
    }

    /// What somebody should look at.
    pub fn review(&self) -> Review<'_> {
        Review { control: self }
    }

    /// What is known of use.
    pub fn usage(&self) -> Usage<'_> {
        Usage { control: self }
    }

    /// Lets the Snapshot have what these places hold now; answers once it is in effect.
    pub(crate) async fn renew_held(&self, places: BTreeSet<HeldBy>) {
        let writes = self.inner.writes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(writes) = writes {
            writes.renew_held(places).await;
        }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.inner.shared.clock)
    }

    pub(crate) fn now(&self) -> keyward_model::Timestamp {
        self.inner.shared.now()
    }

    /// Runs `work` as one write: see [`Writes::write`].
    pub(crate) async fn write<T, F>(
        &self,
        actor: &Actor,
        action: &'static str,
        work: F,
    ) -> Result<(T, Revision), ControlError>
    where
        F: for<'j, 's> FnOnce(&'j mut crate::job::Job<'s>) -> Work<'j, T> + Send + 'static,
        T: Send + 'static,
    {
        let writes = self.inner.writes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match writes {
            Some(writes) => {
                let written = writes.write(actor, action, &self.asking, work).await;
                if written.is_ok() && !self.asking.dry_run {
                    // What the write named for the first time is there when it is answered, if it is to be had.
                    self.inner.shared.held.settled(SETTLE).await;
                }
                written
            }
            None => Err(ControlError::new(
                ErrorKind::StoreUnavailable,
                "writer_stopped",
                "this node is stopping and takes no more writes",
            )),
        }
    }
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Control(…)")
    }
}
