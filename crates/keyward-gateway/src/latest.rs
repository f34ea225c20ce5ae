//! The Snapshot that a core decides by: the current one, found by one atomic read.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use arc_swap::{ArcSwap, Cache};
use keyward_access::Snapshot;
use keyward_model::{GatewayId, IpNet};

/// One core's view of the published Snapshot.
#[derive(Debug)]
pub(crate) struct Latest {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    held: Arc<Snapshot>,
    retired: Retired,
    gateway: GatewayId,
    facts: GatewayFacts,
}

/// What a decision needs of the gateway's own entry.
#[derive(Debug)]
pub(crate) struct GatewayFacts {
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Largest body, in bytes.
    pub(crate) body_bytes: usize,
}

/// Where Snapshots go that a core no longer needs: freeing a big one takes longer than a request may wait.
#[derive(Clone, Debug)]
pub(crate) struct Retired(SyncSender<Arc<Snapshot>>);

/// Snapshots that may wait to be freed. Changes come one by one, so there are hardly ever two.
const RETIRED_MAX: usize = 1024;

impl Retired {
    /// Starts the thread that frees them. It ends with the last sender.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (sender, receiver) = sync_channel::<Arc<Snapshot>>(RETIRED_MAX);
        let freeing = move || receiver.into_iter().for_each(drop);
        std::thread::Builder::new().name("snapshot-retire".into()).spawn(freeing)?;
        Ok(Self(sender))
    }
}

impl Latest {
    pub(crate) fn new(published: Arc<ArcSwap<Snapshot>>, gateway: GatewayId, retired: Retired) -> Self {
        let held = published.load_full();
        let facts = GatewayFacts::of(&held, gateway);
        Self { cache: Cache::new(published), held, retired, gateway, facts }
    }

    /// The current Snapshot and what follows from it, and whether it is another than last time.
    pub(crate) fn load(&mut self) -> (&Snapshot, &GatewayFacts, bool) {
        let current = self.cache.load();
        let changed = !Arc::ptr_eq(current, &self.held);
        if changed {
            let current = Arc::clone(current);
            self.facts = GatewayFacts::of(&current, self.gateway);
            let old = std::mem::replace(&mut self.held, current);
            // With the queue full it is freed here: late is better than never.
            drop(self.retired.0.try_send(old));
        }
        (&self.held, &self.facts, changed)
    }
}

impl GatewayFacts {
    fn of(snapshot: &Snapshot, gateway: GatewayId) -> Self {
        match snapshot.gateway(gateway) {
            Some(gateway) => Self {
                trusted_proxies: gateway.spec.trusted_proxies.clone(),
                body_bytes: usize::try_from(gateway.spec.limits.body_bytes).unwrap_or(usize::MAX),
            },
            // Without its gateway a node serves no API; it trusts nobody and holds nothing.
            None => Self { trusted_proxies: Vec::new(), body_bytes: 0 },
        }
    }
}
