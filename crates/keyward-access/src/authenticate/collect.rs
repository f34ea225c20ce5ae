//! Collecting what a request presents, before any of it is believed.

use std::borrow::Cow;

use keyward_model::{CredentialKind, KeySource};

use super::query;
use crate::snapshot::{ApiUsage, Part, Place, place_parts};
use crate::{Denial, RequestHead, Target, signature};

/// What was presented at places and of kinds that the API admits.
#[expect(clippy::large_enum_variant, reason = "made once per request and moved once: a box would cost more")]
pub(super) enum Collected<'a> {
    /// Nothing that could be a credential.
    Nothing,
    /// Only what the API does not admit.
    Foreign,
    /// More than one.
    Several,
    /// A signature, read; or why it cannot be.
    Signature(Result<signature::Presented<'a>, Box<Denial>>),
    AppCode(AppCode<'a>),
    /// What may be an API key or a token.
    Opaque(Slot<'a>),
}

/// An AppCode, not yet believed.
pub(super) struct AppCode<'a> {
    pub(super) value: Cow<'a, [u8]>,
}

/// One place of a request, and the value that stands there.
pub(super) struct Slot<'a> {
    part: Part,
    name: Cow<'a, str>,
    value: Cow<'a, [u8]>,
}

/// Where a key stands.
#[derive(Clone, Copy)]
pub(super) enum FoundAt<'n> {
    Bearer,
    Named(Part, &'n str),
}

impl FoundAt<'_> {
    /// Is it this source?
    pub(super) fn is(self, source: &KeySource) -> bool {
        match (self, source) {
            (Self::Bearer, KeySource::Bearer) => true,
            (Self::Named(Part::Header, name), KeySource::Header(ours)) => {
                ours.as_str().eq_ignore_ascii_case(name)
            }
            (Self::Named(Part::Query, name), KeySource::Query(ours)) => **ours == *name,
            _ => false,
        }
    }
}

impl<'a> Collected<'a> {
    /// Looks at every place at which the API admits a credential.
    pub(super) fn from(target: &Target<'a>, head: &RequestHead<'a>) -> Self {
        let settings = &target.api.api.settings;
        let admits = |kind| settings.admits.contains(kind);
        let mut search = Search {
            keys: admits(CredentialKind::ApiKey),
            tokens: admits(CredentialKind::Jwt),
            signatures: admits(CredentialKind::AppSignature),
            app_codes_in_header: admits(CredentialKind::AppCode) && settings.app_code_in.header,
            app_codes_in_query: admits(CredentialKind::AppCode) && settings.app_code_in.query,
            usage: target.usage,
            collected: Collected::Nothing,
            signed: false,
        };
        search.fields(head);
        search.query(head.query);
        search.signature(head);
        search.collected
    }

    fn is_foreign_or_nothing(&self) -> bool {
        matches!(self, Self::Nothing | Self::Foreign)
    }
}

/// A search under way.
struct Search<'a> {
    keys: bool,
    tokens: bool,
    signatures: bool,
    app_codes_in_header: bool,
    app_codes_in_query: bool,
    usage: Option<&'a ApiUsage>,
    collected: Collected<'a>,
    /// Is there a field of a signature?
    signed: bool,
}

impl<'a> Search<'a> {
    /// One more is there.
    fn add(&mut self, found: Collected<'a>) {
        self.collected = if self.collected.is_foreign_or_nothing() { found } else { Collected::Several };
    }

    /// Something is there that the API does not admit.
    fn add_foreign(&mut self) {
        if matches!(self.collected, Collected::Nothing) {
            self.collected = Collected::Foreign;
        }
    }

    fn fields(&mut self, head: &RequestHead<'a>) {
        let named = self.usage.is_some_and(|usage| !usage.places(Part::Header).is_empty());
        let cookies = self.usage.is_some_and(|usage| !usage.places(Part::Cookie).is_empty());
        let mut authorized = false;
        for field in head.fields {
            let is = |name: &str| field.name.eq_ignore_ascii_case(name);
            if is("authorization") {
                // There is one such field by the standard: of two, each reader would believe another one.
                if std::mem::replace(&mut authorized, true) {
                    self.collected = Collected::Several;
                }
                self.authorization(field.name, field.value);
            } else if is("x-ca-key") || is("x-ca-signature") {
                self.signed = true;
            } else if cookies && is("cookie") {
                self.cookies(field.value);
            } else if named && let Some(place) = self.usage.and_then(|usage| usage.header(field.name)) {
                self.place(place, Part::Header, Cow::Borrowed(field.name), Cow::Borrowed(field.value));
            }
        }
    }

    fn authorization(&mut self, name: &'a str, value: &'a [u8]) {
        if value.is_empty() {
            return;
        }
        if is_hmac(value) {
            self.signed = true;
            return;
        }
        if let Some(code) = value.strip_prefix(b"APPCODE ") {
            return if self.app_codes_in_header {
                self.add(Collected::AppCode(AppCode { value: Cow::Borrowed(code.trim_ascii()) }));
            } else {
                self.add_foreign();
            };
        }
        let place = self.usage.and_then(|usage| usage.header(name));
        let is_bearer = bearer(value).is_some();
        let is_key = is_bearer || place.is_some_and(Place::takes_keys);
        let is_token = is_bearer || place.is_some_and(|place| takes_token(place, value));
        if self.keys && is_key || self.tokens && is_token {
            self.add(Collected::Opaque(Slot {
                part: Part::Header,
                name: Cow::Borrowed(name),
                value: Cow::Borrowed(value),
            }));
        } else {
            self.add_foreign();
        }
    }

    fn place(&mut self, place: &Place, part: Part, name: Cow<'a, str>, value: Cow<'a, [u8]>) {
        let (is_key, is_token) = (place.takes_keys(), takes_token(place, &value));
        if self.keys && is_key || self.tokens && is_token {
            self.add(Collected::Opaque(Slot { part, name, value }));
        } else if is_key || is_token {
            self.add_foreign();
        }
    }

    fn query(&mut self, query: Option<&'a str>) {
        let named = self.usage.filter(|usage| !usage.places(Part::Query).is_empty());
        if named.is_none() && !query.is_some_and(may_hold_app_code) {
            return;
        }
        for (name, value) in query.into_iter().flat_map(query::pairs) {
            let name = query::decode_name(name);
            if is_app_code_name(&name) {
                if self.app_codes_in_query {
                    self.add(Collected::AppCode(AppCode { value: query::decode(value) }));
                } else {
                    self.add_foreign();
                }
            } else if let Some(place) = named.and_then(|usage| usage.place(Part::Query, &name)) {
                self.place(place, Part::Query, name, query::decode(value));
            }
        }
    }

    fn cookies(&mut self, field: &'a [u8]) {
        for pair in field.split(|byte| *byte == b';') {
            let mut parts = pair.splitn(2, |byte| *byte == b'=');
            let name = parts.next().unwrap_or_default().trim_ascii();
            let value = parts.next().unwrap_or_default().trim_ascii();
            let Ok(name) = std::str::from_utf8(name) else { continue };
            if let Some(place) = self.usage.and_then(|usage| usage.place(Part::Cookie, name)) {
                self.place(place, Part::Cookie, Cow::Borrowed(name), Cow::Borrowed(value));
            }
        }
    }

    fn signature(&mut self, head: &RequestHead<'a>) {
        if !self.signed {
            return;
        }
        if !self.signatures {
            return self.add_foreign();
        }
        if let Some(presented) = signature::Presented::find(head) {
            self.add(Collected::Signature(presented.map_err(Box::new)));
        }
    }
}

impl<'a> Slot<'a> {
    /// What may be an API key here, and from which source.
    pub(super) fn keys<'s>(
        &'s self,
        usage: Option<&'s ApiUsage>,
    ) -> impl Iterator<Item = (FoundAt<'s>, &'s [u8])> {
        let bearer = self.bearer().map(|text| (FoundAt::Bearer, text));
        let place = self.place(usage).filter(|place| place.takes_keys());
        let whole = place.map(|_| (FoundAt::Named(self.part, &self.name), &*self.value));
        bearer.into_iter().chain(whole)
    }

    /// What may be a token here: behind `Bearer`, and behind each prefix that a granted consumer declares.
    pub(super) fn tokens<'s>(&'s self, usage: Option<&'s ApiUsage>) -> impl Iterator<Item = &'s [u8]> {
        let declared = self.place(usage).into_iter().flat_map(Place::prefixes);
        let declared = declared.filter(|prefix| !is_bearer_prefix(prefix));
        self.bearer().into_iter().chain(declared.filter_map(|prefix| without_prefix(prefix, &self.value)))
    }

    /// What stands here for a consumer that keeps its tokens there.
    pub(super) fn token_at(&self, declared: &keyward_model::TokenPlace) -> Option<&[u8]> {
        token_at(declared, self.part, &self.name, &self.value)
    }

    /// Is it this value at this place?
    pub(super) fn is_at(&self, part: Part, name: &str, value: &[u8]) -> bool {
        self.part == part && *self.name == *name && *self.value == *value
    }

    /// The part and name of this place, as they are declared.
    pub(super) fn declared_at(&self, usage: Option<&'a ApiUsage>) -> (Part, &'a str) {
        (self.part, self.place(usage).map_or("authorization", |place| &place.name))
    }

    fn bearer(&self) -> Option<&[u8]> {
        let is_authorization = self.part == Part::Header && self.name.eq_ignore_ascii_case("authorization");
        bearer(&self.value).filter(|_| is_authorization)
    }

    fn place<'u>(&self, usage: Option<&'u ApiUsage>) -> Option<&'u Place> {
        match self.part {
            Part::Header => usage?.header(&self.name),
            part => usage?.place(part, &self.name),
        }
    }
}

/// The token in a value that stands here, for one who keeps tokens there.
pub(super) fn token_at<'v>(
    declared: &keyward_model::TokenPlace,
    part: Part,
    name: &str,
    value: &'v [u8],
) -> Option<&'v [u8]> {
    let (own_part, own_name, prefix) = place_parts(declared);
    let same_name = match part {
        Part::Header => own_name.eq_ignore_ascii_case(name),
        Part::Query | Part::Cookie => own_name == name,
    };
    without_prefix(prefix, value).filter(|_| own_part == part && same_name)
}

/// The vendor's spellings of the AppCode parameter.
pub(crate) fn is_app_code_name(name: &str) -> bool {
    name.len() == 7 && matches!(name, "AppCode" | "appcode" | "appCode" | "APPCODE" | "APPCode")
}

/// Every spelling ends in the same three letters, unless they are escaped: hardly any other query has them.
pub(crate) fn may_hold_app_code(query: &str) -> bool {
    query.bytes().any(|byte| byte == b'%')
        || query.as_bytes().windows(3).any(|letters| matches!(letters, b"ode" | b"ODE"))
}

fn takes_token(place: &Place, value: &[u8]) -> bool {
    place.prefixes().any(|prefix| without_prefix(prefix, value).is_some())
}

/// What follows a prefix; `Bearer` is matched in any case, others exactly.
fn without_prefix<'v>(prefix: &str, value: &'v [u8]) -> Option<&'v [u8]> {
    if is_bearer_prefix(prefix) { bearer(value) } else { value.strip_prefix(prefix.as_bytes()) }
}

fn is_bearer_prefix(prefix: &str) -> bool {
    prefix.eq_ignore_ascii_case("bearer ")
}

/// What follows `Bearer`, in any case, and blanks.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let follows = rest.is_empty() || rest.starts_with(b" ");
    (scheme.eq_ignore_ascii_case(b"bearer") && follows).then(|| rest.trim_ascii_start())
}

fn is_hmac(value: &[u8]) -> bool {
    let follows = matches!(value.get(4), None | Some(b' ' | b'\t'));
    follows && value.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"hmac"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_app_code_parameter_is_looked_for() {
        for name in ["AppCode", "appcode", "appCode", "APPCODE", "APPCode"] {
            assert!(is_app_code_name(name) && may_hold_app_code(&format!("a=1&{name}=x")), "{name}");
        }
        assert!(may_hold_app_code("%41ppCod%65=x"));
        assert!(!may_hold_app_code("expand=lines&currency=EUR") && !may_hold_app_code(""));
    }
}
