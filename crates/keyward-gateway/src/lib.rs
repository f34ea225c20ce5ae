//! Keyward's data plane: the life of a request.
//!
//! [`GatewayHandler`] is the table of contents: resolve, authenticate, replay, authorize, outbound. It decides on one
//! [`Snapshot`](keyward_access::Snapshot) and in memory alone. There is no SQL in this crate, no awaiting, and no
//! lock on the way of a request but that of one stripe of the [`ReplayMemory`].

mod access_log;
mod clock;
mod core;
mod custom;
mod diagnosis;
mod exchange;
mod forwarded;
mod handler;
mod latest;
mod metrics;
mod outbound;
mod plugin;
mod plugin_calls;
mod published;
mod query;
mod record;
mod refusal;
mod replay;
mod request;
mod request_id;
mod response;
mod service;
mod text;
mod usage;

pub use access_log::{AccessLog, Lane};
pub use clock::{Clock, SystemClock};
pub use custom::{
    CustomAnswer, CustomBody, CustomExchange, CustomFacts, CustomFields, CustomHead, CustomMessage,
    CustomPlugins, CustomRunner, CustomWait,
};
pub use exchange::Exchange;
pub use handler::{Gateway, GatewayHandler, transport_limits};
pub use metrics::Metrics;
pub use plugin_calls::{PluginCall, PluginCalls};
pub use replay::{
    History, Remembered, ReplayMemory, ReplayOptions, ReplayTally, SharedAnswer, SharedReplay, SharedReply,
    Unavailable,
};
pub use request_id::{RequestId, RequestIds};
pub use usage::Usage;

/// Random bytes from the system, for keys that are used within this process.
fn random_seed() -> std::io::Result<[u8; 16]> {
    let mut seed = [0; 16];
    aws_lc_rs::rand::fill(&mut seed)
        .map_err(|_| std::io::Error::other("the system gives no random bytes"))?;
    Ok(seed)
}
