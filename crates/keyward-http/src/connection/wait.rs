//! What a connection waits for, and until when. There are three waits at most: for the client to send, for the
//! client to take, and for the upstream; the earliest deadline is the one word that the sweeper reads.

use std::time::Duration;

use crate::handler::{Handler, Refused, UpstreamFailure};
use crate::limits::Limits;
use crate::moment::Moment;

use super::work::{Incoming, Link};
use super::{Connection, Phase, Work};

/// What was done between two calls of `settle`.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Progress {
    /// Bytes came from the client.
    pub(crate) read: bool,
    /// The client took bytes.
    pub(crate) written: bool,
    /// The upstream sent or took bytes.
    pub(crate) upstream: bool,
}

/// What is awaited from the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FromClient {
    #[default]
    Nothing,
    NextRequest,
    RestOfHead,
    Body,
    End,
}

/// What is awaited from the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum FromUpstream {
    #[default]
    Nothing,
    /// Not from the upstream, but it is as late in the same way.
    Word,
    Connection,
    Room,
    FirstByte,
    Body,
}

#[derive(Debug)]
pub(super) struct Waits {
    from_client: FromClient,
    read_by: Moment,
    write_by: Moment,
    from_upstream: FromUpstream,
    upstream_by: Moment,
    /// Since when a body is awaited, and how long it was awaited before that.
    body_since: Moment,
    body_waited: Duration,
    seen: Moment,
}

impl Default for Waits {
    fn default() -> Self {
        Self {
            from_client: FromClient::Nothing,
            read_by: Moment::NEVER,
            write_by: Moment::NEVER,
            from_upstream: FromUpstream::Nothing,
            upstream_by: Moment::NEVER,
            body_since: Moment::default(),
            body_waited: Duration::ZERO,
            seen: Moment::default(),
        }
    }
}

impl Waits {
    pub(super) fn first(&self) -> Moment {
        self.read_by.min(self.write_by).min(self.upstream_by)
    }

    /// The last time that was told.
    pub(super) fn seen(&self) -> Moment {
        self.seen
    }

    /// A new exchange begins: nothing that was awaited before counts for it.
    pub(super) fn restart(&mut self) {
        self.from_client = FromClient::Nothing;
        self.body_waited = Duration::ZERO;
        self.upstream_anew();
    }

    /// What is awaited from upstream next is awaited anew, though it be the same: one answer after another, one word after another.
    pub(super) fn upstream_anew(&mut self) {
        self.from_upstream = FromUpstream::Nothing;
    }

    fn update_read(
        &mut self,
        wait: FromClient,
        received: u64,
        served: bool,
        progress: bool,
        limits: &Limits,
        now: Moment,
    ) {
        let entered = wait != self.from_client;
        if self.from_client == FromClient::Body && (entered || progress) {
            self.body_waited += now.since(self.body_since);
        }
        self.from_client = wait;
        match wait {
            FromClient::Nothing => self.read_by = Moment::NEVER,
            FromClient::NextRequest if entered || progress => {
                self.read_by = now.after(if served { limits.idle_timeout } else { limits.header_timeout });
            }
            FromClient::RestOfHead if entered => self.read_by = now.after(limits.header_timeout),
            FromClient::Body if entered || progress => {
                self.body_since = now;
                let patience = body_allowance(received, limits).saturating_sub(self.body_waited);
                self.read_by = now.after(patience.min(limits.body_idle_timeout));
            }
            FromClient::End if entered => self.read_by = now.after(limits.linger_timeout),
            _ => {}
        }
    }

    fn update_write(&mut self, waiting: bool, progress: bool, limits: &Limits, now: Moment) {
        if !waiting {
            self.write_by = Moment::NEVER;
        } else if progress || self.write_by == Moment::NEVER {
            self.write_by = now.after(limits.write_idle_timeout);
        }
    }

    fn update_upstream(&mut self, wait: FromUpstream, pause: Duration, progress: bool, now: Moment) {
        let entered = wait != self.from_upstream;
        self.from_upstream = wait;
        match wait {
            FromUpstream::Nothing => self.upstream_by = Moment::NEVER,
            FromUpstream::Word | FromUpstream::Connection | FromUpstream::FirstByte if !entered => {}
            _ if entered || progress => self.upstream_by = now.after(pause),
            _ => {}
        }
    }
}

/// How long, in all, a client may let us wait for a body of which `received` bytes are here.
fn body_allowance(received: u64, limits: &Limits) -> Duration {
    match received.checked_div(limits.body_rate_min) {
        Some(seconds) => limits.body_idle_timeout.saturating_add(Duration::from_secs(seconds)),
        None => Duration::MAX,
    }
}

impl<H: Handler> Connection<H> {
    pub(super) fn update_waits(&mut self, progress: Progress, now: Moment) {
        let limits = self.core.limits();
        let work = self.work.as_deref();
        let from_client = match self.phase {
            Phase::Head if self.input.is_none() => FromClient::NextRequest,
            Phase::Head => FromClient::RestOfHead,
            Phase::Hold => FromClient::Body,
            Phase::Carry if work.is_some_and(Work::wants_request_bytes) => FromClient::Body,
            Phase::Drain | Phase::Linger => FromClient::End,
            Phase::Pause | Phase::Carry | Phase::Answer | Phase::Over => FromClient::Nothing,
        };
        let received = work.map_or(0, |work| work.received);
        self.waits.seen = now;
        self.waits.update_read(from_client, received, self.served, progress.read, &limits, now);
        self.waits.update_write(
            work.is_some_and(|w| !w.to_client.is_empty()),
            progress.written,
            &limits,
            now,
        );
        let (from_upstream, pause) =
            work.map_or((FromUpstream::Nothing, Duration::ZERO), Work::upstream_wait);
        self.waits.update_upstream(from_upstream, pause, progress.upstream, now);
    }

    /// The deadline has passed.
    pub(crate) fn expired(&mut self, now: Moment) {
        if self.deadline() > now {
            return;
        }
        self.core.counters.timed_out.add(1);
        if self.waits.write_by <= now {
            self.cut(now);
        } else if self.waits.upstream_by <= now {
            self.upstream_is_late(now);
        } else {
            self.client_is_late(now);
        }
    }

    fn upstream_is_late(&mut self, now: Moment) {
        self.waits.upstream_by = Moment::NEVER;
        match self.waits.from_upstream {
            FromUpstream::Word => self.word_came(now),
            FromUpstream::Connection => self.fail(UpstreamFailure::Connect, now),
            _ => self.fail(UpstreamFailure::Late, now),
        }
    }

    fn client_is_late(&mut self, now: Moment) {
        self.waits.read_by = Moment::NEVER;
        match self.waits.from_client {
            FromClient::RestOfHead | FromClient::Body => self.refuse(Refused::TimedOut, now),
            FromClient::NextRequest | FromClient::End | FromClient::Nothing => self.phase = Phase::Over,
        }
    }
}

impl<H: Handler> Work<H> {
    fn upstream_wait(&self) -> (FromUpstream, Duration) {
        if let Some(pause) = &self.pause {
            return (FromUpstream::Word, pause.word.longest);
        }
        let Some(timeouts) = self.forward.as_ref().map(|forward| forward.timeouts) else {
            return (FromUpstream::Nothing, Duration::ZERO);
        };
        match (self.link, &self.reply) {
            (Link::None, _) | (_, Incoming::Done | Incoming::Judged { .. }) => {
                (FromUpstream::Nothing, Duration::ZERO)
            }
            (Link::Wanted { .. } | Link::Opening, _) => (FromUpstream::Connection, timeouts.connect),
            (Link::Open { .. }, _) if !self.to_upstream.is_empty() => (FromUpstream::Room, timeouts.idle),
            (Link::ReadOnly { .. }, Incoming::Head) => (FromUpstream::FirstByte, timeouts.first_byte),
            (_, Incoming::Head) if self.request_complete => (FromUpstream::FirstByte, timeouts.first_byte),
            (_, Incoming::Body(_) | Incoming::Held(_)) if self.wants_answer_bytes() => {
                (FromUpstream::Body, timeouts.idle)
            }
            _ => (FromUpstream::Nothing, Duration::ZERO),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_must_come_at_its_least_rate_but_only_waiting_counts() {
        let limits =
            Limits { body_idle_timeout: Duration::from_secs(10), body_rate_min: 100, ..Limits::default() };
        let at = |seconds| Moment::from_start(Duration::from_secs(seconds));
        let mut waits = Waits::default();
        waits.update_read(FromClient::Body, 0, true, false, &limits, at(0));
        assert_eq!(waits.first(), at(10));
        waits.update_read(FromClient::Body, 100, true, true, &limits, at(9));
        assert_eq!(waits.first(), at(11), "9 of 10 + 1 seconds were waited");
        waits.update_read(FromClient::Nothing, 100, true, false, &limits, at(10));
        waits.update_read(FromClient::Body, 100, true, false, &limits, at(1000));
        assert_eq!(waits.first(), at(1001), "back-pressure is not the client's fault");
        waits.update_read(FromClient::Body, 1_000_000, true, true, &limits, at(1000));
        assert_eq!(waits.first(), at(1010), "credit does not stretch one pause");
    }

    #[test]
    fn what_is_awaited_again_is_awaited_anew() {
        let at = |seconds| Moment::from_start(Duration::from_secs(seconds));
        let mut waits = Waits::default();
        let five = Duration::from_secs(5);
        waits.update_upstream(FromUpstream::Word, five, false, at(0));
        waits.update_upstream(FromUpstream::Word, five, true, at(3));
        assert_eq!(waits.first(), at(5), "what others send is no word");
        // It is late; the next request of the same connection waits for word at once.
        waits.upstream_by = Moment::NEVER;
        waits.restart();
        waits.update_upstream(FromUpstream::Word, five, false, at(5));
        assert_eq!(waits.first(), at(10));
    }

    #[test]
    fn a_head_that_drips_in_gains_no_time() {
        let limits = Limits::default();
        let at = |seconds| Moment::from_start(Duration::from_secs(seconds));
        let mut waits = Waits::default();
        waits.update_read(FromClient::RestOfHead, 0, true, true, &limits, at(0));
        waits.update_read(FromClient::RestOfHead, 0, true, true, &limits, at(9));
        assert_eq!(waits.first(), at(10));
    }
}
