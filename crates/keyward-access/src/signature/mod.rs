//! Signatures of applications: Alibaba Cloud API Gateway's, and Tencent Cloud API Gateway's two.
//!
//! ```text
//! Presented::find(head)      -> what was presented, read strictly, not yet believed
//! verify(presented, pair, …) -> Judged::Held(proof) | Judged::NeedsWholeBody | Denial
//! ```
//!
//! Checks are made in this order: form, scheme, algorithm, signed headers, signature, digest, time, nonce. An AppKey
//! that nobody has goes the same way with a secret that nobody has, and is refused where the signature would be: what
//! the request itself lacks is told before, whoever asks, so that nobody learns by it which AppKeys exist. What else
//! the caller may do is no matter of this module, nor is remembering nonces: a proof says which one is to be
//! remembered.
//!
//! In `mode: compatible` a signature covers what the vendors' texts cover, and no more: not the body without a digest,
//! not the second value of a repeated parameter, and a `&` within a value as much as one between two. In `mode: strict`
//! the timestamp and a nonce must be signed, every body must have a digest (forms too), and parameters must have one
//! reading only: no separators within, no name twice, and no form that stands in the query.

mod alibaba;
mod candidates;
mod date;
mod diagnosis;
mod encoded;
mod fields;
mod mac;
mod mistakes;
mod parameters;
mod presented;
mod refusal;
mod sign;
mod strict;
mod tencent;
mod verify;

pub use candidates::Rule;
pub use mac::SigningSecret;
pub use presented::{Family, Presented};
pub use refusal::{HINT_NONCE_REPLAYED, vendor_message};
pub use sign::{DigestChoice, SignRequest, Signed, sign};
pub use verify::{Judged, KeyPair, SignatureProof, SignedRequest, body_need, string_to_sign, verify};
