//! What goes to a service: the head, written anew.
//!
//! Every field that could say who calls, where from, or by which credential is taken out, in any spelling; then ours
//! are set, each once. What is left goes on byte for byte. `Host` is the endpoint's authority (what the client asked
//! for is in `X-Forwarded-Host`). There is no `Via`.
//!
//! Only a [`Permit`] opens this: it is consumed here, and lives on as the [`Standing`] of the exchange.

use std::borrow::Cow;

use keyward_access::{Permit, Snapshot, Strip, Target, Verified};
use keyward_http::{Dropped, Endpoint, Head};
use keyward_model::owned::{folded, is_aliased, is_owned, reads_as};
use keyward_model::{AccountId, CallerKind, DenyReason, PluginId, SystemParameterName, Timestamp};

use crate::RequestId;
use crate::forwarded::{ForwardedFields, Origin};
use crate::plugin::Draft;
use crate::published::PublishedApi;
use crate::query::Query;
use crate::service::OwnCredential;
use crate::text::{push_header_value, push_id, push_query_value};

/// A request that was let go, with what it still rests on.
#[derive(Debug)]
pub(crate) struct Standing(Permit);

impl Standing {
    /// Would it be let go again?
    ///
    /// # Errors
    /// The reason why not.
    pub(crate) fn still_holds(&self, snapshot: &Snapshot, now: Timestamp) -> Result<(), DenyReason> {
        self.0.still_holds(snapshot, now)
    }
}

/// Everything that a head towards a service is made of.
pub(crate) struct Outbound<'a> {
    pub(crate) head: &'a Head<'a>,
    pub(crate) origin: &'a Origin<'a>,
    pub(crate) target: &'a Target<'a>,
    pub(crate) verified: Option<&'a Verified<'a>>,
    /// Which credentials are taken out.
    pub(crate) strip: Strip<'a>,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) api: &'a PublishedApi,
    /// The request as plugins have changed it.
    pub(crate) draft: Option<&'a Draft>,
    pub(crate) own: Option<&'a OwnCredential>,
    pub(crate) request_id: &'a RequestId,
    pub(crate) now: Timestamp,
}

impl Outbound<'_> {
    /// Writes the head towards this endpoint. `query` is the client's, less its credentials.
    pub(crate) fn write(
        &self,
        permit: Permit,
        endpoint: &Endpoint,
        query: Option<&str>,
        forwarded: &mut ForwardedFields,
        out: &mut Vec<u8>,
    ) -> Standing {
        self.push_request_line(endpoint, query, out);
        out.extend_from_slice(b"Host: ");
        out.extend_from_slice(endpoint.authority().as_bytes());
        out.extend_from_slice(b"\r\n");
        self.push_kept_fields(out);
        self.push_identity(out);
        forwarded.push(out, self.origin, self.head);
        self.push_parameters(out);
        if let Some(own) = self.own {
            out.extend_from_slice(&own.line);
        }
        Standing(permit)
    }

    fn push_request_line(&self, endpoint: &Endpoint, query: Option<&str>, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.method.as_bytes());
        out.push(b' ');
        out.extend_from_slice(endpoint.base_path().as_bytes());
        out.extend_from_slice(self.target.service_path().as_bytes());
        self.push_query(query, out);
        out.extend_from_slice(b" HTTP/1.1\r\n");
    }

    fn push_query(&self, query: Option<&str>, out: &mut Vec<u8>) {
        let start = out.len();
        if let Some(query) = query.filter(|_| self.api.in_query.is_empty()) {
            out.push(b'?');
            return out.extend_from_slice(query.as_bytes());
        }
        if let Some(query) = query {
            Query(query).push_without(out, self.api.in_query.iter().map(|(_, name)| &**name));
        }
        for (parameter, name) in &self.api.in_query {
            let Some(value) = self.value(*parameter) else { continue };
            out.push(if out.len() == start { b'?' } else { b'&' });
            push_query_value(out, name.as_bytes());
            out.push(b'=');
            push_query_value(out, &value);
        }
    }

    /// What plugins may see and change: everything that would go on.
    pub(crate) fn draft(&self, query: Option<&str>) -> Draft {
        let mut fields = Vec::with_capacity(self.head.fields.len());
        self.each_kept_field(|name, value| fields.push((name.into(), value.to_vec())));
        Draft { fields, query: query.map(str::to_owned), body: None }
    }

    fn push_kept_fields(&self, out: &mut Vec<u8>) {
        let Some(draft) = self.draft else {
            return self.each_kept_field(|name, value| push_field(out, name, value));
        };
        // Whatever a plugin did, what is Keyward's to say it does not say.
        for (name, value) in draft.fields.iter().filter(|(name, _)| !self.is_ours(name)) {
            push_field(out, name, value);
        }
    }

    fn each_kept_field(&self, mut keep: impl FnMut(&str, &[u8])) {
        let dropped = Dropped::of(self.head.fields);
        for field in self.head.fields {
            if dropped.drops(field.name) {
                continue;
            }
            if self.is_taken_out(field.name) {
                continue;
            }
            if field.name.eq_ignore_ascii_case("cookie") {
                if let Some(value) = self.strip.cookie(field.value) {
                    keep(field.name, &value);
                }
            } else {
                keep(field.name, field.value);
            }
        }
    }

    /// Is it a credential, or a field that only Keyward may set?
    fn is_taken_out(&self, name: &str) -> bool {
        self.is_ours(name)
            || self.strip.header(name)
            // A credential goes in the spelling in which services may read its field, too.
            || (is_aliased(name) && self.strip.header(&folded(name)))
    }

    /// Is it a field that only Keyward may set: anywhere, at this API, or for this service?
    fn is_ours(&self, name: &str) -> bool {
        is_owned(name) || self.api.owns_field(name) || self.proves_us(name)
    }

    /// Does the service learn by this field that it is us who call?
    fn proves_us(&self, name: &str) -> bool {
        self.own.is_some_and(|own| reads_as(name, &own.name))
    }

    fn push_identity(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"X-Keyward-Request-Id: ");
        out.extend_from_slice(self.request_id.as_bytes());
        out.extend_from_slice(b"\r\n");
        let Some(verified) = self.verified else { return };
        let id = verified.caller.id();
        out.extend_from_slice(b"X-Keyward-Caller-Id: ");
        match verified.plugin {
            // Whoever a plugin admits is known by the plugin.
            Some(plugin) => push_id(out, PluginId::PREFIX, plugin.plugin().id.uuid()),
            None => push_id(out, id.kind().prefix(), id.uuid()),
        }
        out.extend_from_slice(b"\r\nX-Keyward-Caller-Name: ");
        push_header_value(out, verified.caller.name().as_str());
        out.extend_from_slice(b"\r\nX-Keyward-Account: ");
        push_header_value(out, self.account_name(verified.caller.account()));
        out.extend_from_slice(b"\r\n");
        // Its claims are the caller's own words, which may be another account's.
        let claims = verified.claims.iter().filter(|(name, _)| !self.is_ours(name.as_str()));
        for (name, value) in claims {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            push_header_value(out, value);
            out.extend_from_slice(b"\r\n");
        }
    }

    fn account_name(&self, id: AccountId) -> &str {
        self.snapshot.account(id).map(|account| account.name.as_str()).unwrap_or_default()
    }

    fn push_parameters(&self, out: &mut Vec<u8>) {
        let parameters = self.api.in_fields.iter().filter(|(_, name)| !self.proves_us(name));
        for (parameter, name) in parameters {
            let Some(value) = self.value(*parameter) else { continue };
            match (*parameter, std::str::from_utf8(&value)) {
                // As the client sent it: it has been a field's value before.
                (SystemParameterName::ClientUa, _) | (_, Err(_)) => push_field(out, name, &value),
                (_, Ok(text)) => {
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b": ");
                    push_header_value(out, text);
                    out.extend_from_slice(b"\r\n");
                }
            }
        }
    }

    /// The value of a system parameter; `None` where this call has none.
    fn value(&self, parameter: SystemParameterName) -> Option<Cow<'_, [u8]>> {
        use SystemParameterName as P;
        let caller = self.verified.map(|verified| verified.caller);
        let text = |text: &str| Some(Cow::Owned(text.as_bytes().to_vec()));
        match parameter {
            P::AppId => {
                let application = caller.filter(|caller| caller.id().kind() == CallerKind::Application)?;
                text(&application.id().to_string())
            }
            P::AppKey => text(self.verified?.credential.app_key()?.as_str()),
            P::AppExtInfo => text(caller?.extension()?),
            P::Stage => text(self.target.stage.as_str()),
            P::RequestId => text(self.request_id.as_str()),
            P::ClientIp => Some(Cow::Borrowed(self.origin.client_text.as_bytes())),
            P::Domain => text(self.head.host),
            P::ApiName => text(self.api.entry.api().name.as_str()),
            P::HttpSchema => text(if self.origin.secure { "HTTPS" } else { "HTTP" }),
            P::ClientUa => {
                let field = self.head.fields.iter().find(|f| f.name.eq_ignore_ascii_case("user-agent"))?;
                Some(Cow::Borrowed(field.value))
            }
            P::RequestHandleTime => text(&http_date(self.now)?),
        }
    }
}

fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// RFC 1123, in GMT. `None` for a moment outside of the calendar.
fn http_date(now: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(now.as_millis()).ok()?;
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at).ok()
}
