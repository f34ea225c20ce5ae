//! What a server counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that one core writes and others may read. Adding takes no locked instruction.
#[derive(Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds; only the owning core may.
    pub(crate) fn add(&self, number: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(number), Ordering::Relaxed);
    }

    /// Takes away; only the owning core may.
    pub(crate) fn sub(&self, number: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_sub(number), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What has been counted since the start, over all cores.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        /// One core's counts, on cache lines of their own.
        #[derive(Default)]
        #[repr(align(128))]
        pub(crate) struct CoreCounters {
            $(pub(crate) $name: Count,)*
        }

        impl Counters {
            pub(crate) fn add_core(&mut self, core: &CoreCounters) {
                $(self.$name += core.$name.get();)*
            }
        }
    };
}

counters! {
    /// Client connections accepted.
    connections_accepted,
    /// Client connections open now.
    connections_open,
    /// Client connections closed to make room for new ones, or turned away.
    connections_shed,
    /// Request heads handed to the handler.
    requests,
    /// Requests whose exchange is not finished now.
    requests_open,
    /// Connections whose next request is not decided: none has come, or the handler has not had all of it.
    undecided,
    /// Messages refused by the transport itself.
    refused,
    /// Connections ended because something did not happen in time.
    timed_out,
    /// Connections opened to upstreams.
    upstream_opened,
    /// Upstream connections open now, in use and idle.
    upstream_open,
    /// Attempts to connect to an upstream that failed.
    upstream_failed,
    /// Requests that found a pooled upstream connection.
    upstream_reused,
    /// Requests sent again because their pooled connection was dead.
    upstream_retried,
    /// Upstream connections thrown away because of what came on them.
    upstream_discarded,
    /// Panics caught in a handler or in the transport.
    panics,
}
