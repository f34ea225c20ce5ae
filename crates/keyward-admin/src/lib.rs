//! The admin server: thin handlers over the use cases, one file per noun.
//!
//! A handler reads the request into the model's types, calls one use case, and writes its answer. There is no SQL,
//! no access decision and no state here other than the token. Nothing but liveness and readiness is answered
//! without the operator's token, loopback included. A sealed node answers nothing else at all.

mod accounts;
mod answer;
mod apis;
mod applications;
mod audit;
mod callers;
mod consumers;
mod contract;
mod credentials;
mod crud;
mod docs;
mod explain;
mod gateways;
mod grants;
mod groups;
mod guard;
mod health;
mod listing;
mod modules;
mod nodes;
mod once;
mod open;
mod open_id;
mod operators;
mod patience;
mod plugins;
mod refusal;
mod request;
mod review;
mod router;
mod sealed;
mod secrets;
mod server;
mod services;
mod sessions;
mod token;
mod usage;
mod world;

pub use open::{Admin, AdminOptions};
pub use router::router;
pub use server::AdminServer;
pub use token::AdminToken;
