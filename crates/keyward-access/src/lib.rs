//! Keyward's verbs: resolve, authenticate, authorize.
//!
//! Plain functions on an immutable [`Snapshot`]. There is no I/O, no clock and no randomness in this crate:
//! `now` is a parameter. Only this crate makes a [`Permit`].
//!
//! ```text
//! resolve(snapshot, gateway, head)                    -> Target | Denial
//! authenticate(snapshot, target, head, body, now)     -> Absent | Verified | NeedsBody | Denial
//!     (the gateway asks its replay memory about Verified::nonce)
//! authorize(snapshot, target, authentication, confirmed_at, now) -> Permit | Denial
//! ```
//!
//! [`explain`] and [`who_can`] answer operators by the same code as [`authorize`].

mod authenticate;
mod authorize;
mod decision;
mod explain;
mod freshness;
pub mod jwt;
mod operations;
mod path;
mod plugin_rules;
mod request;
mod resolve;
pub mod signature;
mod snapshot;
mod strip;
mod usage;

pub use authenticate::{authenticate, authenticate_remembering, diagnose};
pub use authorize::authorize;
pub use decision::*;
pub use explain::{Explanation, NearMiss, Question, explain, who_can};
pub use freshness::{AlwaysFresh, Demand, Freshness, MinRevision, OTHER_STORE, staleness_ms};
pub use plugin_rules::{BlockRules, CallSchemas};
pub use request::*;
pub use resolve::{Target, resolve};
pub use snapshot::*;
pub use strip::Strip;
pub use usage::UsageSource;
