//! One call on its way through its plugins.

use std::any::Any;
use std::rc::Rc;
use std::sync::Arc;

use keyward_access::Body;
use keyward_http::{CallOuts, Reply, Response, ResponseHead, Word};
use keyward_model::{PluginId, ServiceId, Timestamp};

use super::draft::AnswerDraft;
use super::{AnswerCall, Call, CallFacts, Chain, Draft, LimitTable, Refusal, Signing, Verdict};
use crate::RequestId;
use crate::refusal::push_request_id;
use crate::service::ReadyService;

/// How far a call has come, and what was done to it. It is kept while the call waits for its body, or for word.
#[derive(Debug)]
pub(crate) struct Run {
    chain: Rc<Chain>,
    /// How many plugins have let it pass.
    passed: usize,
    states: Vec<Option<Box<dyn Any>>>,
    pub(crate) draft: Option<Draft>,
    /// Complete field lines that are added to whatever is answered.
    pub(crate) added: Vec<u8>,
    pub(crate) owned: Vec<&'static str>,
    signing: Option<Signing>,
    answer: Option<AnswerDraft>,
    /// How many plugins have let the answer pass, from the last one on.
    answer_passed: usize,
}

/// What came of asking the plugins about a request.
#[derive(Debug)]
pub(crate) enum Passed {
    /// All let it pass.
    All,
    /// This one ends it.
    Refused(PluginId, Box<Refusal>),
    /// This one answers.
    Answered(PluginId, Response),
    /// The body is needed, at most so many bytes of it.
    NeedsBody(usize),
    /// Word is awaited.
    Waits(Word),
}

/// What all plugins are told of a request.
pub(crate) struct Told<'t> {
    pub(crate) head: &'t keyward_http::Head<'t>,
    pub(crate) client: std::net::IpAddr,
    pub(crate) who: super::Who,
    pub(crate) api: keyward_model::ApiId,
    pub(crate) body: Body<'t>,
    pub(crate) now: Timestamp,
    pub(crate) monotonic_ms: u64,
    pub(crate) limits: &'t Arc<LimitTable>,
    pub(crate) services: Vec<(ServiceId, Rc<ReadyService>)>,
    pub(crate) call_outs: &'t CallOuts,
    pub(crate) request_id: &'t RequestId,
    pub(crate) facts: CallFacts<'t>,
    pub(crate) query: Option<&'t str>,
}

impl Run {
    pub(crate) fn new(chain: Rc<Chain>) -> Self {
        let states = chain.links.iter().map(|_| None).collect();
        Self {
            chain,
            passed: 0,
            states,
            draft: None,
            added: Vec::new(),
            owned: Vec::new(),
            signing: None,
            answer: None,
            answer_passed: 0,
        }
    }

    /// Is it on its way through these? Where they have changed, it begins anew.
    pub(crate) fn is_of(&self, chain: &Rc<Chain>) -> bool {
        Rc::ptr_eq(&self.chain, chain)
    }

    /// Makes the draft that plugins change, where one does.
    pub(crate) fn prepare(&mut self, draft: impl FnOnce() -> Draft) {
        if !self.chain.needs.draft || self.draft.is_some() {
            return;
        }
        let mut draft = draft();
        if self.chain.needs.answer_bodies {
            // The answer must be readable here.
            super::draft::remove(&mut draft.fields, "accept-encoding");
        }
        self.draft = Some(draft);
    }

    /// The services that its plugins call.
    pub(crate) fn services(&self) -> &[ServiceId] {
        &self.chain.services
    }

    /// Signs the head that is written, where a plugin does.
    pub(crate) fn sign(&self, out: &mut Vec<u8>) {
        if let Some(signing) = &self.signing {
            signing.sign(out);
        }
    }

    /// Asks those that have not let it pass yet.
    pub(crate) fn request(&mut self, told: &Told<'_>) -> Passed {
        let chain = Rc::clone(&self.chain);
        while let (Some(link), Some(state)) = (chain.links.get(self.passed), self.states.get_mut(self.passed))
        {
            let mut call = Call {
                head: told.head,
                client: told.client,
                who: told.who,
                api: told.api,
                plugin: link.plugin,
                body: told.body,
                now: told.now,
                monotonic_ms: told.monotonic_ms,
                limits: told.limits,
                services: &told.services,
                call_outs: told.call_outs,
                request_id: told.request_id,
                facts: &told.facts,
                query: told.query,
                signing: &mut self.signing,
                draft: self.draft.as_mut(),
                added: &mut self.added,
                owned: &mut self.owned,
                state,
            };
            match link.act.request(&mut call) {
                Verdict::Pass => self.passed += 1,
                Verdict::Refuse(refusal) => return Passed::Refused(link.plugin, refusal),
                Verdict::Respond(response) => return Passed::Answered(link.plugin, response),
                Verdict::Body(most) => return Passed::NeedsBody(most),
                Verdict::Wait(word) => return Passed::Waits(word),
            }
        }
        Passed::All
    }

    /// Asks about an answer; the last plugin first. What goes to the client is written to `out` where it passes.
    pub(crate) fn answer(
        &mut self,
        head: &ResponseHead<'_>,
        has_body: bool,
        body: Option<&[u8]>,
        (request_id, now): (&RequestId, Timestamp),
        out: &mut Vec<u8>,
    ) -> Result<Reply, (PluginId, Box<Refusal>)> {
        if !self.chain.needs.answers {
            crate::response::push_fields(head, &self.owned, out);
            self.push_ours(out, request_id);
            return Ok(Reply::Pass);
        }
        let chain = Rc::clone(&self.chain);
        let mut draft = self.answer.take().unwrap_or_else(|| AnswerDraft::of(head, &self.owned));
        if let (Some(body), None) = (body, &draft.body) {
            draft.body = Some(body.to_vec());
        }
        let count = chain.links.len();
        while self.answer_passed < count {
            let at = count - 1 - self.answer_passed;
            let (Some(link), Some(state)) = (chain.links.get(at), self.states.get_mut(at)) else { break };
            let mut call = AnswerCall { draft: &mut draft, now, has_body, owned: &self.owned, state };
            match link.act.answer(&mut call) {
                Verdict::Pass => self.answer_passed += 1,
                Verdict::Refuse(refusal) => return Err((link.plugin, refusal)),
                Verdict::Respond(mut response) => {
                    self.push_ours(&mut response.fields, request_id);
                    return Ok(Reply::Replace(response));
                }
                Verdict::Body(limit) => {
                    self.answer = Some(draft);
                    return Ok(Reply::Hold { limit });
                }
                Verdict::Wait(word) => {
                    self.answer = Some(draft);
                    return Ok(Reply::Pause(word));
                }
            }
        }
        Ok(self.finish(draft, head, has_body, request_id, out))
    }

    fn finish(
        &self,
        draft: AnswerDraft,
        head: &ResponseHead<'_>,
        has_body: bool,
        request_id: &RequestId,
        out: &mut Vec<u8>,
    ) -> Reply {
        let is_bodiless = |status: u16| matches!(status, 204 | 304);
        let replaced = draft.body_changed || is_bodiless(draft.status) != is_bodiless(head.status);
        if replaced && (has_body || draft.status != head.status) {
            let mut fields = Vec::with_capacity(256);
            draft.push_fields(&mut fields, false);
            self.push_ours(&mut fields, request_id);
            let body = draft.body.unwrap_or_default();
            return Reply::Replace(Response { status: draft.status, fields, body, close: false });
        }
        draft.push_fields(out, true);
        self.push_ours(out, request_id);
        if draft.status == head.status { Reply::Pass } else { Reply::PassAs(draft.status) }
    }

    /// Appends what plugins add, and the request's id.
    pub(crate) fn push_ours(&self, out: &mut Vec<u8>, request_id: &RequestId) {
        out.extend_from_slice(&self.added);
        push_request_id(out, request_id);
    }
}
