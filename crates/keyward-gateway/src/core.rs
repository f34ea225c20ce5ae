//! What one core keeps between requests. Nothing in here is shared while requests run.

use std::sync::Arc;

use keyward_access::Snapshot;
use keyward_access::jwt::TokenMemory;
use keyward_http::{CallOuts, Head, Outcome, Peer};
use keyward_model::{CallsKey, Day, DenyReason, Timestamp};

use crate::diagnosis::DiagnosisBudget;
use crate::exchange::Exchange;
use crate::forwarded::ForwardedFields;
use crate::metrics::CoreCounters;
use crate::plugin::Chains;
use crate::published::PublishedApis;
use crate::record::{Asked, Decided, Line, TimeText};
use crate::service::Services;
use crate::text::AddressText;
use crate::usage::CoreUsage;
use crate::{Lane, RequestId, RequestIds};

/// What one core keeps between requests.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) request_ids: RequestIds,
    pub(crate) counters: Arc<CoreCounters>,
    pub(crate) usage: Arc<CoreUsage>,
    pub(crate) lane: Option<Arc<Lane>>,
    pub(crate) apis: PublishedApis,
    pub(crate) services: Services,
    pub(crate) chains: Chains,
    pub(crate) call_outs: CallOuts,
    pub(crate) tokens: TokenMemory,
    pub(crate) time: TimeText,
    pub(crate) forwarded: ForwardedFields,
    /// Buffers of records that are over, to be used again.
    pub(crate) spare: Vec<Vec<u8>>,
    pub(crate) diagnosis: DiagnosisBudget,
    /// When it was last told that a request demands a revision of another store, by the monotonic clock.
    pub(crate) other_store_told_ms: u64,
    /// Changes of the Snapshot since what is made ready was looked through.
    pub(crate) changes: u32,
}

/// Buffers kept for reuse: about as many as a core has requests under way.
const SPARE_MAX: usize = 512;
/// What is made ready is looked through after this many changes.
const CHANGES_MAX: u32 = 256;

impl Core {
    /// Begins an exchange and its record.
    pub(crate) fn begin(&mut self, head: &Head<'_>, client: &AddressText, now: Timestamp) -> Exchange {
        self.counters.started.add(1);
        let request_id = self.request_ids.next(now);
        let mut line = self.line();
        let asked = Asked {
            request_id: &request_id,
            client,
            method: Some(head.method),
            host: Some(head.host),
            path: Some(head.path),
        };
        if self.lane.is_some() {
            line.asked(&mut self.time, now, &asked);
        }
        Exchange::new(request_id, line, now)
    }

    /// Ends an exchange: its record is handed over, its buffer kept.
    pub(crate) fn end(&mut self, exchange: Exchange, outcome: &Outcome) {
        let Exchange { mut line, is_decided, reason, api, caller, began, plugin, .. } = exchange;
        let reason = reason.get();
        let called = api.as_ref().map(|api| api.entry.api().id);
        self.usage.over(CallsKey { day: Day::of(began), caller, api: called, reason }, began);
        self.counters.finished(api.as_ref().map(|api| &*api.counters), outcome, reason);
        if let Some(lane) = &self.lane {
            if !is_decided {
                let api = api.as_ref().map(|api| (&*api.id, &api.entry.api().name));
                line.decided(&Decided::default(), api, 0);
            }
            line.ended(outcome, reason.map(DenyReason::code), plugin);
            lane.push(line.as_bytes());
        }
        self.keep(line);
    }

    /// Records a message that was refused before it became a request.
    pub(crate) fn record_refused(
        &mut self,
        request_id: &RequestId,
        peer: &Peer,
        status: u16,
        reason: DenyReason,
        now: Timestamp,
    ) {
        self.counters.refused(status, reason);
        let key = CallsKey { day: Day::of(now), caller: None, api: None, reason: Some(reason) };
        self.usage.over(key, now);
        let Some(lane) = self.lane.clone() else { return };
        let mut line = self.line();
        let client = &AddressText::of(peer.address.ip().to_canonical());
        line.asked(&mut self.time, now, &Asked { request_id, client, method: None, host: None, path: None });
        line.decided(&Decided::default(), None, 0);
        let outcome = Outcome {
            status,
            duration: std::time::Duration::ZERO,
            request_bytes: 0,
            response_bytes: 0,
            complete: true,
            forwarded: false,
        };
        line.ended(&outcome, Some(reason.code()), None);
        lane.push(line.as_bytes());
        self.keep(line);
    }

    /// Another Snapshot is in use: now and then, what it no longer has is let go.
    pub(crate) fn changed(&mut self, snapshot: &Snapshot) {
        self.changes += 1;
        if self.changes >= CHANGES_MAX {
            self.changes = 0;
            self.apis.keep(|id| snapshot.api(id).is_some());
            self.services.keep(|id| snapshot.service(id).is_some());
            self.chains.keep(snapshot);
            self.counters.keep_apis(|id| snapshot.api(id).is_some());
        }
    }

    fn line(&mut self) -> Line {
        Line::within(self.spare.pop().unwrap_or_default())
    }

    fn keep(&mut self, line: Line) {
        if self.spare.len() < SPARE_MAX {
            self.spare.push(line.into_buffer());
        }
    }
}
