//! The whole transport in process: a raw client, the server, a raw upstream.
#![allow(unreachable_pub, reason = "a test binary has no public interface")]

mod answers;
mod bodies;
mod carrying;
mod common;
mod judging;
mod lifecycle;
mod pooling;
mod strictness;
