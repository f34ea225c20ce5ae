//! How long a body is waited for: whoever sends half of one holds nothing for long.

use std::io;
use std::time::Duration;

use axum::body::{Body, BodyDataStream, Bytes, HttpBody as _};
use axum::extract::Request;
use futures_util::StreamExt as _;

/// Longest pause in a body.
const BODY_PAUSE: Duration = Duration::from_secs(15);

/// A request whose body breaks off where nothing more of it comes.
pub(crate) async fn patient(request: Request) -> Request {
    if request.body().is_end_stream() {
        return request;
    }
    request.map(|body| Body::from_stream(futures_util::stream::unfold(Some(body.into_data_stream()), next)))
}

/// The next part, and what is left after it.
async fn next(body: Option<BodyDataStream>) -> Option<(Result<Bytes, io::Error>, Option<BodyDataStream>)> {
    let mut body = body?;
    match tokio::time::timeout(BODY_PAUSE, body.next()).await {
        Ok(None) => None,
        Ok(Some(Ok(part))) => Some((Ok(part), Some(body))),
        Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
        Err(_) => Some((Err(io::Error::from(io::ErrorKind::TimedOut)), None)),
    }
}
