//! What all instances with the same `vm_id` share on this node: data, queues and metrics. All of it is bounded.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use crate::abi::Status;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::queue::{Item, Queue};

/// The room that instances with one `vm_id` share. It is gone with the last of them.
#[derive(Default)]
pub(crate) struct Room {
    data: Mutex<Data>,
    queues: Mutex<Queues>,
    pub(crate) metrics: Metrics,
}

#[derive(Default)]
struct Data {
    entries: HashMap<Vec<u8>, (Bytes, u32)>,
    bytes: usize,
    last_cas: u32,
}

#[derive(Default)]
struct Queues {
    queues: Vec<SharedQueue>,
    bytes: usize,
}

struct SharedQueue {
    name: Vec<u8>,
    items: VecDeque<Bytes>,
    /// Workers that registered it; one of them is told of each item.
    listeners: Vec<Weak<Queue>>,
    /// How often it was told and not yet heard.
    told: usize,
}

impl Room {
    /// The value, and the number to compare with when it is set.
    pub(crate) fn get(&self, name: &[u8]) -> Result<(Bytes, u32), Status> {
        lock(&self.data).entries.get(name).cloned().ok_or(Status::NotFound)
    }

    /// Sets a value, or removes it (`None`). With a `cas` other than 0 only if the entry still has that number.
    pub(crate) fn set(
        &self,
        name: &[u8],
        value: Option<&[u8]>,
        cas: u32,
        limits: &Limits,
    ) -> Result<(), Status> {
        let mut data = lock(&self.data);
        let known = data.entries.get(name).map(|(value, cas)| (value.len() + name.len(), *cas));
        if cas != 0 && known.map(|(_, cas)| cas) != Some(cas) {
            return Err(Status::CasMismatch);
        }
        let freed = known.map_or(0, |(bytes, _)| bytes);
        let Some(value) = value else {
            data.entries.remove(name);
            data.bytes = data.bytes.saturating_sub(freed);
            return Ok(());
        };
        let bytes = data.bytes.saturating_sub(freed) + name.len() + value.len();
        let entries = data.entries.len() + usize::from(known.is_none());
        if bytes > limits.shared_bytes_max || entries > limits.shared_entries_max {
            return Err(Status::InternalFailure);
        }
        data.last_cas = data.last_cas.checked_add(1).unwrap_or(1);
        let cas = data.last_cas;
        data.entries.insert(name.to_vec(), (Bytes::copy_from_slice(value), cas));
        data.bytes = bytes;
        Ok(())
    }

    /// Opens a queue, or makes it; whoever listens is told of items.
    pub(crate) fn register(&self, name: &[u8], by: Weak<Queue>, limits: &Limits) -> Result<u32, Status> {
        let mut queues = lock(&self.queues);
        if queues.position(name).is_none() {
            if queues.queues.len() >= limits.queues_max || name.len() > limits.metric_name_max {
                return Err(Status::InternalFailure);
            }
            let queue =
                SharedQueue { name: name.to_vec(), items: VecDeque::new(), listeners: Vec::new(), told: 0 };
            queues.queues.push(queue);
        }
        let at = queues.position(name).ok_or(Status::InternalFailure)?;
        let queue = queues.queues.get_mut(at).ok_or(Status::InternalFailure)?;
        queue.listeners.retain(|known| known.strong_count() > 0 && !known.ptr_eq(&by));
        queue.listeners.push(by);
        id_of(at)
    }

    /// The id of a queue that was registered.
    pub(crate) fn resolve(&self, name: &[u8]) -> Result<u32, Status> {
        id_of(lock(&self.queues).position(name).ok_or(Status::NotFound)?)
    }

    /// Adds an item at the end and tells one listener, in turn.
    pub(crate) fn enqueue(&self, id: u32, value: &[u8], limits: &Limits) -> Result<(), Status> {
        let mut queues = lock(&self.queues);
        let bytes = queues.bytes + value.len();
        let queue = queues.of(id)?;
        if queue.items.len() >= limits.queue_items_max || bytes > limits.shared_bytes_max {
            return Err(Status::InternalFailure);
        }
        queue.items.push_back(Bytes::copy_from_slice(value));
        let listener = if queue.told < limits.queue_items_max { queue.listener() } else { None };
        queue.told += usize::from(listener.is_some());
        queues.bytes = bytes;
        drop(queues);
        if let Some(listener) = listener.and_then(|listener| listener.upgrade()) {
            // A worker that has ended hears nothing; another one is told of the next item.
            let _ = listener.push(Item::QueueReady(id));
        }
        Ok(())
    }

    /// Takes the first item.
    pub(crate) fn dequeue(&self, id: u32) -> Result<Bytes, Status> {
        let mut queues = lock(&self.queues);
        let item = queues.of(id)?.items.pop_front().ok_or(Status::Empty)?;
        queues.bytes = queues.bytes.saturating_sub(item.len());
        Ok(item)
    }

    /// A listener has heard of an item.
    pub(crate) fn heard(&self, id: u32) {
        if let Ok(queue) = lock(&self.queues).of(id) {
            queue.told = queue.told.saturating_sub(1);
        }
    }
}

impl Queues {
    fn position(&self, name: &[u8]) -> Option<usize> {
        self.queues.iter().position(|queue| queue.name == name)
    }

    fn of(&mut self, id: u32) -> Result<&mut SharedQueue, Status> {
        let at = usize::try_from(id).ok().and_then(|id| id.checked_sub(1)).ok_or(Status::NotFound)?;
        self.queues.get_mut(at).ok_or(Status::NotFound)
    }
}

impl SharedQueue {
    fn listener(&mut self) -> Option<Weak<Queue>> {
        self.listeners.retain(|known| known.strong_count() > 0);
        if !self.listeners.is_empty() {
            self.listeners.rotate_left(1);
        }
        self.listeners.last().cloned()
    }
}

/// Ids begin at 1, so that 0 is none.
fn id_of(at: usize) -> Result<u32, Status> {
    u32::try_from(at + 1).map_err(|_| Status::InternalFailure)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
