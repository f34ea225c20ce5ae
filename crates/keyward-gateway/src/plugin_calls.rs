//! Calls that custom plugins make to services that were declared for them. Nobody's request waits for these here: they are made on a
//! thread of their own.

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use hashbrown::HashMap;
use keyward_access::Snapshot;
use keyward_http::{CallAnswer, CallOut, CallOuts, Dropped};
use keyward_model::owned::{is_owned, reads_as};
use keyward_model::{PluginId, ServiceId};

use crate::Clock;
use crate::custom::CustomFields;
use crate::plugin::push_field;
use crate::service::Services;

/// Makes the calls of plugins; one value serves one thread. Each plugin has connections of its own, and a bound of its own on how many
/// calls there may be at once.
#[derive(Debug)]
pub struct PluginCalls {
    published: Arc<ArcSwap<Snapshot>>,
    clock: Arc<dyn Clock>,
    services: RefCell<Services>,
    call_outs: RefCell<HashMap<PluginId, CallOuts>>,
}

/// One call.
pub struct PluginCall {
    /// Who makes it.
    pub plugin: PluginId,
    /// To which service.
    pub service: ServiceId,
    /// `:method`, `:path` and the fields.
    pub fields: CustomFields,
    /// The body; empty: there is none.
    pub body: Vec<u8>,
    /// Largest body of the answer, in bytes.
    pub answer_max: usize,
}

impl PluginCalls {
    /// By the services of this Snapshot, as it is at each call.
    pub fn new(published: Arc<ArcSwap<Snapshot>>, clock: Arc<dyn Clock>) -> Self {
        Self { published, clock, services: RefCell::default(), call_outs: RefCell::default() }
    }

    /// Makes a call, with the service's own credential, of which the plugin learns nothing. It has no clock: whoever waits bounds the time.
    ///
    /// The answer is without what belongs to its connection.
    ///
    /// # Errors
    /// Why there is no answer: lower case, no full stop.
    pub async fn call(&self, call: PluginCall) -> Result<CallAnswer, &'static str> {
        let out = self.call_out(&call)?;
        let call_outs = self.call_outs.borrow_mut().entry(call.plugin).or_default().clone();
        let mut answer = call_outs.call(out).await.map_err(|_| "the service gives no answer")?;
        let dropped = Dropped::of(&[]);
        answer.fields.retain(|(name, _)| !dropped.drops(name));
        Ok(answer)
    }

    /// Forgets plugins and services that are no more.
    pub fn tidy(&self) {
        let snapshot = self.published.load();
        self.services.borrow_mut().keep(|id| snapshot.service(id).is_some());
        self.call_outs.borrow_mut().retain(|&id, _| snapshot.plugin(id).is_some());
    }

    fn call_out(&self, call: &PluginCall) -> Result<CallOut, &'static str> {
        let snapshot = self.published.load();
        let now = self.clock.now();
        let service = snapshot.service(call.service).filter(|service| service.spec.enabled);
        let service = service.ok_or("the service is not there, or disabled")?;
        if let Some(Ok((_, until))) = service.own_credential()
            && now >= until
        {
            return Err("the service's credential is no longer valid");
        }
        let ready = self.services.borrow_mut().ready(service);
        let own = ready.own_credential().map_err(|_| "the service's credential has no value")?;
        let endpoint = ready.next_endpoint().ok_or("the service has no endpoint")?;
        let mut fields = Vec::with_capacity(512);
        for (name, value) in call.fields.iter().filter(|(name, _)| !name.starts_with(':')) {
            if !is_owned(name) && own.is_none_or(|own| !reads_as(name, &own.name)) {
                push_field(&mut fields, name, value);
            }
        }
        if let Some(own) = own {
            fields.extend_from_slice(&own.line);
        }
        service.note_use(now);
        Ok(CallOut {
            endpoint: Arc::clone(&endpoint.endpoint),
            method: method_of(call)?.to_owned(),
            target: target_of(call)?.to_owned(),
            fields,
            body: (!call.body.is_empty()).then(|| call.body.clone()),
            answer_max: call.answer_max,
        })
    }
}

fn value_of<'c>(call: &'c PluginCall, name: &str) -> Option<&'c str> {
    let (_, value) = call.fields.iter().find(|(other, _)| other == name)?;
    std::str::from_utf8(value).ok()
}

fn method_of(call: &PluginCall) -> Result<&str, &'static str> {
    let method = value_of(call, ":method").ok_or("the call has no method")?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let fits = !method.is_empty() && method.bytes().all(is_token) && !matches!(method, "CONNECT" | "TRACE");
    fits.then_some(method).ok_or("the call's method is none that is carried")
}

/// Below the endpoint's own path: nothing leads up from there.
fn target_of(call: &PluginCall) -> Result<&str, &'static str> {
    let target = value_of(call, ":path").ok_or("the call has no path")?;
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let leads_up = path.split(['/', '\\']).any(|part| {
        let part = part.to_ascii_lowercase().replace("%2e", ".");
        part == ".."
    });
    let is_visible = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let fits = path.starts_with('/') && is_visible && !leads_up;
    fits.then_some(target).ok_or("the call's path is none that is carried")
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn call(method: &str, path: &str) -> PluginCall {
        let pair = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        PluginCall {
            plugin: PluginId::from_uuid(Uuid::nil()),
            service: ServiceId::from_uuid(Uuid::nil()),
            fields: vec![pair(":method", method), pair(":path", path)],
            body: Vec::new(),
            answer_max: 1,
        }
    }

    #[test]
    fn a_call_stays_below_its_service() {
        for fine in ["/", "/a/b?c=../d", "/a..b/..c", "/%2e/a"] {
            assert_eq!(target_of(&call("GET", fine)), Ok(fine));
        }
        for wrong in ["", "a", "http://else/", "/../a", "/a/%2E%2e/b", "/a/.%2e", "/a\\..\\b", "/a b", "/a#b"]
        {
            assert!(target_of(&call("GET", wrong)).is_err(), "{wrong}");
        }
        assert_eq!(method_of(&call("PUT", "/")), Ok("PUT"));
        for wrong in ["", "CONNECT", "TRACE", "GET /evil HTTP/1.1\r\n"] {
            assert!(method_of(&call(wrong, "/")).is_err(), "{wrong}");
        }
    }
}
