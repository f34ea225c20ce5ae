//! The one writer: takes the writes that wait, runs each in a savepoint, commits them together, publishes, and only then answers.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use keyward_access::Snapshot;
use keyward_model::{HeldBy, Revision};
use keyward_store::{Frame, Mark, Reads, Store, StoreError, WriteTx};
use tokio::sync::{mpsc, oneshot, watch};

use crate::follow::{Caught, FAR, LeftOut, Sight, catch_up, is_refusal, touches};
use crate::job::Job;
use crate::shared::Shared;
use crate::{Actor, Asking, ControlError, ErrorKind, Minter, Once, load};

/// Most writes of one transaction.
const BATCH_MAX: usize = 64;
/// Most writes that wait; more wait to wait.
const QUEUE_MAX: usize = 1_024;

/// A use case under way.
pub(crate) type Work<'j, T> = Pin<Box<dyn Future<Output = Result<T, ControlError>> + Send + 'j>>;

/// A write that waits, whatever its answer is.
trait Queued: Send {
    fn actor(&self) -> (&Actor, &'static str);
    fn asking(&self) -> Asking;
    fn run<'j, 's>(&'j mut self, job: &'j mut Job<'s>) -> Work<'j, ()>;
    /// Hands out what came of the work before the commit, for its answer to be written.
    fn hand_out(&mut self, revision: Revision);
    fn answer(self: Box<Self>, outcome: Result<Revision, ControlError>);
}

struct Write<F, T> {
    actor: Actor,
    action: &'static str,
    asking: Asking,
    work: Option<F>,
    done: Option<T>,
    /// `None` once what came of the work was handed out before the commit.
    reply: Option<oneshot::Sender<Result<(T, Revision), ControlError>>>,
}

impl<F, T> Queued for Write<F, T>
where
    F: for<'j, 's> FnOnce(&'j mut Job<'s>) -> Work<'j, T> + Send,
    T: Send,
{
    fn actor(&self) -> (&Actor, &'static str) {
        (&self.actor, self.action)
    }

    fn asking(&self) -> Asking {
        self.asking.clone()
    }

    fn run<'j, 's>(&'j mut self, job: &'j mut Job<'s>) -> Work<'j, ()> {
        let work = self.work.take();
        let done = &mut self.done;
        Box::pin(async move {
            if let Some(work) = work {
                *done = Some(work(job).await?);
            }
            Ok(())
        })
    }

    fn hand_out(&mut self, revision: Revision) {
        if let (Some(done), Some(reply)) = (self.done.take(), self.reply.take()) {
            // Whoever asked may have gone.
            let _ = reply.send(Ok((done, revision)));
        }
    }

    fn answer(self: Box<Self>, outcome: Result<Revision, ControlError>) {
        let Some(reply) = self.reply else {
            if let Some(once) = &self.asking.once {
                once.holds(outcome.map(|_| ()));
            }
            return;
        };
        let answer = match (outcome, self.done) {
            (Ok(revision), Some(done)) => Ok((done, revision)),
            (Err(error), _) => Err(error),
            (Ok(_), None) => Err(stopped()),
        };
        // Whoever asked may have gone; what was committed holds all the same.
        let _ = reply.send(answer);
    }
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Writes {
    queue: mpsc::Sender<Box<dyn Queued>>,
    renewals: mpsc::Sender<Renewal>,
}

/// Places at which values are held that have changed, and who waits until that is in effect.
struct Renewal {
    places: BTreeSet<HeldBy>,
    done: oneshot::Sender<()>,
}

impl Writes {
    /// Runs `work` in a change of its own and answers when it is committed and in effect: with what `work` returned, and the
    /// revision from which it holds.
    pub(crate) async fn write<T, F>(
        &self,
        actor: &Actor,
        action: &'static str,
        asking: &Asking,
        work: F,
    ) -> Result<(T, Revision), ControlError>
    where
        F: for<'j, 's> FnOnce(&'j mut Job<'s>) -> Work<'j, T> + Send + 'static,
        T: Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let write = Write {
            actor: actor.clone(),
            action,
            asking: asking.clone(),
            work: Some(work),
            done: None,
            reply: Some(reply),
        };
        self.queue.send(Box::new(write)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Lets the Snapshot have what is held at these places now; answers once it is in effect.
    pub(crate) async fn renew_held(&self, places: BTreeSet<HeldBy>) {
        let (done, finished) = oneshot::channel();
        if self.renewals.send(Renewal { places, done }).await.is_ok() {
            // A writer that ended meanwhile publishes nothing more.
            let _ = finished.await;
        }
    }
}

/// Starts the writer, which is where the Snapshot moves: by writes of this node, and by those that `sights` tells of. It ends when the
/// last [`Writes`] is gone.
pub(crate) fn start(
    store: Arc<Store>,
    shared: Arc<Shared>,
    snapshots: Arc<ArcSwap<Snapshot>>,
    minter: Minter,
    mark: Mark,
    left_out: LeftOut,
    sights: watch::Receiver<Option<Sight>>,
) -> (Writes, tokio::task::JoinHandle<()>) {
    let (queue, waiting) = mpsc::channel(QUEUE_MAX);
    let (renewals, renewed) = mpsc::channel(1);
    let writer = Writer {
        store,
        shared,
        snapshots,
        minter,
        mark,
        left_out,
        waiting,
        renewed,
        sights,
        clashed: false,
        retired: Vec::new(),
    };
    (Writes { queue, renewals }, tokio::spawn(writer.run()))
}

struct Writer {
    store: Arc<Store>,
    shared: Arc<Shared>,
    snapshots: Arc<ArcSwap<Snapshot>>,
    minter: Minter,
    /// Where the store stood when this node last saw it.
    mark: Mark,
    left_out: LeftOut,
    waiting: mpsc::Receiver<Box<dyn Queued>>,
    renewed: mpsc::Receiver<Renewal>,
    sights: watch::Receiver<Option<Sight>>,
    /// Did a value that is held elsewhere clash with another, so that something was left out?
    clashed: bool,
    /// Snapshots that may still be in use: they are dropped here, not where requests are served.
    retired: Vec<Arc<Snapshot>>,
}

impl Writer {
    async fn run(mut self) {
        let mut watched = true;
        loop {
            tokio::select! {
                first = self.waiting.recv() => match first {
                    Some(first) => self.batch(first).await,
                    None => return,
                },
                Some(renewal) = self.renewed.recv() => self.renew(renewal).await,
                seen = self.sights.changed(), if watched => match seen {
                    Ok(()) => self.follow().await,
                    // Nobody else writes to this store.
                    Err(_) => watched = false,
                },
            }
        }
    }

    /// Catches up with what the watch has seen.
    async fn follow(&mut self) {
        let Some(sight) = *self.sights.borrow_and_update() else { return };
        let followed = match sight.revision == self.snapshots.load().revision().number {
            true => Ok(()),
            false => self.catch_up().await,
        };
        match followed {
            Ok(()) => self.shared.standing.confirm(sight.at),
            Err(error) if is_refusal(&error) => self.shared.standing.refuse(error),
            // The next look tries again.
            Err(error) => tracing::warn!(%error, "what changed could not be read"),
        }
    }

    async fn catch_up(&mut self) -> Result<(), StoreError> {
        let store = Arc::clone(&self.store);
        let mut reader = store.reader_at_one_moment().await?;
        let caught = self.caught(&mut reader.reads()).await?;
        reader.finish().await?;
        self.take(caught).await
    }

    async fn caught(&mut self, reads: &mut Reads<'_>) -> Result<Caught, StoreError> {
        let snapshot = self.snapshots.load_full();
        catch_up(reads, &self.shared, &self.mark, &snapshot, &mut self.left_out).await
    }

    async fn take(&mut self, caught: Caught) -> Result<(), StoreError> {
        match caught {
            Caught::Already(mark) => self.mark = mark,
            Caught::Up(mark, snapshot, frame) => {
                self.mark = mark;
                self.publish(Some(snapshot), frame).await;
            }
            Caught::Reload => self.reload().await?,
        }
        Ok(())
    }

    async fn reload(&mut self) -> Result<(), StoreError> {
        tracing::info!("the change log does not lead to where the store is: everything is read anew");
        let store = Arc::clone(&self.store);
        // Before the rows, so that what is written meanwhile counts as new.
        let mark = store.reader().await?.reads().continues(&self.mark).await?;
        let loaded = load::snapshot(&store, &self.shared).await?;
        store.loaded();
        self.mark = mark;
        self.left_out = loaded.left_out;
        self.publish(Some(Arc::new(loaded.snapshot)), None).await;
        Ok(())
    }

    /// Reads everything anew if this node's own writes after this revision touched what is left out.
    async fn mend(&mut self, before: u64) {
        if self.left_out.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        let read = async {
            let mut reader = store.reader().await?;
            reader.reads().changes_up_to(before, self.mark.revision, FAR).await
        };
        let mended = match read.await {
            Ok(Some(changes)) if touches(&changes, &self.left_out) => self.reload().await,
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = mended {
            tracing::warn!(%error, "what was left out stays so until the next start");
        }
    }

    /// Puts values in effect that are held elsewhere: the same revision, for nothing of the configuration changes.
    async fn renew(&mut self, Renewal { places, done }: Renewal) {
        let read_anew = self.clashed && self.reload().await.is_ok();
        self.clashed &= !read_anew;
        let snapshot = self.snapshots.load_full();
        let held_there = |by: &HeldBy| places.contains(by);
        let concerned = snapshot.secrets().filter(|secret| secret.held_by().is_some_and(held_there));
        let ids: Vec<_> = concerned.map(|secret| secret.id()).collect();
        if !ids.is_empty() && !read_anew {
            let loaded = snapshot.with_values_anew(&ids);
            for problem in &loaded.quarantined {
                tracing::error!(%problem, "cannot be used with the value that is held elsewhere now");
            }
            // What was left out is not in the Snapshot any more: it comes back with the store's rows.
            self.clashed |= !loaded.quarantined.is_empty();
            drop(snapshot);
            self.retired.push(self.snapshots.swap(Arc::new(loaded.snapshot)));
            self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        }
        // Whoever told it may have ended.
        let _ = done.send(());
    }

    /// Puts a Snapshot in effect. It is reported as applied once the local copy has what led to it, so that what was once reported
    /// holds after a restart without the store too.
    async fn publish(&mut self, snapshot: Option<Arc<Snapshot>>, frame: Option<Frame>) {
        if let Some(snapshot) = snapshot {
            let revision = snapshot.revision().number;
            let before = self.snapshots.swap(snapshot);
            self.retired.push(before);
            match frame {
                Some(frame) => self.store.copy().append(frame).await,
                // Nothing leads from where the copy is to here.
                None => self.store.copy().restart().await,
            }
            self.shared.standing.applied.send_replace(revision);
        }
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
    }

    /// Begins a write that stands on everything there is.
    async fn begin<'s>(&mut self, store: &'s Store) -> Result<WriteTx<'s>, StoreError> {
        loop {
            let mut tx = store.write().await?;
            let at = self.shared.now();
            let known = self.snapshots.load().revision().number;
            if tx.mark() != self.mark || self.mark.revision != known {
                let caught = self.caught(&mut tx.reads()).await?;
                if matches!(caught, Caught::Reload) {
                    // Others may write while everything is read.
                    drop(tx);
                    self.take(caught).await?;
                    continue;
                }
                self.take(caught).await?;
            }
            self.shared.standing.confirm(at);
            return Ok(tx);
        }
    }

    async fn batch(&mut self, first: Box<dyn Queued>) {
        let mut answers = Answers::default();
        let store = Arc::clone(&self.store);
        let tx = match self.begin(&store).await {
            Ok(tx) => tx,
            Err(error) => {
                if is_refusal(&error) {
                    self.shared.standing.refuse(error.clone());
                }
                return first.answer(Err(error.into()));
            }
        };
        let published = self.snapshots.load_full();
        let mut job = Job::new(tx, &self.shared, &mut self.minter, published);
        let mut next = Some(first);
        while let Some(mut queued) = next.take() {
            let (actor, action) = queued.actor();
            let actor = actor.clone();
            let asking = queued.asking();
            let outcome = match job.begin(actor, action, asking.clone()).await {
                Ok(()) => {
                    let worked = match job.was_done(asking.once.as_ref()).await {
                        Ok(()) => queued.run(&mut job).await,
                        Err(error) => Err(error),
                    };
                    job.end(worked).await
                }
                Err(error) => Err(error),
            };
            let outcome = match (outcome, asking.once.filter(|_| !asking.dry_run)) {
                (Ok(revision), Some(once)) => keep_answer(&mut job, &mut queued, &once, revision).await,
                (outcome, _) => outcome,
            };
            answers.add(queued, outcome);
            if answers.len() < BATCH_MAX && job.is_sound() {
                next = self.waiting.try_recv().ok();
            }
        }
        match job.commit().await {
            Ok((mark, snapshot, frame)) => {
                self.mark = mark;
                let before = self.snapshots.load().revision().number;
                self.publish(snapshot, frame).await;
                self.mend(before).await;
                answers.all_hold();
            }
            Err(error) => answers.all_failed(&error),
        }
    }
}

/// Lets the asker write its answer, and keeps that in the same transaction.
async fn keep_answer(
    job: &mut Job<'_>,
    queued: &mut Box<dyn Queued>,
    once: &Once,
    revision: Revision,
) -> Result<Revision, ControlError> {
    let Some(written) = once.await_answer() else { return Ok(revision) };
    queued.hand_out(revision);
    match written.await {
        Some(answer) => job.keep_answer(once, answer).await.map(|()| revision),
        None => {
            tracing::warn!("the answer to a write with an Idempotency-Key was not written; it is not kept");
            Ok(revision)
        }
    }
}

/// Answers that are held back until it is known whether the transaction holds.
#[derive(Default)]
struct Answers {
    held: Vec<(Box<dyn Queued>, Result<Revision, ControlError>)>,
}

impl Answers {
    fn add(&mut self, queued: Box<dyn Queued>, outcome: Result<Revision, ControlError>) {
        self.held.push((queued, outcome));
    }

    fn len(&self) -> usize {
        self.held.len()
    }

    fn all_hold(self) {
        self.held.into_iter().for_each(|(queued, outcome)| queued.answer(outcome));
    }

    /// A refusal stays what it was; what was going to hold does not.
    fn all_failed(self, error: &ControlError) {
        for (queued, outcome) in self.held {
            queued.answer(outcome.and(Err(error.clone())));
        }
    }
}

fn stopped() -> ControlError {
    ControlError::new(
        ErrorKind::StoreUnavailable,
        "writer_stopped",
        "this node is stopping and takes no more writes",
    )
}
