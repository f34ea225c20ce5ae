//! Where a consumer's key set is fetched from.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// The address of a key set: `https://HOST[:PORT][/PATH][?QUERY]`, or the same with `http`. Never chosen by a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeySetUrl(Box<str>);

impl KeySetUrl {
    /// Longest, in bytes.
    pub const LENGTH_MAX: usize = 2_048;

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeySetUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        check_web_address(text, "address of a key set").map(|_| Self(text.into()))
    }
}

/// Is this `https://HOST[:PORT][/PATH][?QUERY]`, or the same with `http`? The answer is the host; `what` names what it should be.
pub(crate) fn check_web_address<'t>(text: &'t str, what: &str) -> Result<&'t str, ParseError> {
    let wrong = |why: &str| {
        let shown = crate::service::without_userinfo(text);
        ParseError::new(format!("`{}` is no {what}: {why}", shown.escape_debug()))
    };
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| wrong("write it like https://HOST/PATH"))?;
    if text.len() > KeySetUrl::LENGTH_MAX || !rest.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(wrong("it has at most 2048 characters, all of them visible ASCII"));
    }
    if rest.contains(['#', '@', '\\']) {
        return Err(wrong("it has no userinfo and no fragment"));
    }
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let (host, port) = crate::service::split_port(authority).ok_or_else(|| wrong("its host is not one"))?;
    if port.is_some_and(|port| port.parse::<u16>().map_or(true, |port| port == 0)) {
        return Err(wrong("its port must be 1 to 65535"));
    }
    match host.parse::<crate::HostPattern>() {
        Ok(crate::HostPattern::Exact(_)) => Ok(host),
        _ => Err(wrong("its host must be a name, an IPv4 address or an IPv6 address in brackets")),
    }
}

impl fmt::Display for KeySetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A key set that is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteKeys {
    /// From where.
    pub url: KeySetUrl,
    /// How often, in seconds, where the answer does not say how long it holds.
    pub refresh_s: u32,
    /// How long it is believed after it was last fetched, in seconds.
    pub keep_s: u32,
}

impl RemoteKeys {
    /// How often a set is fetched unless told: every five minutes.
    pub const REFRESH_S: u32 = 300;
    /// How long a set is believed unless told: a day.
    pub const KEEP_S: u32 = 86_400;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_plain_and_whole() {
        for good in [
            "https://idp.example/jwks.json",
            "https://idp.example:8443",
            "http://[::1]:8080/keys?tenant=a",
            "http://127.0.0.1/",
        ] {
            assert_eq!(good.parse::<KeySetUrl>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "idp.example/jwks",
            "ftp://idp.example/",
            "file:///etc/passwd",
            "https://",
            "https:///path",
            "https://user:pw@idp.example/",
            "https://idp.example/#x",
            "https://idp.example/ x",
            "https://idp.example:0/",
            "https://*.example/",
            "https://idp.example\\@evil.example/",
            &format!("https://idp.example/{}", "x".repeat(2_048)),
        ] {
            assert!(bad.parse::<KeySetUrl>().is_err(), "{bad}");
        }
    }
}
