//! JSON Web Tokens: compact JWS (RFC 7515) with a claims set (RFC 7519), verified strictly (RFC 8725).
//!
//! A token is read once ([`Unverified`]), its claims tell whose it says to be, and [`verify`] then asks that
//! consumer's keys whether it is. The algorithm is the key's, never the token's choice.
//!
//! What is absent: `none`, encrypted tokens (JWE), the JSON serialisation, extensions (`crit`, `b64`), keys and
//! addresses brought by a token (`jwk`, `jku`, `x5c`, `x5u` are never looked at, nothing is ever fetched), and
//! caches of verdicts: a [`TokenMemory`] spares reading and verifying the same text under the same keys again, and nothing else.
//!
//! | what is wrong | reason |
//! | --- | --- |
//! | not three parts, not canonical base64url, not strict JSON objects, `kid`, `typ` or `cty` not strings | `credential_malformed` |
//! | encrypted (five parts); `alg` absent, unknown or not a string; `crit` or `b64`; not the key's own algorithm; no `kid` and no key of the algorithm | `algorithm_not_admitted` |
//! | no key with this `kid`; no `kid` and several keys of the algorithm | `credential_unknown` |
//! | signature (also one that is not canonical base64url), `iss` or `aud` | `proof_mismatch` |
//! | `exp`, `nbf` or `iat`: absent though required, not a sane number, passed or not come | `proof_expired` |
//!
//! `iss` and `aud` are judged before the times because `proof_mismatch` comes first among the reasons. Only a
//! refusal after the signature held carries a hint: whoever gets it has the key.

mod claims;
mod fetched;
mod headers;
mod id_token;
mod keys;
mod memory;
mod unverified;

#[cfg(test)]
mod tests;

use keyward_model::{HeaderName, JwtSettings, Timestamp};

pub use fetched::{FetchedKeys, FetchedSet, KeySetNudge, NothingFetched};
pub use id_token::{ExpectedIdToken, IdTokenRefused, verify_id_token};
pub use keys::VerifyingKeys;
pub use memory::TokenMemory;
pub use unverified::{Unverified, looks_like_token};

use crate::Denial;

/// What a token that was verified brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedClaims {
    /// Header fields to set towards the service, no name twice; see [`JwtSettings::claims_to_headers`].
    ///
    /// Strings, numbers (as they are written) and booleans are handed on, and arrays of strings, joined by `,`. A claim
    /// whose text would not arrive as it is (control characters, not ASCII, blanks at its ends, empty, a `,` within
    /// an element) is left out, never repaired: its field is then absent, which it must also be where the request
    /// brought one of that name.
    pub headers: Vec<(HeaderName, String)>,
    /// When the token ends by its own `exp`, without skew.
    pub expires: Option<Timestamp>,
}

/// Verifies a token by the keys and settings of the consumer that it names.
///
/// # Errors
/// The table above, from top to bottom.
pub fn verify(
    token: &Unverified<'_>,
    keys: &VerifyingKeys,
    settings: &JwtSettings,
    now: Timestamp,
) -> Result<VerifiedClaims, Denial> {
    keys.check(token)?;
    claims::check_parties(token, settings)?;
    let expires = claims::check_times(token, settings, now)?;
    Ok(VerifiedClaims { headers: headers::from_claims(token, &settings.claims_to_headers), expires })
}

/// The refusal of a token that names no consumer, after the work that an HMAC token of a known one would have cost:
/// its duration does not tell which consumers there are.
///
/// For the other algorithms that work is not done: it is fifty times as much, and would let anyone who knows no
/// consumer occupy the node.
pub fn refuse_unknown(token: &Unverified<'_>) -> Denial {
    keys::unknown(&token.jws())
}
