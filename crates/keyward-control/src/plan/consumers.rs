//! Planning consumers: where their keys may stand, and what is wanted of their credentials.

use keyward_model::{
    ApiKeySpec, Caller, CallerKind, ConsumerSpec, KEY_SOURCES_MAX, KeySource, Located, Noun, Place,
};

use super::callers::{Draft, Want};
use super::{Known, Planner, within};

/// Longest name of a query parameter that a key may stand in, in bytes.
const PARAMETER_MAX: usize = 128;

impl Planner<'_> {
    /// First half of planning a consumer: who it is, and which stored credentials stay.
    pub(super) fn draft_consumer(&mut self, entry: &Located<ConsumerSpec>) -> Option<Draft> {
        let (spec, place) = (&entry.value, &entry.place);
        let (id, before) = self.caller_of(CallerKind::Consumer, &spec.account, &spec.name, place)?;
        let account = self.existing.accounts.find(&spec.account).copied()?;
        if let Some(api_key) = &spec.api_key {
            self.check_sources(api_key, place);
        }
        let after = Caller {
            id,
            account,
            name: spec.name.clone(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            tags: spec.tags.clone(),
            extension: None,
            key_sources: spec.api_key.as_ref().map(|keys| keys.sources.clone()).unwrap_or_default(),
        };
        let mut draft = Draft::new(Noun::Consumer, spec.account.clone(), place, before, after);
        let known = self.existing.credentials.get(&id).cloned().unwrap_or_default();
        let (keys, tokens): (Vec<Known>, Vec<Known>) =
            known.into_iter().partition(|known| known.row.kind == "api_key");
        self.match_api_keys(spec.api_key.as_ref(), keys, place, &mut draft);
        let mut tokens = tokens.into_iter();
        if let Some(jwt) = &spec.jwt {
            draft.add(Want::jwt(jwt, within(place, "jwt")), tokens.next());
        }
        draft.dropped.extend(tokens);
        Some(draft)
    }

    fn match_api_keys(
        &mut self,
        spec: Option<&ApiKeySpec>,
        stored: Vec<Known>,
        place: &Place,
        draft: &mut Draft,
    ) {
        match spec {
            None => draft.dropped.extend(stored),
            Some(ApiKeySpec { keys: None, .. }) => {
                if stored.is_empty() {
                    draft.fresh.push(Want::generated_api_key(within(place, "api_key.keys")));
                }
                draft.untouched.extend(stored);
            }
            Some(ApiKeySpec { keys: Some(keys), .. }) => {
                let wanted = keys.iter().enumerate();
                let path = |at| within(place, &format!("api_key.keys[{at}]"));
                let wanted: Vec<_> = wanted.map(|(at, key)| Want::api_key(key, path(at))).collect();
                self.match_opaque(wanted, stored, draft);
            }
        }
    }

    fn check_sources(&mut self, spec: &ApiKeySpec, place: &Place) {
        let place = within(place, "api_key.sources");
        if !(1..=KEY_SOURCES_MAX).contains(&spec.sources.len()) {
            let text = format!(
                "a consumer's keys have 1 to {KEY_SOURCES_MAX} places, not {}: name some of bearer, {{header: …}}, \
                 {{query: …}}",
                spec.sources.len()
            );
            self.invalid("sources_count", place.clone(), text);
        }
        for (at, source) in spec.sources.iter().enumerate() {
            let here = Place { path: format!("{}[{at}]", place.path), ..place.clone() };
            if spec.sources.iter().take(at).any(|earlier| earlier == source) {
                self.invalid("duplicate", here, "this place stands here twice");
                continue;
            }
            match source {
                KeySource::Header(name) if name.is_reserved() => {
                    let text = format!(
                        "the header `{name}` belongs to the transport or to keyward, and cannot hold a key: use another, \
                         such as x-api-key"
                    );
                    self.invalid("header_reserved", here, text);
                }
                KeySource::Query(name) if !is_parameter(name) => {
                    let text = format!(
                        "`{}` cannot be a query parameter for a key: use 1 to {PARAMETER_MAX} letters, digits and - . _",
                        name.escape_debug()
                    );
                    self.invalid("parameter_malformed", here, text);
                }
                _ => {}
            }
        }
    }
}

/// Only characters that no client encodes, so that there is one spelling.
fn is_parameter(name: &str) -> bool {
    (1..=PARAMETER_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
