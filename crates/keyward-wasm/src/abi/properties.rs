//! Properties: facts about the request and the plugin, by a path whose parts are separated by NUL.

use wasmtime::Linker;

use super::{Call, ENV, Guest, Status, Stop, answered};
use crate::event::{Facts, Phase};
use crate::headers::Headers;
use crate::state::{State, Stream};

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_property",
        |c: Call<'_>, path: u32, path_len: u32, pointer: u32, length: u32| {
            answered(c, |guest| {
                let (path, state) = guest.read(path, path_len)?;
                let value = get(state, path).ok_or(Status::NotFound)?;
                guest.give(&value, [pointer, length].into())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_property",
        |c: Call<'_>, path: u32, path_len: u32, value: u32, value_len: u32| {
            answered(c, |guest| set(guest, (path, path_len), (value, value_len)))
        },
    )?;
    Ok(())
}

fn get(state: &State, path: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(path).ok()?;
    let text = text.strip_suffix('\0').unwrap_or(text);
    let parts: Vec<&str> = text.split('\0').collect();
    let common = &state.common;
    match parts.as_slice() {
        ["plugin_name"] => return Some(common.name.clone().into_bytes()),
        ["plugin_root_id"] => return Some(common.root_id.clone().into_bytes()),
        ["plugin_vm_id"] => return Some(common.vm_id.clone().into_bytes()),
        _ => {}
    }
    let stream = state.stream()?;
    let known = match parts.as_slice() {
        ["request", rest @ ..] => {
            of_message(&stream.request.headers, rest).or_else(|| of_request(stream, rest))
        }
        ["response", rest @ ..] if stream.side(Phase::Response).seen => of_response(stream, rest),
        ["source", "address"] => owned(stream.facts.source_address.as_deref()),
        ["source", "port"] => port(&stream.facts),
        ["keyward", rest @ ..] => owned(of_keyward(&stream.facts, rest)),
        _ => None,
    };
    known.or_else(|| stream.properties.iter().find(|(set, _)| set == path).map(|(_, value)| value.clone()))
}

fn owned(text: Option<&str>) -> Option<Vec<u8>> {
    text.map(|text| text.as_bytes().to_vec())
}

/// `headers`, and `headers.<name>`, of either message.
fn of_message(headers: &Headers, parts: &[&str]) -> Option<Vec<u8>> {
    match parts {
        ["headers"] => Some(headers.encoded()),
        ["headers", name] => headers.get(name).map(<[u8]>::to_vec),
        _ => None,
    }
}

fn of_request(stream: &Stream, parts: &[&str]) -> Option<Vec<u8>> {
    let headers = &stream.request.headers;
    let header = |name: &str| headers.get(name).map(<[u8]>::to_vec);
    match parts {
        ["path"] => header(":path"),
        ["url_path"] => {
            headers.get(":path").and_then(|path| path.split(|byte| *byte == b'?').next()).map(<[u8]>::to_vec)
        }
        ["query"] => {
            let path = headers.get(":path")?;
            let at = path.iter().position(|byte| *byte == b'?')?;
            path.get(at + 1..).map(<[u8]>::to_vec)
        }
        ["host"] => header(":authority"),
        ["scheme"] => header(":scheme"),
        ["method"] => header(":method"),
        ["referer"] => header("referer"),
        ["useragent"] => header("user-agent"),
        ["id"] => owned(stream.facts.request_id.as_deref()),
        ["protocol"] => owned(stream.facts.protocol.as_deref()),
        _ => None,
    }
}

fn of_response(stream: &Stream, parts: &[&str]) -> Option<Vec<u8>> {
    let headers = &stream.response.headers;
    match parts {
        ["code"] => {
            let code: i64 = std::str::from_utf8(headers.get(":status")?).ok()?.parse().ok()?;
            Some(code.to_le_bytes().to_vec())
        }
        _ => of_message(headers, parts),
    }
}

fn of_keyward<'f>(facts: &'f Facts, parts: &[&str]) -> Option<&'f str> {
    match parts {
        ["caller", "id"] => facts.caller_id.as_deref(),
        ["caller", "name"] => facts.caller_name.as_deref(),
        ["api"] => facts.api.as_deref(),
        ["stage"] => facts.stage.as_deref(),
        ["grant"] => facts.grant.as_deref(),
        _ => None,
    }
}

/// Numbers are eight bytes, little endian.
fn port(facts: &Facts) -> Option<Vec<u8>> {
    let (_, port) = facts.source_address.as_deref()?.rsplit_once(':')?;
    Some(port.parse::<i64>().ok()?.to_le_bytes().to_vec())
}

/// Paths that the host answers. A guest that set them would deceive itself, or the next reader.
const OURS: [&[u8]; 8] =
    [b"request", b"response", b"source", b"destination", b"connection", b"upstream", b"keyward", b"plugin"];

fn set(guest: &mut Guest<'_>, path: (u32, u32), value: (u32, u32)) -> Result<(), Stop> {
    let (path, value, state) = guest.read_two(path, value)?;
    let first = path.split(|byte| *byte == 0).next().unwrap_or_default();
    if path.is_empty() || OURS.contains(&first) || first.starts_with(b"plugin_") {
        return Err(Status::BadArgument.into());
    }
    let limits = std::sync::Arc::clone(&state.common);
    let limits = &limits.limits;
    let properties = &mut state.stream_mut().ok_or(Status::BadArgument)?.properties;
    let others = properties.iter().filter(|(known, _)| known != path);
    let (count, bytes) = others.fold((1, path.len() + value.len()), |(count, bytes), (path, value)| {
        (count + 1, bytes + path.len() + value.len())
    });
    if count > limits.properties_max || bytes > limits.property_bytes_max {
        return Err(Status::InternalFailure.into());
    }
    properties.retain(|(known, _)| known != path);
    properties.push((path.to_vec(), value.to_vec()));
    Ok(())
}
