//! Planning APIs. That no two answer to the same requests is checked where routes are compiled.

use std::collections::{BTreeMap, BTreeSet};

use keyward_model::{
    AccountId, Api, ApiId, ApiSpec, GatewayId, Located, Name, Noun, Place, Segment, Stage, StageBinding,
};
use keyward_store::{Record, RecordId};

use super::words::touched;
use super::{Outcome, Planner, within};
use crate::ErrorKind;

impl Planner<'_> {
    pub(super) fn api(&mut self, entry: &Located<ApiSpec>) {
        let (spec, place) = (&entry.value, &entry.place);
        if !self.first_of_its_name(Noun::Api, format!("{}/{}", spec.account, spec.name), place) {
            return;
        }
        let Some(account) = self.account_named(&spec.account, place, "account") else { return };
        let key = (account, spec.name.clone());
        let named = self.existing.apis.find(&key).copied();
        let found = match self.context.target {
            Some(RecordId::Api(target)) => Some(target),
            _ => named,
        };
        let before = found.and_then(|id| self.existing.apis.get(&id)).cloned();
        if !self.stays(Noun::Api, before.as_ref().map(|before| before.account), account, place) {
            return;
        }
        let taken = named.is_some() && (named != found || self.context.must_create);
        let renamed = before.as_ref().is_none_or(|before| before.name != spec.name);
        if (taken || renamed) && !self.check_name(Noun::Api, &spec.name, taken, place) {
            return;
        }
        let gateways = self.gateways_named(&spec.gateways, place);
        let stages = self.stages(account, spec, place);
        self.check_reach(spec, place);
        let (Some(mut gateways), Some(stages)) = (gateways, stages) else { return };
        gateways.sort_unstable();
        gateways.dedup();
        let Some(id) = found.or_else(|| self.uuid().map(ApiId::from_uuid)) else { return };
        if let Some(before) = &before {
            let known: BTreeSet<_> = before.stages.values().map(|stage| stage.service).collect();
            if stages.values().any(|stage| !known.contains(&stage.service)) {
                self.check_plugins_of(id, &within(place, "stages"));
            }
        }
        let after =
            Api { id, account, name: spec.name.clone(), gateways, stages, settings: spec.settings.clone() };
        let differs = before.as_ref() != Some(&after);
        if differs {
            let before_key = before.as_ref().map(|before| (account, before.name.clone()));
            self.put(Record::Api(after.clone()), before.clone().map(Record::Api));
            self.existing.apis.insert(key, id, after, before_key.as_ref());
        }
        let record = RecordId::Api(id);
        let report = touched(Noun::Api, Some(&spec.account), &spec.name, record);
        self.settle(record, place, report, Outcome::of(before.is_none(), differs));
    }

    /// The gateways of these names; `None` if one does not exist, which is a problem.
    pub(super) fn gateways_named(&mut self, names: &[Name], place: &Place) -> Option<Vec<GatewayId>> {
        let mut ids = Vec::with_capacity(names.len());
        for (at, name) in names.iter().enumerate() {
            match self.existing.gateways.find(name) {
                Some(id) => ids.push(*id),
                None => {
                    let text = format!(
                        "there is no gateway `{name}`: describe it under `gateways`, or name another"
                    );
                    let place = within(place, &format!("gateways[{at}]"));
                    self.problem(ErrorKind::NotFound, "gateway_unknown", place, text);
                }
            }
        }
        (ids.len() == names.len()).then_some(ids)
    }

    fn stages(
        &mut self,
        account: AccountId,
        spec: &ApiSpec,
        place: &Place,
    ) -> Option<BTreeMap<Stage, StageBinding>> {
        let mut stages = BTreeMap::new();
        for (stage, described) in &spec.stages {
            match self.existing.services.find(&(account, described.service.clone())) {
                Some(service) => {
                    let binding = StageBinding {
                        service: *service,
                        path_prefix: described.path_prefix.clone(),
                        host: described.host.clone(),
                    };
                    stages.insert(*stage, binding);
                }
                None if self.is_described_wrongly(Noun::Service, &spec.account, &described.service) => {}
                None => {
                    let text = format!(
                        "there is no service `{}` in account `{}`: describe it under `services`, or name another",
                        described.service, spec.account
                    );
                    let place = within(place, &format!("stages.{stage}.service"));
                    self.problem(ErrorKind::NotFound, "service_unknown", place, text);
                }
            }
        }
        (stages.len() == spec.stages.len()).then_some(stages)
    }

    /// Says where an API is described that nobody could ever call.
    fn check_reach(&mut self, spec: &ApiSpec, place: &Place) {
        if spec.gateways.is_empty() {
            let text = "the API is published to no gateway, so nothing answers to it";
            self.warn(Noun::Api, "published_nowhere", within(place, "gateways"), text);
        }
        if spec.stages.is_empty() {
            let text = "the API has no stage, so nothing answers to it";
            self.warn(Noun::Api, "no_stage", within(place, "stages"), text);
        }
        let is_star = |segment: &Segment| matches!(segment, Segment::Literal(text) if &**text == "*");
        for (at, operation) in spec.settings.operations.iter().enumerate() {
            if operation.path.segments().iter().any(is_star) {
                let text = "`*` stands for itself: `{name}` is any one segment, and without operations every path is one";
                self.warn(
                    Noun::Api,
                    "star_is_literal",
                    within(place, &format!("operations[{at}].path")),
                    text,
                );
            }
        }
    }
}
