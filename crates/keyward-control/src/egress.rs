//! Fetching what the configuration names: bounded in size and time, without redirects, and never from addresses that
//! nobody allowed.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, HeaderMap};

/// Reaches hosts elsewhere.
pub(crate) struct Egress {
    client: reqwest::Client,
    allowed: Arc<BTreeSet<String>>,
}

/// What was answered.
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// Longest time of a fetch.
const TIMEOUT: Duration = Duration::from_secs(4);

impl Egress {
    /// One that reaches these hosts wherever they are, and others at public addresses alone.
    pub(crate) fn new(allow_egress: &[String]) -> Result<Self, String> {
        let plain = |host: &String| host.trim_matches(['[', ']']).to_ascii_lowercase();
        let allowed: Arc<BTreeSet<String>> = Arc::new(allow_egress.iter().map(plain).collect());
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            // Addresses are judged when connecting, so every fetch connects.
            .pool_max_idle_per_host(0)
            .dns_resolver(Guarded { allowed: Arc::clone(&allowed) })
            .user_agent("keyward")
            .build()
            .map_err(|error| format!("there is no HTTP client: {error}"))?;
        Ok(Self { client, allowed })
    }

    /// Fetches a document of at most so many bytes.
    pub(crate) async fn get(&self, url: &str, accepted: &str, length_max: usize) -> Result<Answered, String> {
        self.ask(self.client.get(url).header(ACCEPT, accepted), length_max).await
    }

    /// Sends this, whatever it asks, and reads an answer of at most so many bytes.
    pub(crate) async fn ask(
        &self,
        asked: reqwest::RequestBuilder,
        length_max: usize,
    ) -> Result<Answered, String> {
        let (client, asked) = asked.build_split();
        let asked = asked.map_err(|_| "its address is not one".to_owned())?;
        self.check_literal(asked.url())?;
        let mut response = client.execute(asked).await.map_err(told)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            if body.len() + chunk.len() > length_max {
                return Err(format!("it has more than {length_max} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
        Ok(Answered { status, headers, body })
    }

    /// A request that [`Egress::ask`] sends.
    pub(crate) fn post(&self, url: &str) -> reqwest::RequestBuilder {
        self.client.post(url)
    }

    /// A host that is an address is not looked up, so it is judged here.
    fn check_literal(&self, url: &reqwest::Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_ascii_lowercase();
        match host.parse::<IpAddr>() {
            Ok(address) if !is_public(address) && !self.allowed.contains(&host) => Err(refused(&host)),
            _ => Ok(()),
        }
    }
}

/// Looks names up, and keeps back addresses that are not public.
struct Guarded {
    allowed: Arc<BTreeSet<String>>,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
        let free = self.allowed.contains(&host);
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let reachable: Vec<SocketAddr> =
                found.filter(|address| free || is_public(address.ip())).collect();
            if reachable.is_empty() {
                return Err(refused(&host).into());
            }
            let addresses: Addrs = Box::new(reachable.into_iter());
            Ok(addresses)
        })
    }
}

fn refused(host: &str) -> String {
    format!("`{host}` is not at a public address: allow it with --allow-egress {host} if that is meant")
}

/// The innermost cause, without the address: its query is nobody else's.
pub(crate) fn told(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "it does not answer in time".to_owned();
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Can anybody on the internet have this address?
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => match carried(address) {
            Some(inner) => is_public_v4(inner),
            None => is_public_v6(address),
        },
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let reserved = matches!(
        (a, b, c),
        (0 | 10 | 127 | 240..=255, ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (198, 18..=19, _)
            | (192, 0, 0 | 2)
            | (198, 51, 100)
            | (203, 0, 113)
    );
    !reserved && !address.is_multicast()
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    let reserved = address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfe80
        || first & 0xffc0 == 0xfec0
        || (first, second) == (0x2001, 0x0db8);
    !reserved
}

/// The IPv4 address that a translator or tunnel would make of it: NAT64, 6to4, IPv4-compatible.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let joined = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(joined(high, low)),
        [0x2002, high, low, ..] => Some(joined(high, low)),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => Some(joined(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_within_reach_of_this_machine_alone_are_not_public() {
        for private in [
            "127.0.0.1",
            "127.255.255.254",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fdff::1",
            "fec0::1",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.0.0.1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in
            ["1.1.1.1", "172.15.0.1", "172.32.0.1", "100.128.0.1", "2606:4700::1", "64:ff9b::1.1.1.1"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }
}
