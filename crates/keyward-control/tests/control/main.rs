//! The use cases over a real store in a folder of its own: what operators rely on.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod applying;
mod callers;
mod compiling;
mod credentials;
mod exporting;
mod grants;
mod modules;
mod node;
mod objects;
mod plugins;
mod pruning;
mod refusals;
mod restarts;
mod reviewing;
mod secrets;
mod writing;
