//! What every store must do, whatever database is behind it. SQLite runs it now; PostgreSQL is to run the same.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod at_rest;
mod audit;
mod crash;
mod objects;
mod revisions;
mod world;
