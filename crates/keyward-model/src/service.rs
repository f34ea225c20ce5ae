//! Services: the upstreams.

use crate::{AccountId, HeaderName, Name, ParseError, SecretText, ServiceId};

/// An upstream: its endpoints, and how we prove ourselves to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its id.
    pub id: ServiceId,
    /// Whose it is.
    pub account: AccountId,
    /// How it is set up.
    pub spec: ServiceSpec,
}

/// A service as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Name of its account.
    pub account: Name,
    /// Its name, unique in the account.
    pub name: Name,
    /// For people.
    pub description: String,
    /// A disabled service answers nothing.
    pub enabled: bool,
    /// What it speaks.
    pub kind: ServiceKind,
    /// Where it is. Never empty.
    pub endpoints: Vec<EndpointSpec>,
    /// Time limits towards it.
    pub timeouts: ServiceTimeouts,
    /// How we prove ourselves to it.
    pub service_auth: Option<ServiceAuth>,
}

/// What a service speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// Plain HTTP.
    Http,
}

/// One address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// `http://HOST[:PORT][/PATH]`, without query and fragment.
    pub url: EndpointUrl,
    /// Its share of the requests, relative to its siblings; 0 takes none.
    pub weight: u32,
}

/// An address as it may be shown: what stands before an `@` can be a password.
pub(crate) fn without_userinfo(text: &str) -> String {
    let Some((before, after)) = text.rsplit_once('@') else { return text.to_owned() };
    let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
    format!("{scheme}://…@{after}")
}

/// The URL of an endpoint: scheme `http`, host, port, and a path that is put before the request's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndpointUrl(Box<str>);

impl EndpointUrl {
    /// The URL as text, without a trailing slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host, an IPv6 address in brackets.
    pub fn host(&self) -> &str {
        self.authority().map_or("", |(host, _)| host)
    }

    /// Its port; 80 where it says none.
    pub fn port(&self) -> u16 {
        self.authority().and_then(|(_, port)| port?.parse().ok()).unwrap_or(80)
    }

    fn authority(&self) -> Option<(&str, Option<&str>)> {
        let rest = self.0.strip_prefix("http://")?;
        split_port(rest.split('/').next().unwrap_or_default())
    }
}

impl std::str::FromStr for EndpointUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = |why: &str| {
            ParseError::new(format!("`{}` is not an endpoint: {why}", without_userinfo(text).escape_debug()))
        };
        if text.starts_with("https://") {
            return Err(wrong("https is not supported by this version; use http://HOST:PORT"));
        }
        let rest = text.strip_prefix("http://").ok_or_else(|| wrong("write it like http://HOST:PORT"))?;
        if !rest.bytes().all(|b| b.is_ascii_graphic()) || rest.contains(['?', '#', '@', '\\']) {
            return Err(wrong("it has no userinfo, query or fragment, and only visible ASCII"));
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (host, port) = split_port(authority).ok_or_else(|| wrong("write it like http://HOST:PORT"))?;
        if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
            return Err(wrong("its port must be 1 to 65535"));
        }
        host.parse::<crate::HostPattern>()
            .ok()
            .filter(|h| matches!(h, crate::HostPattern::Exact(_)))
            .ok_or_else(|| {
                wrong("its host must be a name, an IPv4 address or an IPv6 address in brackets")
            })?;
        if !path.is_empty() {
            path.parse::<crate::BasePath>().map_err(|error| wrong(&error.to_string()))?;
        }
        Ok(Self(text.strip_suffix('/').unwrap_or(text).into()))
    }
}

/// Splits `HOST[:PORT]`, where an IPv6 host stands in brackets.
pub(crate) fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let end = authority.find(']')? + 1;
        let (host, rest) = authority.split_at(end);
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    Some(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

/// Time limits towards a service, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServiceTimeouts {
    /// To establish a connection.
    pub connect_ms: u32,
    /// From the request's last byte to the answer's first.
    pub first_byte_ms: u32,
    /// Between two pieces of a body.
    pub idle_ms: u32,
}

impl Default for ServiceTimeouts {
    fn default() -> Self {
        Self { connect_ms: 1_000, first_byte_ms: 15_000, idle_ms: 60_000 }
    }
}

/// How we prove ourselves to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceAuth {
    /// A header field, set on every request.
    Header {
        /// Its name.
        name: HeaderName,
        /// Its value. `None` in a description keeps the stored one.
        value: Option<SecretText>,
    },
}
