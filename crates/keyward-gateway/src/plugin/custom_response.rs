//! `custom-response`: an answer of Keyward's own, to every call or in place of answers of some statuses.

use keyward_http::Response;
use keyward_model::CustomResponse;

use super::draft::push_field;
use super::{Act, AnswerCall, Call, Needs, Verdict};

#[derive(Debug)]
pub(super) struct CustomResponseAct(pub(super) CustomResponse);

impl Act for CustomResponseAct {
    fn needs(&self) -> Needs {
        Needs { answers: !self.0.enable_on_status.is_empty(), ..Needs::default() }
    }

    fn request(&self, _: &mut Call<'_>) -> Verdict {
        match self.0.enable_on_status.is_empty() {
            true => Verdict::Respond(self.response(200)),
            false => Verdict::Pass,
        }
    }

    fn answer(&self, answer: &mut AnswerCall<'_>) -> Verdict {
        match self.0.enable_on_status.contains(&answer.draft.status) {
            true => Verdict::Respond(self.response(answer.draft.status)),
            false => Verdict::Pass,
        }
    }
}

impl CustomResponseAct {
    fn response(&self, status: u16) -> Response {
        let mut fields = Vec::new();
        for header in &self.0.headers {
            // The text of an answer is no secret, and refers to none.
            let value = header.value.plain().map(|value| value.expose_secret()).unwrap_or_default();
            push_field(&mut fields, &header.name, value.as_bytes());
        }
        let body = self.0.body.as_bytes().to_vec();
        Response { status: self.0.status.unwrap_or(status), fields, body, close: false }
    }
}
