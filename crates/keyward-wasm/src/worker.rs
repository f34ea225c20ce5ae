//! A worker: one thread, one instance, one queue. It never waits for anything but its queue.

use std::sync::{Arc, PoisonError, mpsc};
use std::time::{Duration, Instant};

use wasmtime::InstancePre;

use crate::event::Answer;
use crate::failure::Failure;
use crate::instance::Instance;
use crate::log::Allowance;
use crate::queue::{Item, Queue};
use crate::running::Common;
use crate::state::{State, later};

/// How soon a worker hears that a request has ended, if nothing else wakes it.
const QUIET_MAX: Duration = Duration::from_millis(50);
/// Waits after failed starts double up to this power of two.
const DOUBLINGS_MAX: u32 = 4;

pub(crate) struct Worker {
    instances: InstancePre<State>,
    common: Arc<Common>,
    queue: Arc<Queue>,
    instance: Option<Instance>,
    generation: u64,
    restarts: Restarts,
}

/// How soon an instance may be made again.
struct Restarts {
    allowance: Allowance,
    wait: Duration,
    failures: u32,
    not_before: Option<Instant>,
}

impl Worker {
    pub(crate) fn new(instances: InstancePre<State>, common: Arc<Common>, queue: Arc<Queue>) -> Self {
        let restarts = Restarts {
            allowance: Allowance::per_second(common.limits.restarts_per_second),
            wait: common.limits.restart_wait,
            failures: 0,
            not_before: None,
        };
        Self { instances, common, queue, instance: None, generation: 0, restarts }
    }

    /// Starts the first instance, says how that went, and works until it is told to stop.
    pub(crate) fn run(mut self, ready: &mpsc::Sender<Result<(), Failure>>) {
        let started = self.start();
        let failed = started.is_err();
        // Whoever started it may have given up.
        let _ = ready.send(started);
        if failed {
            return;
        }
        loop {
            match self.queue.pop_until(self.wake_at()) {
                Some(Item::Stop) => break,
                Some(item) => self.take(item),
                None => {}
            }
            self.look_at_the_clock();
        }
        self.wind_up();
    }

    fn start(&mut self) -> Result<(), Failure> {
        self.generation += 1;
        self.common.counts.instances.add();
        let queue = Arc::downgrade(&self.queue);
        let started = Instance::start(&self.instances, Arc::clone(&self.common), queue, self.generation);
        self.restarts.tried(started.is_ok(), Instant::now());
        self.set_last_failure(started.as_ref().err().cloned());
        self.instance = Some(started.inspect_err(|why| {
            tracing::warn!(target: "plugin", plugin = self.common.name, account = self.common.account, "the plugin could not be started: {why}");
        })?);
        Ok(())
    }

    fn wake_at(&self) -> Option<Instant> {
        let instance = self.instance.as_ref()?;
        let quiet = instance.has_streams().then(|| Instant::now() + QUIET_MAX);
        [instance.next_due(), quiet].into_iter().flatten().min()
    }

    fn take(&mut self, item: Item) {
        let (current, done) = match item {
            Item::Event { stream, begin, event, reply } => {
                // Whoever asked may be gone already.
                if reply.is_closed() {
                    return;
                }
                if begin.is_some()
                    && let Err(why) = self.ready()
                {
                    let _ = reply.send(Answer::Failed(why));
                    return;
                }
                let Some(instance) = &mut self.instance else {
                    let _ = reply.send(Answer::Failed(Failure::Gone));
                    return;
                };
                self.common.counts.events.add();
                (Some(stream), instance.event(stream, begin, *event, reply))
            }
            Item::End(stream) => (None, self.with_instance(|instance| instance.end(stream))),
            Item::Called { call, generation, answer } => {
                (None, self.with_instance(|instance| instance.called(call, generation, answer)))
            }
            Item::QueueReady(id) => {
                self.common.room.heard(id);
                (None, self.with_instance(|instance| instance.queue_ready(id)))
            }
            Item::Stop => return,
        };
        if let Err(why) = done {
            self.lose(&why, current);
        }
    }

    fn with_instance(
        &mut self,
        work: impl FnOnce(&mut Instance) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        self.instance.as_mut().map_or(Ok(()), work)
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        if let Err(why) = self.with_instance(|instance| instance.due(now)) {
            self.lose(&why, None);
        }
    }

    /// There is an instance, or one is made if that is not too soon.
    fn ready(&mut self) -> Result<(), Failure> {
        if self.instance.is_some() {
            return Ok(());
        }
        if !self.restarts.may(Instant::now()) {
            return Err(Failure::BackingOff);
        }
        self.start()
    }

    /// Throws the instance away. Every request that waited for it is answered.
    fn lose(&mut self, why: &Failure, current: Option<u32>) {
        tracing::warn!(target: "plugin", plugin = self.common.name, account = self.common.account, "an instance is thrown away: {why}");
        self.common.counts.lost.add();
        self.set_last_failure(Some(why.clone()));
        if let Some(instance) = self.instance.take() {
            instance.fail(why, current);
        }
    }

    fn set_last_failure(&self, failure: Option<Failure>) {
        *self.common.last_failure.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Tells the guest that it ends, and lets it finish for a while if it wants to.
    fn wind_up(&mut self) {
        let until = later(Instant::now(), self.common.limits.end_time_max);
        let mut ended = self.with_instance(Instance::begin_end);
        while ended.is_ok()
            && self.instance.as_ref().is_some_and(Instance::is_ending)
            && Instant::now() < until
        {
            let wake = self.wake_at().map_or(until, |wake| wake.min(until));
            if let Some(item) = self.queue.pop_until(Some(wake)) {
                self.take(item);
            }
            self.look_at_the_clock();
        }
        if ended.is_ok() {
            ended = self.with_instance(Instance::end_root);
        }
        if let Err(why) = ended {
            self.lose(&why, None);
        }
    }
}

impl Drop for Worker {
    /// However the thread ends: nobody waits for it any longer.
    fn drop(&mut self) {
        self.queue.close();
    }
}

impl Restarts {
    fn may(&mut self, now: Instant) -> bool {
        self.not_before.is_none_or(|not_before| now >= not_before) && self.allowance.take(now)
    }

    fn tried(&mut self, fine: bool, now: Instant) {
        self.failures = if fine { 0 } else { self.failures.saturating_add(1) };
        self.not_before = (!fine).then(|| {
            let doublings = self.failures.saturating_sub(1).min(DOUBLINGS_MAX);
            later(now, self.wait.saturating_mul(2u32.pow(doublings)))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_after_failed_starts_double_and_end_with_a_good_one() {
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let allowance = Allowance::per_second(1000);
        let mut restarts = Restarts { allowance, wait: second, failures: 0, not_before: None };
        assert!(restarts.may(now));
        for wait in [1, 2, 4, 8, 16, 16] {
            restarts.tried(false, now);
            assert!(!restarts.may(now + second * wait - Duration::from_millis(1)), "{wait}");
            assert!(restarts.may(now + second * wait), "{wait}");
        }
        restarts.tried(true, now);
        assert!(restarts.may(now));
    }
}
