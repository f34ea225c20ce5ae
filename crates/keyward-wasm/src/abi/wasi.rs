//! What compilers for WASI bring along: output goes to the log, time and random numbers are real, and there is nothing else.
//! No arguments, no environment, no files, no sockets: every descriptor but output and error is unknown.

use std::time::Instant;

use wasmtime::{FuncType, Linker, Val, ValType};

use super::context::now_nanoseconds;
use super::guest::slice;
use super::{Call, Guest, Status};
use crate::failure::Failure;
use crate::log::LogLevel;
use crate::state::State;

/// The module that WASI's functions are imported from.
pub(crate) const WASI: &str = "wasi_snapshot_preview1";

/// Stretches that one `fd_write` may name.
const STRETCHES_MAX: u32 = 1024;
/// Random bytes of one call.
const RANDOM_MAX: u32 = 1 << 16;

#[derive(Clone, Copy)]
enum Errno {
    Success = 0,
    BadDescriptor = 8,
    Fault = 21,
    Invalid = 28,
    NotSupported = 58,
}

impl From<Status> for Errno {
    fn from(_: Status) -> Self {
        Self::Fault
    }
}

pub(super) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    link_real(linker)?;
    for (name, parameters, answer) in NOTHING {
        link_nothing(linker, name, parameters, *answer)?;
    }
    Ok(())
}

fn link_real(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.func_wrap(WASI, "fd_write", |c: Call<'_>, fd: u32, stretches: u32, count: u32, place: u32| {
        errno(c, |guest| fd_write(guest, fd, stretches, count, place))
    })?;
    linker.func_wrap(WASI, "fd_fdstat_get", |c: Call<'_>, fd: u32, place: u32| {
        errno(c, |guest| fdstat(guest, fd, place))
    })?;
    linker.func_wrap(WASI, "clock_time_get", |c: Call<'_>, clock: u32, _: u64, place: u32| {
        errno(c, |guest| clock_time(guest, clock, place))
    })?;
    linker.func_wrap(WASI, "clock_res_get", |c: Call<'_>, clock: u32, place: u32| {
        errno(c, |guest| if clock < 2 { Ok(guest.write_u64(place, 1)?) } else { Err(Errno::NotSupported) })
    })?;
    linker.func_wrap(WASI, "random_get", |c: Call<'_>, at: u32, length: u32| {
        errno(c, |guest| random(guest, at, length))
    })?;
    for name in ["environ_sizes_get", "args_sizes_get"] {
        linker.func_wrap(WASI, name, |c: Call<'_>, count: u32, bytes: u32| {
            errno(c, |guest| {
                guest.write_u32(count, 0)?;
                Ok(guest.write_u32(bytes, 0)?)
            })
        })?;
    }
    linker.func_wrap(WASI, "proc_exit", |code: u32| -> wasmtime::Result<()> {
        Err(wasmtime::Error::new(Failure::Exited(code)))
    })?;
    Ok(())
}

/// Functions that have nothing to work on: their parameters (`i` 32 bits, `I` 64 bits), and what they answer.
const NOTHING: &[(&str, &str, Errno)] = &[
    ("args_get", "ii", Errno::Success),
    ("environ_get", "ii", Errno::Success),
    ("sched_yield", "", Errno::Success),
    ("poll_oneoff", "iiii", Errno::NotSupported),
    ("proc_raise", "i", Errno::NotSupported),
    ("fd_advise", "iIIi", Errno::BadDescriptor),
    ("fd_allocate", "iII", Errno::BadDescriptor),
    ("fd_close", "i", Errno::BadDescriptor),
    ("fd_datasync", "i", Errno::BadDescriptor),
    ("fd_fdstat_set_flags", "ii", Errno::BadDescriptor),
    ("fd_fdstat_set_rights", "iII", Errno::BadDescriptor),
    ("fd_filestat_get", "ii", Errno::BadDescriptor),
    ("fd_filestat_set_size", "iI", Errno::BadDescriptor),
    ("fd_filestat_set_times", "iIIi", Errno::BadDescriptor),
    ("fd_pread", "iiiIi", Errno::BadDescriptor),
    ("fd_prestat_dir_name", "iii", Errno::BadDescriptor),
    ("fd_prestat_get", "ii", Errno::BadDescriptor),
    ("fd_pwrite", "iiiIi", Errno::BadDescriptor),
    ("fd_read", "iiii", Errno::BadDescriptor),
    ("fd_readdir", "iiiIi", Errno::BadDescriptor),
    ("fd_renumber", "ii", Errno::BadDescriptor),
    ("fd_seek", "iIii", Errno::BadDescriptor),
    ("fd_sync", "i", Errno::BadDescriptor),
    ("fd_tell", "ii", Errno::BadDescriptor),
    ("path_create_directory", "iii", Errno::BadDescriptor),
    ("path_filestat_get", "iiiii", Errno::BadDescriptor),
    ("path_filestat_set_times", "iiiiIIi", Errno::BadDescriptor),
    ("path_link", "iiiiiii", Errno::BadDescriptor),
    ("path_open", "iiiiiIIii", Errno::BadDescriptor),
    ("path_readlink", "iiiiii", Errno::BadDescriptor),
    ("path_remove_directory", "iii", Errno::BadDescriptor),
    ("path_rename", "iiiiii", Errno::BadDescriptor),
    ("path_symlink", "iiiii", Errno::BadDescriptor),
    ("path_unlink_file", "iii", Errno::BadDescriptor),
    ("sock_accept", "iii", Errno::BadDescriptor),
    ("sock_recv", "iiiiii", Errno::BadDescriptor),
    ("sock_send", "iiiii", Errno::BadDescriptor),
    ("sock_shutdown", "ii", Errno::BadDescriptor),
];

fn link_nothing(
    linker: &mut Linker<State>,
    name: &str,
    parameters: &str,
    answer: Errno,
) -> wasmtime::Result<()> {
    let types = parameters.bytes().map(|kind| if kind == b'I' { ValType::I64 } else { ValType::I32 });
    let signature = FuncType::new(linker.engine(), types, [ValType::I32]);
    linker.func_new(WASI, name, signature, move |_, _, results| {
        if let Some(result) = results.first_mut() {
            *result = Val::I32(answer as i32);
        }
        Ok(())
    })?;
    Ok(())
}

fn errno(
    caller: Call<'_>,
    function: impl FnOnce(&mut Guest<'_>) -> Result<(), Errno>,
) -> wasmtime::Result<u32> {
    let errno = function(&mut Guest::new(caller)).err().unwrap_or(Errno::Success);
    Ok(errno as u32)
}

/// Writes to the log: descriptor 1 as information, 2 as errors.
fn fd_write(guest: &mut Guest<'_>, fd: u32, stretches: u32, count: u32, place: u32) -> Result<(), Errno> {
    let error = match fd {
        1 => false,
        2 => true,
        _ => return Err(Errno::BadDescriptor),
    };
    if count > STRETCHES_MAX {
        return Err(Errno::Invalid);
    }
    let (memory, state) = guest.all()?;
    let bytes_max = state.common.limits.log_bytes_max.saturating_add(state.common.configuration.longest());
    let (text, written) = gathered(memory, stretches, count, bytes_max)?;
    if let Some(line) = state.log.write(error, &text, bytes_max) {
        state.say(if error { LogLevel::Error } else { LogLevel::Info }, &line);
    }
    Ok(guest.write_u32(place, written)?)
}

/// The beginning of all stretches together, and how many bytes they hold.
fn gathered(memory: &[u8], stretches: u32, count: u32, bytes_max: usize) -> Result<(Vec<u8>, u32), Errno> {
    let table = slice(memory, stretches, count * 8)?;
    let (mut text, mut written) = (Vec::new(), 0u32);
    for stretch in table.chunks_exact(8) {
        let (at, rest) = stretch.split_first_chunk::<4>().ok_or(Errno::Fault)?;
        let (length, _) = rest.split_first_chunk::<4>().ok_or(Errno::Fault)?;
        let length = u32::from_le_bytes(*length);
        let bytes = slice(memory, u32::from_le_bytes(*at), length)?;
        written = written.checked_add(length).ok_or(Errno::Invalid)?;
        if text.len() <= bytes_max {
            text.extend_from_slice(bytes.get(..=bytes_max).unwrap_or(bytes));
        }
    }
    Ok((text, written))
}

/// Output and error are character devices that may be written to.
fn fdstat(guest: &mut Guest<'_>, fd: u32, place: u32) -> Result<(), Errno> {
    const CHARACTER_DEVICE: u8 = 2;
    const MAY_WRITE: u64 = 1 << 6;
    if !matches!(fd, 1 | 2) {
        return Err(Errno::BadDescriptor);
    }
    let mut stat = [0; 24];
    if let Some(kind) = stat.first_mut() {
        *kind = CHARACTER_DEVICE;
    }
    if let Some(rights) = stat.get_mut(8..16) {
        rights.copy_from_slice(&MAY_WRITE.to_le_bytes());
    }
    Ok(guest.write(place, &stat)?)
}

fn clock_time(guest: &mut Guest<'_>, clock: u32, place: u32) -> Result<(), Errno> {
    let time = match clock {
        0 => now_nanoseconds(),
        1 => {
            let began = guest.state().common.began;
            u64::try_from(Instant::now().saturating_duration_since(began).as_nanos()).unwrap_or(u64::MAX)
        }
        _ => return Err(Errno::NotSupported),
    };
    Ok(guest.write_u64(place, time)?)
}

fn random(guest: &mut Guest<'_>, at: u32, length: u32) -> Result<(), Errno> {
    if length > RANDOM_MAX {
        return Err(Errno::Invalid);
    }
    let (memory, _) = guest.all()?;
    let bytes = super::guest::slice_mut(memory, at, length)?;
    aws_lc_rs::rand::fill(bytes).map_err(|_| Errno::NotSupported)
}
