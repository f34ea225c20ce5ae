//! Planning gateways.

use keyward_model::{Gateway, GatewayId, GatewaySpec, Located, Noun};
use keyward_store::{Record, RecordId};

use super::words::touched;
use super::{Outcome, Planner, within};

impl Planner<'_> {
    pub(super) fn gateway(&mut self, entry: &Located<GatewaySpec>) {
        let (spec, place) = (&entry.value, &entry.place);
        if !self.first_of_its_name(Noun::Gateway, spec.name.to_string(), place) {
            return;
        }
        let found = self.existing.gateways.find(&spec.name).copied();
        if let Some(RecordId::Gateway(target)) = self.context.target
            && found != Some(target)
        {
            let text = "a gateway keeps its name, by which its nodes are started";
            self.invalid("gateway_renamed", within(place, "name"), text);
            return;
        }
        let is_new = found.is_none();
        let may = match found {
            None => self.check_name(Noun::Gateway, &spec.name, false, place),
            Some(_) if self.context.must_create => self.check_name(Noun::Gateway, &spec.name, true, place),
            Some(_) => true,
        };
        let id = if may { found.or_else(|| self.uuid().map(GatewayId::from_uuid)) } else { None };
        let Some(id) = id else { return };
        let after = Gateway { id, spec: spec.clone() };
        let before = self.existing.gateways.get(&id).cloned();
        let differs = before.as_ref() != Some(&after);
        if differs {
            self.put(Record::Gateway(after.clone()), before.map(Record::Gateway));
            self.existing.add_gateway(after);
        }
        let record = RecordId::Gateway(id);
        self.settle(
            record,
            place,
            touched(Noun::Gateway, None, &spec.name, record),
            Outcome::of(is_new, differs),
        );
    }
}
