//! Nodes: who follows the store, how far each has come, and waiting until all have.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use keyward_model::{Action, Name, Revision, Timestamp};
use keyward_store::{AuditEntry, NodeRow, NodeState, Store, StoreError, Touch};
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::follow::jitter;
use crate::shared::Shared;
use crate::{Actor, Control, ControlError, ErrorKind, Minter};

/// A node that was not heard of for so long is not waited for.
const SILENT_MS: i64 = 10_000;

/// How often a node says that it is there, when nothing else is to be said: a random time between these.
const SAY_MS: (u64, u64) = (2_000, 3_000);

/// How often it is looked whether the others have applied a revision, should nobody tell.
const LOOK: Duration = Duration::from_millis(100);

/// What a node says of itself besides its id and revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    /// For people.
    pub name: String,
    /// The gateway that it belongs to.
    pub gateway: Name,
    /// The version that it runs.
    pub version: String,
    /// Where its admin server listens: `http://HOST:PORT`.
    pub admin: String,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeView {
    /// Its id, kept in its data folder: `node_…`.
    pub id: String,
    /// For people.
    pub name: String,
    /// The gateway that it belongs to.
    pub gateway: String,
    /// The version that it runs.
    pub version: String,
    /// Where its admin server listens.
    pub admin: String,
    /// When it started.
    pub started: Timestamp,
    /// When it was last heard of.
    pub last_seen: Timestamp,
    /// The revision in effect there.
    pub revision: u64,
    /// How many revisions it is behind the store.
    pub lag: u64,
    /// What is not well with it, in words.
    pub trouble: Option<String>,
    /// Is it the one that answers?
    pub this: bool,
}

/// Names a node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeRef {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A node that has not applied a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lagging {
    /// Which.
    pub node: NodeRef,
    /// The revision that it has applied, as far as is known.
    pub revision: u64,
    /// Why it was not waited for any longer.
    pub reason: String,
}

/// Who has applied a revision, and who has not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterApplied {
    /// Those that have.
    pub applied: Vec<NodeRef>,
    /// Those that have not, or are not known to.
    pub lagging: Vec<Lagging>,
}

/// What can be done with nodes.
#[derive(Clone, Copy, Debug)]
pub struct Nodes<'c> {
    pub(crate) control: &'c Control,
}

impl Nodes<'_> {
    /// Every node that was not stopped in order, or forgotten.
    ///
    /// # Errors
    /// The actor may not, or the store does not answer.
    pub async fn list(&self, actor: &Actor) -> Result<Vec<NodeView>, ControlError> {
        actor.may("node", Action::List)?;
        let mut reader = self.control.store().reader().await?;
        let mut reads = reader.reads();
        let rows = reads.nodes().await?;
        let head = reads.revision().await?;
        Ok(rows.into_iter().map(|row| self.control.node_view(row, head)).collect())
    }

    /// Forgets a node that will not come back: nobody waits for it any more. One that runs cannot be forgotten.
    ///
    /// # Errors
    /// The actor may not, there is no such node, or it is running.
    pub async fn forget(&self, actor: &Actor, id: &str) -> Result<Revision, ControlError> {
        actor.may("node", Action::Delete)?;
        let id = id.to_owned();
        let work = self.control.write(actor, "node.forget", move |job| {
            Box::pin(async move {
                job.actor().may_in(None, "node", Action::Delete)?;
                let nodes = job.tx().reads().nodes().await?;
                let row = nodes.into_iter().find(|row| row.state.id == id);
                let row = row.ok_or_else(|| ControlError::not_found("node", format!("`{id}`")))?;
                if row.silent_ms < SILENT_MS {
                    let text =
                        format!("the node `{}` is running: stop it, which forgets it too", row.state.name);
                    return Err(ControlError::new(ErrorKind::Conflict, "node_running", text));
                }
                job.tx().forget_node(&id).await?;
                let before = json!({"name": row.state.name, "gateway": row.state.gateway});
                job.note(AuditEntry {
                    actor: job.actor().to_string(),
                    action: "node.forget",
                    touch: Touch::Deleted,
                    noun: "node",
                    object: id,
                    account: None,
                    detail: json!({"before": before, "after": null}).to_string(),
                });
                Ok(())
            })
        });
        let ((), revision) = work.await?;
        Ok(revision)
    }
}

impl Control {
    /// What can be done with nodes.
    pub fn nodes(&self) -> Nodes<'_> {
        Nodes { control: self }
    }

    /// Lists this node among those that follow the store, from now until [`Control::close`]. A store that is away hears of it later.
    pub async fn join(&self, info: NodeInfo) {
        let state = NodeState {
            id: self.node_id().to_owned(),
            name: info.name,
            gateway: info.gateway.to_string(),
            version: info.version,
            admin: info.admin,
            started: self.now(),
            revision: self.revision().number,
            trouble: self.trouble().unwrap_or_default(),
        };
        // Whoever waits for all nodes from now on waits for this one too.
        if let Err(error) = self.store().put_node(&state).await {
            tracing::warn!(%error, "the store did not hear of this node yet");
        }
        self.keep_presence(Presence::start(self.store_arc(), self.shared_arc(), state));
    }

    /// Waits until every node has applied this revision, or until this much time has passed. A node that was not heard of for
    /// 10 seconds is listed as lagging without being waited for; it is listed until it is stopped in order, or forgotten.
    ///
    /// # Errors
    /// Nothing can be learnt of the other nodes.
    pub async fn wait_cluster(
        &self,
        revision: Revision,
        timeout: Duration,
    ) -> Result<ClusterApplied, ControlError> {
        let deadline = Instant::now() + timeout;
        let mut heard = self.shared_arc().standing.heard.subscribe();
        let mut applied_here = self.shared_arc().standing.applied.subscribe();
        let mut last = None;
        loop {
            heard.mark_unchanged();
            applied_here.mark_unchanged();
            let known = self.known_nodes().await;
            if let Ok(rows) = &known {
                let cluster = self.judge(rows, revision.number);
                if cluster.lagging.iter().all(|lagging| lagging.reason != WAITED) {
                    return Ok(cluster);
                }
                last = Some(cluster);
            }
            if Instant::now() >= deadline {
                return last.ok_or_else(|| known.err().unwrap_or(StoreError::AnotherStore).into());
            }
            let look = Instant::now() + LOOK;
            tokio::select! {
                _ = heard.changed() => {}
                _ = applied_here.changed() => {}
                () = tokio::time::sleep_until(look.min(deadline)) => {}
            }
        }
    }

    async fn known_nodes(&self) -> Result<Vec<NodeRow>, StoreError> {
        self.store().reader().await?.reads().nodes().await
    }

    fn judge(&self, rows: &[NodeRow], revision: u64) -> ClusterApplied {
        let mut cluster = ClusterApplied::default();
        for row in rows {
            let node = NodeRef { id: row.state.id.clone(), name: row.state.name.clone() };
            let (at, silent_ms) = match self.is_this(&row.state.id) {
                // What it last said of itself may be older than what it knows.
                true => (self.revision().number, 0),
                false => (row.state.revision, row.silent_ms),
            };
            if at >= revision {
                cluster.applied.push(node);
                continue;
            }
            let reason = match silent_ms < SILENT_MS {
                true => WAITED.to_owned(),
                false => format!("it was not heard of for {} s", silent_ms / 1_000),
            };
            cluster.lagging.push(Lagging { node, revision: at, reason });
        }
        cluster
    }

    fn node_view(&self, row: NodeRow, head: u64) -> NodeView {
        let this = self.is_this(&row.state.id);
        let revision = if this { self.revision().number } else { row.state.revision };
        let last_seen = match this {
            true => Timestamp::from_millis(row.last_seen.as_millis().saturating_add(row.silent_ms)),
            false => row.last_seen,
        };
        let trouble = if this { self.trouble() } else { Some(row.state.trouble) };
        NodeView {
            id: row.state.id,
            name: row.state.name,
            gateway: row.state.gateway,
            version: row.state.version,
            admin: row.state.admin,
            started: row.state.started,
            last_seen,
            revision,
            lag: head.saturating_sub(revision),
            trouble: trouble.filter(|trouble| !trouble.is_empty()),
            this,
        }
    }
}

/// What is not well with the node that has this store open, in words.
pub(crate) fn trouble_of(store: &Store) -> Option<String> {
    let on_copy = store.last_good().map(|revision| {
        format!(
            "loading the store failed in its last starts: it runs on its local copy, from revision {revision}"
        )
    });
    let refused = store.takes_writes().err().map(|error| error.to_string());
    let full = store.is_full().then(|| "the store's disk is full: no changes are taken".to_owned());
    let all: Vec<String> = [on_copy, refused, full].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join("; "))
}

const WAITED: &str = "it has not applied the revision in time";

/// The task that says that this node is there, and how far it has come.
pub(crate) struct Presence {
    pub(crate) id: String,
    store: Arc<Store>,
    task: JoinHandle<()>,
}

impl Presence {
    fn start(store: Arc<Store>, shared: Arc<Shared>, state: NodeState) -> Self {
        let (id, said) = (state.id.clone(), Arc::clone(&store));
        let applied = shared.standing.applied.subscribe();
        Self { id, store, task: tokio::spawn(say(said, applied, state)) }
    }

    /// Ends in order: the node is forgotten.
    pub(crate) async fn end(self) {
        self.task.abort();
        let _ = self.task.await;
        if let Err(error) = self.store.remove_node(&self.id).await {
            tracing::warn!(%error, "this node stays listed until it is forgotten or started again");
        }
    }
}

async fn say(store: Arc<Store>, mut applied: watch::Receiver<u64>, mut state: NodeState) {
    loop {
        state.revision = *applied.borrow_and_update();
        state.trouble = trouble_of(&store).unwrap_or_default();
        if let Err(error) = store.put_node(&state).await {
            tracing::debug!(%error, "the store did not hear of this node");
        }
        let again = tokio::time::sleep(jitter(SAY_MS));
        match store.is_shared() {
            // Nobody else waits for a node that is alone.
            false => again.await,
            true => tokio::select! {
                changed = applied.changed() => if changed.is_err() { return },
                () = again => {}
            },
        }
    }
}

/// The node's id, made on first start.
pub(crate) fn node_id(folder: &Path, minter: &mut Minter, now: Timestamp) -> Result<String, ControlError> {
    let file = folder.join("node-id");
    let wrong = |error: std::io::Error| {
        let text = format!("the node's id in `{}` cannot be used: {error}", file.display());
        ControlError::new(ErrorKind::StoreUnavailable, "data_folder_unusable", text)
    };
    match std::fs::read_to_string(&file) {
        Ok(text) => {
            let id = text.trim();
            let uuid = id.strip_prefix("node_").and_then(|uuid| uuid::Uuid::try_parse(uuid).ok());
            match uuid {
                Some(_) => return Ok(id.to_owned()),
                None => return Err(wrong(std::io::Error::other("it is not a node's id; remove the file"))),
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(wrong(error)),
    }
    let id = format!("node_{}", minter.uuid(now)?.simple());
    let unfinished = folder.join("node-id.new");
    let mut options = std::fs::OpenOptions::new();
    let mut made =
        options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished).map_err(wrong)?;
    writeln!(made, "{id}").and_then(|()| made.sync_all()).map_err(wrong)?;
    std::fs::rename(&unfinished, &file).map_err(wrong)?;
    Ok(id)
}
