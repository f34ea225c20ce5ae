//! Decisions on small worlds: one file per verb.

mod authenticate;
mod authorize;
mod explain;
mod freshness;
mod modules;
mod plugins;
mod reasons;
mod resolve;
mod snapshot;
mod strip;
mod tokens;
mod usage;
mod world;
