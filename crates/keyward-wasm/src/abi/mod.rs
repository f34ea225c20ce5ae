//! The functions that guests import: `env.proxy_*` of ABI 0.2, and the few of WASI that compilers bring along.

mod buffers;
mod calls;
mod context;
mod guest;
mod maps;
mod properties;
mod shared;
mod wasi;

use wasmtime::{Caller, Linker};

pub(crate) use guest::{Guest, Stop};

use crate::state::State;

/// What a host function answers, in the ABI's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    NotFound = 1,
    BadArgument = 2,
    InvalidMemoryAccess = 6,
    Empty = 7,
    CasMismatch = 8,
    InternalFailure = 10,
    Unimplemented = 12,
}

/// The module that the ABI's functions are imported from.
pub(crate) const ENV: &str = "env";

/// A host function's view of whoever called it.
type Call<'c> = Caller<'c, State>;

/// Defines every function that a guest may import.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    context::link(linker)?;
    maps::link(linker)?;
    buffers::link(linker)?;
    properties::link(linker)?;
    calls::link(linker)?;
    shared::link(linker)?;
    wasi::link(linker)
}

/// Runs a host function and answers in the ABI's numbers: 0 is fine.
fn answered(
    caller: Call<'_>,
    function: impl FnOnce(&mut Guest<'_>) -> Result<(), Stop>,
) -> wasmtime::Result<u32> {
    match function(&mut Guest::new(caller)) {
        Ok(()) => Ok(0),
        Err(Stop::Status(status)) => Ok(status as u32),
        Err(Stop::Trap(error)) => Err(error),
    }
}
