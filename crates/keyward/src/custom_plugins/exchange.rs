//! One call, in the gateway's words and in the host's.

use keyward_gateway::{CustomAnswer, CustomBody, CustomExchange, CustomFields, CustomMessage, CustomWait};
use keyward_wasm::{Answer, Body, Exchange, Headers, Message};

pub(super) struct WasmExchange {
    exchange: Exchange,
}

impl WasmExchange {
    pub(super) fn new(exchange: Exchange) -> Self {
        Self { exchange }
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
            let answer = self.exchange.request(message_of(message)).await;
            self.shown(answer_of(answer), None)
        })
    }

    fn response(&mut self, message: CustomMessage) -> CustomWait<'_, CustomAnswer> {
        Box::pin(async move {
            let message = message_of(message);
            let before = message.clone();
            let answer = self.exchange.response(message).await;
            self.shown(answer_of(answer), Some(&before))
        })
    }
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
