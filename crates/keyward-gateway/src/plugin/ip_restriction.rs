//! `ip-restriction`: by the address that a call comes from. Where a trusted proxy says whose call it is, that counts.

use keyward_model::IpRestriction;

use super::{Act, Call, Refusal, Verdict};

#[derive(Debug)]
pub(super) struct IpRestrictionAct(pub(super) IpRestriction);

impl Act for IpRestrictionAct {
    fn request(&self, call: &mut Call<'_>) -> Verdict {
        let client = call.client.to_canonical();
        let allowed = self.0.allow.is_empty() || self.0.allow.iter().any(|net| net.contains(&client));
        if allowed && !self.0.deny.iter().any(|net| net.contains(&client)) {
            return Verdict::Pass;
        }
        Verdict::Refuse(Refusal::refused(self.0.status, "calls from this address are not let in"))
    }
}
