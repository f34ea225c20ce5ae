//! Planning modules. Whether one can run is found out before it is written down.

use keyward_model::{
    AccountId, Located, Module, ModuleCode, ModuleId, ModuleSettings, ModuleSource, ModuleSpec, Name, Noun,
    Place, ServiceId,
};
use keyward_store::{Record, RecordId};

use super::words::touched;
use super::{Outcome, Planner, within};
use crate::ErrorKind;

impl Planner<'_> {
    pub(super) fn module(&mut self, entry: &Located<ModuleSpec>) {
        let (spec, place) = (&entry.value, &entry.place);
        let key = format!("{}/{}", spec.account, spec.name);
        if !self.first_of_its_name(Noun::Module, key, place) {
            return;
        }
        let Some(account) = self.account_named(&spec.account, place, "account") else { return };
        let key = (account, spec.name.clone());
        let named = self.existing.modules.find(&key).copied();
        let found = match self.context.target {
            Some(RecordId::Module(target)) => Some(target),
            _ => named,
        };
        let before = found.and_then(|id| self.existing.modules.get(&id)).cloned();
        if !self.stays(Noun::Module, before.as_ref().map(|before| before.account), account, place) {
            return;
        }
        if before.as_ref().is_some_and(|before| before.name != spec.name) {
            let text = "a module keeps its name, because plugins stand by it: make another one";
            self.invalid("module_renamed", within(place, "name"), text);
            return;
        }
        let taken = named.is_some() && (named != found || self.context.must_create);
        if (taken || before.is_none()) && !self.check_name(Noun::Module, &spec.name, taken, place) {
            return;
        }
        if let Err(error) = Module::check_name(&spec.name) {
            self.invalid("module_name", within(place, "name"), error.to_string());
            return;
        }
        let code = self.module_code(spec, account, before.as_ref(), place);
        let services = self.module_services(spec, account, place);
        let (Some(code), Some(services)) = (code, services) else { return };
        let Some(id) = found.or_else(|| self.uuid().map(ModuleId::from_uuid)) else { return };
        let settings = ModuleSettings {
            description: spec.description.clone(),
            enabled: spec.enabled,
            on_failure: spec.on_failure,
            sees: spec.sees,
            limits: spec.limits,
            ..ModuleSettings::new(code)
        };
        let after = Module { id, account, name: spec.name.clone(), services, settings };
        let differs = before.as_ref() != Some(&after);
        if differs {
            let record = |module: &Module| Record::Module(Box::new(module.clone()));
            self.put(record(&after), before.as_ref().map(record));
            self.existing.modules.insert(key, id, after, None);
        }
        let record = RecordId::Module(id);
        let report = touched(Noun::Module, Some(&spec.account), &spec.name, record);
        self.settle(record, place, report, Outcome::of(before.is_none(), differs));
    }

    /// The code that is given, or the stored one that is meant.
    fn module_code(
        &mut self,
        spec: &ModuleSpec,
        account: AccountId,
        before: Option<&Module>,
        place: &Place,
    ) -> Option<ModuleCode> {
        let (found, text) = match &spec.wasm {
            ModuleSource::Code(code) => return Some(code.clone()),
            ModuleSource::Kept => (
                before.map(|before| before.settings.wasm.clone()),
                "the code is missing, and none is stored that could be kept: give `file` or `base64`"
                    .to_owned(),
            ),
            ModuleSource::Stored(sha256) => {
                let mut modules = self.existing.modules.iter().map(|(_, module)| module);
                let same = |module: &&Module| {
                    module.account == account && module.settings.wasm.sha256() == &**sha256
                };
                (
                    modules.find(same).map(|module| module.settings.wasm.clone()),
                    "no stored module of this name has this digest: give the code, by `file` or `base64`"
                        .to_owned(),
                )
            }
            ModuleSource::File(path) => {
                (None, format!("`{path}`: files are read where a world file is applied; give `base64` here"))
            }
        };
        if found.is_none() {
            self.invalid("module_missing", within(place, "wasm"), text);
        }
        found
    }

    fn module_services(
        &mut self,
        spec: &ModuleSpec,
        account: AccountId,
        place: &Place,
    ) -> Option<Vec<(Name, ServiceId)>> {
        let mut services = Vec::with_capacity(spec.services.len());
        for (at, name) in spec.services.iter().enumerate() {
            match self.existing.services.find(&(account, name.clone())) {
                Some(id) => services.push((name.clone(), *id)),
                None if self.is_described_wrongly(Noun::Service, &spec.account, name) => {}
                None => {
                    let text = format!(
                        "there is no service `{name}` in account `{}`: describe it under `services`, or name another",
                        spec.account
                    );
                    let place = within(place, &format!("services[{at}]"));
                    self.problem(ErrorKind::NotFound, "service_unknown", place, text);
                }
            }
        }
        (services.len() == spec.services.len()).then_some(services)
    }
}
