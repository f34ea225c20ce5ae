//! HTTP calls to declared services. gRPC calls are answered as not implemented; there are no foreign functions.

use std::time::{Duration, Instant};

use bytes::Bytes;
use wasmtime::Linker;

use super::context::headers_for;
use super::{Call, ENV, Guest, Status, Stop, answered};
use crate::call_out::{CallDone, CallOut, CallRefused};
use crate::headers::HeaderMap;
use crate::state::{Due, InFlight, State, later};

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_http_call",
        |c: Call<'_>,
         service: u32,
         service_len: u32,
         headers: u32,
         headers_len: u32,
         body: u32,
         body_len: u32,
         trailers: u32,
         trailers_len: u32,
         timeout: u32,
         place: u32| {
            answered(c, |guest| {
                let parts = [
                    (service, service_len),
                    (headers, headers_len),
                    (body, body_len),
                    (trailers, trailers_len),
                ];
                http_call(guest, parts, timeout, place)
            })
        },
    )?;
    linker.func_wrap(ENV, "proxy_get_status", |c: Call<'_>, code: u32, pointer: u32, length: u32| {
        answered(c, |guest| get_status(guest, code, [pointer, length]))
    })?;
    linker.func_wrap(
        ENV,
        "proxy_call_foreign_function",
        |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32| Status::NotFound as u32,
    )?;
    link_grpc(linker)
}

fn link_grpc(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    const NO: u32 = Status::Unimplemented as u32;
    linker.func_wrap(
        ENV,
        "proxy_grpc_call",
        |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NO,
    )?;
    linker.func_wrap(
        ENV,
        "proxy_grpc_stream",
        |_: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32, _: u32| NO,
    )?;
    linker.func_wrap(ENV, "proxy_grpc_send", |_: u32, _: u32, _: u32, _: u32| NO)?;
    linker.func_wrap(ENV, "proxy_grpc_cancel", |_: u32| NO)?;
    linker.func_wrap(ENV, "proxy_grpc_close", |_: u32| NO)?;
    Ok(())
}

fn http_call(
    guest: &mut Guest<'_>,
    [service, headers, body, trailers]: [(u32, u32); 4],
    timeout: u32,
    place: u32,
) -> Result<(), Stop> {
    guest.write_u32(place, 0)?;
    for (at, length) in [service, headers, body, trailers] {
        guest.read(at, length)?;
    }
    let headers = headers_for(guest, HeaderMap::CallOut, headers)?;
    let trailers = headers_for(guest, HeaderMap::RequestTrailers, trailers)?;
    if [":method", ":path", ":authority"].iter().any(|name| headers.get(name).is_none()) {
        return Err(Status::BadArgument.into());
    }
    let (service, body, state) = guest.read_two(service, body)?;
    let limits = &state.common.limits;
    let service = std::str::from_utf8(service).map_err(|_| Status::BadArgument)?.to_owned();
    if body.len() > limits.body_bytes_max {
        return Err(Status::BadArgument.into());
    }
    if state.calls.len() >= limits.calls_max {
        return Err(Status::InternalFailure.into());
    }
    let timeout = Duration::from_millis(u64::from(timeout.max(1))).min(limits.call_time_max);
    let answer_bytes_max = limits.call_answer_bytes_max;
    let body = Bytes::copy_from_slice(body);
    let call = CallOut { service, headers, body, trailers, timeout, answer_bytes_max };
    let id = begin(state, call)?;
    Ok(guest.write_u32(place, id)?)
}

fn begin(state: &mut State, call: CallOut) -> Result<u32, Status> {
    let until = later(Instant::now(), call.timeout);
    let id = state.last_call.checked_add(1).unwrap_or(1);
    // A call that is refused keeps its number: its `CallDone` is dropped, which says that this call failed, and no other.
    state.last_call = id;
    let done = CallDone::new(state.queue.clone(), id, state.generation);
    state.common.call_outs.call(call, done).map_err(|refused| match refused {
        CallRefused::UnknownService => Status::BadArgument,
        CallRefused::Busy => Status::InternalFailure,
    })?;
    state.calls.insert(id, InFlight { context: state.effective, until });
    state.due.insert((until, Due::Call(id)));
    state.common.counts.calls.add();
    Ok(id)
}

/// The status of the answer that `proxy_on_http_call_response` is about; 0 if there is none.
fn get_status(guest: &mut Guest<'_>, code: u32, message: [u32; 2]) -> Result<(), Stop> {
    let status = guest.state().answer.as_ref().and_then(|answer| answer.headers.get(":status"));
    let status =
        status.and_then(|status| std::str::from_utf8(status).ok()).and_then(|text| text.parse().ok());
    guest.write_u32(code, status.unwrap_or(0))?;
    guest.give(&[], message.into())
}
