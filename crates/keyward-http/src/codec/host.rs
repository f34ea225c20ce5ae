//! `Host` and the authority of a target.

use std::net::Ipv6Addr;
use std::str::FromStr;

use super::Fault;

/// Longest host that is accepted, without port.
const HOST_MAX: usize = 255;

/// Room for a host that has to be written in lower case.
pub(crate) struct HostScratch([u8; HOST_MAX]);

impl HostScratch {
    pub(crate) fn new() -> Self {
        Self([0; HOST_MAX])
    }
}

/// A host with its port, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    /// As it came, without port and trailing dot; IPv6 with its brackets.
    pub(crate) host: &'a str,
    /// The port, if one was written.
    pub(crate) port: Option<u16>,
    upper: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Lower,
    Upper,
    Dot,
    Colon,
    Other,
}

const CLASSES: [Class; 256] = {
    let mut classes = [Class::Other; 256];
    let mut rest: &mut [Class] = &mut classes;
    let mut byte = 0u8;
    while let Some((class, after)) = rest.split_first_mut() {
        *class = match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => Class::Lower,
            b'A'..=b'Z' => Class::Upper,
            b'.' => Class::Dot,
            b':' => Class::Colon,
            _ => Class::Other,
        };
        rest = after;
        byte = byte.wrapping_add(1);
    }
    classes
};

impl<'a> Authority<'a> {
    /// Reads `host[:port]`: labels of letters, digits, `-` and `_`, or an address; no user, no list, no encoding.
    pub(crate) fn parse(raw: &'a str) -> Result<Self, Fault> {
        if raw.starts_with('[') { Self::parse_ipv6(raw) } else { Self::parse_name(raw) }
    }

    fn parse_ipv6(raw: &'a str) -> Result<Self, Fault> {
        const FAULT: Fault = "host is not a valid IPv6 address";
        let close = raw.find(']').ok_or(FAULT)?;
        let (host, after) = raw.split_at_checked(close + 1).ok_or(FAULT)?;
        let inside = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).ok_or(FAULT)?;
        Ipv6Addr::from_str(inside).map_err(|_| FAULT)?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None if after.is_empty() => None,
            None => return Err(FAULT),
        };
        Ok(Self { host, port, upper: host.bytes().any(|b| b.is_ascii_uppercase()) })
    }

    fn parse_name(raw: &'a str) -> Result<Self, Fault> {
        let mut upper = false;
        let mut before = Class::Dot;
        let mut colon = raw.len();
        for (at, byte) in raw.bytes().enumerate() {
            let class = CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Other);
            match class {
                Class::Lower => {}
                Class::Upper => upper = true,
                Class::Dot if before != Class::Dot => {}
                Class::Colon => {
                    colon = at;
                    break;
                }
                Class::Dot | Class::Other => return Err("host holds what host names do not"),
            }
            before = class;
        }
        let (host, after) = raw.split_at_checked(colon).ok_or("host is not valid")?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(parse_port(port)?),
            None => None,
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() || host.len() > HOST_MAX {
            return Err("host is empty or too long");
        }
        Ok(Self { host, port, upper })
    }

    /// The host in lower case; `scratch` is used only where it came in another.
    pub(crate) fn lower<'s>(&self, scratch: &'s mut HostScratch) -> &'s str
    where
        'a: 's,
    {
        if !self.upper {
            return self.host;
        }
        let Some(room) = scratch.0.get_mut(..self.host.len()) else { return self.host };
        room.copy_from_slice(self.host.as_bytes());
        room.make_ascii_lowercase();
        std::str::from_utf8(room).unwrap_or(self.host)
    }

    /// Whether both name the same place, `default_port` standing for a port that was not written.
    pub(crate) fn agrees(&self, other: &Authority<'_>, default_port: u16) -> bool {
        self.host.eq_ignore_ascii_case(other.host)
            && self.port.unwrap_or(default_port) == other.port.unwrap_or(default_port)
    }
}

fn parse_port(port: &str) -> Result<u16, Fault> {
    const FAULT: Fault = "host has a port that is not a number from 0 to 65535";
    if port.is_empty() || port.len() > 5 || !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(FAULT);
    }
    port.parse().map_err(|_| FAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_hosts_and_ports() {
        for (raw, host, port) in [
            ("a.example", "a.example", None),
            ("API.T1.Example", "api.t1.example", None),
            ("a.example.", "a.example", None),
            ("a.example:80", "a.example", Some(80)),
            ("a.example.:80", "a.example", Some(80)),
            ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
            ("[::1]:8080", "[::1]", Some(8080)),
            ("[FE80::1]", "[fe80::1]", None),
            ("my_service", "my_service", None),
        ] {
            let authority = Authority::parse(raw).unwrap();
            let mut scratch = HostScratch::new();
            assert_eq!((authority.lower(&mut scratch), authority.port), (host, port), "{raw}");
        }
    }

    #[test]
    fn refuses_what_could_be_read_in_two_ways() {
        for raw in [
            "",
            ".",
            "a..b",
            ".a",
            "a..",
            "x@a",
            "a,b",
            "a b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a%2eb",
            "a:",
            "a:x",
            "a:+1",
            "a:65536",
            "a:000080",
            "a:80:80",
            "[::1",
            "[::1]x",
            "[::1]:",
            "[a]",
            "::1",
            "ä",
            "a\t",
            "[::1%25eth0]",
            "[[::1]",
            "[[::1]]",
        ] {
            assert!(Authority::parse(raw).is_err(), "{raw:?}");
        }
        assert!(Authority::parse(&"a".repeat(256)).is_err());
    }
}
