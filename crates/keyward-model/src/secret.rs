//! Secret values. A secret's state is its type: readable ([`Plaintext`]) or a keyed digest ([`CredentialDigest`]).

use std::collections::BTreeSet;
use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

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
}
