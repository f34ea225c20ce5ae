//! One call, in the gateway's words and in the host's.

use std::sync::{Arc, Weak};

use keyward_gateway::{CustomAnswer, CustomBody, CustomExchange, CustomFields, CustomMessage, CustomWait};
use keyward_wasm::{Answer, Body, Exchange, Facts, Failure, Headers, Message, RunningPlugin};

/// How often a call is begun anew whose instance another call has made trap: that one alone is to suffer from it.
const AGAIN_MAX: usize = 3;

pub(super) struct WasmExchange {
    exchange: Exchange,
    running: Weak<RunningPlugin>,
    facts: Facts,
    /// The head of the request, as it was told.
    request: Headers,
}

impl WasmExchange {
    /// `None` where the plugin has as many calls as it may have.
    pub(super) fn begin(running: &Arc<RunningPlugin>, facts: Facts) -> Option<Self> {
        let exchange = running.begin(facts.clone())?;
        Some(Self { exchange, running: Arc::downgrade(running), facts, request: Headers::new() })
    }

    /// Has another instance take over, if the plugin still runs.
    fn begin_anew(&mut self) -> bool {
        let begun = self.running.upgrade().and_then(|running| running.begin(self.facts.clone()));
        begun.map(|exchange| self.exchange = exchange).is_some()
    }

    /// What a client would see of it, which no secret of the configuration may be in. What was in the service's answer before is the
    /// service's affair.
    fn shown(&self, answer: CustomAnswer, before: Option<&Message>) -> CustomAnswer {
        let tells = |bytes: &[u8]| self.exchange.is_told_by(bytes);
        let was_there = |name: &str, value: &[u8]| {
            before.is_some_and(|before| before.headers.iter().any(|pair| pair == (name, value)))
        };
        let tells_in_fields = |fields: &CustomFields| {
            fields
                .iter()
                .any(|(name, value)| !was_there(name, value) && (tells(value) || tells(name.as_bytes())))
        };
        let tells_in_body = |body: &[u8]| {
            let before = before.map(|before| &before.body);
            tells(body) && !matches!(before, Some(Body::Whole(before)) if tells(before))
        };
        let told = match &answer {
            CustomAnswer::Reply { fields, body, .. } => tells_in_fields(fields) || tells_in_body(body),
            CustomAnswer::Continue { fields, body } if before.is_some() => {
                fields.as_ref().is_some_and(tells_in_fields)
                    || body.as_ref().is_some_and(|body| tells_in_body(body))
            }
            _ => false,
        };
        if told {
            tracing::warn!(target: "plugin", "a plugin wanted to show a secret of its configuration to a client");
            return CustomAnswer::Failed("it wanted to show a secret of its configuration".to_owned());
        }
        answer
    }
}

impl CustomExchange for WasmExchange {
    fn request(&mut self, message: CustomMessage) -> CustomWait<'_, CustomAnswer> {
        Box::pin(async move {
            let message = message_of(message);
            self.request = message.headers.clone();
            let mut answer = self.exchange.request(message.clone()).await;
            for _ in 0..AGAIN_MAX {
                if !is_gone(&answer) || !self.begin_anew() {
                    break;
                }
                answer = self.exchange.request(message.clone()).await;
            }
            self.shown(answer_of(answer), None)
        })
    }

    fn response(&mut self, message: CustomMessage) -> CustomWait<'_, CustomAnswer> {
        Box::pin(async move {
            let message = message_of(message);
            let mut answer = self.exchange.response(message.clone()).await;
            for _ in 0..AGAIN_MAX {
                if !is_gone(&answer) || !self.begin_anew() {
                    break;
                }
                let request = Message { headers: self.request.clone(), ..Message::default() };
                answer = self.exchange.response_anew(request, message.clone()).await;
            }
            self.shown(answer_of(answer), Some(&message))
        })
    }
}

fn is_gone(answer: &Answer) -> bool {
    matches!(answer, Answer::Failed(Failure::Gone))
}

fn message_of(message: CustomMessage) -> Message {
    let body = match message.body {
        CustomBody::None => Body::None,
        CustomBody::Unseen => Body::Follows,
        CustomBody::Whole(body) => Body::Whole(body.into()),
    };
    Message { headers: message.fields.into_iter().collect(), body, trailers: Headers::new() }
}

fn answer_of(answer: Answer) -> CustomAnswer {
    let fields = |headers: &Headers| -> CustomFields {
        headers.iter().map(|(name, value)| (name.to_owned(), value.to_vec())).collect()
    };
    match answer {
        Answer::Continue(changes) => CustomAnswer::Continue {
            fields: changes.headers.as_ref().map(fields),
            body: changes.body.map(Into::into),
        },
        Answer::Reply(reply) => CustomAnswer::Reply {
            status: reply.status,
            fields: fields(&reply.headers),
            body: reply.body.into(),
        },
        Answer::Close => CustomAnswer::Close,
        Answer::Failed(failure) => CustomAnswer::Failed(failure.to_string()),
    }
}
