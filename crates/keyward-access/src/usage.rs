//! What the data plane reports back of use.

use keyward_model::UsageBatch;

/// Where a node's data plane tells what was used. It is asked every few seconds by whoever writes that down.
pub trait UsageSource: Send + Sync + 'static {
    /// What was used since the last call.
    fn take(&self) -> UsageBatch;

    /// What of it could not be written down: it is told again with the next [`UsageSource::take`].
    fn give_back(&self, batch: UsageBatch);
}
