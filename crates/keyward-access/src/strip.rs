//! What must not go on to a service.

use std::borrow::Cow;

use crate::authenticate::{is_app_code_name, may_hold_app_code, query};
use crate::snapshot::{ApiUsage, Part};
use crate::{ApiEntry, PluginSet, Verified};

/// Tells which parts of a request are (or could be) the credential of a caller, so that they do not reach the service.
///
/// These are `Authorization`, every place where a caller granted on the API may present a key or token, and AppCodes,
/// which the vendor's clients send in query parameters of their own names; and, though they are no credentials, the fields in which claims of such a caller's tokens
/// are handed to the service, in any spelling. Where `anyone` is all that the API admits, nothing is taken for a credential.
/// Says nothing about identity headers: `x-ca-*` and the like are the gateway's own to strip.
#[derive(Clone, Copy, Debug)]
pub struct Strip<'a> {
    /// Is anything taken for a credential?
    looks: bool,
    usage: Option<&'a ApiUsage>,
    plugins: PluginSet<'a>,
    spared: Option<(Part, &'a str)>,
}

impl<'a> Strip<'a> {
    pub(crate) fn new(api: &ApiEntry, usage: Option<&'a ApiUsage>, plugins: PluginSet<'a>) -> Self {
        let admits = api.api.settings.admits;
        let looks = !admits.is_anyone_alone() || plugins.is_guarded();
        Self { looks, usage: usage.filter(|_| looks), plugins, spared: None }
    }

    /// The same, but for the credential of `verified` where it is to be forwarded.
    #[must_use]
    pub fn sparing(self, verified: &Verified<'a>) -> Self {
        Self { spared: verified.place.filter(|_| verified.forward_credential), ..self }
    }

    /// Is a field of this name removed? (`cookie` never is as a whole.)
    pub fn header(&self, name: &str) -> bool {
        let ours = name.eq_ignore_ascii_case("authorization")
            || name.eq_ignore_ascii_case("proxy-authorization")
            || self.usage.is_some_and(|usage| usage.header(name).is_some())
            || self.plugins.is_place(Part::Header, name);
        let spared = matches!(self.spared, Some((Part::Header, spared)) if spared.eq_ignore_ascii_case(name));
        let is_claim = || {
            self.usage.is_some_and(|usage| usage.is_claim_field(name)) || self.plugins.is_claim_field(name)
        };
        self.looks && (ours && !spared || is_claim())
    }

    /// The query without its credentials; what stays is byte-identical. `None` where nothing stays.
    pub fn query<'q>(&self, query: &'q str) -> Option<Cow<'q, str>> {
        let named = self.usage.is_some_and(|usage| !usage.places(Part::Query).is_empty())
            || self.plugins.has_places(Part::Query);
        if !self.looks || (!named && !may_hold_app_code(query)) {
            return Some(Cow::Borrowed(query));
        }
        let stays = |pair: &&str| !self.is_credential_pair(pair);
        if query.split('&').all(|pair| stays(&pair)) {
            return Some(Cow::Borrowed(query));
        }
        let kept: Vec<&str> = query.split('&').filter(stays).collect();
        (!kept.is_empty()).then(|| Cow::Owned(kept.join("&")))
    }

    /// The value of a `Cookie` field without its credentials. `None` where nothing stays.
    pub fn cookie<'v>(&self, value: &'v [u8]) -> Option<Cow<'v, [u8]>> {
        let stays = |pair: &&[u8]| !self.is_credential_cookie(pair);
        let named = self.usage.is_some_and(|usage| !usage.places(Part::Cookie).is_empty())
            || self.plugins.has_places(Part::Cookie);
        if !named || value.split(|byte| *byte == b';').all(|pair| stays(&pair)) {
            return Some(Cow::Borrowed(value));
        }
        let kept = value.split(|byte| *byte == b';').filter(stays).map(<[u8]>::trim_ascii);
        let kept: Vec<&[u8]> = kept.filter(|pair| !pair.is_empty()).collect();
        (!kept.is_empty()).then(|| Cow::Owned(kept.join(b"; ".as_slice())))
    }

    fn is_credential_pair(&self, pair: &str) -> bool {
        let name = query::name_of(pair);
        let ours = is_app_code_name(&name)
            || self.usage.is_some_and(|usage| usage.place(Part::Query, &name).is_some())
            || self.plugins.is_place(Part::Query, &name);
        ours && self.spared != Some((Part::Query, &name))
    }

    fn is_credential_cookie(&self, pair: &[u8]) -> bool {
        let name = pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        let Ok(name) = std::str::from_utf8(name) else { return false };
        (self.usage.is_some_and(|usage| usage.place(Part::Cookie, name).is_some())
            || self.plugins.is_place(Part::Cookie, name))
            && self.spared != Some((Part::Cookie, name))
    }
}
