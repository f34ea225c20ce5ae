//! `request-block`: what must not be in a call.

use std::sync::Arc;

use keyward_access::{BlockRules, PluginEntry, PluginWork};

use super::{Act, Call, Refusal, Verdict};

#[derive(Debug)]
pub(super) struct RequestBlockAct(pub(super) Arc<PluginEntry>);

impl Act for RequestBlockAct {
    fn request(&self, call: &mut Call<'_>) -> Verdict {
        let PluginWork::Block(rules) = self.0.work() else { return Verdict::Pass };
        let mut fields = call.head.fields.iter();
        let in_head = rules.blocks_url(call.head.path, call.head.query)
            || fields.any(|field| rules.blocks_field(field.name, field.value));
        if in_head {
            return refuse(rules);
        }
        if !rules.config.looks_into_bodies() {
            return Verdict::Pass;
        }
        match call.body(rules.config.body_bytes as usize) {
            Ok(body) if rules.blocks_body(body) => refuse(rules),
            Ok(_) => Verdict::Pass,
            Err(verdict) => verdict,
        }
    }
}

fn refuse(rules: &BlockRules) -> Verdict {
    let hint = rules.config.message.as_deref().unwrap_or("something in the call is not let in");
    Verdict::Refuse(Refusal::refused(rules.config.status, hint.to_owned()))
}
