//! Addresses that signing in through an OpenID provider rests on: the provider's, and this admin server's own.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::ParseError;
use crate::key_set_url::check_web_address;

/// The issuer of an OpenID provider: `https://HOST[:PORT][/PATH]`; plain `http` only where host is this very machine.
/// Compared exactly, as tokens say it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Issuer(Box<str>);

impl Issuer {
    /// Longest, in bytes.
    pub const LENGTH_MAX: usize = 1_024;

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its host and port, for people.
    pub fn authority(&self) -> &str {
        let rest = self.0.split_once("://").map_or("", |(_, rest)| rest);
        rest.split('/').next().unwrap_or_default()
    }

    /// Where it describes itself (OpenID Connect Discovery 1.0, section 4).
    pub fn discovery(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }

    /// Takes an address that this provider names: like the issuer's own, it is encrypted unless both are on this machine.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn names(&self, address: &str) -> Result<(), ParseError> {
        check_encrypted(address, "address of an OpenID provider")?;
        if self.0.starts_with("https://") && !address.starts_with("https://") {
            let text = format!("`{}` is not encrypted, but the issuer is", address.escape_debug());
            return Err(ParseError::new(text));
        }
        Ok(())
    }
}

impl FromStr for Issuer {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        check_encrypted(text, "issuer")?;
        if text.len() > Self::LENGTH_MAX || text.contains('?') {
            let text = format!(
                "an issuer has at most {} characters and no query: write it exactly as the provider's tokens say it",
                Self::LENGTH_MAX
            );
            return Err(ParseError::new(text));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where browsers reach this admin server: `https://HOST[:PORT]`; plain `http` only where host is this very machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUrl(Box<str>);

impl AdminUrl {
    /// Its host, without port.
    pub fn host(&self) -> &str {
        let authority = self.0.split_once("://").map_or("", |(_, rest)| rest);
        crate::service::split_port(authority).map_or("", |(host, _)| host)
    }

    /// The address of a path there, which begins with `/`.
    pub fn with(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }
}

impl FromStr for AdminUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let text = text.strip_suffix('/').unwrap_or(text);
        check_encrypted(text, "address of an admin server")?;
        let authority = text.split_once("://").map_or("", |(_, rest)| rest);
        if authority.contains(['/', '?']) {
            return Err(ParseError::new(format!(
                "`{}` has a path: the admin server stands at the root of its host, like https://keyward.example.com",
                text.escape_debug()
            )));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What goes there is nobody else's to read, so it is encrypted, or stays on this machine.
fn check_encrypted(text: &str, what: &str) -> Result<(), ParseError> {
    let host = check_web_address(text, what)?;
    let bare = host.trim_matches(['[', ']']);
    let is_here = bare.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    if text.starts_with("http://") && !is_here {
        let text = text.escape_debug();
        return Err(ParseError::new(format!(
            "`{text}` is not encrypted: use https, but for addresses of this very machine"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_encrypted_or_on_this_machine() {
        for good in [
            "https://idp.example",
            "https://idp.example/realms/staff",
            "https://idp.example/",
            "http://127.0.0.1:8080",
            "http://localhost:8080/realms/x",
            "http://[::1]:3000",
        ] {
            assert_eq!(good.parse::<Issuer>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "idp.example",
            "http://idp.example",
            "http://10.0.0.1",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "https://idp.example/?tenant=a",
            "https://idp.example/#x",
            "https://user@idp.example/",
            "https://idp.example/\u{e9}",
            &format!("https://idp.example/{}", "x".repeat(1_024)),
        ] {
            assert!(bad.parse::<Issuer>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_provider_describes_itself_below_its_issuer() {
        let discovery = |issuer: &str| issuer.parse::<Issuer>().unwrap().discovery();
        assert_eq!(discovery("https://a.example"), "https://a.example/.well-known/openid-configuration");
        assert_eq!(discovery("https://a.example/r/"), "https://a.example/r/.well-known/openid-configuration");
        assert_eq!("https://a.example:8443/r".parse::<Issuer>().unwrap().authority(), "a.example:8443");
    }

    #[test]
    fn what_a_provider_names_is_no_less_safe_than_itself() {
        let (far, near): (Issuer, Issuer) =
            ("https://idp.example".parse().unwrap(), "http://127.0.0.1:1".parse().unwrap());
        assert!(far.names("https://elsewhere.example/x?a=b").is_ok());
        assert!(near.names("http://localhost:2/x").is_ok() && near.names("https://idp.example/x").is_ok());
        for bad in ["http://127.0.0.1/x", "http://idp.example/x", "javascript:alert(1)", "/x", ""] {
            assert!(far.names(bad).is_err(), "{bad}");
        }
        assert!(near.names("http://idp.example/x").is_err());
    }

    #[test]
    fn an_admin_address_has_no_path() {
        let url: AdminUrl = "https://keyward.example.com:9443/".parse().unwrap();
        assert_eq!(
            (url.host(), url.with("/x").as_str()),
            ("keyward.example.com", "https://keyward.example.com:9443/x")
        );
        assert_eq!("http://[::1]:9080".parse::<AdminUrl>().unwrap().host(), "[::1]");
        for bad in [
            "https://keyward.example.com/admin",
            "http://keyward.example.com",
            "https://k.example/?x",
            "//k.example",
        ] {
            assert!(bad.parse::<AdminUrl>().is_err(), "{bad}");
        }
    }
}
