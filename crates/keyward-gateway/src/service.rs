//! Services, ready to be called by one core: endpoints parsed, time limits converted, the service's own credential at hand.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use keyward_access::ServiceEntry;
use keyward_http::{Endpoint, Timeouts};
use keyward_model::owned::folded;
use keyward_model::{DenyReason, HeaderName, Plaintext, ServiceAuth, ServiceId, ServiceTimeouts};

/// The services that a core has called, made ready once per change of their configuration.
#[derive(Debug, Default)]
pub(crate) struct Services {
    ready: HashMap<ServiceId, Rc<ReadyService>>,
}

/// A service, made ready.
#[derive(Debug)]
pub(crate) struct ReadyService {
    source: Arc<ServiceEntry>,
    endpoints: Box<[Weighted]>,
    pub(crate) timeouts: Timeouts,
    auth: Result<Option<OwnCredential>, DenyReason>,
}

/// How we prove ourselves to a service. `Debug` is not derived: the line holds a secret.
pub(crate) struct OwnCredential {
    /// The field's name, folded.
    pub(crate) name: Box<str>,
    /// The complete field line, with CRLF.
    pub(crate) line: Box<[u8]>,
}

/// An endpoint and its share.
#[derive(Debug)]
pub(crate) struct Weighted {
    pub(crate) endpoint: Arc<Endpoint>,
    /// The URL, for the access record.
    pub(crate) url: Box<str>,
    weight: i64,
    current: Cell<i64>,
}

impl Services {
    /// The service, made ready; only after a change is there anything to do.
    pub(crate) fn ready(&mut self, service: &Arc<ServiceEntry>) -> Rc<ReadyService> {
        match self.ready.get(&service.id) {
            Some(ready) if Arc::ptr_eq(&ready.source, service) => Rc::clone(ready),
            _ => {
                let ready = Rc::new(ReadyService::new(service));
                self.ready.insert(service.id, Rc::clone(&ready));
                ready
            }
        }
    }

    /// Forgets services that are no more.
    pub(crate) fn keep(&mut self, exists: impl Fn(ServiceId) -> bool) {
        self.ready.retain(|&id, _| exists(id));
    }
}

impl ReadyService {
    fn new(service: &Arc<ServiceEntry>) -> Self {
        Self {
            source: Arc::clone(service),
            endpoints: service.spec.endpoints.iter().filter_map(Weighted::new).collect(),
            timeouts: timeouts(&service.spec.timeouts),
            auth: OwnCredential::of(service).transpose(),
        }
    }

    /// The next endpoint, by smooth weighted round robin: in every round each has its share, spread evenly.
    ///
    /// `None` where there is none that may be used.
    pub(crate) fn next_endpoint(&self) -> Option<&Weighted> {
        if let [only] = &*self.endpoints {
            return Some(only);
        }
        let mut total = 0;
        let mut best: Option<&Weighted> = None;
        for candidate in &self.endpoints {
            total += candidate.weight;
            candidate.current.set(candidate.current.get() + candidate.weight);
            if best.is_none_or(|best| candidate.current.get() > best.current.get()) {
                best = Some(candidate);
            }
        }
        if let Some(best) = best {
            best.current.set(best.current.get() - total);
        }
        best
    }

    /// How we prove ourselves to it.
    ///
    /// # Errors
    /// `secret_unresolvable`: the value is not there, or could not be sent as a field.
    pub(crate) fn own_credential(&self) -> Result<Option<&OwnCredential>, DenyReason> {
        self.auth.as_ref().map(Option::as_ref).map_err(|&reason| reason)
    }
}

impl Weighted {
    /// `None` for one that takes no requests, or that this transport cannot carry to.
    fn new(spec: &keyward_model::EndpointSpec) -> Option<Self> {
        if spec.weight == 0 {
            return None;
        }
        let url = spec.url.as_str();
        match Endpoint::parse(url) {
            Ok(endpoint) => Some(Self {
                endpoint: Arc::new(endpoint),
                url: url.into(),
                weight: spec.weight.into(),
                current: Cell::new(0),
            }),
            Err(error) => {
                tracing::error!(%error, "an endpoint is left out");
                None
            }
        }
    }
}

impl OwnCredential {
    fn of(service: &ServiceEntry) -> Option<Result<Self, DenyReason>> {
        let ServiceAuth::Header { name, .. } = service.spec.service_auth.as_ref()?;
        Some(match service.own_credential()? {
            Ok((value, _)) => Self::new(name, value),
            Err(why) => {
                tracing::warn!(service = %service.id, why, "its credential cannot be resolved");
                Err(DenyReason::SecretUnresolvable)
            }
        })
    }

    fn new(name: &HeaderName, value: &Plaintext) -> Result<Self, DenyReason> {
        let value = value.expose_secret().trim();
        // A secret read from a file or a vault may hold anything; what could end its field is not sent.
        if value.is_empty() || value.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
            tracing::error!(header = %name, "the value of a service's credential cannot be sent as a header");
            return Err(DenyReason::SecretUnresolvable);
        }
        let line = format!("{name}: {value}\r\n").into_bytes().into_boxed_slice();
        Ok(Self { name: folded(name.as_str()), line })
    }
}

impl std::fmt::Debug for OwnCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OwnCredential(…)")
    }
}

fn timeouts(limits: &ServiceTimeouts) -> Timeouts {
    let millis = |ms: u32| Duration::from_millis(ms.into());
    Timeouts {
        connect: millis(limits.connect_ms),
        first_byte: millis(limits.first_byte_ms),
        idle: millis(limits.idle_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_access::{Snapshot, SnapshotUpdate};
    use keyward_model::{
        Account, AccountId, DigestKey, EndpointSpec, Plaintext, Revision, Service, ServiceKind, ServiceSpec,
    };
    use uuid::Uuid;

    fn service(endpoints: &[(&str, u32)], auth: Option<&str>) -> Arc<ServiceEntry> {
        let endpoints = endpoints
            .iter()
            .map(|(url, weight)| EndpointSpec { url: url.parse().unwrap(), weight: *weight })
            .collect();
        let service = Service {
            id: ServiceId::from_uuid(Uuid::from_u128(1)),
            account: AccountId::from_uuid(Uuid::from_u128(2)),
            spec: ServiceSpec {
                account: "default".parse().unwrap(),
                name: "orders".parse().unwrap(),
                description: String::new(),
                enabled: true,
                kind: ServiceKind::Http,
                endpoints,
                timeouts: ServiceTimeouts::default(),
                service_auth: auth.map(|value| ServiceAuth::Header {
                    name: "X-Backend-Key".parse().unwrap(),
                    value: Some(Plaintext::new(value).into()),
                }),
            },
        };
        let account = Account {
            id: service.account,
            name: "default".parse().unwrap(),
            description: String::new(),
            enabled: true,
            reveal: true,
            grant_validity_max_s: None,
        };
        let id = service.id;
        let updates = [SnapshotUpdate::UpsertAccount(account), SnapshotUpdate::UpsertService(service)];
        let revision = Revision { store: Uuid::from_u128(3), number: 1 };
        let snapshot = Snapshot::load(revision, DigestKey([1; 32]), updates).snapshot;
        Arc::clone(snapshot.service(id).unwrap())
    }

    fn order(endpoints: &[(&str, u32)], count: usize) -> Vec<String> {
        let ready = ReadyService::new(&service(endpoints, None));
        (0..count).map(|_| ready.next_endpoint().unwrap().url.to_string()).collect()
    }

    #[test]
    fn shares_follow_weights_and_are_spread() {
        let order = order(&[("http://a", 5), ("http://b", 1), ("http://c", 1), ("http://d", 0)], 7);
        let expected = ["a", "a", "b", "a", "c", "a", "a"].map(|host| format!("http://{host}"));
        assert_eq!(order, expected);
    }

    #[test]
    fn a_service_without_a_usable_endpoint_has_none() {
        assert!(ReadyService::new(&service(&[("http://a", 0)], None)).next_endpoint().is_none());
    }

    #[test]
    fn a_service_is_made_ready_once_per_change() {
        let mut services = Services::default();
        let first = service(&[("http://a", 1)], None);
        let ready = services.ready(&first);
        assert!(Rc::ptr_eq(&ready, &services.ready(&first)));
        let changed = service(&[("http://b", 1)], None);
        assert_eq!(&*services.ready(&changed).next_endpoint().unwrap().url, "http://b");
        services.keep(|_| false);
        assert!(services.ready.is_empty());
    }

    #[test]
    fn a_secret_that_could_end_its_field_is_not_sent() {
        for bad in ["", "a\r\nX-Evil: 1", "a\u{0}b"] {
            let ready = ReadyService::new(&service(&[("http://a", 1)], Some(bad)));
            assert_eq!(ready.own_credential().err(), Some(DenyReason::SecretUnresolvable), "{bad:?}");
        }
        let ready = ReadyService::new(&service(&[("http://a", 1)], Some("s3cret\n")));
        assert_eq!(&*ready.own_credential().unwrap().unwrap().line, b"x-backend-key: s3cret\r\n");
        assert!(!format!("{ready:?}").contains("s3cret"));
    }
}
