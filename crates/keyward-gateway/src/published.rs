//! APIs, made ready for one core: what they tell services, and which names they own for it.

use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use keyward_access::{ApiEntry, Snapshot};
use keyward_model::owned::{folded, reads_as};
use keyward_model::{ApiId, ParameterPlace, SystemParameterName};

use crate::metrics::{ApiCounters, CoreCounters};

/// The APIs that a core has served, made ready once per change of their configuration.
#[derive(Debug, Default)]
pub(crate) struct PublishedApis {
    ready: HashMap<ApiId, Rc<PublishedApi>>,
}

/// An API, made ready.
#[derive(Debug)]
pub(crate) struct PublishedApi {
    pub(crate) entry: Arc<ApiEntry>,
    /// The id as text.
    pub(crate) id: Box<str>,
    pub(crate) counters: Arc<ApiCounters>,
    /// System parameters that go into a field: which, and the field's name as it is written.
    pub(crate) in_fields: Box<[(SystemParameterName, Box<str>)]>,
    /// System parameters that go into the query: which, and the parameter's name.
    pub(crate) in_query: Box<[(SystemParameterName, Box<str>)]>,
    /// Folded names of the fields that only Keyward may set at this API.
    own_fields: Box<[Box<str>]>,
}

impl PublishedApis {
    /// The API, made ready; only after a change is there anything to do.
    pub(crate) fn ready(
        &mut self,
        entry: &Arc<ApiEntry>,
        snapshot: &Snapshot,
        counters: &CoreCounters,
    ) -> Rc<PublishedApi> {
        let id = entry.api().id;
        match self.ready.get(&id) {
            Some(ready) if Arc::ptr_eq(&ready.entry, entry) => Rc::clone(ready),
            _ => {
                let ready = Rc::new(PublishedApi::new(entry, snapshot, counters));
                self.ready.insert(id, Rc::clone(&ready));
                ready
            }
        }
    }

    /// Forgets APIs that are no more.
    pub(crate) fn keep(&mut self, exists: impl Fn(ApiId) -> bool) {
        self.ready.retain(|&id, _| exists(id));
    }
}

impl PublishedApi {
    fn new(entry: &Arc<ApiEntry>, snapshot: &Snapshot, counters: &CoreCounters) -> Self {
        let api = entry.api();
        let account =
            snapshot.account(api.account).map(|account| account.name.to_string()).unwrap_or_default();
        let parameters = &api.settings.system_parameters;
        let in_fields: Box<[_]> = parameters
            .iter()
            .filter_map(|parameter| match &parameter.place {
                ParameterPlace::Header(name) => Some((parameter.name, name.as_str().into())),
                ParameterPlace::Query(_) => None,
            })
            .collect();
        let in_query = parameters
            .iter()
            .filter_map(|parameter| match &parameter.place {
                ParameterPlace::Query(name) => Some((parameter.name, name.clone())),
                ParameterPlace::Header(_) => None,
            })
            .collect();
        let own_fields = in_fields.iter().map(|(_, name): &(_, Box<str>)| folded(name)).collect();
        Self {
            entry: Arc::clone(entry),
            id: api.id.to_string().into(),
            counters: counters.api(api.id, &account, api.name.as_str()),
            in_fields,
            in_query,
            own_fields,
        }
    }

    /// May only Keyward set a field of this name at this API?
    pub(crate) fn owns_field(&self, name: &str) -> bool {
        self.own_fields.iter().any(|own| reads_as(name, own))
    }
}
