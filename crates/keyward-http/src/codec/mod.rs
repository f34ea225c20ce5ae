//! HTTP/1.1 on the wire: bytes in, parsed heads and body pieces out. No sockets, no clock, no runtime.
//!
//! Strict by design: what two parsers could read in two ways is refused, never repaired.

mod body;
mod fields;
mod framing;
mod head_end;
mod host;
mod request;
mod response;
mod write;

pub(crate) use body::{BodyReader, Piece, read_trailers};
pub(crate) use fields::trailer_may_pass;
pub use fields::{Dropped, is_hop_by_hop};
pub(crate) use head_end::HeadEnd;
pub(crate) use request::{Facts, HeadLimits, read_request};
pub(crate) use response::{ResponseFraming, read_response};
pub(crate) use write::{push_chunk_size, push_decimal, push_status_line, reason};

/// Why bytes are not acceptable HTTP; lower case, no full stop.
pub(crate) type Fault = &'static str;
