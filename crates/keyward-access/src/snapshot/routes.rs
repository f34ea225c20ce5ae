//! Which API answers to a host and path of a gateway.

use std::collections::BTreeMap;
use std::sync::Arc;

use keyward_model::{Api, ApiId, BasePath, CredentialKind, HostPattern, SignatureScheme, Stage};

use crate::path::{Segments, decode};
use crate::snapshot::entry::ApiEntry;
use crate::snapshot::shards::Keyed;

/// The hosts that an API answers to, as they are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum HostKey {
    Pattern(HostPattern),
    Any,
}

/// The APIs of one host pattern of one gateway.
#[derive(Debug)]
pub(crate) struct HostRoutes {
    pub(crate) host: HostKey,
    /// In id order.
    pub(crate) members: Vec<Member>,
    tree: Node,
}

/// An API that answers to a host.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) api: Arc<ApiEntry>,
    /// The stage that this host is bound to.
    pub(crate) by_host: Option<Stage>,
}

/// Where a base path, with or without a stage's prefix, leads.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) api: Arc<ApiEntry>,
    pub(crate) by_host: Option<Stage>,
    pub(crate) by_prefix: Option<Stage>,
    /// How many segments the stage's prefix has.
    pub(crate) prefix_segments: usize,
}

/// A route that matched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matched<'s> {
    pub(crate) route: &'s Route,
    /// How many segments prefix and base path have together.
    pub(crate) segments: usize,
}

/// Two APIs that claim the same host and path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Clash {
    /// The API that loses: the younger one.
    pub(crate) api: ApiId,
    pub(crate) with: ApiId,
    pub(crate) path: String,
}

impl HostRoutes {
    /// Compiles the routes of these APIs. Of two that claim one path, the older keeps it.
    pub(crate) fn new(host: HostKey, mut members: Vec<Member>) -> (Self, Vec<Clash>) {
        members.sort_by_key(|member| member.api.api.id);
        let mut tree = Node::default();
        let mut clashes = Vec::new();
        for member in &members {
            for (path, route) in member.written_out() {
                clashes.extend(tree.insert(&path, route));
            }
        }
        // What no one wrote down yields to what someone did.
        for (path, route) in members.iter().flat_map(Member::by_default) {
            tree.insert(&path, route);
        }
        (Self { host, members, tree }, clashes)
    }

    /// The longest prefix and base path that this path (decoded) lies on or below.
    pub(crate) fn find(&self, path: &str) -> Option<Matched<'_>> {
        let mut node = &self.tree;
        let mut best = node.route(0);
        for (index, segment) in Segments::of(path).enumerate() {
            let Some(child) = node.children.get(segment) else { break };
            node = child;
            best = node.route(index + 1).or(best);
        }
        best
    }
}

impl Keyed for Arc<HostRoutes> {
    type Id = HostKey;

    fn is(&self, id: &HostKey) -> bool {
        self.host == *id
    }
}

impl Member {
    /// The base path itself, and with the prefixes that stages are bound to.
    fn written_out(&self) -> Vec<(Vec<String>, Route)> {
        let base = segments(&self.api.api.settings.base_path);
        let own = (base.clone(), self.route(None, 0));
        let bound = self.api.api.stages.iter().filter_map(|(&stage, binding)| {
            let prefix = segments(binding.path_prefix.as_ref()?);
            (!prefix.is_empty()).then(|| self.prefixed(stage, prefix, &base))
        });
        std::iter::once(own).chain(bound).collect()
    }

    /// The prefixes under which Tencent's clients call, for stages that no other prefix is bound to.
    fn by_default(&self) -> Vec<(Vec<String>, Route)> {
        let api = &self.api.api;
        if !admits_tencent(api) {
            return Vec::new();
        }
        let base = segments(&api.settings.base_path);
        let is_bound = |stage| api.stages.get(&stage).is_some_and(|binding| binding.path_prefix.is_some());
        let stages = Stage::ALL.into_iter().filter(|&stage| !is_bound(stage));
        stages
            .map(|stage| {
                let prefix = stage.tencent_prefix().trim_start_matches('/').to_owned();
                self.prefixed(stage, vec![prefix], &base)
            })
            .collect()
    }

    fn prefixed(&self, stage: Stage, prefix: Vec<String>, base: &[String]) -> (Vec<String>, Route) {
        let route = self.route(Some(stage), prefix.len());
        ([&prefix, base].concat(), route)
    }

    fn route(&self, by_prefix: Option<Stage>, prefix_segments: usize) -> Route {
        Route { api: Arc::clone(&self.api), by_host: self.by_host, by_prefix, prefix_segments }
    }
}

fn admits_tencent(api: &Api) -> bool {
    let tencent = |scheme: &SignatureScheme| *scheme != SignatureScheme::Alibaba;
    api.settings.admits.contains(CredentialKind::AppSignature)
        && api.settings.signature.schemes.iter().any(tencent)
}

/// The segments of a base path, decoded as request paths are.
fn segments(base: &BasePath) -> Vec<String> {
    let decoded = decode(base.as_str()).unwrap_or_else(|| base.as_str().to_owned());
    decoded.split('/').skip(1).map(str::to_owned).collect()
}

/// The hosts that an API answers to, each with the stage that is bound to it.
///
/// # Errors
/// The host that two stages are bound to.
pub(crate) fn hosts_of(api: &Api) -> Result<Vec<(HostKey, Option<Stage>)>, HostPattern> {
    let mut hosts: Vec<(HostKey, Option<Stage>)> = Vec::new();
    for (&stage, binding) in &api.stages {
        let Some(host) = &binding.host else { continue };
        let key = HostKey::Pattern(host.clone());
        if hosts.iter().any(|(other, _)| *other == key) {
            return Err(host.clone());
        }
        hosts.push((key, Some(stage)));
    }
    let own = api.settings.hosts.iter().cloned().map(HostKey::Pattern);
    let any = api.settings.hosts.is_empty().then_some(HostKey::Any);
    for key in own.chain(any) {
        if !hosts.iter().any(|(other, _)| *other == key) {
            hosts.push((key, None));
        }
    }
    Ok(hosts)
}

/// A tree of segments.
#[derive(Debug, Default)]
struct Node {
    route: Option<Route>,
    children: BTreeMap<Box<str>, Node>,
}

impl Node {
    /// Puts a route where none is; else tells who clashes.
    fn insert(&mut self, path: &[String], route: Route) -> Option<Clash> {
        let node =
            path.iter().fold(self, |node, segment| node.children.entry(segment.as_str().into()).or_default());
        if let Some(taken) = &node.route {
            let path = format!("/{}", path.join("/"));
            return Some(Clash { api: route.api.api.id, with: taken.api.api.id, path });
        }
        node.route = Some(route);
        None
    }

    fn route(&self, segments: usize) -> Option<Matched<'_>> {
        self.route.as_ref().map(|route| Matched { route, segments })
    }
}
