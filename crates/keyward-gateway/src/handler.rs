//! The seam to the transport: one handler per core, and what all of them share.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use keyward_access::jwt::KeySetNudge;
use keyward_access::{AlwaysFresh, Body, Dialect, Freshness, Snapshot};
use keyward_http::{
    BodyVerdict, Counters, Handler, Head, Limits, Outcome, Peer, Refused, Reply, Response, ResponseHead,
    Step, UpstreamFailure,
};
use keyward_model::{GatewayId, GatewayLimits};

use crate::core::Core;
use crate::diagnosis::DiagnosisBudget;
use crate::exchange::Exchange;
use crate::forwarded::Origin;
use crate::latest::{Latest, Retired};
use crate::plugin::{Chains, LimitTable, Quotas};
use crate::request::{DIGEST_HOLD_HINT, Decision};
use crate::{
    AccessLog, Clock, CustomPlugins, Metrics, ReplayMemory, ReplayTally, RequestIds, SharedReplay, Usage,
    refusal,
};

/// What all cores of a gateway share.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// Which gateway this node belongs to.
    pub id: GatewayId,
    /// The published Snapshot.
    pub published: Arc<ArcSwap<Snapshot>>,
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Used nonces.
    pub replay: Arc<ReplayMemory>,
    /// The same of several nodes; `None`: this node is on its own.
    pub shared_replay: Option<Arc<dyn SharedReplay>>,
    /// What that said.
    shared_tally: Arc<ReplayTally>,
    /// Where access records go; `None` for nowhere.
    pub log: Option<AccessLog>,
    /// What is counted.
    pub metrics: Metrics,
    /// What was used, and how many calls there were.
    pub usage: Usage,
    /// Who fetches key sets; `None`: nobody.
    pub key_sets: Option<Arc<dyn KeySetNudge>>,
    /// Who runs custom plugins; `None`: nobody, so that they close what they are bound to.
    pub custom: Option<Arc<dyn CustomPlugins>>,
    /// How long ago the Snapshot was last known to be the newest.
    pub freshness: Arc<dyn Freshness>,
    /// How long a stream goes on after its grant has ended.
    pub stream_grace: Duration,
    /// What limits have counted.
    limits: Arc<LimitTable>,
    retired: Retired,
    /// From which each core's request ids are derived.
    seed: [u8; 16],
    cores: Arc<AtomicU64>,
}

impl Gateway {
    /// A gateway that serves `id`, without a log, with the default grace of 30 s for streams.
    ///
    /// # Errors
    /// The system gives no thread, or no random bytes.
    pub fn new(
        id: GatewayId,
        published: Arc<ArcSwap<Snapshot>>,
        clock: Arc<dyn Clock>,
        replay: Arc<ReplayMemory>,
    ) -> std::io::Result<Self> {
        let seed = crate::random_seed()?;
        Ok(Self {
            id,
            published,
            clock,
            replay,
            shared_replay: None,
            shared_tally: Arc::default(),
            log: None,
            metrics: Metrics::default(),
            usage: Usage::default(),
            key_sets: None,
            custom: None,
            freshness: Arc::new(AlwaysFresh),
            stream_grace: Duration::from_secs(30),
            limits: Arc::new(LimitTable::new(seed)),
            retired: Retired::start()?,
            seed,
            cores: Arc::default(),
        })
    }

    /// Goes on from what quotas counted before: `pages` as [`Gateway::quota_pages`] gave them. To be called before there is a
    /// handler. Tells whether they were whole; if not, quotas begin anew.
    pub fn resume_quotas(&mut self, pages: &[u8]) -> bool {
        let Some(quotas) = Quotas::read(pages) else { return false };
        self.limits = Arc::new(LimitTable::with_quotas(self.seed, quotas));
        true
    }

    /// What quotas counted, to be kept, if anything was counted since this was asked last.
    pub fn quota_pages(&self) -> Option<Vec<u8>> {
        self.limits.quotas().pages(self.clock.now())
    }

    /// What [`Gateway::quota_pages`] gave could not be kept: it gives it again.
    pub fn quotas_not_kept(&self) {
        self.limits.quotas().not_written();
    }

    /// The handler of one core. To be called once for each.
    pub fn handler(&self) -> GatewayHandler {
        let number = self.cores.fetch_add(1, Ordering::Relaxed);
        let latest = Latest::new(Arc::clone(&self.published), self.id, self.retired.clone());
        let core = Core {
            request_ids: RequestIds::of_core(self.seed, number),
            counters: self.metrics.core(),
            usage: self.usage.core(),
            lane: self.log.as_ref().map(AccessLog::lane),
            apis: Default::default(),
            services: Default::default(),
            chains: Chains::new(self.custom.clone()),
            call_outs: Default::default(),
            tokens: Default::default(),
            time: Default::default(),
            forwarded: Default::default(),
            spare: Vec::new(),
            diagnosis: DiagnosisBudget::new(self.seed),
            other_store_told_ms: 0,
            changes: 0,
        };
        GatewayHandler {
            gateway: self.id,
            clock: Arc::clone(&self.clock),
            replay: Arc::clone(&self.replay),
            shared_replay: self.shared_replay.clone(),
            shared_tally: Arc::clone(&self.shared_tally),
            key_sets: self.key_sets.clone(),
            freshness: Arc::clone(&self.freshness),
            stream_grace: self.stream_grace,
            limits: Arc::clone(&self.limits),
            latest: RefCell::new(latest),
            core: RefCell::new(core),
        }
    }
}

impl Gateway {
    /// Everything that is counted, as a Prometheus page. `transport` is what the server counts.
    pub fn metrics_page(&self, transport: &Counters) -> String {
        let revision = self.published.load().revision().number;
        let replay = (&*self.replay, &*self.shared_tally);
        self.metrics.render(revision, replay, &self.usage, self.log.as_ref(), transport)
    }
}

/// The transport's limits, with those that this gateway sets.
pub fn transport_limits(set: &GatewayLimits, rest: Limits) -> Limits {
    Limits {
        head_bytes: usize::try_from(set.head_bytes).unwrap_or(usize::MAX),
        fields: set.headers.into(),
        body_bytes: set.body_bytes,
        header_timeout: Duration::from_millis(set.header_timeout_ms.into()),
        ..rest
    }
}

/// Decides about the requests of one core.
#[derive(Debug)]
pub struct GatewayHandler {
    gateway: GatewayId,
    clock: Arc<dyn Clock>,
    replay: Arc<ReplayMemory>,
    shared_replay: Option<Arc<dyn SharedReplay>>,
    shared_tally: Arc<ReplayTally>,
    key_sets: Option<Arc<dyn KeySetNudge>>,
    freshness: Arc<dyn Freshness>,
    stream_grace: Duration,
    limits: Arc<LimitTable>,
    latest: RefCell<Latest>,
    core: RefCell<Core>,
}

impl Handler for GatewayHandler {
    type Exchange = Exchange;

    fn head(&self, head: &Head<'_>, peer: &Peer, out: &mut Vec<u8>) -> (Exchange, Step) {
        self.with_decision(head, peer, |decision, core| {
            let mut exchange = core.begin(head, &decision.origin.client_text, decision.now);
            let step = decision.serve(core, &mut exchange, Body::Unread, out);
            (exchange, step)
        })
    }

    fn body(
        &self,
        exchange: &mut Exchange,
        head: &Head<'_>,
        peer: &Peer,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Step {
        self.with_decision(head, peer, |decision, core| {
            decision.serve(core, exchange, Body::Whole(body), out)
        })
    }

    fn resume(
        &self,
        exchange: &mut Exchange,
        head: &Head<'_>,
        peer: &Peer,
        body: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Step {
        self.with_decision(head, peer, |decision, core| {
            decision.serve(core, exchange, body.map_or(Body::Unread, Body::Whole), out)
        })
    }

    fn request_chunk(&self, exchange: &mut Exchange, chunk: &[u8]) {
        if let Some(digest) = &mut exchange.digest {
            digest.take(chunk);
        }
    }

    fn request_end(&self, exchange: &mut Exchange) -> BodyVerdict {
        exchange.digest.take().map_or(BodyVerdict::Release, |digest| digest.verdict())
    }

    fn response_head(&self, exchange: &mut Exchange, head: &ResponseHead<'_>, out: &mut Vec<u8>) -> Reply {
        if exchange.plugins.is_none() {
            crate::response::push_fields(head, &[], out);
            refusal::push_request_id(out, &exchange.request_id);
            return Reply::Pass;
        }
        self.judge_answer(exchange, head, None, out)
    }

    fn response_body(
        &self,
        exchange: &mut Exchange,
        head: &ResponseHead<'_>,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Reply {
        self.judge_answer(exchange, head, Some(body), out)
    }

    fn response_resume(
        &self,
        exchange: &mut Exchange,
        head: &ResponseHead<'_>,
        body: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Reply {
        self.judge_answer(exchange, head, body, out)
    }

    fn failed(&self, exchange: &mut Exchange, failure: UpstreamFailure) -> Response {
        self.core.borrow().counters.failed(failure);
        let (mut response, reason) = refusal::of_failure(failure, &exchange.request_id);
        exchange.reason.set(Some(reason));
        exchange.add_fields(&mut response);
        response
    }

    fn refused(&self, exchange: Option<&mut Exchange>, refused: Refused, peer: &Peer) -> Response {
        let Some(exchange) = exchange else { return self.refuse_message(refused, peer) };
        let hint =
            (exchange.is_held_for_digest && refused == Refused::BodyTooLarge).then_some(DIGEST_HOLD_HINT);
        let (response, reason) = refusal::of_refused(refused, hint, &exchange.request_id);
        exchange.reason.set(Some(reason));
        response
    }

    fn still_permitted(&self, exchange: &Exchange) -> bool {
        let Some(standing) = &exchange.standing else { return true };
        let mut latest = self.latest.borrow_mut();
        let (snapshot, _, _) = latest.load();
        let Err(reason) = standing.still_holds(snapshot, self.clock.now()) else {
            exchange.ended_ms.set(None);
            return true;
        };
        let now_ms = self.clock.monotonic_ms();
        let ended_ms = exchange.ended_ms.get().unwrap_or(now_ms);
        exchange.ended_ms.set(Some(ended_ms));
        let goes_on = u128::from(now_ms.saturating_sub(ended_ms)) < self.stream_grace.as_millis();
        if !goes_on {
            exchange.reason.set(Some(reason));
        }
        goes_on
    }

    fn finished(&self, exchange: Exchange, outcome: &Outcome) {
        self.core.borrow_mut().end(exchange, outcome);
    }
}

impl GatewayHandler {
    /// Shows an answer to the plugins that its request came through.
    fn judge_answer(
        &self,
        exchange: &mut Exchange,
        head: &ResponseHead<'_>,
        body: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) -> Reply {
        let has_body = !exchange.is_head && !matches!(head.status, 204 | 304);
        let Some(run) = exchange.plugins.as_deref_mut() else {
            crate::response::push_fields(head, &[], out);
            refusal::push_request_id(out, &exchange.request_id);
            return Reply::Pass;
        };
        match run.answer(head, has_body, body, (&exchange.request_id, self.clock.now()), out) {
            Ok(reply) => reply,
            Err((plugin, refused)) => {
                exchange.plugin = Some(plugin);
                exchange.reason.set(Some(refused.reason));
                let mut response = refusal::of_plugin(&refused, Dialect::Plain, &exchange.request_id);
                exchange.add_fields(&mut response);
                Reply::Replace(response)
            }
        }
    }

    /// A decision by the current Snapshot. Nothing is awaited while it is borrowed.
    fn with_decision<R>(
        &self,
        head: &Head<'_>,
        peer: &Peer,
        decide: impl FnOnce(&Decision<'_>, &mut Core) -> R,
    ) -> R {
        let now = self.clock.now();
        let mut latest = self.latest.borrow_mut();
        let (snapshot, facts, changed) = latest.load();
        let core = &mut *self.core.borrow_mut();
        if changed {
            core.changed(snapshot);
        }
        let origin = &Origin::of(head, peer, &facts.trusted_proxies);
        let (gateway, replay, clock) = (self.gateway, &*self.replay, &*self.clock);
        let decision = Decision {
            snapshot,
            facts,
            gateway,
            replay,
            shared_replay: self.shared_replay.as_deref(),
            shared_tally: &self.shared_tally,
            key_sets: self.key_sets.as_deref(),
            freshness: &*self.freshness,
            limits: &self.limits,
            origin,
            head,
            now,
            clock,
        };
        decide(&decision, core)
    }

    fn refuse_message(&self, refused: Refused, peer: &Peer) -> Response {
        let now = self.clock.now();
        let core = &mut *self.core.borrow_mut();
        let request_id = core.request_ids.next(now);
        let (response, reason) = refusal::of_refused(refused, None, &request_id);
        core.record_refused(&request_id, peer, response.status, reason, now);
        response
    }
}
