//! Gateways, services, APIs, and the routes between them.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyward_model::{Api, ApiId, GatewayId, Service, ServiceId};

use super::hosts::HostClaims;
use super::secrets::Concerned;
use super::staged::Staged;
use super::{Manner, Work, foreign, in_use, invalid, unknown};
use crate::snapshot::GatewayEntry;
use crate::snapshot::ServiceEntry;
use crate::snapshot::entry::ApiEntry;
use crate::snapshot::routes::{Clash, HostKey, HostRoutes, Member, hosts_of};
use crate::snapshot::shards::{Change, Shards};
use crate::snapshot::update::{ObjectId, Problem, ProblemKind};

/// Its APIs alone may answer to any host.
const DEFAULT_ACCOUNT: &str = "default";

/// APIs that change: `None`, they go.
type Wanted = BTreeMap<ApiId, Option<Arc<ApiEntry>>>;
/// Hosts of gateways whose routes change, and how.
type RouteEdits = BTreeMap<(GatewayId, HostKey), BTreeMap<ApiId, Option<Member>>>;

/// What follows from a set of APIs.
struct Plan<'b> {
    hosts: HostClaims<'b>,
    routes: Vec<(GatewayId, Change<Arc<HostRoutes>>)>,
}

impl<'b> Work<'b> {
    pub(super) fn compile_gateways(&mut self, staged: &Staged) {
        if staged.gateways.is_empty() {
            return;
        }
        let mut gateways: BTreeMap<GatewayId, Arc<GatewayEntry>> =
            self.base.gateways.iter().map(|entry| (entry.gateway.id, Arc::clone(entry))).collect();
        for (&id, gateway) in &staged.gateways {
            let before = gateways.remove(&id);
            let Some(gateway) = gateway.clone() else { continue };
            let (routes, wildcards, plugins) = before.map_or_else(Default::default, |before| {
                (before.routes.clone(), before.wildcards, Arc::clone(&before.plugins))
            });
            gateways.insert(id, Arc::new(GatewayEntry { gateway, routes, wildcards, plugins }));
        }
        self.next.gateways = gateways.into_values().collect();
    }

    /// Compiles services that change, and those whose secrets do; returns which they are.
    pub(super) fn compile_services(&mut self, staged: &Staged, concerned: &Concerned) -> Vec<ServiceId> {
        let again = concerned.services.iter().filter(|id| !staged.services.contains_key(id));
        let again = again.filter_map(|id| Some((*id, Some(Service::clone(self.base.service(*id)?)))));
        let described = staged.services.iter().map(|(id, service)| (*id, service.clone()));
        let mut changes = Vec::new();
        for (id, service) in described.chain(again).collect::<Vec<_>>() {
            let checked = match &service {
                Some(service) => self.check_account(ObjectId::Service(id), service.account),
                None => Ok(()),
            };
            match checked {
                Ok(()) => changes.push(Change {
                    hash: self.base.hashes.uuid(id.uuid()),
                    id,
                    value: service.map(|service| Arc::new(ServiceEntry::new(service, &self.next))),
                }),
                Err(problem) => self.refuse(problem),
            }
        }
        let ids = changes.iter().map(|change| change.id).collect();
        self.next.services = self.base.services.with(changes);
        ids
    }

    pub(super) fn compile_apis(&mut self, staged: &Staged) {
        let mut wanted = self.check_apis(staged);
        // What is left out is no longer in anybody's way, so the rest is planned anew; each round leaves out one at least.
        let plan = loop {
            match self.plan(&wanted) {
                Ok(plan) => break plan,
                Err(problems) => {
                    for problem in &problems {
                        if let ObjectId::Api(id) = problem.object {
                            wanted.remove(&id);
                        }
                    }
                    self.problems.extend(problems);
                    if self.manner == Manner::AllOrNothing {
                        return;
                    }
                }
            }
        };
        self.next.hosts = plan.hosts.into_shards();
        self.set_routes(plan.routes);
        let changes = wanted.into_iter().map(|(id, value)| Change {
            hash: self.base.hashes.uuid(id.uuid()),
            id,
            value,
        });
        self.next.apis = self.base.apis.with(changes.collect());
    }

    /// Gateways and services that went must not be needed any more.
    pub(super) fn check_removals(&mut self, staged: &Staged) {
        for (&id, _) in staged.gateways.iter().filter(|(_, gateway)| gateway.is_none()) {
            self.check_unneeded(ObjectId::Gateway(id), |api| api.gateways.contains(&id));
        }
        for (&id, _) in staged.services.iter().filter(|(_, service)| service.is_none()) {
            self.check_unneeded(ObjectId::Service(id), |api| uses(api, id));
            self.check_uncalled(id);
            self.check_unasked(id);
        }
    }

    fn check_unneeded(&mut self, object: ObjectId, needs: impl Fn(&Api) -> bool) {
        let users = self.next.apis.iter().filter(|entry| needs(&entry.api));
        let problems: Vec<_> = users.map(|entry| in_use(object, ObjectId::Api(entry.api.id))).collect();
        self.problems.extend(problems);
    }

    /// The APIs that are sound by themselves.
    fn check_apis(&mut self, staged: &Staged) -> Wanted {
        let mut wanted = Wanted::new();
        for (&id, api) in &staged.apis {
            match api.as_ref().map(|api| self.check_api(api)).transpose() {
                Ok(_) => {
                    wanted.insert(id, api.clone().map(|api| Arc::new(self.entry_of(api))));
                }
                Err(problem) => self.refuse(problem),
            }
        }
        wanted
    }

    fn check_api(&self, api: &Api) -> Result<(), Problem> {
        let object = ObjectId::Api(api.id);
        self.check_account(object, api.account)?;
        if let Some(&gateway) = api.gateways.iter().find(|id| self.next.gateway(**id).is_none()) {
            return Err(unknown(object, ObjectId::Gateway(gateway)));
        }
        for binding in api.stages.values() {
            let service = ObjectId::Service(binding.service);
            match self.next.service(binding.service) {
                None => return Err(unknown(object, service)),
                Some(found) if found.account != api.account => return Err(foreign(object, service)),
                Some(_) => {}
            }
        }
        let hosts = hosts_of(api).map_err(|host| {
            invalid(
                object,
                format!("host `{host}` is bound to two stages: give each stage a host of its own"),
            )
        })?;
        let is_default = self.account_name(api.account).is_some_and(|name| name.as_str() == DEFAULT_ACCOUNT);
        if hosts.iter().any(|(host, _)| *host == HostKey::Any) && !is_default {
            let text = "it answers to any host, which only APIs of account `default` may: list its hosts";
            return Err(invalid(object, text));
        }
        Ok(())
    }

    /// What follows from these APIs, or which of them are in conflict.
    fn plan(&self, wanted: &Wanted) -> Result<Plan<'b>, Vec<Problem>> {
        let mut hosts = HostClaims::new(self.base);
        let mut edits = RouteEdits::new();
        let mut problems = Vec::new();
        for before in wanted.keys().filter_map(|id| self.base.api(*id)) {
            for (host, _) in hosts_of(&before.api).unwrap_or_default() {
                hosts.release(&host);
                for &gateway in &before.api.gateways {
                    edits.entry((gateway, host.clone())).or_default().insert(before.api.id, None);
                }
            }
        }
        for after in wanted.values().flatten() {
            for (host, by_host) in hosts_of(&after.api).unwrap_or_default() {
                problems.extend(hosts.claim(&host, &after.api).err());
                for &gateway in &after.api.gateways {
                    let member = Member { api: Arc::clone(after), by_host };
                    edits.entry((gateway, host.clone())).or_default().insert(after.api.id, Some(member));
                }
            }
        }
        let mut routes = Vec::new();
        for ((gateway, host), edits) in edits {
            let (change, clashes) = self.edit_routes(gateway, &host, edits);
            problems.extend(clashes.into_iter().map(|clash| self.clash(gateway, &host, &clash)));
            routes.push((gateway, change));
        }
        if problems.is_empty() { Ok(Plan { hosts, routes }) } else { Err(problems) }
    }

    fn edit_routes(
        &self,
        gateway: GatewayId,
        host: &HostKey,
        edits: BTreeMap<ApiId, Option<Member>>,
    ) -> (Change<Arc<HostRoutes>>, Vec<Clash>) {
        let hash = host.hash(&self.base.hashes);
        let entry = self.base.gateway_entry(gateway);
        let before = entry.and_then(|entry| entry.routes.get(hash).find(|routes| routes.host == *host));
        let kept =
            before.iter().flat_map(|routes| &routes.members).filter(|m| !edits.contains_key(&m.api.api.id));
        let members: Vec<Member> = kept.cloned().chain(edits.values().flatten().cloned()).collect();
        if members.is_empty() {
            return (Change { hash, id: host.clone(), value: None }, Vec::new());
        }
        let (routes, clashes) = HostRoutes::new(host.clone(), members);
        (Change { hash, id: host.clone(), value: Some(Arc::new(routes)) }, clashes)
    }

    fn set_routes(&mut self, changes: Vec<(GatewayId, Change<Arc<HostRoutes>>)>) {
        let mut of_gateway: BTreeMap<GatewayId, Vec<Change<Arc<HostRoutes>>>> = BTreeMap::new();
        for (gateway, change) in changes {
            of_gateway.entry(gateway).or_default().push(change);
        }
        let mut gateways = self.next.gateways.to_vec();
        for entry in &mut gateways {
            let Some(changes) = of_gateway.remove(&entry.gateway.id) else { continue };
            let routes: Shards<Arc<HostRoutes>> = entry.routes.with(changes);
            let wildcards = routes.iter().filter(|routes| routes.host.is_any_wildcard()).count();
            let plugins = Arc::clone(&entry.plugins);
            *entry = Arc::new(GatewayEntry { gateway: entry.gateway.clone(), routes, wildcards, plugins });
        }
        self.next.gateways = gateways.into();
    }

    fn clash(&self, gateway: GatewayId, host: &HostKey, clash: &Clash) -> Problem {
        let object = ObjectId::Api(clash.api);
        let name =
            self.next.gateway(gateway).map_or_else(String::new, |gateway| gateway.spec.name.to_string());
        let path = &clash.path;
        let text = if clash.api == clash.with {
            format!("two of its stages claim `{path}`: give each stage a path prefix of its own")
        } else {
            format!(
                "`{path}` on {host} at gateway `{name}` is another API's: choose another base path or host"
            )
        };
        let other = (clash.api != clash.with).then_some(ObjectId::Api(clash.with));
        Problem { object, other, kind: ProblemKind::Conflict, text }
    }
}

fn uses(api: &Api, service: ServiceId) -> bool {
    api.stages.values().any(|binding| binding.service == service)
}
