//! What every use case needs besides the store.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use keyward_access::ModuleCheck;
use keyward_model::{DigestKey, Revision, Timestamp};
use uuid::Uuid;

use crate::Clock;
use crate::follow::Standing;
use crate::held::HeldTable;
use crate::key_sets::KeySets;

pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) digest_key: DigestKey,
    pub(crate) store_id: Uuid,
    pub(crate) own_listeners: RwLock<Vec<SocketAddr>>,
    pub(crate) standing: Standing,
    /// The key sets that were fetched, for every Snapshot of this node.
    pub(crate) fetched: Arc<KeySets>,
    /// The values of secrets that are held elsewhere, for the same.
    pub(crate) held: Arc<HeldTable>,
    /// Tries modules and custom plugins before they are kept.
    pub(crate) module_check: OnceLock<Arc<dyn ModuleCheck>>,
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn revision(&self, number: u64) -> Revision {
        Revision { store: self.store_id, number }
    }

    pub(crate) fn own_listeners(&self) -> Vec<SocketAddr> {
        self.own_listeners.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
