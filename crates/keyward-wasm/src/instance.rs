//! One instance of a guest: calls its callbacks, and answers events with what came of them.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use wasmtime::{InstancePre, Store, TypedFunc, WasmParams, WasmResults};

use crate::call_out::CallAnswer;
use crate::event::{Answer, Event, Facts, Phase};
use crate::failure::Failure;
use crate::log::LogLevel;
use crate::queue::Queue;
use crate::running::Common;
use crate::state::{Due, ROOT, State, Step, Stream, later, number};
use crate::ticker::Ticker;

pub(crate) struct Instance {
    store: Store<State>,
    functions: Functions,
    root_done: bool,
}

/// The guest's callbacks, as far as it has them.
struct Functions {
    context_create: Option<TypedFunc<(u32, u32), ()>>,
    tick: Option<TypedFunc<u32, ()>>,
    queue_ready: Option<TypedFunc<(u32, u32), ()>>,
    headers: [Option<TypedFunc<(u32, u32, u32), u32>>; 2],
    body: [Option<TypedFunc<(u32, u32, u32), u32>>; 2],
    trailers: [Option<TypedFunc<(u32, u32), u32>>; 2],
    call_response: Option<TypedFunc<(u32, u32, u32, u32, u32), ()>>,
    done: Option<TypedFunc<u32, u32>>,
    log: Option<TypedFunc<u32, ()>>,
    delete: Option<TypedFunc<u32, ()>>,
}

/// What one callback may use.
#[derive(Clone, Copy)]
struct Budget {
    fuel: u64,
    time: Duration,
}

/// What the guest answers to an event's step. Whatever is not `Continue` pauses.
const CONTINUE: u32 = 0;

impl Instance {
    /// Makes an instance and takes it through its start: `_initialize` or `_start`, then the root context's creation,
    /// `proxy_on_vm_start` and `proxy_on_configure`.
    pub(crate) fn start(
        instances: &InstancePre<State>,
        common: Arc<Common>,
        queue: Weak<Queue>,
        generation: u64,
    ) -> Result<Self, Failure> {
        let limits = &common.limits;
        let budget = Budget { fuel: limits.fuel_at_start, time: limits.start_time_max };
        let sizes = [common.vm_configuration.expose_bytes().len(), common.configuration.expose_bytes().len()];
        let mut store = Store::new(instances.module().engine(), State::new(common, queue, generation));
        store.limiter(|state| &mut state.bounds);
        let instance = guarded(&mut store, budget, |store| instances.instantiate(store))?;
        let mut finder = Finder { store: &mut store, instance };
        let allocate = finder.function("proxy_on_memory_allocate").or_else(|| finder.function("malloc"));
        let functions = Functions::find(&mut finder);
        let initialize = finder.function::<(), ()>("_initialize");
        let main = finder.function::<(u32, u32), u32>("main").filter(|_| initialize.is_some());
        let first = initialize.or_else(|| finder.function("_start"));
        let vm_start = finder.function::<(u32, u32), u32>("proxy_on_vm_start");
        let configure = finder.function::<(u32, u32), u32>("proxy_on_configure");
        let memory = instance.get_memory(&mut store, "memory");
        store.data_mut().memory = memory;
        store.data_mut().allocate = allocate;
        let mut started = Self { store, functions, root_done: false };
        started.begin_root(budget, (first, main), [(vm_start, sizes[0]), (configure, sizes[1])])?;
        Ok(started)
    }

    fn begin_root(
        &mut self,
        budget: Budget,
        (first, main): (Option<TypedFunc<(), ()>>, Option<TypedFunc<(u32, u32), u32>>),
        configured: [(Option<TypedFunc<(u32, u32), u32>>, usize); 2],
    ) -> Result<(), Failure> {
        let store = &mut self.store;
        call_within(store, budget, ROOT, first.as_ref(), ())?;
        call_within(store, budget, ROOT, main.as_ref(), (0, 0))?;
        call_within(store, budget, ROOT, self.functions.context_create.as_ref(), (ROOT, 0))?;
        for (function, size) in configured {
            if call_within(store, budget, ROOT, function.as_ref(), (ROOT, number(size)))? == Some(0) {
                return Err(Failure::Refused);
            }
        }
        self.settle()
    }

    /// Tells the guest of an event. It is answered when the guest goes on: now, later, or never within its time.
    pub(crate) fn event(
        &mut self,
        id: u32,
        begin: Option<Box<Facts>>,
        event: Event,
        reply: oneshot::Sender<Answer>,
    ) -> Result<(), Failure> {
        let state = self.store.data_mut();
        let fresh = begin.is_some();
        if let Some(facts) = begin {
            state.streams.insert(id, Stream::new(facts));
        }
        let Some(stream) = state.streams.get_mut(&id) else {
            // It was begun on an instance that is gone.
            let _ = reply.send(Answer::Failed(Failure::Gone));
            return Ok(());
        };
        if let Some(until) = stream.progress.as_ref().and_then(|before| before.paused_until) {
            state.due.remove(&(until, Due::Pause(id)));
        }
        stream.begin(event, reply);
        if fresh {
            let create = self.functions.context_create.as_ref();
            call(&mut self.store, id, create, (id, ROOT))?;
        }
        self.advance(id)?;
        self.settle()
    }

    /// Nobody will tell more of this request.
    pub(crate) fn end(&mut self, id: u32) -> Result<(), Failure> {
        let state = self.store.data_mut();
        let Some(stream) = state.streams.get_mut(&id).filter(|stream| stream.ending.is_none()) else {
            return Ok(());
        };
        let paused = stream.progress.take().and_then(|progress| progress.paused_until);
        if let Some(until) = paused {
            state.due.remove(&(until, Due::Pause(id)));
        }
        let done = self.functions.done.as_ref();
        let waits = call(&mut self.store, id, done, id)? == Some(0);
        let state = self.store.data_mut();
        // A guest that lets too many wait does not get to wait for them.
        if waits && state.streams.len() <= state.common.limits.streams_max {
            let until = later(Instant::now(), state.common.limits.end_time_max);
            if let Some(stream) = state.streams.get_mut(&id) {
                stream.ending = Some(until);
                state.due.insert((until, Due::Ending(id)));
            }
        } else {
            self.remove(id)?;
        }
        self.settle()
    }

    /// A call has ended.
    pub(crate) fn called(
        &mut self,
        id: u32,
        generation: u64,
        answer: Option<CallAnswer>,
    ) -> Result<(), Failure> {
        let state = self.store.data_mut();
        if generation != state.generation {
            return Ok(());
        }
        let Some(in_flight) = state.calls.remove(&id) else { return Ok(()) };
        state.due.remove(&(in_flight.until, Due::Call(id)));
        let bytes_max = state.common.limits.call_answer_bytes_max;
        state.answer = answer.filter(|answer| answer.bytes() <= bytes_max);
        let sizes = state.answer.as_ref().map_or([0; 3], |answer| {
            [answer.headers.len(), answer.body.len(), answer.trailers.len()].map(number)
        });
        let told = self.functions.call_response.as_ref();
        let parameters = (ROOT, id, sizes[0], sizes[1], sizes[2]);
        call(&mut self.store, ROOT, told, parameters)?;
        self.store.data_mut().answer = None;
        self.settle()
    }

    /// There is an item in a shared queue.
    pub(crate) fn queue_ready(&mut self, queue: u32) -> Result<(), Failure> {
        let told = self.functions.queue_ready.as_ref();
        call(&mut self.store, ROOT, told, (ROOT, queue))?;
        self.settle()
    }

    /// Does what is due.
    pub(crate) fn due(&mut self, now: Instant) -> Result<(), Failure> {
        while let Some((at, due)) = self.store.data().due.first().copied().filter(|(at, _)| *at <= now) {
            self.store.data_mut().due.remove(&(at, due));
            match due {
                Due::Pause(id) => self.give_up(id),
                Due::Call(id) => self.called(id, self.store.data().generation, None)?,
                Due::Ending(id) => self.remove(id)?,
            }
        }
        let tick = self.store.data().tick.filter(|(_, at)| *at <= now);
        if let Some((period, _)) = tick {
            self.store.data_mut().tick = Some((period, later(now, period)));
            let told = self.functions.tick.as_ref();
            call(&mut self.store, ROOT, told, ROOT)?;
        }
        self.settle()
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.store.data().next_due()
    }

    pub(crate) fn has_streams(&self) -> bool {
        !self.store.data().streams.is_empty()
    }

    /// Answers everything that waits, and is gone. The request of the event, and the one that the guest was about when it failed,
    /// hear why; the others that their instance is gone.
    pub(crate) fn fail(mut self, why: &Failure, current: Option<u32>) {
        let about = self.store.data().effective;
        for (id, stream) in self.store.data_mut().streams.drain() {
            if let Some(progress) = stream.progress {
                let why = if Some(id) == current || id == about { why.clone() } else { Failure::Gone };
                // Whoever asked may be gone.
                let _ = progress.reply.send(Answer::Failed(why));
            }
        }
    }

    /// Ends what requests are left, and tells the root context that it ends.
    pub(crate) fn begin_end(&mut self) -> Result<(), Failure> {
        let left: Vec<u32> = self.store.data().streams.keys().copied().collect();
        for id in left {
            self.end(id)?;
        }
        self.store.data_mut().root_ending = true;
        let done = self.functions.done.as_ref();
        self.root_done |= call(&mut self.store, ROOT, done, ROOT)? != Some(0);
        self.settle()
    }

    /// The guest still wants to finish something.
    pub(crate) fn is_ending(&self) -> bool {
        !self.root_done || self.has_streams()
    }

    /// The end of the root context, and of requests that did not end.
    pub(crate) fn end_root(&mut self) -> Result<(), Failure> {
        let left: Vec<u32> = self.store.data().streams.keys().copied().collect();
        for id in left {
            self.remove(id)?;
        }
        let delete = self.functions.delete.as_ref();
        call(&mut self.store, ROOT, delete, ROOT)?;
        Ok(())
    }

    /// Takes a request's event from step to step until it is answered or the guest pauses.
    fn advance(&mut self, id: u32) -> Result<(), Failure> {
        loop {
            let Some(stream) = self.store.data_mut().streams.get_mut(&id) else { return Ok(()) };
            let Some(phase) = stream.progress.as_ref().map(|progress| progress.phase) else { return Ok(()) };
            let Some(step) = stream.next_step() else {
                stream.finish();
                return Ok(());
            };
            let Some(action) = self.tell(id, phase, step)? else { continue };
            if self.stops(id, phase, step, action) {
                return Ok(());
            }
        }
    }

    /// Calls the callback of a step; `None` if there is none.
    fn tell(&mut self, id: u32, phase: Phase, step: Step) -> Result<Option<u32>, Failure> {
        let (store, functions) = (&mut self.store, &self.functions);
        match step {
            Step::Headers { count, end } => {
                call(store, id, of(&functions.headers, phase), (id, count, end.into()))
            }
            Step::Body { bytes, end } => call(store, id, of(&functions.body, phase), (id, bytes, end.into())),
            Step::Trailers { count } => call(store, id, of(&functions.trailers, phase), (id, count)),
        }
    }

    /// Whether the event goes no further now: it is answered, or paused.
    fn stops(&mut self, id: u32, phase: Phase, step: Step, action: u32) -> bool {
        if self.conclude(id) {
            return true;
        }
        let hears_body = of(&self.functions.body, phase).is_some();
        let state = self.store.data_mut();
        let may_wake = state.may_wake(id);
        let until = later(Instant::now(), state.common.limits.pause_time_max);
        let Some(progress) = state.streams.get_mut(&id).and_then(|stream| stream.progress.as_mut()) else {
            return true;
        };
        if std::mem::take(&mut progress.resumed) || action == CONTINUE {
            return false;
        }
        // A guest that waits for nothing else waits for the body: it decides there.
        if matches!(step, Step::Headers { .. }) && progress.body.waits && hears_body && !may_wake {
            return false;
        }
        progress.paused_until = Some(until);
        state.due.insert((until, Due::Pause(id)));
        true
    }

    /// Answers with the guest's own reply, or ends the exchange, if it said so.
    fn conclude(&mut self, id: u32) -> bool {
        let state = self.store.data_mut();
        let Some(stream) = state.streams.get_mut(&id) else { return false };
        let said = stream.progress.take_if(|progress| progress.local.is_some() || progress.closed);
        let Some(progress) = said else { return false };
        if let Some(until) = progress.paused_until {
            state.due.remove(&(until, Due::Pause(id)));
        }
        stream.side_mut(progress.phase).body = bytes::Bytes::new();
        let answer = progress.local.map_or(Answer::Close, Answer::Reply);
        // Whoever asked may be gone.
        let _ = progress.reply.send(answer);
        true
    }

    /// Goes on with what host functions said while the guest ran.
    fn settle(&mut self) -> Result<(), Failure> {
        while let Some(id) = self.store.data_mut().touched.pop() {
            if !self.conclude(id) && self.wakes(id) {
                self.advance(id)?;
            }
        }
        while let Some(id) = self.store.data_mut().done.pop() {
            if id == ROOT {
                self.root_done = true;
            } else {
                self.remove(id)?;
            }
        }
        Ok(())
    }

    /// Whether a paused request was resumed; it is then no longer paused.
    fn wakes(&mut self, id: u32) -> bool {
        let state = self.store.data_mut();
        let progress = state.streams.get_mut(&id).and_then(|stream| stream.progress.as_mut());
        let Some(progress) = progress.filter(|progress| progress.resumed) else { return false };
        progress.resumed = false;
        let Some(until) = progress.paused_until.take() else { return false };
        state.due.remove(&(until, Due::Pause(id)));
        true
    }

    /// The guest paused a request for too long.
    fn give_up(&mut self, id: u32) {
        let state = self.store.data_mut();
        let Some(progress) = state.streams.get_mut(&id).and_then(|stream| stream.progress.take()) else {
            return;
        };
        state.common.counts.paused_too_long.add();
        state.say(LogLevel::Warn, b"a request was paused for too long");
        // Whoever asked may be gone.
        let _ = progress.reply.send(Answer::Failed(Failure::PausedTooLong));
    }

    /// The end of a request: its log entry, and nothing of it is left.
    fn remove(&mut self, id: u32) -> Result<(), Failure> {
        let Some(stream) = self.store.data_mut().streams.get_mut(&id) else { return Ok(()) };
        if let Some(until) = stream.ending.take() {
            self.store.data_mut().due.remove(&(until, Due::Ending(id)));
        }
        call(&mut self.store, id, self.functions.log.as_ref(), id)?;
        call(&mut self.store, id, self.functions.delete.as_ref(), id)?;
        self.store.data_mut().streams.remove(&id);
        Ok(())
    }
}

impl Functions {
    fn find(finder: &mut Finder<'_>) -> Self {
        Self {
            context_create: finder.function("proxy_on_context_create"),
            tick: finder.function("proxy_on_tick"),
            queue_ready: finder.function("proxy_on_queue_ready"),
            headers: ["proxy_on_request_headers", "proxy_on_response_headers"]
                .map(|name| finder.function(name)),
            body: ["proxy_on_request_body", "proxy_on_response_body"].map(|name| finder.function(name)),
            trailers: ["proxy_on_request_trailers", "proxy_on_response_trailers"]
                .map(|name| finder.function(name)),
            call_response: finder.function("proxy_on_http_call_response"),
            done: finder.function("proxy_on_done"),
            log: finder.function("proxy_on_log"),
            delete: finder.function("proxy_on_delete"),
        }
    }
}

/// Finds exports. Their forms were checked when the module was loaded.
struct Finder<'s> {
    store: &'s mut Store<State>,
    instance: wasmtime::Instance,
}

impl Finder<'_> {
    fn function<P: WasmParams, R: WasmResults>(&mut self, name: &str) -> Option<TypedFunc<P, R>> {
        self.instance.get_typed_func(&mut *self.store, name).ok()
    }
}

fn of<F>([request, response]: &[Option<F>; 2], phase: Phase) -> Option<&F> {
    if phase == Phase::Request { request.as_ref() } else { response.as_ref() }
}

/// Calls a callback about a context, if there is one, within the budget of an event.
fn call<P: WasmParams, R: WasmResults>(
    store: &mut Store<State>,
    context: u32,
    function: Option<&TypedFunc<P, R>>,
    parameters: P,
) -> Result<Option<R>, Failure> {
    let limits = &store.data().common.limits;
    let budget = Budget { fuel: limits.fuel_per_event, time: limits.event_time_max };
    call_within(store, budget, context, function, parameters)
}

fn call_within<P: WasmParams, R: WasmResults>(
    store: &mut Store<State>,
    budget: Budget,
    context: u32,
    function: Option<&TypedFunc<P, R>>,
    parameters: P,
) -> Result<Option<R>, Failure> {
    let Some(function) = function else { return Ok(None) };
    store.data_mut().effective = context;
    let result = guarded(store, budget, |store| function.call(store, parameters))?;
    store.data_mut().effective = ROOT;
    Ok(Some(result))
}

/// Runs the guest, which is stopped when its budget is spent. What it wrote is logged even if it traps.
fn guarded<R>(
    store: &mut Store<State>,
    budget: Budget,
    run: impl FnOnce(&mut Store<State>) -> wasmtime::Result<R>,
) -> Result<R, Failure> {
    store.set_fuel(budget.fuel).map_err(|error| Failure::of(&error))?;
    store.set_epoch_deadline(Ticker::epochs(budget.time));
    let common = Arc::clone(&store.data().common);
    let running = common.host.ticker.running();
    let result = run(store);
    drop(running);
    let state = store.data_mut();
    for (error, level) in [(false, LogLevel::Info), (true, LogLevel::Error)] {
        if let Some(line) = state.log.rest(error) {
            state.say(level, &line);
        }
    }
    result.map_err(|error| Failure::of(&error))
}
