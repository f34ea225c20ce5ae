//! Signatures: the vendors' vectors, an independent signer, tampering, attacks of the catalogue, refusals and diagnosis.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod attacks;
mod call;
mod diagnosis;
mod independent;
mod proofs;
mod refusals;
mod roundtrip;
mod signing;
mod vectors;
