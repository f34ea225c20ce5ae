//! Planning services.

use std::net::{IpAddr, SocketAddr};

use keyward_model::{
    AccountId, Located, Noun, Place, SecretText, Service, ServiceAuth, ServiceId, ServiceSpec,
    is_header_value,
};
use keyward_store::{Record, RecordId};

use super::words::touched;
use super::{Outcome, Planner, within};

impl Planner<'_> {
    pub(super) fn service(&mut self, entry: &Located<ServiceSpec>) {
        let (spec, place) = (&entry.value, &entry.place);
        let key = format!("{}/{}", spec.account, spec.name);
        if !self.first_of_its_name(Noun::Service, key, place) {
            return;
        }
        let Some(account) = self.account_named(&spec.account, place, "account") else { return };
        let key = (account, spec.name.clone());
        let named = self.existing.services.find(&key).copied();
        let found = match self.context.target {
            Some(RecordId::Service(target)) => Some(target),
            _ => named,
        };
        let before = found.and_then(|id| self.existing.services.get(&id)).cloned();
        if !self.stays(Noun::Service, before.as_ref().map(|before| before.account), account, place) {
            return;
        }
        let taken = named.is_some() && (named != found || self.context.must_create);
        let renamed = before.as_ref().is_none_or(|before| before.spec.name != spec.name);
        if (taken || renamed) && !self.check_name(Noun::Service, &spec.name, taken, place) {
            return;
        }
        self.check_endpoints(spec, place);
        self.check_plugins_before(spec, before.as_ref(), place);
        let refers =
            service_text(spec).or_else(|| before.as_ref().and_then(|before| service_text(&before.spec)));
        if let (Some(text), true) = (refers, spec.service_auth.is_some()) {
            let endpoints = (&*spec.endpoints, before.as_ref().map(|before| &*before.spec.endpoints));
            self.check_destinations(account, text, endpoints, place);
        }
        let Some(service_auth) = self.service_auth(spec, before.as_ref(), account, place) else { return };
        let Some(id) = found.or_else(|| self.uuid().map(ServiceId::from_uuid)) else { return };
        let after = Service { id, account, spec: ServiceSpec { service_auth, ..spec.clone() } };
        let differs = before.as_ref() != Some(&after);
        if differs {
            let mut record = after.clone();
            keep_sealed(&mut record, before.as_ref());
            let before_key = before.as_ref().map(|before| (account, before.spec.name.clone()));
            self.put(Record::Service(record), before.clone().map(Record::Service));
            self.existing.services.insert(key, id, after, before_key.as_ref());
        }
        let record = RecordId::Service(id);
        let report = touched(Noun::Service, Some(&spec.account), &spec.name, record);
        self.settle(record, place, report, Outcome::of(before.is_none(), differs));
    }

    /// Plugins of the APIs that it is behind may send secrets to it.
    fn check_plugins_before(&mut self, spec: &ServiceSpec, before: Option<&Service>, place: &Place) {
        let Some(before) = before else { return };
        let is_new = |endpoint: &keyward_model::EndpointSpec| {
            !before.spec.endpoints.iter().any(|other| other.url == endpoint.url)
        };
        if !spec.endpoints.iter().any(is_new) {
            return;
        }
        let behind = |api: &keyward_model::Api| api.stages.values().any(|stage| stage.service == before.id);
        let apis: Vec<_> =
            self.existing.apis.iter().filter(|(_, api)| behind(api)).map(|(id, _)| *id).collect();
        apis.into_iter().for_each(|api| self.check_plugins_of(api, &within(place, "endpoints")));
    }

    fn check_endpoints(&mut self, spec: &ServiceSpec, place: &Place) {
        if spec.endpoints.is_empty() {
            let text = "a service has at least one endpoint, such as http://127.0.0.1:9000";
            self.invalid("endpoints_missing", within(place, "endpoints"), text);
        } else if spec.endpoints.iter().all(|endpoint| endpoint.weight == 0) {
            let text = "every endpoint has weight 0, so none would be called: give one a weight of 1 or more";
            self.invalid("endpoints_without_weight", within(place, "endpoints"), text);
        }
        for (at, endpoint) in spec.endpoints.iter().enumerate() {
            if self.context.own_listeners.iter().any(|own| is_own(endpoint.url.as_str(), own)) {
                let text = format!(
                    "`{}` is a listener of this node itself: name the service's own address",
                    endpoint.url.as_str()
                );
                self.invalid("endpoint_own_listener", within(place, &format!("endpoints[{at}]")), text);
            }
        }
    }

    /// The authentication with its value: the one given, or the stored one. The outer `None` is a problem.
    #[expect(clippy::option_option, reason = "no authentication is not the same as one that is wrong")]
    fn service_auth(
        &mut self,
        spec: &ServiceSpec,
        before: Option<&Service>,
        account: AccountId,
        place: &Place,
    ) -> Option<Option<ServiceAuth>> {
        let Some(ServiceAuth::Header { name, value }) = &spec.service_auth else { return Some(None) };
        if name.is_reserved() {
            let text = format!(
                "the header `{name}` belongs to the transport or to keyward: use another, such as authorization"
            );
            self.invalid("header_reserved", within(place, "auth.header.name"), text);
            return None;
        }
        let stored = before.and_then(|before| service_text(&before.spec)).cloned();
        let Some(value) = value.clone().or_else(|| stored.clone()) else {
            let text = "the value is missing, and none is stored that could be kept: give one";
            self.invalid("secret_missing", within(place, "auth.header.value"), text);
            return None;
        };
        let place_of_value = within(place, "auth.header.value");
        let known = stored.as_ref().map(SecretText::refs).unwrap_or_default();
        self.check_references(account, &value, &known, &place_of_value)?;
        if self.value_of(account, &value).is_some_and(|plain| !is_header_value(&plain)) {
            let text = "the value must be visible ASCII, without blanks at its ends";
            self.invalid("secret_malformed", within(place, "auth.header.value"), text);
            return None;
        }
        Some(Some(ServiceAuth::Header { name: name.clone(), value: Some(value) }))
    }
}

/// What a service's authentication is written as, if it is known.
fn service_text(spec: &ServiceSpec) -> Option<&SecretText> {
    match spec.service_auth.as_ref()? {
        ServiceAuth::Header { value, .. } => value.as_ref(),
    }
}

/// Where the value stays as it is, the sealed one is not written again.
fn keep_sealed(record: &mut Service, before: Option<&Service>) {
    let stored = before.and_then(|before| before.spec.service_auth.as_ref());
    if let Some(ServiceAuth::Header { value, .. }) = &mut record.spec.service_auth
        && let Some(ServiceAuth::Header { value: stored, .. }) = stored
        && value == stored
    {
        *value = None;
    }
}

/// Does this endpoint lead to this listener? Names other than `localhost` are looked up when they are called.
fn is_own(url: &str, own: &SocketAddr) -> bool {
    let Some(authority) = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()) else {
        return false;
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(80)),
        _ => (authority, 80),
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = match bare.parse::<IpAddr>() {
        Ok(address) => Some(canonical(address)),
        Err(_) => None,
    };
    let listens_everywhere = own.ip().is_unspecified();
    let is_this_machine = match address {
        Some(address) => {
            let reached = address.is_loopback() || address.is_unspecified();
            address == canonical(own.ip()) || (reached && (listens_everywhere || own.ip().is_loopback()))
        }
        None => {
            let local =
                bare.eq_ignore_ascii_case("localhost") || bare.to_ascii_lowercase().ends_with(".localhost");
            local && (listens_everywhere || canonical(own.ip()).is_loopback())
        }
    };
    port == own.port() && is_this_machine
}

/// An IPv4 address written as an IPv6 one is that IPv4 address.
fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_known_in_every_spelling() {
        let everywhere: SocketAddr = "0.0.0.0:8080".parse().unwrap();
        let loopback: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        let public: SocketAddr = "192.0.2.1:8080".parse().unwrap();
        for (url, own, expected) in [
            ("http://127.0.0.1:8080", everywhere, true),
            ("http://127.9.9.9:8080/x", everywhere, true),
            ("http://localhost:8080", everywhere, true),
            ("http://[::1]:8080", everywhere, true),
            ("http://[::ffff:127.0.0.1]:8080", loopback, true),
            ("http://0.0.0.0:8080", loopback, true),
            ("http://LOCALHOST:8080/a", loopback, true),
            ("http://192.0.2.1:8080", public, true),
            ("http://127.0.0.1:9000", everywhere, false),
            ("http://192.0.2.2:8080", loopback, false),
            ("http://127.0.0.1:8080", public, false),
            ("http://orders.internal:8080", everywhere, false),
            ("http://127.0.0.1", everywhere, false),
        ] {
            assert_eq!(is_own(url, &own), expected, "{url} {own}");
        }
    }
}
