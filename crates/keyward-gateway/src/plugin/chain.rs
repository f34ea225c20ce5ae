//! The plugins of one API, operation and gateway, made ready for one core.

use std::rc::Rc;
use std::sync::Arc;

use hashbrown::HashMap;
use keyward_access::{PluginEntry, PluginSet, PluginWork, Snapshot};
use keyward_model::{ApiId, BuiltInConfig, PluginId, PluginPhase, ServiceId};

use super::backend_signature::BackendSignatureAct;
use super::cors::{CorsAct, Preflight};
use super::custom::CustomAct;
use super::custom_response::CustomResponseAct;
use super::ext_auth::ExtAuthAct;
use super::ip_restriction::IpRestrictionAct;
use super::quota::QuotaAct;
use super::rate_limit::RateLimitAct;
use super::request_block::RequestBlockAct;
use super::request_validation::RequestValidationAct;
use super::transform::TransformAct;
use super::{Act, Call, Needs, Refusal, Verdict};
use crate::custom::CustomPlugins;

/// Different sets of plugins that are kept ready for one API: as many as it has operations with plugins of their own.
const SETS_MAX: usize = 256;

/// The chains that a core has used, made ready once per change.
#[derive(Debug, Default)]
pub(crate) struct Chains {
    /// Who runs custom plugins; `None`: nobody.
    custom: Option<Arc<dyn CustomPlugins>>,
    ready: HashMap<ApiId, Vec<Rc<Chain>>>,
}

/// Plugins in the order in which they are asked.
#[derive(Debug)]
pub(crate) struct Chain {
    /// What it was made of.
    entries: Box<[Arc<PluginEntry>]>,
    pub(crate) links: Box<[Link]>,
    /// Of all of them together.
    pub(crate) needs: Needs,
    /// The services that they call.
    pub(crate) services: Box<[ServiceId]>,
    cors: Option<Rc<CorsAct>>,
}

/// One plugin of a chain.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) plugin: PluginId,
    pub(crate) act: Rc<dyn Act>,
}

impl Chains {
    pub(crate) fn new(custom: Option<Arc<dyn CustomPlugins>>) -> Self {
        Self { custom, ready: HashMap::new() }
    }

    /// The plugins of this set, made ready; only after a change is there anything to do.
    pub(crate) fn ready(&mut self, api: ApiId, set: PluginSet<'_>) -> Rc<Chain> {
        let known = self.ready.entry(api).or_default();
        if let Some(chain) = known.iter().find(|chain| chain.is_of(set)) {
            return Rc::clone(chain);
        }
        // What they were before is nobody's any more: it may hold secrets, and much memory.
        known.retain(|chain| !chain.is_before(set));
        if known.len() >= SETS_MAX {
            known.clear();
        }
        let chain = Rc::new(Chain::new(set, self.custom.as_ref()));
        known.push(Rc::clone(&chain));
        chain
    }

    /// Another Snapshot is in use: what it no longer has is let go now and then.
    pub(crate) fn keep(&mut self, snapshot: &Snapshot) {
        let is_current = |entry: &Arc<PluginEntry>| {
            snapshot.plugin(entry.plugin().id).is_some_and(|current| Arc::ptr_eq(current, entry))
        };
        self.ready.retain(|&id, known| {
            known.retain(|chain| chain.entries.iter().all(is_current));
            snapshot.api(id).is_some() && !known.is_empty()
        });
    }
}

impl Chain {
    fn new(set: PluginSet<'_>, custom: Option<&Arc<dyn CustomPlugins>>) -> Self {
        let mut links = Vec::new();
        let mut cors = None;
        for phase in [PluginPhase::Limit, PluginPhase::Request, PluginPhase::Outbound] {
            for entry in set.iter().filter(|entry| entry.phase() == phase) {
                let plugin = entry.plugin().id;
                let act: Rc<dyn Act> = match entry.work() {
                    PluginWork::BuiltIn(BuiltInConfig::Cors(config)) => {
                        let act = Rc::new(CorsAct::new(config));
                        // Two would answer twice: the nearest to the operation counts.
                        cors = Some(Rc::clone(&act));
                        continue_with(act)
                    }
                    PluginWork::Custom(plugin) => Rc::new(CustomAct::new(plugin, custom)),
                    _ => act_of(entry),
                };
                links.push(Link { plugin, act });
            }
        }
        let needs = links.iter().map(|link| link.act.needs()).fold(Needs::default(), |all, one| Needs {
            draft: all.draft || one.draft || one.answer_bodies,
            answers: all.answers || one.answers,
            answer_bodies: all.answer_bodies || one.answer_bodies,
        });
        let services = links.iter().filter_map(|link| link.act.service()).collect();
        Self { entries: set.iter().cloned().collect(), links: links.into(), needs, services, cors }
    }

    fn is_of(&self, set: PluginSet<'_>) -> bool {
        let mut ours = self.entries.iter();
        set.iter().all(|entry| ours.next().is_some_and(|other| Arc::ptr_eq(entry, other)))
            && ours.next().is_none()
    }

    /// Was one of it changed since?
    fn is_before(&self, set: PluginSet<'_>) -> bool {
        let changed = |entry: &Arc<PluginEntry>| {
            let mut ours = self.entries.iter();
            ours.any(|other| other.plugin().id == entry.plugin().id && !Arc::ptr_eq(entry, other))
        };
        set.iter().any(changed)
    }

    /// The answer to a browser's question beforehand, if there is anybody to give one.
    pub(crate) fn preflight(&self, asked: &Preflight<'_>) -> Option<keyward_http::Response> {
        self.cors.as_ref().map(|cors| cors.preflight(asked))
    }
}

fn continue_with(act: Rc<CorsAct>) -> Rc<dyn Act> {
    act
}

fn act_of(entry: &Arc<PluginEntry>) -> Rc<dyn Act> {
    match entry.work() {
        PluginWork::Block(_) => Rc::new(RequestBlockAct(Arc::clone(entry))),
        PluginWork::Validate(_) => Rc::new(RequestValidationAct(Arc::clone(entry))),
        PluginWork::BuiltIn(config) => match config {
            BuiltInConfig::IpRestriction(config) => Rc::new(IpRestrictionAct(config.as_ref().clone())),
            BuiltInConfig::CustomResponse(config) => Rc::new(CustomResponseAct(config.as_ref().clone())),
            BuiltInConfig::Quota(config) => Rc::new(QuotaAct(config.as_ref().clone())),
            BuiltInConfig::RateLimit(config) => Rc::new(RateLimitAct(config.as_ref().clone())),
            BuiltInConfig::BackendSignature(config) => Rc::new(BackendSignatureAct::new(config, entry)),
            BuiltInConfig::ExtAuth(config) => {
                let plugin = entry.plugin();
                let mut services = plugin.services.iter();
                let service = services.find(|(name, _)| *name == config.service).map(|(_, id)| *id);
                Rc::new(ExtAuthAct::new(config, plugin.id, service))
            }
            BuiltInConfig::Transform(config) => Rc::new(TransformAct::new(config, entry)),
            _ => Rc::new(Closed),
        },
        _ => Rc::new(Closed),
    }
}

/// In the place of a plugin that cannot do what it is for.
#[derive(Debug)]
struct Closed;

impl Act for Closed {
    fn request(&self, _: &mut Call<'_>) -> Verdict {
        Verdict::Refuse(Refusal::failed("a plugin of this API cannot be used"))
    }
}
