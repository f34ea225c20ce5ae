//! Where requests are carried to: a parsed `http://host:port[/base]`.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use crate::resolve::{Addresses, Lookup, Names};

/// An upstream address with the path that stands before every request's own.
///
/// Two endpoints with the same host and port share their pooled connections and their resolved addresses,
/// also when they were parsed at different times, so that a change of configuration cuts no connection.
#[derive(Clone)]
pub struct Endpoint {
    origin: Arc<Origin>,
    base_path: String,
}

impl Endpoint {
    /// Parses `http://host[:port][/base]`. The host is a DNS name, an IPv4 address or an IPv6 address in brackets.
    ///
    /// # Errors
    /// Anything else, with what is wrong; `https` is not carried yet.
    ///
    /// ```
    /// let endpoint = keyward_http::Endpoint::parse("http://orders.internal:8080/v1/")?;
    /// assert_eq!(endpoint.authority(), "orders.internal:8080");
    /// assert_eq!(endpoint.base_path(), "/v1");
    /// # Ok::<(), keyward_http::EndpointError>(())
    /// ```
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| EndpointError::Scheme { url: url.to_owned() })?;
        if scheme.eq_ignore_ascii_case("https") {
            return Err(EndpointError::Tls { url: url.to_owned() });
        }
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(EndpointError::Scheme { url: url.to_owned() });
        }
        let split = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(split);
        let (host, port) = parse_authority(authority)?;
        let base_path = parse_base_path(path)?;
        Ok(Self { origin: Origin::of(host, port.unwrap_or(80)), base_path })
    }

    /// `host` or `host:port` (without the default port), as it belongs into `Host`.
    pub fn authority(&self) -> &str {
        &self.origin.authority
    }

    /// The path before every request's path: empty, or starting with `/` and not ending with one.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    pub(crate) fn origin(&self) -> &Arc<Origin> {
        &self.origin
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(url: &str) -> Result<Self, EndpointError> {
        Self::parse(url)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority(), self.base_path)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl PartialEq for Endpoint {
    fn eq(&self, other: &Self) -> bool {
        self.origin.id == other.origin.id && self.base_path == other.base_path
    }
}

impl Eq for Endpoint {}

/// Why a URL is not an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// Not `http://…`.
    #[error("endpoint `{url}` does not start with `http://`")]
    Scheme {
        /// What was given.
        url: String,
    },
    /// `https://…`.
    #[error("endpoint `{url}` asks for TLS, which is not carried to services yet: use `http://`")]
    Tls {
        /// What was given.
        url: String,
    },
    /// The host is neither a DNS name nor an address.
    #[error("endpoint host `{host}` is neither a DNS name nor an IP address (IPv6 goes in brackets)")]
    Host {
        /// What was given.
        host: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("endpoint port `{port}` is not a number from 1 to 65535")]
    Port {
        /// What was given.
        port: String,
    },
    /// User information before the host.
    #[error("an endpoint holds no user name or password: give a credential of the service instead")]
    UserInfo,
    /// The base path has a query, a fragment, dot segments, empty segments or bytes that need encoding.
    #[error("endpoint base path `{path}` must be a plain path without query, fragment, `.`, `..` or `//`")]
    BasePath {
        /// What was given.
        path: String,
    },
}

fn parse_authority(authority: &str) -> Result<(Host, Option<u16>), EndpointError> {
    if authority.contains('@') {
        return Err(EndpointError::UserInfo);
    }
    let invalid = || EndpointError::Host { host: authority.to_owned() };
    if let Some(rest) = authority.strip_prefix('[') {
        let (inside, after) = rest.split_once(']').ok_or_else(invalid)?;
        let address = Ipv6Addr::from_str(inside).map_err(|_| invalid())?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if after.is_empty() => None,
            None => return Err(invalid()),
        };
        return Ok((Host::Address(IpAddr::V6(address)), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(parse_port(port)?)),
        None => (authority, None),
    };
    if let Ok(address) = Ipv4Addr::from_str(host) {
        return Ok((Host::Address(IpAddr::V4(address)), port));
    }
    if !is_dns_name(host) {
        return Err(EndpointError::Host { host: host.to_owned() });
    }
    Ok((Host::Name(host.to_ascii_lowercase()), port))
}

fn parse_port(port: &str) -> Result<u16, EndpointError> {
    let number = if port.bytes().all(|b| b.is_ascii_digit()) { port.parse::<u16>().ok() } else { None };
    number.filter(|n| *n > 0).ok_or_else(|| EndpointError::Port { port: port.to_owned() })
}

/// Letters, digits, `-` and `_` in labels of 1 to 63. A last label that starts with a digit is refused: resolvers
/// read `127.1` or `0x7f.1` as addresses, which nobody who reads the configuration would see.
fn is_dns_name(host: &str) -> bool {
    let label_is_fine = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let last_is_a_name =
        host.rsplit('.').next().is_some_and(|l| !l.starts_with(|c: char| c.is_ascii_digit()));
    host.len() <= 253 && last_is_a_name && host.split('.').all(label_is_fine)
}

fn parse_base_path(path: &str) -> Result<String, EndpointError> {
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let plain = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#' | b'\\'))
    };
    let fine = match trimmed.strip_prefix('/') {
        Some(rest) => rest.split('/').all(plain),
        None => trimmed.is_empty(),
    };
    if fine { Ok(trimmed.to_owned()) } else { Err(EndpointError::BasePath { path: path.to_owned() }) }
}

/// Who is connected to: host and port. There is one value per host and port in the process.
pub(crate) struct Origin {
    id: u64,
    host: Host,
    port: u16,
    authority: String,
    names: Names,
}

#[derive(Clone, PartialEq, Eq, Hash)]
enum Host {
    Address(IpAddr),
    Name(String),
}

type Registry = HashMap<(Host, u16), Weak<Origin>>;

static ORIGINS: LazyLock<Mutex<Registry>> = LazyLock::new(Mutex::default);
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Origin {
    fn of(host: Host, port: u16) -> Arc<Self> {
        let mut origins = ORIGINS.lock().unwrap_or_else(PoisonError::into_inner);
        let place = (host, port);
        if let Some(origin) = origins.get(&place).and_then(Weak::upgrade) {
            return origin;
        }
        if origins.len() == origins.capacity() {
            origins.retain(|_, origin| origin.strong_count() > 0);
        }
        let origin = Arc::new(Self::new(place.0.clone(), port));
        origins.insert(place, Arc::downgrade(&origin));
        origin
    }

    fn new(host: Host, port: u16) -> Self {
        let shown = match &host {
            Host::Address(IpAddr::V6(address)) => format!("[{address}]"),
            Host::Address(IpAddr::V4(address)) => address.to_string(),
            Host::Name(name) => name.clone(),
        };
        let authority = if port == 80 { shown } else { format!("{shown}:{port}") };
        let names = match &host {
            Host::Address(address) => Names::fixed(SocketAddr::new(*address, port)),
            Host::Name(name) => Names::of(name.clone(), port),
        };
        Self { id: NEXT_ID.fetch_add(1, Ordering::Relaxed), host, port, authority, names }
    }

    /// Identity for pools; never used twice in a process.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The addresses to try, or the wait for them.
    pub(crate) fn addresses(&self) -> Lookup {
        self.names.addresses()
    }

    /// Tells that none of these addresses could be connected to, so that they are looked up anew.
    pub(crate) fn unreachable(&self, tried: &Addresses) {
        self.names.doubt(tried);
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if matches!(self.host, Host::Name(_)) { "name" } else { "address" };
        write!(f, "Origin({name} {}, port {})", self.authority, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_host_port_and_base_path() {
        for (url, authority, base) in [
            ("http://a.example", "a.example", ""),
            ("HTTP://A.Example:80/", "a.example", ""),
            ("http://a_b.example:8080/v1/x/", "a_b.example:8080", "/v1/x"),
            ("http://127.0.0.1:9", "127.0.0.1:9", ""),
            ("http://[::1]:9/x%20y", "[::1]:9", "/x%20y"),
            ("http://[::1]", "[::1]", ""),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!((endpoint.authority(), endpoint.base_path()), (authority, base), "{url}");
        }
    }

    #[test]
    fn refuses_what_is_not_an_endpoint() {
        for url in [
            "a.example",
            "ftp://a.example",
            "http://",
            "http://u:p@a.example",
            "http://a.example:0",
            "http://a.example:65536",
            "http://a.example:+1",
            "http://a.example:",
            "http://127.1",
            "http://0x7f.0.0.1",
            "http://[::1",
            "http://[::1]x",
            "http://a..b",
            "http://a b",
            "http://a.example/?q",
            "http://a.example#f",
            "http://a.example//x",
            "http://a.example/../x",
            "http://a.example/ä",
        ] {
            assert!(Endpoint::parse(url).is_err(), "{url}");
        }
        assert!(matches!(Endpoint::parse("https://a.example"), Err(EndpointError::Tls { .. })));
    }

    #[test]
    fn same_place_is_the_same_origin() {
        let first = Endpoint::parse("http://same.example:81/a").unwrap();
        let second = Endpoint::parse("http://SAME.example:81/b").unwrap();
        assert_eq!(first.origin().id(), second.origin().id());
        assert_ne!(first, second);
    }
}
