//! One task per client connection: it moves bytes between sockets and the connection's state machine, the pooled
//! upstream socket included. No second task, no channel, no wake from another thread.

use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::connection::{Close, Connection, Progress, Spent};
use crate::handler::{Handler, Peer, UpstreamFailure};
use crate::moment::Moment;
use crate::open::open;
use crate::pool::Upstream;
use crate::sweep::Watch;
use crate::worker::Worker;

/// Sent where a panic left nothing better to say.
const PANICKED: &[u8] =
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

pub(crate) struct Driver<H: Handler> {
    connection: Connection<H>,
    client: TcpStream,
    upstream: Link,
    worker: Rc<Worker<H>>,
    watch: Rc<Watch>,
    started: bool,
    /// Is it counted among those whose next request is not decided?
    undecided: bool,
    /// What is to be written waits until the other tasks that are ready have had their turn.
    deferred: bool,
}

/// The socket to the upstream.
enum Link {
    None,
    Opening { origin: u64, opening: Pin<Box<dyn Future<Output = io::Result<TcpStream>>>> },
    Open(Upstream),
}

/// Operations that said "not now" since the task was woken: asking again would change nothing.
#[derive(Default)]
struct Blocked {
    read: bool,
    write: bool,
    open: bool,
    word: bool,
    upstream_read: bool,
    upstream_write: bool,
}

impl<H: Handler> Driver<H> {
    pub(crate) fn new(worker: Rc<Worker<H>>, client: TcpStream, peer: Peer) -> Self {
        let watch = worker.watches.add();
        let connection = Connection::new(Rc::clone(&worker.core), peer);
        worker.core.counters.undecided.add(1);
        let (upstream, started, undecided, deferred) = (Link::None, false, true, false);
        Self { connection, client, upstream, worker, watch, started, undecided, deferred }
    }

    fn drive(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = self.worker.now();
        if !self.started {
            self.started = true;
            self.watch.set_waker(context.waker());
        }
        self.follow_signals(context, now);
        let mut blocked = Blocked::default();
        let mut progress = Progress::default();
        let flushes = std::mem::take(&mut self.deferred);
        while self.connection.over().is_none() {
            let mut moved = self.listen(context, &mut blocked, now);
            moved |= self.connect(context, &mut blocked, now);
            if !flushes && (self.connection.wants_upstream_write() || self.connection.wants_write()) {
                // First everybody reads, then everybody writes: whoever is written to is woken for many writes at once.
                self.deferred = true;
                context.waker().wake_by_ref();
                break;
            }
            moved |= self.write_upstream(context, &mut blocked, &mut progress, now);
            moved |= self.read_upstream(context, &mut blocked, &mut progress, now);
            moved |= self.write(context, &mut blocked, &mut progress, now);
            moved |= self.read(context, &mut blocked, &mut progress, now);
            if !moved {
                break;
            }
        }
        self.drop_spent(now);
        self.count(self.connection.is_undecided());
        if let Some(close) = self.connection.over() {
            if close == Close::Reset {
                // An error here means that the connection is gone already.
                let _ = self.client.set_zero_linger();
            }
            return Poll::Ready(());
        }
        self.connection.settle(progress, now);
        self.worker.watches.set(&self.watch, self.connection.deadline(), self.connection.is_busy(), now);
        Poll::Pending
    }

    fn count(&mut self, undecided: bool) {
        let counter = &self.worker.core.counters.undecided;
        match (self.undecided, undecided) {
            (false, true) => counter.add(1),
            (true, false) => counter.sub(1),
            _ => {}
        }
        self.undecided = undecided;
    }

    fn follow_signals(&mut self, context: &mut Context<'_>, now: Moment) {
        let signals = self.watch.take_signals();
        if signals.expired {
            self.connection.expired(now);
        }
        if signals.tick && self.connection.is_busy() {
            self.connection.tick(now);
            self.look_for_client(context, now);
        }
        if signals.stop {
            self.connection.stop();
        }
        if signals.cut {
            self.connection.cut_undecided();
        }
        if signals.shed && self.connection.shed() {
            self.worker.core.counters.connections_shed.add(1);
        }
    }

    /// While an answer is awaited nobody reads from the client: once a second, see whether it is still there.
    fn look_for_client(&mut self, context: &mut Context<'_>, now: Moment) {
        if self.connection.wants_read() {
            return;
        }
        let mut byte = [0u8; 1];
        match self.client.poll_peek(context, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Err(_)) => self.connection.broken(now),
            Poll::Ready(Ok(0)) if !self.worker.core.limits().serve_half_closed => self.connection.broken(now),
            _ => {}
        }
    }

    /// Hears whether the word is there that is awaited.
    fn listen(&mut self, context: &mut Context<'_>, blocked: &mut Blocked, now: Moment) -> bool {
        if blocked.word {
            return false;
        }
        let Some(word) = self.connection.wants_word() else { return false };
        blocked.word = word.poll(context).is_pending();
        if !blocked.word {
            self.connection.word_came(now);
        }
        !blocked.word
    }

    /// Gets the upstream connection that is wanted: a pooled one, or a fresh one.
    fn connect(&mut self, context: &mut Context<'_>, blocked: &mut Blocked, now: Moment) -> bool {
        self.drop_spent(now);
        if let Some((endpoint, fresh)) = self.connection.wants_upstream() {
            let origin = endpoint.origin();
            let id = origin.id();
            if !fresh && let Some(upstream) = self.worker.pools.take(id, context) {
                self.upstream = Link::Open(upstream);
                // The pool has asked for it, and left word for when something comes.
                blocked.upstream_read = true;
                blocked.upstream_write = false;
                self.connection.upstream_opened(true, now);
                return true;
            }
            let most = self.worker.core.limits().upstream_connections;
            if !self.worker.pools.reserve(id, most) {
                self.connection.upstream_unavailable(UpstreamFailure::Exhausted, now);
                return true;
            }
            self.upstream = Link::Opening { origin: id, opening: Box::pin(open(Arc::clone(origin))) };
            self.connection.upstream_opening();
            blocked.open = false;
        }
        let Link::Opening { origin, opening } = &mut self.upstream else { return false };
        if blocked.open {
            return false;
        }
        let origin = *origin;
        match opening.as_mut().poll(context) {
            Poll::Pending => {
                blocked.open = true;
                false
            }
            Poll::Ready(Ok(stream)) => {
                self.worker.core.counters.upstream_opened.add(1);
                self.upstream = Link::Open(Upstream { stream, origin });
                (blocked.upstream_read, blocked.upstream_write) = (false, false);
                self.connection.upstream_opened(false, now);
                true
            }
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "an upstream could not be connected to");
                self.worker.core.counters.upstream_failed.add(1);
                self.upstream = Link::None;
                self.worker.pools.close(origin);
                self.connection.upstream_unavailable(UpstreamFailure::Connect, now);
                true
            }
        }
    }

    fn write_upstream(
        &mut self,
        cx: &mut Context<'_>,
        blocked: &mut Blocked,
        progress: &mut Progress,
        now: Moment,
    ) -> bool {
        if blocked.upstream_write || !self.connection.wants_upstream_write() {
            return false;
        }
        let Link::Open(upstream) = &mut self.upstream else { return false };
        let stream = Pin::new(&mut upstream.stream);
        let sent = match self.connection.upstream_piece() {
            Some(piece) => stream.poll_write(cx, piece),
            None => {
                let (slices, used) = self.connection.upstream_slices();
                stream.poll_write_vectored(cx, slices.get(..used).unwrap_or_default())
            }
        };
        match sent {
            Poll::Pending => {
                blocked.upstream_write = true;
                false
            }
            Poll::Ready(Ok(count)) => {
                progress.upstream = true;
                self.connection.upstream_written(count, now);
                true
            }
            Poll::Ready(Err(_)) => {
                self.connection.upstream_write_failed();
                true
            }
        }
    }

    fn read_upstream(
        &mut self,
        cx: &mut Context<'_>,
        blocked: &mut Blocked,
        progress: &mut Progress,
        now: Moment,
    ) -> bool {
        if blocked.upstream_read || !self.connection.wants_upstream_read() {
            return false;
        }
        let Link::Open(upstream) = &mut self.upstream else { return false };
        let mut space = ReadBuf::new(self.connection.upstream_space());
        match Pin::new(&mut upstream.stream).poll_read(cx, &mut space) {
            Poll::Pending => {
                blocked.upstream_read = true;
                self.connection.upstream_read_nothing();
                false
            }
            Poll::Ready(Ok(())) if !space.filled().is_empty() => {
                let count = space.filled().len();
                progress.upstream = true;
                self.connection.upstream_read(count, now);
                true
            }
            Poll::Ready(result) => {
                self.connection.upstream_closed(result.is_ok(), now);
                true
            }
        }
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        blocked: &mut Blocked,
        progress: &mut Progress,
        now: Moment,
    ) -> bool {
        if self.connection.take_shutdown() {
            // An error here means that the client is gone; reading will say so.
            let _ = Pin::new(&mut self.client).poll_shutdown(cx);
        }
        if blocked.write || !self.connection.wants_write() {
            return false;
        }
        let stream = Pin::new(&mut self.client);
        let sent = match self.connection.write_piece() {
            Some(piece) => stream.poll_write(cx, piece),
            None => {
                let (slices, used) = self.connection.write_slices();
                stream.poll_write_vectored(cx, slices.get(..used).unwrap_or_default())
            }
        };
        match sent {
            Poll::Pending => {
                blocked.write = true;
                false
            }
            Poll::Ready(Ok(count)) => {
                progress.written = true;
                self.connection.written(count, now);
                true
            }
            Poll::Ready(Err(_)) => {
                self.connection.broken(now);
                true
            }
        }
    }

    fn read(
        &mut self,
        cx: &mut Context<'_>,
        blocked: &mut Blocked,
        progress: &mut Progress,
        now: Moment,
    ) -> bool {
        if blocked.read || !self.connection.wants_read() {
            return false;
        }
        let mut space = ReadBuf::new(self.connection.read_space());
        match Pin::new(&mut self.client).poll_read(cx, &mut space) {
            Poll::Pending => {
                blocked.read = true;
                self.connection.read_nothing();
                false
            }
            Poll::Ready(Ok(())) if !space.filled().is_empty() => {
                let count = space.filled().len();
                progress.read = true;
                self.connection.read(count, now);
                true
            }
            Poll::Ready(Ok(())) => {
                self.connection.read_closed(now);
                true
            }
            Poll::Ready(Err(_)) => {
                self.connection.broken(now);
                true
            }
        }
    }

    /// Puts an upstream connection that is no longer needed back into the pool, or closes it.
    fn drop_spent(&mut self, now: Moment) {
        let Some(spent) = self.connection.take_spent() else { return };
        match std::mem::replace(&mut self.upstream, Link::None) {
            Link::Open(upstream) if spent == Spent::Reuse => {
                let most = self.worker.core.limits().upstream_idle;
                self.worker.pools.keep(upstream, most, now);
            }
            Link::Open(Upstream { origin, .. }) | Link::Opening { origin, .. } => {
                self.worker.core.counters.upstream_discarded.add(1);
                self.worker.pools.close(origin);
            }
            Link::None => {}
        }
    }

    /// Something panicked: this connection ends, and nothing else does.
    fn end_after_panic(&mut self) {
        self.worker.core.counters.panics.add(1);
        if !self.connection.has_answered() {
            // Best effort: the connection is closed right after.
            let _ = self.client.try_write(PANICKED);
        }
        let now = self.worker.now();
        let ended = catch_unwind(AssertUnwindSafe(|| self.connection.broken(now)));
        if ended.is_err() {
            tracing::error!("a handler panicked while it was told that an exchange is over");
        }
    }
}

impl<H: Handler> Future for Driver<H> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        match catch_unwind(AssertUnwindSafe(|| this.drive(context))) {
            Ok(poll) => poll,
            Err(_) => {
                this.end_after_panic();
                Poll::Ready(())
            }
        }
    }
}

impl<H: Handler> Drop for Driver<H> {
    fn drop(&mut self) {
        match &self.upstream {
            Link::Open(Upstream { origin, .. }) | Link::Opening { origin, .. } => {
                self.worker.pools.close(*origin)
            }
            Link::None => {}
        }
        self.count(false);
        self.worker.connection_closed(&self.watch);
    }
}
