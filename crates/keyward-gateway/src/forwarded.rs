//! Where a call comes from: the socket's peer, or what a trusted proxy says.
//!
//! A forwarded header counts only if the socket's peer is a trusted proxy. Then `X-Forwarded-For` is read from the
//! right, and the first address that is not a trusted proxy is the client: what stands left of it, anybody could have
//! written. A list that cannot be read, or is absurdly long, is no list: then the peer is the client.

use std::net::{IpAddr, SocketAddr};

use keyward_http::{Head, Peer};
use keyward_model::IpNet;

use crate::text::{AddressText, push_number};

/// Most addresses that a list may have.
const HOPS_MAX: usize = 32;

/// Where a call comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin<'a> {
    /// The client.
    pub(crate) client: IpAddr,
    /// The same as text.
    pub(crate) client_text: AddressText,
    /// It spoke TLS.
    pub(crate) secure: bool,
    /// What a trusted proxy said, to be extended rather than replaced.
    said: Option<Said<'a>>,
    peer: IpAddr,
    peer_port: u16,
    port: u16,
}

/// What a trusted proxy said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said<'a> {
    host: Option<&'a str>,
    port: Option<u16>,
}

impl<'a> Origin<'a> {
    /// Where this call comes from.
    pub(crate) fn of(head: &Head<'a>, peer: &Peer, trusted: &[IpNet]) -> Self {
        let address = peer.address.ip().to_canonical();
        let from_socket = Self {
            client: address,
            client_text: AddressText::of(address),
            secure: peer.secure,
            said: None,
            peer: address,
            peer_port: peer.address.port(),
            port: peer.local.port(),
        };
        if !trusted.iter().any(|net| net.contains(&address)) {
            return from_socket;
        }
        let Some(client) = rightmost_untrusted(head, address, trusted) else { return from_socket };
        let secure = match last_element(head, "x-forwarded-proto") {
            Some(proto) if proto.eq_ignore_ascii_case("https") => true,
            Some(proto) if proto.eq_ignore_ascii_case("http") => false,
            _ => peer.secure,
        };
        let said = Said {
            host: last_element(head, "x-forwarded-host").filter(|host| is_plain_host(host)),
            port: last_element(head, "x-forwarded-port").and_then(|port| port.parse().ok()),
        };
        Self { client, client_text: AddressText::of(client), secure, said: Some(said), ..from_socket }
    }

    /// The client's socket; port 0 where a proxy stands between.
    pub(crate) fn socket(&self) -> SocketAddr {
        SocketAddr::new(self.client, if self.client == self.peer { self.peer_port } else { 0 })
    }

    /// Appends the forwarded family, each once.
    fn push_fields(&self, out: &mut Vec<u8>, head: &Head<'_>) {
        let peer = AddressText::of(self.peer);
        out.extend_from_slice(b"X-Forwarded-For: ");
        if self.said.is_some() {
            for hop in hops(head).flatten() {
                out.extend_from_slice(AddressText::of(hop).as_bytes());
                out.extend_from_slice(b", ");
            }
        }
        out.extend_from_slice(peer.as_bytes());
        out.extend_from_slice(b"\r\nX-Real-IP: ");
        out.extend_from_slice(self.client_text.as_bytes());
        let host = self.said.and_then(|said| said.host).unwrap_or(head.authority);
        let proto: &[u8] = if self.secure { b"https" } else { b"http" };
        out.extend_from_slice(b"\r\nX-Forwarded-Host: ");
        out.extend_from_slice(host.as_bytes());
        out.extend_from_slice(b"\r\nX-Forwarded-Proto: ");
        out.extend_from_slice(proto);
        out.extend_from_slice(b"\r\nX-Forwarded-Port: ");
        push_number(out, self.port_said(host).into());
        out.extend_from_slice(b"\r\nForwarded: for=");
        self.push_node(out);
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host.as_bytes());
        out.extend_from_slice(b"\";proto=");
        out.extend_from_slice(proto);
        out.extend_from_slice(b"\r\n");
    }

    /// `Forwarded` (RFC 7239) tells the client alone: the way is in `X-Forwarded-For`.
    fn push_node(&self, out: &mut Vec<u8>) {
        let client = self.client_text.as_bytes();
        match self.client {
            IpAddr::V4(_) => out.extend_from_slice(client),
            IpAddr::V6(_) => {
                out.extend_from_slice(b"\"[");
                out.extend_from_slice(client);
                out.extend_from_slice(b"]\"");
            }
        }
    }

    fn port_said(&self, host: &str) -> u16 {
        let in_host = || host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        match self.said {
            Some(said) => said.port.or_else(in_host).unwrap_or(if self.secure { 443 } else { 80 }),
            None => self.port,
        }
    }
}

/// The forwarded family as it was written last: the next request mostly comes from the same client to the same host.
#[derive(Debug, Default)]
pub(crate) struct ForwardedFields {
    written_for: Option<(IpAddr, bool, u16)>,
    authority: String,
    fields: Vec<u8>,
}

impl ForwardedFields {
    /// Appends the forwarded family of a call, each once.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, origin: &Origin<'_>, head: &Head<'_>) {
        if origin.said.is_some() {
            return origin.push_fields(out, head);
        }
        let written_for = Some((origin.peer, origin.secure, origin.port));
        if self.written_for != written_for || self.authority != head.authority {
            self.fields.clear();
            origin.push_fields(&mut self.fields, head);
            self.authority.clear();
            self.authority.push_str(head.authority);
            self.written_for = written_for;
        }
        out.extend_from_slice(&self.fields);
    }
}

/// `None` where the list cannot be believed.
fn rightmost_untrusted(head: &Head<'_>, peer: IpAddr, trusted: &[IpNet]) -> Option<IpAddr> {
    let mut client = peer;
    let mut found = false;
    for (place, hop) in hops_from_right(head).enumerate() {
        let hop = hop.filter(|_| place < HOPS_MAX)?;
        if !found {
            client = hop;
            found = !trusted.iter().any(|net| net.contains(&hop));
        }
    }
    Some(client)
}

/// The elements of all `X-Forwarded-For` lines, in order; `None` for one that is no address.
fn hops(head: &Head<'_>) -> impl Iterator<Item = Option<IpAddr>> {
    lines(head).flat_map(|line| line.split(|&byte| byte == b',').map(parse_hop))
}

fn hops_from_right(head: &Head<'_>) -> impl Iterator<Item = Option<IpAddr>> {
    lines(head).rev().flat_map(|line| line.rsplit(|&byte| byte == b',').map(parse_hop))
}

fn lines<'a>(head: &Head<'a>) -> impl DoubleEndedIterator<Item = &'a [u8]> {
    head.fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("x-forwarded-for"))
        .map(|field| field.value)
}

/// An address, as proxies write them: also with a port, and IPv6 also in brackets.
fn parse_hop(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>()
        .or_else(|_| text.parse::<std::net::SocketAddr>().map(|socket| socket.ip()))
        .ok()
        .map(|address| address.to_canonical())
}

/// The last element of the last line of this name: what the proxy next to us wrote.
fn last_element<'a>(head: &Head<'a>, name: &str) -> Option<&'a str> {
    let field = head.fields.iter().rev().find(|field| field.name.eq_ignore_ascii_case(name))?;
    let element = field.value.rsplit(|&byte| byte == b',').next()?;
    std::str::from_utf8(element.trim_ascii()).ok()
}

fn is_plain_host(host: &str) -> bool {
    (1..=255).contains(&host.len())
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_http::{BodyLength, Field};

    fn field<'a>(name: &'a str, value: &'a str) -> Field<'a> {
        Field { name, value: value.as_bytes() }
    }

    fn head<'a>(fields: &'a [Field<'a>]) -> Head<'a> {
        Head {
            method: "GET",
            path: "/",
            query: None,
            host: "gw.test",
            authority: "gw.test:8080",
            fields,
            body: BodyLength::None,
            http10: false,
        }
    }

    fn peer(address: &str) -> Peer {
        let address = std::net::SocketAddr::new(address.parse().unwrap(), 40_000);
        Peer { address, local: "127.0.0.1:8080".parse().unwrap(), secure: false }
    }

    fn client(lines: &[&str], from: &str, trusted: &[&str]) -> String {
        let fields: Vec<_> = lines.iter().map(|line| field("X-Forwarded-For", line)).collect();
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        Origin::of(&head(&fields), &peer(from), &trusted).client.to_string()
    }

    fn fields_sent(fields: &[Field<'_>], from: &str, trusted: &[&str]) -> String {
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let head = head(fields);
        let origin = Origin::of(&head, &peer(from), &trusted);
        let (mut out, mut again) = (Vec::new(), Vec::new());
        let mut written = ForwardedFields::default();
        written.push(&mut out, &origin, &head);
        written.push(&mut again, &origin, &head);
        assert_eq!(out, again);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn without_trusted_proxies_only_the_socket_counts() {
        assert_eq!(client(&["127.0.0.1"], "127.0.0.2", &[]), "127.0.0.2");
        assert_eq!(client(&["127.0.0.1"], "192.0.2.1", &["10.0.0.0/8"]), "192.0.2.1");
    }

    #[test]
    fn the_right_most_untrusted_hop_is_the_client() {
        let trusted = ["127.0.0.1/32", "10.0.0.0/8"];
        assert_eq!(client(&["127.0.0.1, 203.0.113.9", "127.0.0.1"], "127.0.0.1", &trusted), "203.0.113.9");
        assert_eq!(client(&["6.6.6.6, 203.0.113.9, 10.1.1.1"], "127.0.0.1", &trusted), "203.0.113.9");
        assert_eq!(client(&["10.0.0.1, 10.0.0.2"], "127.0.0.1", &trusted), "10.0.0.1");
        assert_eq!(client(&[], "127.0.0.1", &trusted), "127.0.0.1");
        assert_eq!(client(&["[2001:db8::1]:443"], "127.0.0.1", &trusted), "2001:db8::1");
        assert_eq!(client(&["203.0.113.9:1234"], "127.0.0.1", &trusted), "203.0.113.9");
        assert_eq!(client(&["::ffff:203.0.113.9"], "::ffff:127.0.0.1", &trusted), "203.0.113.9");
    }

    #[test]
    fn a_list_that_cannot_be_read_is_no_list() {
        let trusted = ["127.0.0.1/32"];
        let long = ["203.0.113.9"; HOPS_MAX + 1].join(",");
        for line in ["203.0.113.9, unknown", "x, 203.0.113.9", "203.0.113.9,", &long] {
            assert_eq!(client(&[line], "127.0.0.1", &trusted), "127.0.0.1", "{line}");
        }
    }

    #[test]
    fn forwarded_fields_are_rebuilt_from_the_socket() {
        let spoofed = [field("X-Forwarded-For", "127.0.0.1"), field("X-Forwarded-Proto", "https")];
        assert_eq!(
            fields_sent(&spoofed, "192.0.2.7", &[]),
            "X-Forwarded-For: 192.0.2.7\r\nX-Real-IP: 192.0.2.7\r\nX-Forwarded-Host: gw.test:8080\r\n\
             X-Forwarded-Proto: http\r\nX-Forwarded-Port: 8080\r\n\
             Forwarded: for=192.0.2.7;host=\"gw.test:8080\";proto=http\r\n"
        );
    }

    #[test]
    fn what_was_written_for_one_client_is_not_sent_for_another() {
        let mut written = ForwardedFields::default();
        let mut sent = |from: &str, authority: &'static str, secure: bool| {
            let head = Head { authority, ..head(&[]) };
            let peer = Peer { secure, ..peer(from) };
            let mut out = Vec::new();
            written.push(&mut out, &Origin::of(&head, &peer, &[]), &head);
            String::from_utf8(out).unwrap()
        };
        assert!(sent("192.0.2.1", "a", false).contains("for=192.0.2.1;host=\"a\";proto=http\r\n"));
        assert!(sent("192.0.2.2", "a", false).contains("for=192.0.2.2;host=\"a\";proto=http\r\n"));
        assert!(sent("192.0.2.2", "b", false).contains("for=192.0.2.2;host=\"b\";proto=http\r\n"));
        assert!(sent("192.0.2.2", "b", true).contains("for=192.0.2.2;host=\"b\";proto=https\r\n"));
    }

    #[test]
    fn a_trusted_proxy_is_believed_and_extended() {
        let said = [
            field("X-Forwarded-For", "203.0.113.9"),
            field("X-Forwarded-Proto", "https"),
            field("X-Forwarded-Host", "shop.example"),
        ];
        assert_eq!(
            fields_sent(&said, "10.0.0.1", &["10.0.0.0/8"]),
            "X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nX-Real-IP: 203.0.113.9\r\nX-Forwarded-Host: shop.example\r\n\
             X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n\
             Forwarded: for=203.0.113.9;host=\"shop.example\";proto=https\r\n"
        );
    }

    #[test]
    fn a_host_with_other_characters_is_not_carried() {
        let said = [field("X-Forwarded-Host", "a\";proto=https")];
        let sent = fields_sent(&said, "10.0.0.1", &["10.0.0.0/8"]);
        assert!(sent.contains("X-Forwarded-Host: gw.test:8080\r\n"), "{sent}");
    }
}
