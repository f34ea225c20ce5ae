//! Buffers: bodies and configurations.

use bytes::Bytes;
use wasmtime::Linker;

use super::{Call, ENV, Guest, Status, Stop, answered};
use crate::event::Phase;
use crate::state::{State, number};

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_buffer_bytes",
        |c: Call<'_>, buffer: u32, start: u32, max: u32, pointer: u32, length: u32| {
            answered(c, |guest| {
                let part = part(guest, buffer, start, max)?;
                guest.give(&part, [pointer, length].into())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_get_buffer_status",
        |c: Call<'_>, buffer: u32, length: u32, unused: u32| {
            answered(c, |guest| {
                let bytes = with(guest.state(), buffer, |bytes| number(bytes.len()))?;
                guest.write_u32(length, bytes)?;
                Ok(guest.write_u32(unused, 0)?)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_buffer_bytes",
        |c: Call<'_>, buffer: u32, start: u32, size: u32, value: u32, value_len: u32| {
            answered(c, |guest| set(guest, buffer, (start, size), (value, value_len)))
        },
    )?;
    Ok(())
}

/// A copy of at most `max` bytes from `start`. It is wiped: a configuration may be in it.
fn part(
    guest: &mut Guest<'_>,
    buffer: u32,
    start: u32,
    max: u32,
) -> Result<zeroize::Zeroizing<Vec<u8>>, Status> {
    let (start, max) = (size(start)?, size(max)?);
    with(guest.state(), buffer, |bytes| {
        let rest = bytes.get(start..).ok_or(Status::BadArgument)?;
        Ok(zeroize::Zeroizing::new(rest.get(..max).unwrap_or(rest).to_vec()))
    })?
}

fn size(number: u32) -> Result<usize, Status> {
    usize::try_from(number).map_err(|_| Status::BadArgument)
}

fn with<R>(state: &State, buffer: u32, read: impl FnOnce(&[u8]) -> R) -> Result<R, Status> {
    match buffer {
        0 => Ok(read(body(state, Phase::Request)?)),
        1 => Ok(read(body(state, Phase::Response)?)),
        4 => Ok(read(&state.answer.as_ref().ok_or(Status::NotFound)?.body)),
        6 => Ok(read(state.common.vm_configuration.expose_bytes())),
        7 => Ok(read(state.common.configuration.expose_bytes())),
        2 | 3 | 5 | 8 => Err(Status::NotFound),
        _ => Err(Status::BadArgument),
    }
}

/// A body exists from its own callback on, until the event is answered.
fn body(state: &State, phase: Phase) -> Result<&Bytes, Status> {
    let stream = state.stream().ok_or(Status::NotFound)?;
    let open = stream.progress.as_ref().is_some_and(|progress| progress.phase == phase && progress.body_open);
    if open { Ok(&stream.side(phase).body) } else { Err(Status::NotFound) }
}

/// Puts `value` in the place of `size` bytes from `start`; at or behind the end it is appended.
fn set(
    guest: &mut Guest<'_>,
    buffer: u32,
    (start, replaced): (u32, u32),
    (value, value_len): (u32, u32),
) -> Result<(), Stop> {
    let phase = match buffer {
        0 => Phase::Request,
        1 => Phase::Response,
        2..=8 => return Err(Status::NotFound.into()),
        _ => return Err(Status::BadArgument.into()),
    };
    let (value, state) = guest.read(value, value_len)?;
    let old = body(state, phase)?;
    let start = size(start)?.min(old.len());
    let end = start.saturating_add(size(replaced)?).min(old.len());
    let (before, after) = (old.get(..start).unwrap_or_default(), old.get(end..).unwrap_or_default());
    let length = before.len().saturating_add(value.len()).saturating_add(after.len());
    if length > state.common.limits.body_bytes_max.max(old.len()) {
        return Err(Status::BadArgument.into());
    }
    let fresh = Bytes::from([before, value, after].concat());
    let stream = state.stream_mut().ok_or(Status::NotFound)?;
    stream.side_mut(phase).body = fresh;
    if let Some(progress) = stream.progress.as_mut() {
        progress.body.changed = true;
    }
    Ok(())
}
