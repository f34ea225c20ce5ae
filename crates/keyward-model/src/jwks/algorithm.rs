//! The signature algorithms of tokens (RFC 7518 section 3.1, RFC 8037 section 3.1).

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

macro_rules! algorithms {
    ($($name:ident = $text:literal, $what:literal;)*) => {
        /// How a token is signed. There is no `none`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum JwsAlgorithm {
            $(#[doc = $what] $name,)*
        }

        impl JwsAlgorithm {
            /// Every algorithm.
            pub const ALL: [Self; 13] = [$(Self::$name,)*];

            /// The name that `alg` has in a key and in a token.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

algorithms! {
    Hs256 = "HS256", "HMAC with SHA-256.";
    Hs384 = "HS384", "HMAC with SHA-384.";
    Hs512 = "HS512", "HMAC with SHA-512.";
    Rs256 = "RS256", "RSASSA-PKCS1-v1_5 with SHA-256.";
    Rs384 = "RS384", "RSASSA-PKCS1-v1_5 with SHA-384.";
    Rs512 = "RS512", "RSASSA-PKCS1-v1_5 with SHA-512.";
    Ps256 = "PS256", "RSASSA-PSS with SHA-256.";
    Ps384 = "PS384", "RSASSA-PSS with SHA-384.";
    Ps512 = "PS512", "RSASSA-PSS with SHA-512.";
    Es256 = "ES256", "ECDSA on P-256 with SHA-256.";
    Es384 = "ES384", "ECDSA on P-384 with SHA-384.";
    Es512 = "ES512", "ECDSA on P-521 with SHA-512.";
    EdDsa = "EdDSA", "EdDSA on Ed25519.";
}

impl FromStr for JwsAlgorithm {
    type Err = ParseError;

    /// Compared exactly.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == text).ok_or_else(|| {
            ParseError::new(
                "not a signature algorithm: use HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, \
                 ES256, ES384, ES512 or EdDSA",
            )
        })
    }
}

impl fmt::Display for JwsAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
