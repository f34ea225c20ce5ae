//! The engine that all plugins of a node share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use wasmtime::{Config, Engine, Linker, OptLevel};

use crate::abi;
use crate::limits::Limits;
use crate::plugin::{LoadError, Plugin};
use crate::shared::Room;
use crate::state::State;
use crate::ticker::Ticker;

/// Stack of a guest. Deeper calls trap.
const GUEST_STACK: usize = 512 << 10;
/// Stack of a worker's thread: the guest's, and as much for the host functions above it as they could ever need.
pub(crate) const WORKER_STACK: usize = GUEST_STACK + (1536 << 10);

/// Compiles plugins and holds what they share. Cheap to clone; one per node.
#[derive(Clone)]
pub struct Host {
    pub(crate) shared: Arc<HostShared>,
}

pub(crate) struct HostShared {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) ticker: Ticker,
    rooms: Mutex<HashMap<String, Weak<Room>>>,
    threads: AtomicUsize,
}

/// The host cannot be had on this machine.
#[derive(Debug, thiserror::Error)]
#[error("the host of plugins could not be started: {0}")]
pub struct HostError(String);

impl Host {
    /// An engine of this machine's kind, and the thread that bounds how long guests run.
    ///
    /// # Errors
    /// [`HostError`] if the engine does not support this machine, or there can be no thread.
    pub fn new() -> Result<Self, HostError> {
        let said = |error: &dyn std::fmt::Display| HostError(error.to_string());
        let engine = Engine::new(&config()).map_err(|error| said(&error))?;
        let mut linker = Linker::new(&engine);
        abi::link(&mut linker).map_err(|error| said(&error))?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| said(&error))?;
        let rooms = Mutex::default();
        let shared = HostShared { engine, linker, ticker, rooms, threads: AtomicUsize::new(0) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Checks a module and compiles it. It takes up to seconds: not for a loop that serves requests.
    ///
    /// # Errors
    /// [`LoadError`] says what is wrong with the module.
    pub fn load(&self, module: &[u8], limits: &Limits) -> Result<Plugin, LoadError> {
        Plugin::load(Arc::clone(&self.shared), module, limits)
    }
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Host")
    }
}

impl HostShared {
    /// What plugins with this `vm_id` share.
    pub(crate) fn room(&self, vm_id: &str) -> Arc<Room> {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(room) = rooms.get(vm_id).and_then(Weak::upgrade) {
            return room;
        }
        rooms.retain(|_, room| room.strong_count() > 0);
        let room = Arc::new(Room::default());
        rooms.insert(vm_id.to_owned(), Arc::downgrade(&room));
        room
    }

    /// A name for a worker's thread.
    pub(crate) fn thread_name(&self) -> String {
        format!("wasm-{}", self.threads.fetch_add(1, Ordering::Relaxed))
    }
}

/// Only what guests of today need: what is off cannot be attacked.
fn config() -> Config {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(GUEST_STACK)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_tail_call(false)
        .wasm_relaxed_simd(false);
    config
}
