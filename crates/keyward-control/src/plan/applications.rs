//! Planning applications: what is wanted of their credentials.

use keyward_model::{ApplicationSpec, Caller, CallerKind, Located, Noun, Place};

use super::callers::{Draft, Want};
use super::{Known, Planner, within};

/// Longest extension, in bytes: it travels in a header field.
const EXTENSION_MAX: usize = 2_048;

impl Planner<'_> {
    /// First half of planning an application: who it is, and which stored credentials stay.
    pub(super) fn draft_application(&mut self, entry: &Located<ApplicationSpec>) -> Option<Draft> {
        let (spec, place) = (&entry.value, &entry.place);
        let (id, before) = self.caller_of(CallerKind::Application, &spec.account, &spec.name, place)?;
        let account = self.existing.accounts.find(&spec.account).copied()?;
        self.check_extension(spec, place);
        let after = Caller {
            id,
            account,
            name: spec.name.clone(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            tags: spec.tags.clone(),
            extension: spec.extension.clone(),
            key_sources: Vec::new(),
        };
        let mut draft = Draft::new(Noun::Application, spec.account.clone(), place, before, after);
        let known = self.existing.credentials.get(&id).cloned().unwrap_or_default();
        let (pairs, codes): (Vec<Known>, Vec<Known>) =
            known.into_iter().partition(|known| known.row.kind == "key_pair");
        self.match_key_pairs(spec, pairs, place, &mut draft);
        let wanted = spec.app_codes.iter().enumerate();
        let wanted: Vec<_> = wanted
            .map(|(at, code)| Want::app_code(code, within(place, &format!("app_codes[{at}]"))))
            .collect();
        self.match_opaque(wanted, codes, &mut draft);
        Some(draft)
    }

    /// Matches the key pairs wanted with those stored: by AppKey; those without one, in order, with what is left.
    fn match_key_pairs(
        &mut self,
        spec: &ApplicationSpec,
        stored: Vec<Known>,
        place: &Place,
        draft: &mut Draft,
    ) {
        let Some(wanted) = &spec.key_pairs else {
            if stored.is_empty() {
                draft.fresh.push(Want::generated_key_pair(within(place, "key_pairs")));
            }
            draft.untouched.extend(stored);
            return;
        };
        if wanted.is_empty() {
            let text =
                "an application has at least its default pair: leave this out to have one generated, or kept";
            self.invalid("key_pairs_empty", within(place, "key_pairs"), text);
        }
        let mut stored = default_first(stored);
        let mut kept: Vec<Option<Known>> = Vec::with_capacity(wanted.len());
        for pair in wanted {
            let same = |known: &Known| pair.app_key.is_some() && known.row.app_key == pair.app_key;
            kept.push(stored.iter().position(same).map(|at| stored.remove(at)));
        }
        for (pair, slot) in wanted.iter().zip(&mut kept) {
            if pair.app_key.is_none() && !stored.is_empty() {
                *slot = Some(stored.remove(0));
            }
        }
        // What is left is not wanted, but an application never loses its default pair to a file.
        let rest_default = stored.iter().position(|known| known.row.is_default).map(|at| stored.remove(at));
        for (at, (pair, known)) in wanted.iter().zip(kept).enumerate() {
            let is_default = at == 0 && rest_default.is_none();
            let want = Want::key_pair(pair, is_default, within(place, &format!("key_pairs[{at}]")));
            draft.add(want, known);
        }
        if let Some(default) = rest_default {
            let name = default.row.app_key.as_ref().map(ToString::to_string).unwrap_or_default();
            let text = format!(
                "the default key pair `{name}` is not among these, and is kept: reset it, or disable it, to end its use"
            );
            self.warn(Noun::Application, "default_key_pair_kept", within(place, "key_pairs"), text);
            draft.untouched.push(default);
        }
        draft.dropped.extend(stored);
    }

    fn check_extension(&mut self, spec: &ApplicationSpec, place: &Place) {
        let Some(extension) = &spec.extension else { return };
        let fits = extension.len() <= EXTENSION_MAX && extension.bytes().all(|b| (b' '..=b'~').contains(&b));
        if !fits {
            let text = format!(
                "an extension has at most {EXTENSION_MAX} visible ASCII characters, for it travels in a header: encode \
                 others, for example as base64"
            );
            self.invalid("extension_malformed", within(place, "extension"), text);
        }
    }
}

/// The default pair first, then by age.
fn default_first(mut stored: Vec<Known>) -> Vec<Known> {
    stored.sort_by_key(|known| (!known.row.is_default, known.row.id));
    stored
}
