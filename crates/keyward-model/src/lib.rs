//! Keyward's nouns: typed ids, parsed names, and the things that Keyward knows.
//!
//! There is no I/O, no clock and no randomness in this crate. What is parsed here is believed
//! everywhere else: a [`Name`] is a valid name, a [`BasePath`] a valid base path.
//!
//! Nothing here is `Serialize`: the forms that leave the process live in `keyward-api`.

mod account;
mod action;
mod api;
mod caller;
mod credential;
mod finding;
mod gateway;
mod grant;
mod group;
mod id;
mod json;
mod jwks;
mod key_set_url;
mod module;
mod name;
mod operation;
mod operator;
pub mod owned;
mod path;
mod plugin;
mod provider;
mod reason;
mod revision;
mod secret;
mod secret_text;
mod service;
mod time;
mod usage;
mod world;

pub use account::*;
pub use action::*;
pub use api::*;
pub use caller::*;
pub use credential::*;
pub use finding::Finding;
pub use gateway::*;
pub use grant::*;
pub use group::*;
pub use id::*;
pub use json::*;
pub use jwks::*;
pub use key_set_url::*;
pub use module::*;
pub use name::*;
pub use operation::*;
pub use operator::*;
pub use path::*;
pub use plugin::*;
pub use provider::*;
pub use reason::*;
pub use revision::*;
pub use secret::*;
pub use secret_text::*;
pub use service::*;
pub use time::*;
pub use usage::*;
pub use world::*;

pub use ipnet::{IpNet, Ipv4Net, Ipv6Net};
