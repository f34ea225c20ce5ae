//! Custom plugins: whoever runs them is told of requests and answers, and what they say is done.
//!
//! What they see is what other plugins see: everything that would go on, less credentials and what is Keyward's. They run elsewhere, so
//! every question to them is awaited.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use keyward_access::CustomPlugin;
use keyward_http::{BodyLength, Response, Word};
use keyward_model::{ModuleSees, OnFailure};

use super::draft::{is_owned, push_field, remove};
use super::{Act, AnswerCall, Call, Draft, Needs, Refusal, Verdict, Who};
use crate::custom::{
    CustomAnswer, CustomBody, CustomExchange, CustomFacts, CustomFields, CustomHead, CustomMessage,
    CustomPlugins, CustomRunner,
};

/// How long a plugin may take to say something, whatever it waits for: its own start, and a pause that it makes, have bounds of their own
/// that come first.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// What is told of a body that is no longer the one that came.
const OF_BODIES: [&str; 4] = ["content-md5", "digest", "content-digest", "repr-digest"];

#[derive(Debug)]
pub(super) struct CustomAct {
    plugin: Arc<CustomPlugin>,
    custom: Option<Arc<dyn CustomPlugins>>,
    /// Whoever runs plugins has them: nothing goes on because it is known here.
    runner: RefCell<Option<Weak<dyn CustomRunner>>>,
}

/// How far it has come with one call.
enum Life {
    /// It was asked about the request, or the answer.
    Asked(Slot),
    /// It let the request pass.
    Open(Box<dyn CustomExchange>),
    /// It failed, and was skipped.
    Skipped,
}

/// What came of asking, once it has.
type Slot = Rc<RefCell<Option<Outcome>>>;
type Outcome = Result<(Box<dyn CustomExchange>, CustomAnswer), String>;

impl CustomAct {
    pub(super) fn new(plugin: &Arc<CustomPlugin>, custom: Option<&Arc<dyn CustomPlugins>>) -> Self {
        if let Err(why) = plugin.configuration_at_any_time() {
            tracing::warn!(plugin = %plugin.plugin(), "what this plugin is bound to is closed: {why}");
        }
        Self { plugin: Arc::clone(plugin), custom: custom.cloned(), runner: RefCell::default() }
    }

    fn sees(&self) -> ModuleSees {
        self.plugin.module().settings.sees
    }

    fn body_max(&self) -> usize {
        self.plugin.module().settings.limits.body_bytes as usize
    }

    /// What runs it, and the note that its secrets are used. Without secrets, or without its module, it closes what it is bound to,
    /// whatever is to become of failures.
    fn ready(&self, call: &Call<'_>) -> Result<Arc<dyn CustomRunner>, Verdict> {
        let closed = |hint: &'static str| Verdict::Refuse(Refusal::failed(hint));
        if !self.plugin.module().settings.enabled {
            return Err(closed("the module of a plugin of this API is disabled"));
        }
        let configuration = self.plugin.configuration(call.now);
        let configuration =
            configuration.map_err(|_| closed("a secret of a plugin of this API has no value"))?;
        configuration.note_use(call.now);
        let custom = self.custom.as_ref().ok_or_else(|| closed("a plugin of this API cannot be used"))?;
        let mut known = self.runner.borrow_mut();
        if let Some(runner) = known.as_ref().and_then(Weak::upgrade) {
            return Ok(runner);
        }
        let runner = custom.running(&self.plugin);
        *known = Some(Arc::downgrade(&runner));
        Ok(runner)
    }

    fn ask(&self, call: &mut Call<'_>) -> Result<Word, Verdict> {
        let runner = self.ready(call)?;
        let message = CustomMessage { body: self.body_of(call)?, fields: head_of(call) };
        let facts = facts_of(call);
        let slot = Slot::default();
        *call.state = Some(Box::new(Life::Asked(Rc::clone(&slot))));
        let word = Word::new(async move {
            let outcome = match runner.begin(facts).await {
                Ok(mut exchange) => {
                    let answer = exchange.request(message).await;
                    Ok((exchange, answer))
                }
                Err(why) => Err(why),
            };
            *slot.borrow_mut() = Some(outcome);
        });
        Ok(word.within(ANSWER_WITHIN))
    }

    fn body_of(&self, call: &Call<'_>) -> Result<CustomBody, Verdict> {
        let is_made = call.draft.as_ref().is_some_and(|draft| draft.body.is_some());
        let is_there = is_made || call.head.body != BodyLength::None;
        match (is_there, self.sees().request_body) {
            (false, _) => Ok(CustomBody::None),
            (true, false) => Ok(CustomBody::Unseen),
            (true, true) => {
                let body = call.body(self.body_max())?;
                if body.len() > self.body_max() {
                    return Err(Verdict::Refuse(super::too_large()));
                }
                Ok(CustomBody::Whole(body.to_vec()))
            }
        }
    }

    /// Does with the request what it says.
    fn heed(&self, call: &mut Call<'_>, outcome: Option<Outcome>) -> Verdict {
        let (exchange, answer) = match settled(outcome) {
            Ok(settled) => settled,
            Err(why) => return self.failed(call.state, &why),
        };
        match answer {
            CustomAnswer::Continue { fields, body } => {
                let body = body.filter(|_| self.sees().request_body);
                let changed = match call.draft.as_deref_mut() {
                    Some(draft) => change(draft, call.head.path, fields, body),
                    None => Ok(()),
                };
                match changed {
                    Ok(()) => {
                        *call.state = Some(Box::new(Life::Open(exchange)));
                        Verdict::Pass
                    }
                    Err(why) => self.failed(call.state, why),
                }
            }
            CustomAnswer::Reply { status, fields, body } => match reply(status, &fields, body, call.owned) {
                Some(response) => Verdict::Respond(response),
                None => self.failed(call.state, UNSOUND),
            },
            CustomAnswer::Close => {
                Verdict::Refuse(Refusal::refused(403, "a plugin of this API ended the call"))
            }
            CustomAnswer::Failed(why) => self.failed(call.state, &why),
        }
    }

    /// Does with the answer what it says.
    fn heed_answer(&self, answer: &mut AnswerCall<'_>, outcome: Option<Outcome>) -> Verdict {
        let (exchange, said) = match settled(outcome) {
            Ok(settled) => settled,
            Err(why) => return self.failed(answer.state, &why),
        };
        match said {
            CustomAnswer::Continue { fields, body } => {
                let body = body.filter(|_| self.sees().response_body);
                // What it wants to do at the end of the call it does then.
                match change_answer(answer, fields, body) {
                    Ok(()) => {
                        *answer.state = Some(Box::new(Ended(exchange)));
                        Verdict::Pass
                    }
                    Err(why) => self.failed(answer.state, why),
                }
            }
            CustomAnswer::Reply { status, fields, body } => {
                match reply(status, &fields, body, answer.owned) {
                    Some(response) => Verdict::Respond(response),
                    None => self.failed(answer.state, UNSOUND),
                }
            }
            CustomAnswer::Close => {
                Verdict::Refuse(Refusal::refused(403, "a plugin of this API ended the call"))
            }
            CustomAnswer::Failed(why) => self.failed(answer.state, &why),
        }
    }

    /// It does not do what it is for: its owner said what becomes of the call.
    fn failed(&self, state: &mut Option<Box<dyn std::any::Any>>, why: &str) -> Verdict {
        let on_failure = self.plugin.module().settings.on_failure;
        tracing::debug!(target: "plugin", plugin = %self.plugin.plugin(), %on_failure, "{why}");
        match on_failure {
            OnFailure::Refuse => Verdict::Refuse(Refusal::failed("a plugin of this API failed")),
            OnFailure::Skip => {
                *state = Some(Box::new(Life::Skipped));
                Verdict::Pass
            }
        }
    }
}

/// It has seen the answer; kept until the call is over.
struct Ended(#[allow(dead_code, reason = "it lives as long as the call")] Box<dyn CustomExchange>);

impl Act for CustomAct {
    fn needs(&self) -> Needs {
        let ModuleSees { response_head, response_body, .. } = self.sees();
        Needs { draft: true, answers: response_head || response_body, answer_bodies: response_body }
    }

    fn request(&self, call: &mut Call<'_>) -> Verdict {
        match take(call.state) {
            Some(Life::Asked(slot)) => {
                let outcome = slot.borrow_mut().take();
                self.heed(call, outcome)
            }
            Some(_) => Verdict::Pass,
            None => match self.ask(call) {
                Ok(word) => Verdict::Wait(word),
                Err(verdict) => verdict,
            },
        }
    }

    fn answer(&self, answer: &mut AnswerCall<'_>) -> Verdict {
        let ModuleSees { response_head, response_body, .. } = self.sees();
        if !response_head && !response_body {
            return Verdict::Pass;
        }
        let exchange = match take(answer.state) {
            Some(Life::Open(exchange)) => exchange,
            Some(Life::Asked(slot)) => {
                let outcome = slot.borrow_mut().take();
                return self.heed_answer(answer, outcome);
            }
            _ => return Verdict::Pass,
        };
        let body = match (answer.has_body, response_body, &answer.draft.body) {
            (false, ..) => CustomBody::None,
            (true, false, _) => CustomBody::Unseen,
            (true, true, None) => {
                *answer.state = Some(Box::new(Life::Open(exchange)));
                return Verdict::Body(self.body_max());
            }
            (true, true, Some(body)) => CustomBody::Whole(body.clone()),
        };
        let message = CustomMessage { fields: answer_head_of(answer), body };
        let slot = Slot::default();
        *answer.state = Some(Box::new(Life::Asked(Rc::clone(&slot))));
        let word = Word::new(async move {
            let mut exchange = exchange;
            let said = exchange.response(message).await;
            *slot.borrow_mut() = Some(Ok((exchange, said)));
        });
        Verdict::Wait(word.within(ANSWER_WITHIN))
    }
}

const UNSOUND: &str = "it says what is no HTTP";
const LATE: &str = "it says nothing in time";

fn settled(outcome: Option<Outcome>) -> Outcome {
    outcome.unwrap_or_else(|| Err(LATE.to_owned()))
}

fn take(state: &mut Option<Box<dyn std::any::Any>>) -> Option<Life> {
    match state.take()?.downcast::<Life>() {
        Ok(life) => Some(*life),
        Err(other) => {
            *state = Some(other);
            None
        }
    }
}

/// The head as it will go to the service.
fn head_of(call: &Call<'_>) -> CustomFields {
    let mut target = call.head.path.to_owned();
    let query = match &call.draft {
        Some(draft) => draft.query.as_deref(),
        None => call.query,
    };
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    let scheme = if call.facts.secure { "https" } else { "http" };
    let first = [
        (":method", call.head.method),
        (":path", &target),
        (":authority", call.head.authority),
        (":scheme", scheme),
    ];
    let mut fields: CustomFields =
        first.into_iter().map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())).collect();
    let draft = call.draft.iter().flat_map(|draft| &draft.fields);
    fields.extend(draft.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())));
    fields
}

fn answer_head_of(answer: &AnswerCall<'_>) -> CustomFields {
    let status = (":status".to_owned(), answer.draft.status.to_string().into_bytes());
    let fields = answer.draft.fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    std::iter::once(status).chain(fields).collect()
}

fn facts_of(call: &Call<'_>) -> CustomFacts {
    CustomFacts {
        request_id: call.request_id.as_str().to_owned(),
        source: call.facts.source,
        caller_id: match call.who {
            Who::Anyone => None,
            Who::Caller(id) => Some(id.to_string()),
            Who::Admitted(id) => Some(id.to_string()),
        },
        caller_name: call.facts.caller_name.map(str::to_owned),
        api: call.facts.api.to_owned(),
        stage: call.facts.stage.as_str().to_owned(),
        grant: call.facts.grant.map(|grant| grant.to_string()),
    }
}

/// Changes what goes to the service.
fn change(
    draft: &mut Draft,
    path: &str,
    fields: Option<CustomFields>,
    body: Option<Vec<u8>>,
) -> Result<(), &'static str> {
    if let Some(fields) = fields {
        if let Some((_, target)) = fields.iter().find(|(name, _)| name == ":path") {
            let target = std::str::from_utf8(target).map_err(|_| UNSOUND)?;
            let (same, query) =
                target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
            if same != path {
                return Err("it changed the path, which was decided on already");
            }
            if !query.unwrap_or_default().bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
                return Err(UNSOUND);
            }
            draft.query = query.map(str::to_owned);
        }
        draft.fields = kept(fields, CustomHead::Request, &[])?;
    }
    if let Some(body) = body {
        draft.body = Some(body);
        OF_BODIES.iter().for_each(|name| remove(&mut draft.fields, name));
    }
    Ok(())
}

fn change_answer(
    answer: &mut AnswerCall<'_>,
    fields: Option<CustomFields>,
    body: Option<Vec<u8>>,
) -> Result<(), &'static str> {
    let draft = &mut *answer.draft;
    if let Some(fields) = fields {
        if let Some((_, status)) = fields.iter().find(|(name, _)| name == ":status") {
            let status = std::str::from_utf8(status).ok().and_then(|text| text.parse::<u16>().ok());
            draft.status = status.filter(|status| (200..600).contains(status)).ok_or(UNSOUND)?;
        }
        draft.fields = kept(fields, CustomHead::Answer, answer.owned)?;
    }
    if let Some(body) = body.filter(|_| answer.has_body) {
        draft.body = Some(body);
        draft.body_changed = true;
        remove(&mut draft.fields, "etag");
        OF_BODIES.iter().for_each(|name| remove(&mut draft.fields, name));
    }
    Ok(())
}

/// The fields that it may have set, once more looked at.
fn kept(
    fields: CustomFields,
    head: CustomHead,
    owned: &[&'static str],
) -> Result<Vec<(Box<str>, Vec<u8>)>, &'static str> {
    if !fields.iter().all(|(name, value)| is_sound(name, value)) {
        return Err(UNSOUND);
    }
    let ours = |name: &str| name.starts_with(':') || !head.may_set(name) || is_owned(name, owned);
    let fields = fields.into_iter().filter(|(name, _)| !ours(name));
    Ok(fields.map(|(name, value)| (name.into(), value)).collect())
}

fn reply(status: u16, fields: &CustomFields, body: Vec<u8>, owned: &[&'static str]) -> Option<Response> {
    if !(200..600).contains(&status) || !fields.iter().all(|(name, value)| is_sound(name, value)) {
        return None;
    }
    let mut lines = Vec::with_capacity(256);
    for (name, value) in fields {
        if !name.starts_with(':') && CustomHead::Answer.may_set(name) && !is_owned(name, owned) {
            push_field(&mut lines, name, value);
        }
    }
    Some(Response { status, fields: lines, body, close: false })
}

/// What could end its field is not sent, whoever runs the plugin.
fn is_sound(name: &str, value: &[u8]) -> bool {
    let token = name.strip_prefix(':').unwrap_or(name);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !token.is_empty()
        && token.bytes().all(is_token)
        && value.iter().all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}

impl fmt::Debug for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked(_) => "Asked",
            Self::Open(_) => "Open",
            Self::Skipped => "Skipped",
        })
    }
}
