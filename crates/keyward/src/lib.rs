//! The one binary: wiring, `serve`, and the command line.
//!
//! [`Node`] is a whole node in one process, for `serve` and for tests. Everything else here is the command line.

pub mod cli;
mod custom_plugins;
mod data_dir;
mod demo;
mod echo;
mod log;
mod memory;
mod node;
mod quotas;
mod replay_redis;
mod sealed;
mod take_over;
mod token;

pub use echo::EchoService;
pub use memory::Memory;
pub use node::{AccessLogTo, Node, NodeError, NodeOptions};
pub use replay_redis::RedisOptions;
pub use take_over::Inherited;
