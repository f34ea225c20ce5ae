//! Logging, time, timers, contexts, and how streams go on, end or are answered.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use wasmtime::Linker;

use super::guest::Place;
use super::{Call, ENV, Guest, Status, Stop, answered};
use crate::event::{LocalReply, Phase};
use crate::headers::{Edit, HeaderMap, Headers};
use crate::log::{LogLevel, printable};
use crate::pairs;
use crate::state::{ROOT, State, later};

/// Longest text that says why a plugin answered itself.
const DETAILS_MAX: usize = 256;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(ENV, "proxy_log", |c: Call<'_>, level: u32, at: u32, length: u32| {
        answered(c, |guest| log(guest, level, at, length))
    })?;
    linker.func_wrap(ENV, "proxy_get_log_level", |c: Call<'_>, place: u32| {
        answered(c, |guest| {
            let level = guest.state().log.level().number();
            Ok(guest.write_u32(place, level)?)
        })
    })?;
    linker.func_wrap(ENV, "proxy_get_current_time_nanoseconds", |c: Call<'_>, place: u32| {
        answered(c, |guest| Ok(guest.write_u64(place, now_nanoseconds())?))
    })?;
    linker.func_wrap(ENV, "proxy_set_tick_period_milliseconds", |c: Call<'_>, period: u32| {
        answered(c, |guest| set_tick(guest, period))
    })?;
    linker.func_wrap(ENV, "proxy_set_effective_context", |c: Call<'_>, id: u32| {
        answered(c, |guest| set_effective(guest, id))
    })?;
    linker.func_wrap(ENV, "proxy_done", |c: Call<'_>| answered(c, done))?;
    linker.func_wrap(ENV, "proxy_continue_stream", |c: Call<'_>, kind: u32| {
        answered(c, |guest| continue_stream(guest, kind))
    })?;
    linker.func_wrap(ENV, "proxy_close_stream", |c: Call<'_>, kind: u32| {
        answered(c, |guest| close_stream(guest, kind))
    })?;
    linker.func_wrap(
        ENV,
        "proxy_send_local_response",
        |c: Call<'_>,
         status: u32,
         why: u32,
         why_len: u32,
         body: u32,
         body_len: u32,
         map: u32,
         map_len: u32,
         grpc: u32| {
            answered(c, |guest| {
                let parts = [(why, why_len), (body, body_len), (map, map_len)];
                send_local_response(guest, status, parts, grpc)
            })
        },
    )?;
    Ok(())
}

pub(super) fn now_nanoseconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn log(guest: &mut Guest<'_>, level: u32, at: u32, length: u32) -> Result<(), Stop> {
    let level = LogLevel::of(level).ok_or(Status::BadArgument)?;
    let (text, state) = guest.read(at, length)?;
    state.say(level, text);
    Ok(())
}

fn set_tick(guest: &mut Guest<'_>, period: u32) -> Result<(), Stop> {
    let state = guest.state();
    let period = std::time::Duration::from_millis(period.into());
    let least = state.common.limits.tick_min;
    state.tick = (!period.is_zero()).then(|| {
        let period = period.max(least);
        (period, later(Instant::now(), period))
    });
    Ok(())
}

fn set_effective(guest: &mut Guest<'_>, id: u32) -> Result<(), Stop> {
    let state = guest.state();
    if id != ROOT && !state.streams.contains_key(&id) {
        return Err(Status::BadArgument.into());
    }
    state.effective = id;
    Ok(())
}

fn done(guest: &mut Guest<'_>) -> Result<(), Stop> {
    let state = guest.state();
    let id = state.effective;
    let ending = if id == ROOT {
        state.root_ending
    } else {
        state.stream().is_some_and(|stream| stream.ending.is_some())
    };
    if !ending {
        return Err(Status::NotFound.into());
    }
    state.done.push(id);
    Ok(())
}

fn phase_of(kind: u32) -> Result<Phase, Status> {
    match kind {
        0 => Ok(Phase::Request),
        1 => Ok(Phase::Response),
        2 | 3 => Err(Status::Unimplemented),
        _ => Err(Status::BadArgument),
    }
}

/// What is not paused goes on anyway.
fn continue_stream(guest: &mut Guest<'_>, kind: u32) -> Result<(), Stop> {
    let phase = phase_of(kind)?;
    let state = guest.state();
    let id = state.effective;
    let stream = state.stream_mut().ok_or(Status::BadArgument)?;
    if let Some(progress) = stream.progress.as_mut().filter(|progress| progress.phase == phase) {
        progress.resumed = true;
        state.touched.push(id);
    }
    Ok(())
}

fn close_stream(guest: &mut Guest<'_>, kind: u32) -> Result<(), Stop> {
    phase_of(kind)?;
    let state = guest.state();
    let id = state.effective;
    let stream = state.stream_mut().ok_or(Status::BadArgument)?;
    if let Some(progress) = stream.progress.as_mut() {
        progress.closed = true;
        state.touched.push(id);
    }
    Ok(())
}

/// The first reply counts; one more changes nothing.
fn send_local_response(
    guest: &mut Guest<'_>,
    status: u32,
    [why, body, map]: [(u32, u32); 3],
    grpc: u32,
) -> Result<(), Stop> {
    let status = u16::try_from(status).ok().filter(|status| (200..600).contains(status));
    let status = status.ok_or(Status::BadArgument)?;
    let grpc_status = match grpc {
        u32::MAX => None,
        0..=16 => Some(grpc),
        _ => return Err(Status::BadArgument.into()),
    };
    guest.read_two(why, body)?;
    let headers = headers_for(guest, HeaderMap::LocalReply, map)?;
    let (why, body, state) = guest.read_two(why, body)?;
    if body.len() > state.common.limits.body_bytes_max {
        return Err(Status::BadArgument.into());
    }
    let details = printable(why, &state.common.configuration, DETAILS_MAX);
    let body = Bytes::copy_from_slice(body);
    let id = state.effective;
    let progress =
        state.stream_mut().and_then(|stream| stream.progress.as_mut()).ok_or(Status::BadArgument)?;
    progress.local.get_or_insert(LocalReply { status, details, headers, body, grpc_status });
    state.touched.push(id);
    Ok(())
}

/// Reads a whole map for an answer or a call, checked like single pairs.
pub(super) fn headers_for(
    guest: &mut Guest<'_>,
    map: HeaderMap,
    (at, length): (u32, u32),
) -> Result<Headers, Stop> {
    let (bytes, state) = guest.read(at, length)?;
    let pairs = pairs::decode(bytes).map_err(|_| Status::BadArgument)?;
    let mut headers = Headers::new();
    let common = &state.common;
    let mut edit = Edit { map, headers: &mut headers, rules: &*common.rules, limits: &common.limits };
    edit.set_all(&pairs)?;
    Ok(headers)
}

impl From<[u32; 2]> for Place {
    fn from([pointer, length]: [u32; 2]) -> Self {
        Self { pointer, length }
    }
}
