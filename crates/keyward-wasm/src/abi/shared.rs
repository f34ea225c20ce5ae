//! Shared data, shared queues and metrics.

use wasmtime::Linker;

use super::{Call, ENV, Guest, Status, Stop, answered};
use crate::state::State;

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_data(linker)?;
    link_queues(linker)?;
    link_metrics(linker)
}

fn link_data(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_get_shared_data",
        |c: Call<'_>, name: u32, name_len: u32, pointer: u32, length: u32, cas: u32| {
            answered(c, |guest| {
                let (name, state) = guest.read(name, name_len)?;
                let (value, number) = state.common.room.get(name)?;
                guest.write_u32(cas, number)?;
                guest.give(&value, [pointer, length].into())
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_set_shared_data",
        |c: Call<'_>, name: u32, name_len: u32, value: u32, value_len: u32, cas: u32| {
            answered(c, |guest| {
                // The Rust SDK removes an entry by setting a null pointer.
                let removes = value == 0 && value_len == 0;
                let (name, value, state) = guest.read_two((name, name_len), (value, value_len))?;
                let common = &state.common;
                Ok(common.room.set(name, (!removes).then_some(value), cas, &common.limits)?)
            })
        },
    )?;
    Ok(())
}

fn link_queues(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_register_shared_queue",
        |c: Call<'_>, name: u32, name_len: u32, place: u32| {
            answered(c, |guest| {
                guest.write_u32(place, 0)?;
                let (name, state) = guest.read(name, name_len)?;
                let common = &state.common;
                let id = common.room.register(name, state.queue.clone(), &common.limits)?;
                state.listens = true;
                Ok(guest.write_u32(place, id)?)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_resolve_shared_queue",
        |c: Call<'_>, vm: u32, vm_len: u32, name: u32, name_len: u32, place: u32| {
            answered(c, |guest| {
                let (vm, name, state) = guest.read_two((vm, vm_len), (name, name_len))?;
                // Queues of others are not there.
                let ours = vm.is_empty() || vm == state.common.vm_id.as_bytes();
                let id = if ours { state.common.room.resolve(name) } else { Err(Status::NotFound) };
                Ok(guest.write_u32(place, id?)?)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_enqueue_shared_queue",
        |c: Call<'_>, id: u32, value: u32, value_len: u32| {
            answered(c, |guest| {
                let (value, state) = guest.read(value, value_len)?;
                Ok(state.common.room.enqueue(id, value, &state.common.limits)?)
            })
        },
    )?;
    linker.func_wrap(
        ENV,
        "proxy_dequeue_shared_queue",
        |c: Call<'_>, id: u32, pointer: u32, length: u32| {
            answered(c, |guest| {
                let item = guest.state().common.room.dequeue(id)?;
                guest.give(&item, [pointer, length].into())
            })
        },
    )?;
    Ok(())
}

fn link_metrics(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(
        ENV,
        "proxy_define_metric",
        |c: Call<'_>, kind: u32, name: u32, name_len: u32, place: u32| {
            answered(c, |guest| define(guest, kind, (name, name_len), place))
        },
    )?;
    linker.func_wrap(ENV, "proxy_record_metric", |c: Call<'_>, id: u32, value: u64| {
        answered(c, |guest| Ok(guest.state().common.room.metrics.record(id, value)?))
    })?;
    linker.func_wrap(ENV, "proxy_increment_metric", |c: Call<'_>, id: u32, delta: i64| {
        answered(c, |guest| Ok(guest.state().common.room.metrics.increment(id, delta)?))
    })?;
    linker.func_wrap(ENV, "proxy_get_metric", |c: Call<'_>, id: u32, place: u32| {
        answered(c, |guest| {
            let value = guest.state().common.room.metrics.get(id)?;
            Ok(guest.write_u64(place, value)?)
        })
    })?;
    Ok(())
}

/// Names are shown to people and machines: visible ASCII, and no secret.
fn define(guest: &mut Guest<'_>, kind: u32, (name, length): (u32, u32), place: u32) -> Result<(), Stop> {
    let (name, state) = guest.read(name, length)?;
    let common = &state.common;
    let shown =
        (1..=common.limits.metric_name_max).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic);
    if !shown || common.configuration.is_told_by(name) {
        return Err(Status::BadArgument.into());
    }
    let name = std::str::from_utf8(name).map_err(|_| Status::BadArgument)?;
    let id = common.room.metrics.define(kind, name, &common.limits)?;
    Ok(guest.write_u32(place, id)?)
}
