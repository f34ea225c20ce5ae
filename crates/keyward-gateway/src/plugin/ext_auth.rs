//! `ext-auth`: a service of yours is asked about each call. Where it cannot be asked, the call is refused, unless whoever set
//! it up said in so many words that it shall pass.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use keyward_access::Body;
use keyward_http::{CallAnswer, CallFailure, CallOut, Word};
use keyward_model::{ExtAuth, PluginId, ServiceId};

use super::draft::{push_field, remove};
use super::{Act, Call, Needs, Refusal, Verdict};
use crate::text::AddressText;

/// Largest body of an answer that is read, in bytes: nothing in it is used.
const ANSWER_MAX: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct ExtAuthAct {
    config: ExtAuth,
    service: Option<ServiceId>,
}

/// What was answered, once it is.
type Slot = Rc<RefCell<Option<Result<CallAnswer, CallFailure>>>>;

/// Kept by a call that waits for its answer.
struct Asked(Slot);

impl ExtAuthAct {
    pub(super) fn new(config: &ExtAuth, plugin: PluginId, service: Option<ServiceId>) -> Self {
        if config.failure_mode_allow {
            tracing::warn!(%plugin, "calls pass unasked where the service of this ext-auth plugin fails");
        }
        Self { config: config.clone(), service }
    }

    fn ask(&self, call: &mut Call<'_>) -> Result<Word, Verdict> {
        let body = match self.config.body_bytes {
            0 => None,
            most => Some(call.body(most as usize)?.to_vec()),
        };
        let unready =
            || Verdict::Refuse(Refusal::failed("the service that is asked about calls cannot be called"));
        let service = self.service.and_then(|id| call.services.iter().find(|(other, _)| *other == id));
        let (_, service) = service.ok_or_else(unready)?;
        let own = service.own_credential().map_err(|_| unready())?;
        let endpoint = service.next_endpoint().ok_or_else(unready)?;
        let mut fields = Vec::with_capacity(512);
        for field in call.head.fields {
            if self.config.headers.iter().any(|name| name.as_str().eq_ignore_ascii_case(field.name)) {
                push_field(&mut fields, field.name, field.value);
            }
        }
        push_field(&mut fields, "X-Forwarded-Method", call.head.method.as_bytes());
        push_field(&mut fields, "X-Forwarded-Host", call.head.authority.as_bytes());
        let mut target = call.head.path.to_owned();
        if let Some(query) = call.query {
            // Without the credentials that stood in it.
            target.push('?');
            target.push_str(query);
        }
        push_field(&mut fields, "X-Forwarded-Uri", target.as_bytes());
        push_field(&mut fields, "X-Forwarded-For", AddressText::of(call.client).as_bytes());
        push_field(&mut fields, "X-Keyward-Request-Id", call.request_id.as_bytes());
        if let Some(own) = own {
            fields.extend_from_slice(&own.line);
        }
        let out = CallOut {
            endpoint: std::sync::Arc::clone(&endpoint.endpoint),
            method: self.config.method.as_deref().unwrap_or(call.head.method).to_owned(),
            target: self.config.path.to_string(),
            fields,
            body,
            answer_max: ANSWER_MAX,
        };
        let slot = Slot::default();
        *call.state = Some(Box::new(Asked(Rc::clone(&slot))));
        let calls = call.call_outs.clone();
        let word = Word::new(async move {
            let answer = calls.call(out).await;
            *slot.borrow_mut() = Some(answer);
        });
        Ok(word.within(Duration::from_millis(self.config.timeout_ms.into())))
    }

    fn heed(&self, call: &mut Call<'_>, answer: Option<Result<CallAnswer, CallFailure>>) -> Verdict {
        if let Some(draft) = call.draft.as_deref_mut() {
            // What the service would say is not believed from anybody else.
            self.config.headers_to_service.iter().for_each(|name| remove(&mut draft.fields, name.as_str()));
        }
        match answer {
            Some(Ok(answer)) if self.allows(answer.status) => {
                if let Some(draft) = call.draft.as_deref_mut() {
                    let named = |name: &str| {
                        self.config
                            .headers_to_service
                            .iter()
                            .any(|one| one.as_str().eq_ignore_ascii_case(name))
                    };
                    let fields = answer.fields.into_iter().filter(|(name, _)| named(name));
                    draft.fields.extend(fields.map(|(name, value)| (name.into(), value)));
                }
                Verdict::Pass
            }
            Some(Ok(answer)) => {
                let mut refusal =
                    Refusal::refused(self.config.status, "the service that is asked about calls refuses");
                for (name, value) in &answer.fields {
                    let mut names = self.config.headers_to_client.iter();
                    if names.any(|one| one.as_str().eq_ignore_ascii_case(name)) {
                        push_field(&mut refusal.fields, name, value);
                    }
                }
                Verdict::Refuse(refusal)
            }
            Some(Err(_)) | None if self.config.failure_mode_allow => Verdict::Pass,
            Some(Err(_)) | None => {
                Verdict::Refuse(Refusal::failed("the service that is asked about calls gives no answer"))
            }
        }
    }

    fn allows(&self, status: u16) -> bool {
        match &*self.config.allow_statuses {
            [] => (200..300).contains(&status),
            statuses => statuses.contains(&status),
        }
    }
}

impl Act for ExtAuthAct {
    fn needs(&self) -> Needs {
        Needs { draft: !self.config.headers_to_service.is_empty(), ..Needs::default() }
    }

    fn service(&self) -> Option<ServiceId> {
        self.service
    }

    fn request(&self, call: &mut Call<'_>) -> Verdict {
        let asked = call.state.as_ref().and_then(|state| state.downcast_ref::<Asked>());
        if let Some(Asked(slot)) = asked {
            let answer = slot.borrow_mut().take();
            return self.heed(call, answer);
        }
        // A body that streams cannot be shown.
        if self.config.body_bytes > 0 && matches!(call.body, Body::Streamed) {
            return Verdict::Refuse(super::too_large());
        }
        match self.ask(call) {
            Ok(word) => Verdict::Wait(word),
            Err(Verdict::Refuse(refusal))
                if self.config.failure_mode_allow
                    && refusal.reason == keyward_model::DenyReason::PluginFailed =>
            {
                Verdict::Pass
            }
            Err(verdict) => verdict,
        }
    }
}
