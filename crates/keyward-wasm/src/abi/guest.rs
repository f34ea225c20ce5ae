//! The guest's memory, seen from a host function. Every address and length is checked; nothing here panics.

use wasmtime::{AsContextMut, Caller, Extern, Memory};

use super::Status;
use crate::state::State;

/// A host function ends early: with a status for the guest, or because the guest's allocator trapped.
pub(crate) enum Stop {
    Status(Status),
    Trap(wasmtime::Error),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

pub(crate) struct Guest<'c> {
    caller: Caller<'c, State>,
}

/// Where the guest wants an answer: the addresses of a pointer and of a length.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) pointer: u32,
    pub(crate) length: u32,
}

impl<'c> Guest<'c> {
    pub(super) fn new(caller: Caller<'c, State>) -> Self {
        Self { caller }
    }

    pub(crate) fn state(&mut self) -> &mut State {
        self.caller.data_mut()
    }

    /// Bytes of the guest's memory, and the host's state beside them.
    pub(crate) fn read(&mut self, at: u32, length: u32) -> Result<(&[u8], &mut State), Status> {
        let memory = self.memory()?;
        let (bytes, state) = memory.data_and_store_mut(&mut self.caller);
        Ok((slice(bytes, at, length)?, state))
    }

    /// Two stretches of the guest's memory, and the host's state beside them.
    pub(crate) fn read_two(
        &mut self,
        (a, a_length): (u32, u32),
        (b, b_length): (u32, u32),
    ) -> Result<(&[u8], &[u8], &mut State), Status> {
        let memory = self.memory()?;
        let (bytes, state) = memory.data_and_store_mut(&mut self.caller);
        let bytes: &[u8] = bytes;
        Ok((slice(bytes, a, a_length)?, slice(bytes, b, b_length)?, state))
    }

    /// All of the guest's memory, and the host's state beside it.
    pub(crate) fn all(&mut self) -> Result<(&mut [u8], &mut State), Status> {
        let memory = self.memory()?;
        Ok(memory.data_and_store_mut(&mut self.caller))
    }

    pub(crate) fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Status> {
        let (memory, _) = self.all()?;
        let length = u32::try_from(bytes.len()).map_err(|_| Status::InvalidMemoryAccess)?;
        slice_mut(memory, at, length)?.copy_from_slice(bytes);
        Ok(())
    }

    pub(crate) fn write_u32(&mut self, at: u32, number: u32) -> Result<(), Status> {
        self.write(at, &number.to_le_bytes())
    }

    pub(crate) fn write_u64(&mut self, at: u32, number: u64) -> Result<(), Status> {
        self.write(at, &number.to_le_bytes())
    }

    /// Gives bytes to the guest in memory of its own allocator. No bytes are a null pointer.
    pub(crate) fn give(&mut self, bytes: &[u8], place: Place) -> Result<(), Stop> {
        // Both places are tried first, so that nothing is allocated in vain.
        self.write_u32(place.pointer, 0)?;
        self.write_u32(place.length, 0)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let length = u32::try_from(bytes.len()).map_err(|_| Status::InternalFailure)?;
        let at = self.allocate(length)?;
        self.write(at, bytes)?;
        self.write_u32(place.pointer, at)?;
        self.write_u32(place.length, length)?;
        Ok(())
    }

    fn allocate(&mut self, length: u32) -> Result<u32, Stop> {
        let state = self.caller.data_mut();
        let Some(allocate) = state.allocate.clone() else { return Err(Status::InternalFailure.into()) };
        if std::mem::replace(&mut state.allocating, true) {
            return Err(Status::InternalFailure.into());
        }
        let given = allocate.call(self.caller.as_context_mut(), length);
        self.caller.data_mut().allocating = false;
        match given {
            Ok(0) => Err(Status::InternalFailure.into()),
            Ok(at) => Ok(at),
            Err(error) => Err(Stop::Trap(error)),
        }
    }

    fn memory(&mut self) -> Result<Memory, Status> {
        if let Some(memory) = self.caller.data().memory {
            return Ok(memory);
        }
        // Only while the module's own start function runs.
        match self.caller.get_export("memory") {
            Some(Extern::Memory(memory)) => Ok(memory),
            _ => Err(Status::InvalidMemoryAccess),
        }
    }
}

/// `length` bytes at `at`, if all of them are in memory.
pub(crate) fn slice(memory: &[u8], at: u32, length: u32) -> Result<&[u8], Status> {
    let (at, length) = range(at, length)?;
    let end = at.checked_add(length).ok_or(Status::InvalidMemoryAccess)?;
    memory.get(at..end).ok_or(Status::InvalidMemoryAccess)
}

pub(crate) fn slice_mut(memory: &mut [u8], at: u32, length: u32) -> Result<&mut [u8], Status> {
    let (at, length) = range(at, length)?;
    let end = at.checked_add(length).ok_or(Status::InvalidMemoryAccess)?;
    memory.get_mut(at..end).ok_or(Status::InvalidMemoryAccess)
}

fn range(at: u32, length: u32) -> Result<(usize, usize), Status> {
    let number = |number: u32| usize::try_from(number).map_err(|_| Status::InvalidMemoryAccess);
    Ok((number(at)?, number(length)?))
}
