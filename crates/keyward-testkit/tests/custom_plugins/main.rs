//! Custom plugins through the live gateway: WebAssembly that sees requests and answers, and what it can and cannot do to them.

#[path = "../../../keyward-wasm/tests/wasm/guest.rs"]
#[allow(dead_code, reason = "the host's own tests use all of it")]
mod guest;

mod calls;
mod failures;
mod life;
mod messages;
mod secrets;
mod world;
