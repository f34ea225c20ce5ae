//! Plugins at work: those that are bound to what is called, made ready once per change, and what they have done to one
//! call. A call whose API, operation and gateway have none never comes here.

mod backend_signature;
mod chain;
mod cors;
mod custom;
mod custom_response;
mod draft;
mod ext_auth;
mod ip_restriction;
mod quota;
mod rate_limit;
mod request_block;
mod request_validation;
mod run;
mod transform;

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use keyward_access::Body;
use keyward_http::{CallOuts, Head, Response, Word};
use keyward_model::{ApiId, CallerId, DenyReason, GrantId, PluginId, ServiceId, Stage, Timestamp};

use crate::RequestId;
use crate::service::ReadyService;
pub(crate) use backend_signature::Signing;
pub(crate) use chain::{Chain, Chains};
pub(crate) use cors::Preflight;
pub(crate) use draft::{AnswerDraft, Draft, is_owned, push_field};
pub(crate) use quota::Quotas;
pub(crate) use rate_limit::LimitTable;
pub(crate) use run::{Passed, Run, Told};

/// What a plugin does to calls. One value serves one core, and all of its calls; what it remembers of one is its state.
///
/// A plugin that is not ready at once waits ([`Verdict::Wait`]) and is asked again; it finds its state as it left it.
pub(crate) trait Act: fmt::Debug {
    /// What it needs.
    fn needs(&self) -> Needs {
        Needs::default()
    }

    /// The service that it calls.
    fn service(&self) -> Option<ServiceId> {
        None
    }

    /// Judges and changes a request.
    fn request(&self, call: &mut Call<'_>) -> Verdict {
        let _ = call;
        Verdict::Pass
    }

    /// Judges and changes an answer. Asked about its head first; where it then asks for the body, once more with that.
    fn answer(&self, answer: &mut AnswerCall<'_>) -> Verdict {
        let _ = answer;
        Verdict::Pass
    }
}

/// What a plugin needs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// It changes requests.
    pub(crate) draft: bool,
    /// It is to be asked about answers.
    pub(crate) answers: bool,
    /// It reads the bodies of answers, which the service is asked to send as they are.
    pub(crate) answer_bodies: bool,
}

/// What comes of asking a plugin.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The next one is asked.
    Pass,
    /// The call ends here.
    Refuse(Box<Refusal>),
    /// It is answered here.
    Respond(Response),
    /// The body is needed first, at most so many bytes of it. More is refused.
    Body(usize),
    /// Word is awaited; then it is asked again.
    Wait(Word),
}

/// Why a plugin ends a call.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) reason: DenyReason,
    /// In place of the reason's own.
    pub(crate) status: Option<u16>,
    pub(crate) hint: Option<Cow<'static, str>>,
    /// Complete field lines that go with it.
    pub(crate) fields: Vec<u8>,
    pub(crate) retry_after_s: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(reason: DenyReason) -> Self {
        Self { reason, status: None, hint: None, fields: Vec::new(), retry_after_s: None }
    }

    /// A refusal by what the plugin was told.
    pub(crate) fn refused(status: u16, hint: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self {
            status: Some(status),
            hint: Some(hint.into()),
            ..Self::new(DenyReason::PluginRefused)
        })
    }

    /// It cannot do what it is for.
    pub(crate) fn failed(hint: impl Into<Cow<'static, str>>) -> Box<Self> {
        Box::new(Self { hint: Some(hint.into()), ..Self::new(DenyReason::PluginFailed) })
    }
}

/// Who calls, as far as plugins may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Anyone,
    Caller(CallerId),
    /// Whoever this plugin admits.
    Admitted(PluginId),
}

/// What was decided about a call, as far as custom plugins may know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallFacts<'c> {
    /// The client; port 0 where a proxy stands between.
    pub(crate) source: SocketAddr,
    pub(crate) secure: bool,
    /// Name of the API.
    pub(crate) api: &'c str,
    pub(crate) stage: Stage,
    pub(crate) caller_name: Option<&'c str>,
    pub(crate) grant: Option<GrantId>,
}

/// A request that a plugin is asked about.
pub(crate) struct Call<'c> {
    pub(crate) head: &'c Head<'c>,
    pub(crate) client: IpAddr,
    pub(crate) who: Who,
    pub(crate) api: ApiId,
    pub(crate) plugin: PluginId,
    pub(crate) body: Body<'c>,
    pub(crate) now: Timestamp,
    pub(crate) monotonic_ms: u64,
    pub(crate) limits: &'c Arc<LimitTable>,
    /// The services that plugins of this chain call.
    pub(crate) services: &'c [(ServiceId, Rc<ReadyService>)],
    pub(crate) call_outs: &'c CallOuts,
    pub(crate) request_id: &'c RequestId,
    pub(crate) facts: &'c CallFacts<'c>,
    /// The query less its credentials.
    pub(crate) query: Option<&'c str>,
    /// What signs the head once it is written.
    pub(crate) signing: &'c mut Option<Signing>,
    /// What goes to the service; absent where no plugin changes that.
    pub(crate) draft: Option<&'c mut Draft>,
    /// Complete field lines that are added to whatever is answered.
    pub(crate) added: &'c mut Vec<u8>,
    /// Beginnings of the names, in lower case, of fields that only Keyward may set in the answer.
    pub(crate) owned: &'c mut Vec<&'static str>,
    /// What the plugin remembers of this call.
    pub(crate) state: &'c mut Option<Box<dyn Any>>,
}

impl Call<'_> {
    /// The value of a field as it will go to the service.
    pub(crate) fn field(&self, name: &str) -> Option<&[u8]> {
        if let Some(draft) = &self.draft {
            return draft::value(&draft.fields, name);
        }
        let mut fields = self.head.fields.iter();
        fields.find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// The body, or what to do to get it.
    pub(crate) fn body(&self, most: usize) -> Result<&[u8], Verdict> {
        if let Some(body) = self.draft.as_ref().and_then(|draft| draft.body.as_deref()) {
            return Ok(body);
        }
        match self.body {
            Body::Whole(body) if body.len() <= most => Ok(body),
            Body::Unread if self.head.body == keyward_http::BodyLength::None => Ok(b""),
            Body::Unread => Err(Verdict::Body(most)),
            // It streams already, or is larger than this plugin looks at.
            Body::Whole(_) | Body::Streamed => Err(Verdict::Refuse(too_large())),
        }
    }
}

/// A body that a plugin has to see is larger than it looks at.
pub(crate) fn too_large() -> Box<Refusal> {
    Box::new(Refusal {
        status: Some(413),
        hint: Some("the body is larger than a plugin of this API looks at".into()),
        ..Refusal::new(DenyReason::PluginRefused)
    })
}

/// An answer that a plugin is asked about.
pub(crate) struct AnswerCall<'c> {
    pub(crate) draft: &'c mut AnswerDraft,
    pub(crate) now: Timestamp,
    /// Does a body follow the head?
    pub(crate) has_body: bool,
    /// See [`Call::owned`].
    pub(crate) owned: &'c [&'static str],
    /// What the plugin remembers of the call.
    pub(crate) state: &'c mut Option<Box<dyn Any>>,
}
