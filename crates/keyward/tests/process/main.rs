//! The node as a process: killed, backed up, out of disk or memory, with clients that write to it meanwhile.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests"
)]

mod backup;
mod crash_loop;
mod disk;
mod kill;
mod memory;
mod names;
mod sealed;
mod served;
mod sync;
mod take_over;
mod tls;
mod unread;
mod writers;
