//! Header maps.

use wasmtime::Linker;

use super::{Call, ENV, Guest, Status, answered};
use crate::headers::{Edit, HeaderMap, Headers, name_of};
use crate::pairs;
use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(ENV, "proxy_get_header_map_size", |c: Call<'_>, map: u32, place: u32| {
        answered(c, |guest| {
            let size =
                with(guest.state(), map, |headers| headers.map_or(0, |headers| headers.encoded().len()))?;
            Ok(guest.write_u32(place, crate::state::number(size))?)
        })
    })?;
    linker.func_wrap(
        ENV,
        "proxy_get_header_map_pairs",
        |c: Call<'_>, map: u32, pointer: u32, length: u32| {
            answered(c, |guest| {
                let bytes = with(guest.state(), map, |headers| headers.map(Headers::encoded))?;
                guest.give(&bytes.unwrap_or_default(), [pointer, length].into())
            })
        },
    )?;
    linker.func_wrap(ENV, "proxy_set_header_map_pairs", |c: Call<'_>, map: u32, at: u32, length: u32| {
        answered(c, |guest| {
            let (bytes, state) = guest.read(at, length)?;
            let pairs = pairs::decode(bytes).map_err(|_| Status::BadArgument)?;
            Ok(change(state, map, |mut edit| edit.set_all(&pairs))?)
        })
    })?;
    linker.func_wrap(
        ENV,
        "proxy_get_header_map_value",
        |c: Call<'_>, map: u32, name: u32, name_len: u32, pointer: u32, length: u32| {
            answered(c, |guest| {
                let value = value(guest, map, name, name_len)?;
                guest.give(&value, [pointer, length].into())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_add_header_map_value",
        |c: Call<'_>, map: u32, name: u32, name_len: u32, value: u32, value_len: u32| {
            answered(c, |guest| {
                let (name, value, state) = guest.read_two((name, name_len), (value, value_len))?;
                Ok(change(state, map, |mut edit| edit.add(name, value))?)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_replace_header_map_value",
        |c: Call<'_>, map: u32, name: u32, name_len: u32, value: u32, value_len: u32| {
            answered(c, |guest| {
                let (name, value, state) = guest.read_two((name, name_len), (value, value_len))?;
                Ok(change(state, map, |mut edit| edit.replace(name, value))?)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_remove_header_map_value",
        |c: Call<'_>, map: u32, name: u32, name_len: u32| {
            answered(c, |guest| {
                let (name, state) = guest.read(name, name_len)?;
                Ok(change(state, map, |mut edit| edit.remove(name))?)
            })
        },
    )?;
    Ok(())
}

fn value(guest: &mut Guest<'_>, map: u32, name: u32, length: u32) -> Result<Vec<u8>, Status> {
    let (name, state) = guest.read(name, length)?;
    let name = name_of(name).ok_or(Status::NotFound)?;
    let value =
        with(state, map, |headers| headers.and_then(|headers| headers.get(&name)).map(<[u8]>::to_vec))?;
    value.ok_or(Status::NotFound)
}

/// The four maps of a request and its response, by their numbers.
fn of_stream(map: u32) -> Option<HeaderMap> {
    match map {
        0 => Some(HeaderMap::RequestHeaders),
        1 => Some(HeaderMap::RequestTrailers),
        2 => Some(HeaderMap::ResponseHeaders),
        3 => Some(HeaderMap::ResponseTrailers),
        _ => None,
    }
}

/// A map that does not exist (yet) is read as `None`; only a number that is none of the ABI's is refused.
fn with<R>(state: &mut State, map: u32, read: impl FnOnce(Option<&Headers>) -> R) -> Result<R, Status> {
    if let Some(map) = of_stream(map) {
        let headers = state.stream_mut().and_then(|stream| stream.map(map)).map(|(headers, _)| &*headers);
        return Ok(read(headers));
    }
    match map {
        6 => Ok(read(state.answer.as_ref().map(|answer| &answer.headers))),
        7 => Ok(read(state.answer.as_ref().map(|answer| &answer.trailers))),
        4 | 5 => Ok(read(None)),
        _ => Err(Status::BadArgument),
    }
}

/// Only the maps of a message that an event under way is about may be changed.
fn change(
    state: &mut State,
    map: u32,
    change: impl FnOnce(Edit<'_>) -> Result<(), Status>,
) -> Result<(), Status> {
    let map = of_stream(map).ok_or(Status::BadArgument)?;
    let common = std::sync::Arc::clone(&state.common);
    let (headers, part) = state.stream_mut().and_then(|stream| stream.map(map)).ok_or(Status::BadArgument)?;
    let part = part.ok_or(Status::BadArgument)?;
    change(Edit { map, headers, rules: &*common.rules, limits: &common.limits })?;
    part.changed = true;
    Ok(())
}
