//! The one writer: takes the writes that wait, runs each in a savepoint, commits them together, publishes, and only then answers.

use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use keyward_access::Snapshot;
use keyward_model::Revision;
use keyward_store::Store;
use tokio::sync::{mpsc, oneshot};

use crate::job::Job;
use crate::shared::Shared;
use crate::{Actor, Asking, ControlError, ErrorKind, Minter};

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
    fn answer(self: Box<Self>, outcome: Result<Revision, ControlError>);
}

struct Write<F, T> {
    actor: Actor,
    action: &'static str,
    asking: Asking,
    work: Option<F>,
    done: Option<T>,
    reply: oneshot::Sender<Result<(T, Revision), ControlError>>,
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

    fn answer(self: Box<Self>, outcome: Result<Revision, ControlError>) {
        let answer = match (outcome, self.done) {
            (Ok(revision), Some(done)) => Ok((done, revision)),
            (Err(error), _) => Err(error),
            (Ok(_), None) => Err(stopped()),
        };
        // Whoever asked may have gone; what was committed holds all the same.
        let _ = self.reply.send(answer);
    }
}

/// The way to the writer.
#[derive(Clone)]
pub(crate) struct Writes {
    queue: mpsc::Sender<Box<dyn Queued>>,
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
            reply,
        };
        self.queue.send(Box::new(write)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

/// Starts the writer. It ends when the last [`Writes`] is gone.
pub(crate) fn start(
    store: Arc<Store>,
    shared: Arc<Shared>,
    snapshots: Arc<ArcSwap<Snapshot>>,
    minter: Minter,
) -> (Writes, tokio::task::JoinHandle<()>) {
    let (queue, waiting) = mpsc::channel(QUEUE_MAX);
    let writer = Writer { store, shared, snapshots, minter, waiting, retired: Vec::new() };
    (Writes { queue }, tokio::spawn(writer.run()))
}

struct Writer {
    store: Arc<Store>,
    shared: Arc<Shared>,
    snapshots: Arc<ArcSwap<Snapshot>>,
    minter: Minter,
    waiting: mpsc::Receiver<Box<dyn Queued>>,
    /// Snapshots that may still be in use: they are dropped here, not where requests are served.
    retired: Vec<Arc<Snapshot>>,
}

impl Writer {
    async fn run(mut self) {
        while let Some(first) = self.waiting.recv().await {
            self.batch(first).await;
        }
    }

    async fn batch(&mut self, first: Box<dyn Queued>) {
        let mut answers = Answers::default();
        let tx = match self.store.write().await {
            Ok(tx) => tx,
            Err(error) => return first.answer(Err(error.into())),
        };
        let published = self.snapshots.load_full();
        let mut job = Job::new(tx, &self.shared, &mut self.minter, published);
        let mut next = Some(first);
        while let Some(mut queued) = next.take() {
            let (actor, action) = queued.actor();
            let actor = actor.clone();
            let asking = queued.asking();
            let outcome = match job.begin(actor, action, asking).await {
                Ok(()) => {
                    let worked = queued.run(&mut job).await;
                    job.end(worked).await
                }
                Err(error) => Err(error),
            };
            answers.add(queued, outcome);
            if answers.len() < BATCH_MAX && job.is_sound() {
                next = self.waiting.try_recv().ok();
            }
        }
        let snapshot = match job.commit().await {
            Ok(snapshot) => snapshot,
            Err(error) => return answers.all_failed(&error),
        };
        if let Some(snapshot) = snapshot {
            let before = self.snapshots.swap(snapshot);
            self.retired.push(before);
        }
        self.retired.retain(|snapshot| Arc::strong_count(snapshot) > 1);
        answers.all_hold();
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
