//! Where the callers that are granted on an API present their credentials: the union, with counts.

use keyward_model::{AccountId, ApiId, CredentialKind, KeySource, TokenPlace, owned};

use super::entry::{CallerEntry, ProofEntry};
use super::shards::Keyed;
use std::sync::Arc;

/// Part of a request that has names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Part {
    Header,
    Query,
    Cookie,
}

/// One thing that a caller, by being granted, makes an API look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Feature {
    /// Its API keys may stand here.
    Key(Part, Box<str>),
    /// Its tokens may stand here, behind this prefix.
    Token(Part, Box<str>, Box<str>),
    /// Its tokens name it by this claim, in its account.
    Identity(AccountId, Box<str>),
    /// A claim of its tokens is handed to the service in this header field, so nobody else may set that; folded.
    ClaimField(Box<str>),
}

impl Feature {
    /// What a caller makes every API look at that it is granted on. `Authorization: Bearer` is looked at anyway.
    pub(crate) fn of(caller: &CallerEntry) -> Vec<Self> {
        let holds = |kind| caller.credentials.iter().any(|credential| credential.kind() == kind);
        let mut features = Vec::new();
        if holds(CredentialKind::ApiKey) {
            features.extend(caller.key_sources().iter().filter_map(Self::of_source));
        }
        for credential in &*caller.credentials {
            if let ProofEntry::Jwt(jwt) = &credential.proof {
                let (part, name, prefix) = place_parts(&jwt.settings.token);
                features.push(Self::Token(part, name.into(), prefix.into()));
                features.push(Self::Identity(caller.account, jwt.identity.name.clone()));
                let fields = jwt.settings.claims_to_headers.iter().map(|claim| claim.header.as_str());
                features.extend(fields.map(|name| Self::ClaimField(owned::folded(name))));
            }
        }
        features
    }

    fn of_source(source: &KeySource) -> Option<Self> {
        match source {
            KeySource::Bearer => None,
            KeySource::Header(name) => Some(Self::Key(Part::Header, name.as_str().into())),
            KeySource::Query(name) => Some(Self::Key(Part::Query, name.clone())),
        }
    }
}

/// Part, name and prefix of where tokens stand.
pub(crate) fn place_parts(place: &TokenPlace) -> (Part, &str, &str) {
    match place {
        TokenPlace::Header { name, prefix } => (Part::Header, name.as_str(), prefix),
        TokenPlace::Query { name, prefix } => (Part::Query, name, prefix),
        TokenPlace::Cookie { name, prefix } => (Part::Cookie, name, prefix),
    }
}

/// The union of what the callers granted on an API make it look at. Revoked and expired grants count: a credential
/// does not become harmless, nor its holder unknown, because a grant is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApiUsage {
    pub(crate) api: Option<ApiId>,
    places: [Vec<Place>; 3],
    identities: Vec<(AccountId, Box<str>, usize)>,
    claim_fields: Vec<(Box<str>, usize)>,
}

/// A named field, parameter or cookie in which credentials stand.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) name: Box<str>,
    /// For how many grants API keys may stand here.
    keys: usize,
    /// Prefixes of tokens that may stand here, each with a count of grants.
    tokens: Vec<(Box<str>, usize)>,
}

impl Place {
    pub(crate) fn takes_keys(&self) -> bool {
        self.keys > 0
    }

    /// The prefixes of the tokens that may stand here.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = &str> {
        self.tokens.iter().map(|(prefix, _)| &**prefix)
    }
}

impl ApiUsage {
    /// The places in a part of the request, in order of name.
    #[inline]
    pub(crate) fn places(&self, part: Part) -> &[Place] {
        self.places.get(part as usize).map_or(&[], Vec::as_slice)
    }

    /// The place of this name, spelled exactly.
    pub(crate) fn place(&self, part: Part, name: &str) -> Option<&Place> {
        let places = self.places(part);
        places.get(places.binary_search_by(|place| (*place.name).cmp(name)).ok()?)
    }

    /// The header of this name, in any case.
    #[inline]
    pub(crate) fn header(&self, name: &str) -> Option<&Place> {
        let places = self.places(Part::Header);
        if places.len() <= SCAN_MAX {
            return places.iter().find(|place| place.name.eq_ignore_ascii_case(name));
        }
        let lower = || name.bytes().map(|byte| byte.to_ascii_lowercase());
        places.get(places.binary_search_by(|place| place.name.bytes().cmp(lower())).ok()?)
    }

    /// Is a claim of some caller's tokens handed to the service in a field of this name, as services may read it?
    pub(crate) fn is_claim_field(&self, name: &str) -> bool {
        self.claim_fields.iter().any(|(field, _)| owned::reads_as(name, field))
    }

    /// By which claims tokens of partners name them, and in which accounts.
    pub(crate) fn identities(&self) -> impl Iterator<Item = (AccountId, &str)> {
        self.identities.iter().map(|(account, name, _)| (*account, &**name))
    }

    /// The same after `count` more grants (or less, where negative) to a caller that has this feature.
    pub(crate) fn add(&mut self, feature: &Feature, count: isize) {
        match feature {
            Feature::Key(part, name) => self.change_place(*part, name, |place| shift(&mut place.keys, count)),
            Feature::Token(part, name, prefix) => self.change_place(*part, name, |place| {
                let at =
                    place.tokens.iter().position(|(other, _)| other == prefix).unwrap_or(place.tokens.len());
                change_counted(&mut place.tokens, at, || (prefix.clone(), 0), |(_, grants)| grants, count);
            }),
            Feature::Identity(account, name) => {
                let is_same =
                    |(other, text, _): &(AccountId, Box<str>, usize)| other == account && text == name;
                let at = self.identities.iter().position(is_same).unwrap_or(self.identities.len());
                change_counted(
                    &mut self.identities,
                    at,
                    || (*account, name.clone(), 0),
                    |(_, _, grants)| grants,
                    count,
                );
            }
            Feature::ClaimField(name) => {
                let at = self.claim_fields.iter().position(|(field, _)| field == name);
                let at = at.unwrap_or(self.claim_fields.len());
                change_counted(&mut self.claim_fields, at, || (name.clone(), 0), |(_, grants)| grants, count);
            }
        }
    }

    fn change_place(&mut self, part: Part, name: &str, change: impl FnOnce(&mut Place)) {
        let Some(places) = self.places.get_mut(part as usize) else { return };
        let at = places.partition_point(|place| *place.name < *name);
        if places.get(at).is_none_or(|place| *place.name != *name) {
            places.insert(at, Place { name: name.into(), keys: 0, tokens: Vec::new() });
        }
        let Some(place) = places.get_mut(at) else { return };
        change(place);
        if place.keys == 0 && place.tokens.is_empty() {
            places.remove(at);
        }
    }
}

/// Up to this many names are compared one by one, which is faster than halving.
const SCAN_MAX: usize = 6;

fn shift(count: &mut usize, by: isize) {
    *count = count.saturating_add_signed(by);
}

/// Changes the count of the entry at `at`, which is made where there is none and goes where nothing is left to count.
pub(crate) fn change_counted<T>(
    entries: &mut Vec<T>,
    at: usize,
    new: impl FnOnce() -> T,
    count_of: impl Fn(&mut T) -> &mut usize,
    by: isize,
) {
    if at >= entries.len() {
        entries.push(new());
    }
    let Some(entry) = entries.get_mut(at) else { return };
    let count = count_of(entry);
    shift(count, by);
    if *count == 0 {
        entries.swap_remove(at);
    }
}

impl Keyed for Arc<ApiUsage> {
    type Id = ApiId;

    fn is(&self, id: &ApiId) -> bool {
        self.api == Some(*id)
    }
}
