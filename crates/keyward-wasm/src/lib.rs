//! Keyward's host for custom plugins: WebAssembly modules that speak the proxy-wasm ABI, 0.2.0 and 0.2.1.
//!
//! The crate knows nothing of Keyward. Whoever embeds it turns requests into [`Message`]s, says by [`HeaderRules`] which headers
//! a plugin may set, and makes its HTTP calls ([`CallOuts`]).
//!
//! ```text
//!   Host ──load──▶ Plugin ──start──▶ RunningPlugin ──begin──▶ Exchange        (one per request)
//!  engine         module,            N workers                │ request(…).await
//!                 checked,           (threads)                ▼
//!                 compiled                         ┌─ queue of one worker, bounded ─┐
//!                                                  │ event · end · call ended · …   │
//!                                                  └───────────────┬────────────────┘
//!                                                                  ▼
//!                             one instance: proxy_on_context_create, _request_headers, _request_body, _request_trailers
//!                                   │ Continue             │ Pause                                   │ trap, no fuel, no time
//!                                   ▼                      ▼                                         ▼
//!                            Answer::Continue      waits for its call-out, a tick or       Answer::Failed, for all that waited;
//!                            with its changes      the body; then Continue, Reply          a new instance for the next request
//!                                                  or Failed(PausedTooLong)
//! ```
//!
//! What is absent, on purpose: there are no files, no sockets, no environment for a guest; no way to read a [`Configuration`]
//! back; no lock that is held while a guest runs; no panic on anything that a guest says; no waiting on a loop that serves requests
//! ([`Host::load`], [`Plugin::start`] and [`RunningPlugin::stop`] take their time and say so; [`Exchange`]'s methods are awaited).
//!
//! A request lives on the worker that it began on. A worker runs one callback at a time, so what a plugin costs others is only its
//! own time, and that is bounded: by fuel, by the clock, by memory ([`Limits`]).

mod abi;
mod call_out;
mod configuration;
mod event;
mod failure;
mod headers;
mod host;
mod instance;
mod limits;
mod log;
mod metrics;
pub mod pairs;
mod plugin;
mod queue;
mod running;
mod shared;
mod state;
mod ticker;
mod worker;

pub use call_out::{CallAnswer, CallDone, CallOut, CallOuts, CallRefused, NoCallOuts};
pub use configuration::Configuration;
pub use event::{Answer, Body, Changes, Facts, LocalReply, Message};
pub use failure::Failure;
pub use headers::{HeaderMap, HeaderRules, Headers};
pub use host::{Host, HostError};
pub use limits::Limits;
pub use log::LogLevel;
pub use metrics::{Metric, MetricValue};
pub use plugin::{Callbacks, LoadError, Plugin};
pub use running::{Counts, Exchange, RunningPlugin, Start, StartError};
