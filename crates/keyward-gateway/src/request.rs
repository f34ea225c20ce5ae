//! The life of a request: resolve, authenticate, replay, authorize, outbound.
//!
//! One Snapshot serves one decision: the one that is current when the last byte came that the decision needs. Each
//! step is a plain function on it; a [`Denial`] ends the ladder, and only a [`Permit`] reaches the service.

use std::rc::Rc;
use std::sync::Arc;

use keyward_access::jwt::KeySetNudge;
use keyward_access::signature::HINT_NONCE_REPLAYED;
use keyward_access::{
    Authentication, Body, BodyNeed, Denial, Dialect, Field, Freshness, NonceUse, OTHER_STORE, Permit,
    PluginWork, RequestHead, Snapshot, Target, Verified, authenticate_remembering, authorize, diagnose,
    resolve,
};
use keyward_http::{BodyLength, CallOuts, Forward, Head, Refused, Response, Step, Word};
use keyward_model::{
    BuiltInConfig, CallerId, CallerKind, DenyReason, GatewayId, KeySetUrl, ServiceId, SignatureScheme, Stage,
    Timestamp,
};
use smallvec::SmallVec;

use crate::core::Core;
use crate::exchange::{Exchange, RunningDigest};
use crate::forwarded::Origin;
use crate::latest::GatewayFacts;
use crate::outbound::Outbound;
use crate::plugin::{CallFacts, LimitTable, Passed, Preflight, Run, Told, Who};
use crate::published::PublishedApi;
use crate::record::{Decided, Queried};
use crate::refusal::{self, Context};
use crate::replay;
use crate::service::{ReadyService, Weighted};
use crate::{Clock, Remembered, ReplayMemory, ReplayTally, RequestId, SharedAnswer, SharedReplay};

/// Largest body, in bytes, that is held because its digest must be checked; the API may let larger ones stream.
const DIGEST_HOLD_MAX: usize = 1024 * 1024;

/// What to do about a body above it.
pub(crate) const DIGEST_HOLD_HINT: &str = "a body whose digest is checked may have 1 MiB here; set \
    `stream_before_digest: true` at the API to let larger ones stream while they are checked";

/// The same is told in the node's log at most this often, in milliseconds.
const TELL_EVERY_MS: u64 = 10_000;

/// What one decision is made by, and about.
pub(crate) struct Decision<'d> {
    pub(crate) snapshot: &'d Snapshot,
    pub(crate) facts: &'d GatewayFacts,
    pub(crate) gateway: GatewayId,
    pub(crate) replay: &'d ReplayMemory,
    /// The one of several nodes.
    pub(crate) shared_replay: Option<&'d dyn SharedReplay>,
    pub(crate) shared_tally: &'d ReplayTally,
    pub(crate) key_sets: Option<&'d dyn KeySetNudge>,
    pub(crate) freshness: &'d dyn Freshness,
    pub(crate) limits: &'d Arc<LimitTable>,
    pub(crate) origin: &'d Origin<'d>,
    pub(crate) head: &'d Head<'d>,
    pub(crate) now: Timestamp,
    pub(crate) clock: &'d dyn Clock,
}

impl Decision<'_> {
    /// Judges the request, and writes down what came of it. `out` holds the head for the service if it is let go.
    pub(crate) fn serve(
        &self,
        core: &mut Core,
        exchange: &mut Exchange,
        body: Body<'_>,
        out: &mut Vec<u8>,
    ) -> Step {
        with_view(self.head, self.origin, |view| {
            if let Some(asked) = Preflight::of(self.head)
                && let Some(response) = self.answer_preflight(core, exchange, view, &asked)
            {
                return Step::Respond(response);
            }
            match self.judge(core, exchange, view, body, out) {
                Ok(step) => step,
                Err(denial) => {
                    out.clear();
                    Step::Respond(self.refuse(core, exchange, &denial))
                }
            }
        })
    }

    /// The ladder, up to the API: from there on every denial can say which one.
    fn judge(
        &self,
        core: &mut Core,
        exchange: &mut Exchange,
        view: &RequestHead<'_>,
        body: Body<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Denial> {
        let target = resolve(self.snapshot, self.gateway, view)?;
        let api = core.apis.ready(target.api, self.snapshot, &core.counters);
        exchange.api = Some(Rc::clone(&api));
        self.judge_target(core, exchange, view, body, &target, &api, out).map_err(|mut denial| {
            denial.target.get_or_insert((target.api.api().id, target.stage));
            if denial.reason.status() == 401 {
                exchange.challenges = target.plugins().challenges().map(Into::into).collect();
            }
            denial
        })
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one request, on its way down the ladder")]
    fn judge_target(
        &self,
        core: &mut Core,
        exchange: &mut Exchange,
        view: &RequestHead<'_>,
        body: Body<'_>,
        target: &Target<'_>,
        api: &PublishedApi,
        out: &mut Vec<u8>,
    ) -> Result<Step, Denial> {
        let judged = match self.authenticate(core, target, view, body) {
            Err(Denial { key_set: Some(url), .. }) if !exchange.has_nudged => {
                exchange.has_nudged = true;
                match self.wait_for_keys(&url) {
                    Some(word) => return Ok(Step::Pause(word)),
                    // It was fetched just now, perhaps after it was looked at here.
                    None => self.authenticate(core, target, view, body)?,
                }
            }
            judged => judged?,
        };
        let authentication = match judged {
            Authentication::NeedsBody(need) => match self.hold(core, exchange, target, &need) {
                Some(step) => return Ok(step),
                None => self.authenticate(core, target, view, Body::Streamed)?,
            },
            settled => settled,
        };
        let verified = match &authentication {
            Authentication::Verified(verified) => Some(&**verified),
            _ => None,
        };
        let own_nonce = self.nonce_of_plugin(target, verified)?;
        let nonce = verified.and_then(|verified| verified.nonce.as_ref()).or(own_nonce.as_ref());
        if let Some(word) = self.remember_nonce(exchange, verified, nonce)? {
            return Ok(Step::Pause(word));
        }
        let confirmed_at = self.freshness.confirmed_at();
        let permit = authorize(self.snapshot, target, &authentication, confirmed_at, self.now)?;
        self.forward(core, exchange, target, verified, api, permit, body, out)
    }

    /// Who is proven to call. Where a signature does not match, its mistake is looked for, within a budget; an AppKey
    /// that nobody has takes the same way, so that time does not tell them apart either.
    fn authenticate<'a>(
        &'a self,
        core: &mut Core,
        target: &Target<'a>,
        view: &RequestHead<'a>,
        body: Body<'_>,
    ) -> Result<Authentication<'a>, Denial> {
        let judged = authenticate_remembering(self.snapshot, target, view, body, self.now, &core.tokens);
        judged.map_err(|denial| {
            let is_mismatch =
                matches!(denial.reason, DenyReason::ProofMismatch | DenyReason::CredentialUnknown);
            if is_mismatch
                && denial.dialect != Dialect::Plain
                && core.diagnosis.spend(presented_key(view), self.clock.monotonic_ms())
            {
                return diagnose(self.snapshot, target, view, body, denial, self.now);
            }
            denial
        })
    }

    /// Where a fetched key set might know more if it were fetched now, the request waits for that, once.
    fn wait_for_keys(&self, url: &KeySetUrl) -> Option<Word> {
        let (done, word) = replay::until_dropped();
        self.key_sets?.nudge(url, done).then_some(word)
    }

    /// What of a body the verdict needs is held back. `None`: it streams, and its end is withheld.
    fn hold(
        &self,
        core: &mut Core,
        exchange: &mut Exchange,
        target: &Target<'_>,
        need: &BodyNeed,
    ) -> Option<Step> {
        let limit = match need {
            BodyNeed::Whole => self.facts.body_bytes,
            BodyNeed::Digest => self.facts.body_bytes.min(DIGEST_HOLD_MAX),
        };
        let is_larger = match self.head.body {
            BodyLength::None => false,
            BodyLength::Known(length) => length > limit as u64,
            // Nobody knows yet; what may stream is not made to wait.
            BodyLength::Chunked => {
                *need == BodyNeed::Digest && target.api.api().settings.stream_before_digest
            }
        };
        exchange.is_held_for_digest = *need == BodyNeed::Digest;
        if !is_larger {
            return Some(Step::Hold { limit });
        }
        if *need == BodyNeed::Digest && target.api.api().settings.stream_before_digest {
            return None;
        }
        let hint = exchange.is_held_for_digest.then_some(DIGEST_HOLD_HINT);
        let (response, reason) = refusal::of_refused(Refused::BodyTooLarge, hint, &exchange.request_id);
        exchange.reason.set(Some(reason));
        self.record(core, exchange, &Decided { stage: Some(target.stage), ..Decided::default() });
        Some(Step::Respond(response))
    }

    /// A nonce is remembered only here: after the proof held, and before anybody is let in by it. Where nodes share a
    /// memory, the request waits for what that says, and comes here again.
    fn remember_nonce(
        &self,
        exchange: &mut Exchange,
        verified: Option<&Verified<'_>>,
        nonce: Option<&NonceUse>,
    ) -> Result<Option<Word>, Denial> {
        // Once it is remembered it is not asked about again: it would be found to be used.
        let Some(nonce) = nonce.filter(|_| !exchange.has_nonce) else { return Ok(None) };
        if let Some(asked) = &exchange.asked {
            let answer = asked.answer_about(nonce);
            self.shared_tally.count(answer);
            self.heed(answer, nonce, verified)?;
            exchange.has_nonce = true;
            return Ok(None);
        }
        match self.replay.remember(nonce, self.now) {
            Remembered::Unheeded => return Ok(None),
            Remembered::Fresh => {}
            Remembered::Replayed => self.heed(SharedAnswer::Replayed, nonce, verified)?,
            Remembered::Unavailable(why) => self.heed(SharedAnswer::Unavailable(why), nonce, verified)?,
        }
        exchange.has_nonce = self.shared_replay.is_none();
        Ok(self.shared_replay.map(|shared| {
            let (asked, word) = replay::ask(shared, nonce, self.now);
            exchange.asked = Some(Box::new(asked));
            word
        }))
    }

    /// What cannot be remembered closes the door only where the API requires nonces.
    fn heed(
        &self,
        answer: SharedAnswer,
        nonce: &NonceUse,
        verified: Option<&Verified<'_>>,
    ) -> Result<(), Denial> {
        match answer {
            SharedAnswer::Fresh => Ok(()),
            SharedAnswer::Unavailable(_) if !nonce.required => Ok(()),
            SharedAnswer::Replayed => {
                Err(denial_of(DenyReason::NonceReplayed, verified).with_hint(HINT_NONCE_REPLAYED))
            }
            SharedAnswer::Unavailable(why) => {
                Err(denial_of(DenyReason::ReplayMemoryUnavailable, verified).with_hint(why.hint()))
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the state of one request, at the end of the ladder")]
    fn forward(
        &self,
        core: &mut Core,
        exchange: &mut Exchange,
        target: &Target<'_>,
        verified: Option<&Verified<'_>>,
        api: &PublishedApi,
        permit: Permit,
        body: Body<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Denial> {
        let service = core.services.ready(target.service);
        let own = service.own_credential().map_err(|reason| denial_of(reason, verified))?;
        let Some(Weighted { endpoint, url, .. }) = service.next_endpoint() else {
            return Err(denial_of(DenyReason::UpstreamUnavailable, verified));
        };
        let strip = verified.map_or(target.strip(), |verified| target.strip().sparing(verified));
        let query = self.head.query.and_then(|query| strip.query(query));
        let mut outbound = Outbound {
            head: self.head,
            origin: self.origin,
            target,
            verified,
            strip,
            snapshot: self.snapshot,
            api,
            draft: None,
            own,
            request_id: &exchange.request_id.clone(),
            now: self.now,
        };
        let decided = Decided {
            query: query.as_deref().map_or(Queried::None, Queried::Carried),
            stage: Some(target.stage),
            caller: permit.caller(),
            caller_name: verified.filter(|one| one.plugin.is_none()).map(|one| one.caller.name()),
            credential: permit.credential(),
            grant: permit.grant(),
            upstream: Some(url),
        };
        exchange.plugin = permit.plugin();
        let mut run = self.run_of(core, exchange, target);
        if let Some(mut running) = run.take() {
            running.prepare(|| outbound.draft(query.as_deref()));
            let services = self.services_of(core, &running);
            let facts = CallFacts {
                source: self.origin.socket(),
                secure: self.origin.secure,
                api: target.api.api().name.as_str(),
                stage: target.stage,
                caller_name: verified.map(|one| one.caller.name().as_str()),
                grant: decided.grant,
            };
            let told = Told {
                services,
                query: query.as_deref(),
                ..self.told(target, (verified, facts), body, &core.call_outs, outbound.request_id)
            };
            match running.request(&told) {
                Passed::All => run = Some(running),
                other => {
                    return Ok(self.follow_plugin(core, exchange, (running, other), verified, &decided));
                }
            }
        }
        core.usage.passed(permit.credential(), permit.grant(), self.now);
        if let Some(verified) = verified {
            verified.credential.note_use(self.now);
        }
        target.service.note_use(self.now);
        self.record(core, exchange, &decided);
        let changed = run.as_ref().and_then(|run| run.draft.as_ref());
        outbound.draft = changed;
        let query = match changed {
            Some(draft) => draft.query.as_deref(),
            None => query.as_deref(),
        };
        let standing = outbound.write(permit, endpoint, query, &mut core.forwarded, out);
        if let Some(run) = &run {
            run.sign(out);
        }
        let body = run.as_mut().and_then(|run| run.draft.as_mut()?.body.take());
        exchange.plugins = run;
        exchange.is_head = self.head.method == "HEAD";
        exchange.standing = Some(standing);
        exchange.digest =
            verified.and_then(|verified| verified.digest.clone()).map(RunningDigest::new).map(Box::new);
        Ok(Step::Forward(Forward {
            endpoint: Arc::clone(endpoint),
            body,
            timeouts: service.timeouts,
            watch_body: exchange.digest.is_some(),
            idempotent: is_idempotent(self.head.method),
        }))
    }

    /// A browser's question beforehand, answered where the API has somebody who answers such.
    fn answer_preflight(
        &self,
        core: &mut Core,
        exchange: &mut Exchange,
        view: &RequestHead<'_>,
        asked: &Preflight<'_>,
    ) -> Option<Response> {
        // It is about the call that is to follow: that one's operation says which plugins there are.
        let view = RequestHead { method: asked.method, ..*view };
        let target = resolve(self.snapshot, self.gateway, &view).ok()?;
        let set = target.plugins();
        let chain = (!set.is_empty()).then(|| core.chains.ready(target.api.api().id, set))?;
        let mut response = chain.preflight(asked)?;
        exchange.api = Some(core.apis.ready(target.api, self.snapshot, &core.counters));
        self.record(core, exchange, &Decided { stage: Some(target.stage), ..Decided::default() });
        refusal::push_request_id(&mut response.fields, &exchange.request_id);
        Some(response)
    }

    /// The call's way through its plugins, as far as it has come; `None` where there are none.
    fn run_of(&self, core: &mut Core, exchange: &mut Exchange, target: &Target<'_>) -> Option<Box<Run>> {
        let set = target.plugins();
        if set.is_empty() {
            return None;
        }
        let chain = core.chains.ready(target.api.api().id, set);
        // Where they have changed meanwhile, it is judged anew, by those of now.
        let begun = exchange.plugins.take().filter(|run| run.is_of(&chain));
        Some(begun.unwrap_or_else(|| Box::new(Run::new(chain))))
    }

    /// The services that its plugins call, as they are now.
    fn services_of(&self, core: &mut Core, run: &Run) -> Vec<(ServiceId, Rc<ReadyService>)> {
        let known = run.services().iter().filter_map(|id| self.snapshot.service(*id));
        let enabled = known.filter(|service| service.spec.enabled);
        enabled.map(|service| (service.id, core.services.ready(service))).collect()
    }

    fn told<'t>(
        &'t self,
        target: &Target<'_>,
        (verified, facts): (Option<&Verified<'_>>, CallFacts<'t>),
        body: Body<'t>,
        call_outs: &'t CallOuts,
        request_id: &'t RequestId,
    ) -> Told<'t> {
        let who = match verified {
            None => Who::Anyone,
            Some(Verified { plugin: Some(plugin), .. }) => Who::Admitted(plugin.plugin().id),
            Some(verified) => Who::Caller(verified.caller.id()),
        };
        Told {
            head: self.head,
            client: self.origin.client,
            who,
            api: target.api.api().id,
            body,
            now: self.now,
            monotonic_ms: self.clock.monotonic_ms(),
            limits: self.limits,
            services: Vec::new(),
            call_outs,
            request_id,
            facts,
            query: None,
        }
    }

    /// Does what a plugin says that has not simply let the call pass.
    fn follow_plugin(
        &self,
        core: &mut Core,
        exchange: &mut Exchange,
        (run, passed): (Box<Run>, Passed),
        verified: Option<&Verified<'_>>,
        decided: &Decided<'_>,
    ) -> Step {
        let decided = Decided { upstream: None, ..*decided };
        let response = match passed {
            Passed::Waits(word) => {
                exchange.plugins = Some(run);
                return Step::Pause(word);
            }
            Passed::NeedsBody(most) => {
                let limit = most.min(self.facts.body_bytes);
                match self.head.body {
                    BodyLength::Known(length) if length > limit as u64 => {
                        let (response, reason) =
                            refusal::of_refused(Refused::BodyTooLarge, None, &exchange.request_id);
                        exchange.reason.set(Some(reason));
                        response
                    }
                    _ => {
                        exchange.plugins = Some(run);
                        return Step::Hold { limit };
                    }
                }
            }
            Passed::Refused(plugin, refused) => {
                exchange.plugin = Some(plugin);
                exchange.reason.set(Some(refused.reason));
                let dialect = denial_of(refused.reason, verified).dialect;
                let mut response = refusal::of_plugin(&refused, dialect, &exchange.request_id);
                response.fields.extend_from_slice(&run.added);
                response
            }
            Passed::Answered(plugin, mut response) => {
                exchange.plugin = Some(plugin);
                run.push_ours(&mut response.fields, &exchange.request_id);
                response
            }
            Passed::All => Response { status: 500, ..Response::default() },
        };
        self.record(core, exchange, &decided);
        Step::Respond(response)
    }

    /// The nonce that a plugin asks for, where nothing that was signed has one.
    fn nonce_of_plugin(
        &self,
        target: &Target<'_>,
        verified: Option<&Verified<'_>>,
    ) -> Result<Option<NonceUse>, Denial> {
        if verified.is_some_and(|verified| verified.nonce.is_some()) {
            return Ok(None);
        }
        let configs = target.plugins().iter().filter_map(|entry| match entry.work() {
            PluginWork::BuiltIn(BuiltInConfig::ReplayProtection(config)) => Some((entry, config)),
            _ => None,
        });
        let Some((entry, config)) = configs.last() else { return Ok(None) };
        let plugin = entry.plugin().id;
        let refuse = |hint: &'static str| Err(denial_of(DenyReason::NonceMissing, verified).with_hint(hint));
        let name = config.header.as_str();
        let mut values = self.head.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
        let value = match (values.next(), values.next()) {
            (None, _) if !config.required => return Ok(None),
            (None, _) => return refuse("send a nonce of 16 to 128 characters, another one with every call"),
            (Some(_), Some(_)) => return refuse("send one nonce"),
            (Some(field), None) => field.value,
        };
        let visible = (16..=128).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
        let Some(nonce) = std::str::from_utf8(value).ok().filter(|_| visible) else {
            return refuse("a nonce has 16 to 128 visible ASCII characters");
        };
        Ok(Some(NonceUse {
            // Whose nonce: the caller's; of those whom nobody knows, the plugin's.
            caller: verified.map_or_else(
                || CallerId::from_uuid(CallerKind::Consumer, plugin.uuid()),
                |verified| verified.caller.id(),
            ),
            nonce: nonce.into(),
            until: self.now.plus_millis(i64::from(config.ttl_s) * 1_000),
            timestamp: None,
            required: config.required,
        }))
    }

    fn refuse(&self, core: &mut Core, exchange: &mut Exchange, denial: &Denial) -> Response {
        exchange.reason.set(Some(denial.reason));
        if denial.reason == DenyReason::SnapshotStale && denial.hint.as_deref() == Some(OTHER_STORE) {
            self.tell_of_other_store(core, exchange);
        }
        if exchange.api.is_none()
            && let Some(entry) = denial.target.and_then(|(api, _)| self.snapshot.api(api))
        {
            exchange.api = Some(core.apis.ready(entry, self.snapshot, &core.counters));
        }
        let decided = Decided {
            query: self.head.query.map_or(Queried::None, Queried::NamesOf),
            stage: denial.target.map(|(_, stage)| stage),
            caller: denial.caller,
            caller_name: denial.caller.and_then(|id| self.snapshot.caller(id)).map(|caller| caller.name()),
            credential: denial.credential,
            grant: denial.grant,
            upstream: None,
        };
        self.record(core, exchange, &decided);
        let api = exchange.api.as_ref().map(|api| api.entry.api());
        let challenges = exchange.challenges.iter().map(|challenge| &**challenge).collect();
        let mut context = Context { api: api.map(|api| &api.settings), challenges, allow: Vec::new() };
        if let (DenyReason::MethodNotAllowed, Some((_, stage)), Some(api)) =
            (denial.reason, denial.target, api)
        {
            context.allow = methods_of(api, stage, self.head.path);
        }
        refusal::of_denial(denial, &exchange.request_id, &context)
    }

    /// Somebody holds a revision of another store, of a backup that was put back perhaps. Told now and then.
    fn tell_of_other_store(&self, core: &mut Core, exchange: &Exchange) {
        let now_ms = self.clock.monotonic_ms();
        if core.other_store_told_ms == 0 || now_ms.saturating_sub(core.other_store_told_ms) >= TELL_EVERY_MS {
            core.other_store_told_ms = now_ms.max(1);
            let ours = self.snapshot.revision().store;
            tracing::warn!(request_id = exchange.request_id.as_str(), %ours, "a request demands a revision of another store");
        }
    }

    fn record(&self, core: &Core, exchange: &mut Exchange, decided: &Decided<'_>) {
        exchange.is_decided = true;
        exchange.caller = decided.caller;
        if core.lane.is_some() {
            let api = exchange.api.as_ref().map(|api| (&*api.id, &api.entry.api().name));
            exchange.line.decided(decided, api, self.snapshot.revision().number);
        }
    }
}

/// The AppKey that a request names, for the budget of diagnoses. What cannot be read has one budget together.
fn presented_key<'a>(view: &RequestHead<'a>) -> &'a [u8] {
    if let Some(app_key) = view.value("x-ca-key") {
        return app_key;
    }
    let text =
        view.value("authorization").and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
    let id = text.split_once("id=\"").and_then(|(_, rest)| rest.split_once('"'));
    id.map(|(id, _)| id.as_bytes()).unwrap_or_default()
}

/// A denial of the gateway's own, about someone whose proof held.
fn denial_of(reason: DenyReason, verified: Option<&Verified<'_>>) -> Denial {
    let mut denial = Denial::new(reason);
    if let Some(verified) = verified {
        denial.caller = Some(verified.caller.id());
        denial.credential = Some(verified.credential.id());
        denial.dialect = match verified.scheme {
            None => Dialect::Plain,
            Some(SignatureScheme::Alibaba) => Dialect::Alibaba,
            Some(SignatureScheme::Tencent | SignatureScheme::TencentKeyPair) => Dialect::Tencent,
        };
    }
    denial
}

/// The methods that this path of an API has.
fn methods_of<'a>(api: &'a keyward_model::Api, stage: Stage, path: &str) -> Vec<&'a str> {
    let base = &api.settings.base_path;
    let prefix = api.stages.get(&stage).and_then(|binding| binding.path_prefix.as_ref());
    let without_prefix = prefix.and_then(|prefix| prefix.strip(path)).and_then(|rest| base.strip(rest));
    let vendor_prefix = path.strip_prefix(stage.tencent_prefix()).and_then(|rest| base.strip(rest));
    let Some(below) = without_prefix.or(base.strip(path)).or(vendor_prefix) else { return Vec::new() };
    let operations = api.settings.operations.iter().filter(|operation| operation.path.matches(below));
    let mut methods: Vec<_> =
        operations.filter_map(|operation| operation.method.as_ref()).map(|m| m.as_str()).collect();
    methods.sort_unstable();
    methods.dedup();
    methods
}

/// May it be sent again where a pooled connection turned out to be dead? By RFC 9110, section 9.2.2.
fn is_idempotent(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "PUT" | "DELETE")
}

/// The head as decisions read it. Hardly any request has more fields than fit on the stack.
fn with_view<R>(head: &Head<'_>, origin: &Origin<'_>, then: impl FnOnce(&RequestHead<'_>) -> R) -> R {
    let fields: SmallVec<[Field<'_>; 32]> = head.fields.iter().map(same_field).collect();
    then(&RequestHead {
        method: head.method,
        host: head.host,
        path: head.path,
        query: head.query,
        fields: &fields,
        client: origin.client,
        secure: origin.secure,
        has_body: !matches!(head.body, BodyLength::None | BodyLength::Known(0)),
    })
}

fn same_field<'a>(field: &keyward_http::Field<'a>) -> Field<'a> {
    Field { name: field.name, value: field.value }
}
