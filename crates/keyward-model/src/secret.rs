//! Secret values. A secret's state is its type: readable ([`Plaintext`]) or a keyed digest ([`CredentialDigest`]).
//! And [`Secret`]: one that has a name, so that it is referred to where it is needed and stands nowhere else.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::service::split_port;
use crate::{AccountId, EndpointUrl, HostPattern, Name, ParseError, SecretId, Timestamp};

/// A secret in readable form. Wiped when dropped; never shown by `Debug`; not `Display`, not `Serialize`.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Plaintext(String);

impl Plaintext {
    /// Takes over the secret.
    pub fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself. Must not reach a log, an error or a response that was not asked to reveal it.
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// Could it be guessed? Shorter than 16 bytes, or made of fewer than 6 different ones.
    pub fn is_weak(&self) -> bool {
        let different: BTreeSet<u8> = self.0.bytes().collect();
        self.0.len() < 16 || different.len() < 6
    }
}

/// Longest AppSecret, in characters.
const APP_SECRET_MAX: usize = 256;
/// Shortest custom API key or AppCode, in characters.
const OPAQUE_MIN: usize = 16;
/// Longest custom API key or AppCode, in characters.
const OPAQUE_MAX: usize = 4_096;

/// May this be an AppSecret?
///
/// # Errors
/// Says what may.
pub fn check_app_secret(secret: &Plaintext) -> Result<(), String> {
    let text = secret.expose_secret();
    if (1..=APP_SECRET_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(format!("an AppSecret has 1 to {APP_SECRET_MAX} visible ASCII characters, and no blank"))
    }
}

/// May this be a custom API key or AppCode?
///
/// # Errors
/// Says what may.
pub fn check_opaque(value: &Plaintext) -> Result<(), String> {
    let text = value.expose_secret();
    if (OPAQUE_MIN..=OPAQUE_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(format!(
            "a custom value has {OPAQUE_MIN} to {OPAQUE_MAX} visible ASCII characters, and no blank; leave it out to \
             have one generated"
        ))
    }
}

/// Can this be sent as the value of a header field: visible ASCII, with blanks and tabs only within?
pub fn is_header_value(value: &Plaintext) -> bool {
    let text = value.expose_secret();
    !text.is_empty() && text.trim() == text && text.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b))
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(…)")
    }
}

/// HMAC-SHA256 of an API key or AppCode under the store's digest key: what such a credential is looked up by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CredentialDigest(pub [u8; 32]);

impl fmt::Debug for CredentialDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialDigest(…)")
    }
}

/// The key under which credentials are digested. Kept outside the database.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DigestKey(pub [u8; 32]);

impl fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DigestKey(…)")
    }
}

/// A named secret: written once, referred to as `$ref{name}` wherever a credential belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// Its id.
    pub id: SecretId,
    /// Whose it is.
    pub account: AccountId,
    /// How it is set up. Its values, and those of what came before, are there as far as they are needed and known.
    pub spec: SecretSpec,
    /// Counts its values, from 1.
    pub version: u64,
    /// When the current value came.
    pub rotated: Timestamp,
}

/// A secret as a world file or an operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSpec {
    /// Name of its account.
    pub account: Name,
    /// Its name, a [`SecretName`](crate::SecretName); unique in the account, and never changed.
    pub name: Name,
    /// For people.
    pub description: String,
    /// A disabled secret proves nothing, and is sent nowhere.
    pub enabled: bool,
    /// First moment in which it no longer holds; absent: for ever.
    pub valid_until: Option<Timestamp>,
    /// Where its value is.
    pub source: SecretSource,
    /// The value before this one, which still proves who calls until then. Absent in a description: the stored one stays.
    pub previous: Option<PreviousValue>,
    /// Where it may be sent; absent: to the services that refer to it.
    pub destinations: Option<Vec<Destination>>,
    /// Operators who, besides owners, may refer to it; absent: owners and admins.
    pub use_by: Option<BTreeSet<Name>>,
    /// Operators who, besides owners, may read it; absent: owners and admins.
    pub read_by: Option<BTreeSet<Name>>,
}

/// Where the value of a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In the store, sealed. `None` in a description: generated for a new secret, kept for an existing one.
    Stored(Option<Plaintext>),
    /// Elsewhere: each node fetches it.
    Held(HeldBy),
}

impl SecretSource {
    /// The value, if it is in the store and was given or read.
    pub fn value(&self) -> Option<&Plaintext> {
        match self {
            Self::Stored(value) => value.as_ref(),
            Self::Held(_) => None,
        }
    }
}

/// Who holds the value of a secret that is not in the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HeldBy {
    /// This environment variable of the node's process, as it was at its start.
    Env(Box<str>),
    /// This file, which is watched; a line break at its end is no part of the value.
    File(Box<str>),
    /// A field of a secret in the Vault-compatible server (KV version 2) that the node is set up with.
    Vault {
        /// Mount and path, such as `secret/orders`.
        path: Box<str>,
        /// The field within.
        field: Box<str>,
    },
}

impl fmt::Display for HeldBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Vault { path, field } => write!(f, "vault {path}, field {field}"),
        }
    }
}

/// The value of a secret before the current one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviousValue {
    /// Its number. 0 in a description: it is given with it.
    pub version: u64,
    /// `None` in a description: the stored one.
    pub value: Option<Plaintext>,
    /// First moment in which it no longer proves anything.
    pub until: Timestamp,
}

/// Where a secret may be sent: `HOST`, `*.HOST` or one of these with `:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Destination {
    host: HostPattern,
    port: Option<u16>,
}

impl Destination {
    /// Is this address one of it? Without a port, every port of the host is.
    pub fn allows(&self, url: &EndpointUrl) -> bool {
        let host_fits = match (&self.host, url.host().parse()) {
            (HostPattern::Exact(ours), Ok(HostPattern::Exact(theirs))) => *ours == theirs,
            (HostPattern::Wildcard(suffix), Ok(HostPattern::Exact(theirs))) => {
                theirs.strip_suffix(&**suffix).is_some_and(|label| !label.is_empty())
            }
            _ => false,
        };
        host_fits && self.port.is_none_or(|port| port == url.port())
    }
}

impl FromStr for Destination {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let wrong = || {
            let shown = text.escape_debug();
            ParseError::new(format!(
                "`{shown}` is not a destination: write it like api.example.com or *.internal:8443"
            ))
        };
        let (host, port) = split_port(text).ok_or_else(wrong)?;
        let port = port.map(str::parse::<u16>).transpose().map_err(|_| wrong())?;
        if port == Some(0) {
            return Err(wrong());
        }
        Ok(Self { host: host.parse().map_err(|_| wrong())?, port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_monotonous_secrets_are_weak() {
        for weak in ["", "x", "0123456789abcde", &"ab".repeat(20)] {
            assert!(Plaintext::new(weak).is_weak(), "{weak}");
        }
        assert!(!Plaintext::new("0123456789abcdef").is_weak());
    }

    #[test]
    fn a_destination_allows_its_host_and_port_alone() {
        let url = |text: &str| text.parse::<EndpointUrl>().unwrap();
        for (destination, address, expected) in [
            ("api.example.com", "http://api.example.com", true),
            ("api.example.com", "http://API.example.com:81/v1", true),
            ("api.example.com:443", "http://api.example.com", false),
            ("api.example.com:80", "http://api.example.com", true),
            ("api.example.com", "http://api.example.com.evil.test", false),
            ("api.example.com", "http://evil.test/api.example.com", false),
            ("*.internal", "http://a.internal:9000", true),
            ("*.internal", "http://internal", false),
            ("*.internal", "http://xinternal", false),
            ("127.0.0.1:9000", "http://127.0.0.1:9000", true),
            ("127.0.0.1:9000", "http://127.0.0.1:9001", false),
            ("[::1]:9000", "http://[::1]:9000", true),
        ] {
            let parsed: Destination = destination.parse().unwrap();
            assert_eq!(parsed.allows(&url(address)), expected, "{destination} {address}");
            assert_eq!(parsed.to_string().parse::<Destination>().unwrap(), parsed);
        }
        for wrong in ["", "http://a", "a/b", "a:0", "a:x", "*", "a b", "u@a"] {
            assert!(wrong.parse::<Destination>().is_err(), "{wrong}");
        }
    }
}
