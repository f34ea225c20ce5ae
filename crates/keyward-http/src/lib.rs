//! Keyward's transport: carries HTTP/1.1 requests in and out, strictly and cheaply.
//!
//! What a request *means* is not known here: a [`Handler`] decides, this crate carries.
//! There is no access decision, no snapshot and no SQL in this crate.

mod accept;
mod buffer;
mod call_out;
mod codec;
mod connection;
mod core;
mod counters;
mod date;
mod driver;
mod endpoint;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod handler;
mod limits;
mod moment;
mod open;
mod pool;
mod resolve;
mod server;
#[cfg(any(test, feature = "fuzzing"))]
mod simulate;
mod sweep;
mod worker;

pub use call_out::{CallAnswer, CallFailure, CallOut, CallOuts};
pub use codec::{Dropped, is_hop_by_hop};
pub use counters::Counters;
pub use endpoint::{Endpoint, EndpointError};
pub use handler::*;
pub use limits::{Limits, ServerConfig};
pub use resolve::failed_lookups;
pub use server::{Server, ServerHandle, StartError};
