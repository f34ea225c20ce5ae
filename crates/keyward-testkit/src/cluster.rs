//! Several nodes in one process over one PostgreSQL, each with its own data folder and ports, before one upstream.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use keyward::{Node, NodeError, NodeOptions};
use keyward_api::WorldFile;
use keyward_control::{Actor, Applied, ApplyOptions, ClusterApplied, Control};
use keyward_model::{Plaintext, Revision};
use tempfile::TempDir;

use crate::client::{self, Answer, PATIENCE};
use crate::gateway::until;
use crate::request::Request;
use crate::upstream::Upstream;

/// Nodes, and what they share.
#[derive(Debug)]
pub struct Cluster {
    root: TempDir,
    upstream: Upstream,
    nodes: Vec<Option<Node>>,
    urls: Vec<String>,
}

impl Cluster {
    /// So many nodes on this database, with this world, in which `${UPSTREAM}` is the recording upstream.
    ///
    /// # Panics
    /// If one does not start.
    pub async fn start(nodes: usize, url: &str, world: &str) -> Self {
        Self::start_at(vec![url.to_owned(); nodes], world).await
    }

    /// A node for each of these addresses of the database.
    ///
    /// # Panics
    /// If one does not start.
    pub async fn start_at(urls: Vec<String>, world: &str) -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let upstream = Upstream::start().await.expect("an upstream");
        let mut cluster = Self { root, upstream, nodes: Vec::new(), urls };
        for at in 0..cluster.urls.len() {
            let node = cluster.open(at).await.expect("a node");
            cluster.nodes.push(Some(node));
            if at == 0 {
                let revision = cluster.apply(0, world).await.revision;
                assert_eq!(cluster.node(0).control().revision(), revision);
            }
        }
        cluster
    }

    async fn open(&self, at: usize) -> Result<Node, NodeError> {
        let name = "default".parse().expect("a name");
        let mut options = NodeOptions::new(self.folder(at), name);
        options.store = self.urls.get(at).map(|url| Plaintext::new(&**url));
        options.master_key = Some(self.master_key());
        options.name = Some(format!("n{at}"));
        Node::start(options).await
    }

    /// The master key that all share.
    pub fn master_key(&self) -> PathBuf {
        self.root.path().join("shared.key")
    }

    /// A node's data folder.
    pub fn folder(&self, at: usize) -> PathBuf {
        self.root.path().join(format!("n{at}"))
    }

    /// Where everything lies.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A running node.
    ///
    /// # Panics
    /// If it does not run.
    pub fn node(&self, at: usize) -> &Node {
        self.nodes[at].as_ref().expect("a running node")
    }

    /// A running node's use cases.
    pub fn control(&self, at: usize) -> &Control {
        self.node(at).control()
    }

    /// What stands behind all of them.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Where a node's gateway listens.
    pub fn address(&self, at: usize) -> SocketAddr {
        self.node(at).gateway_addr()
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Stops a node in order.
    pub async fn stop(&mut self, at: usize) {
        if let Some(node) = self.nodes[at].take() {
            node.shutdown(Duration::ZERO).await;
        }
    }

    /// Starts a node that was stopped, on its data folder.
    ///
    /// # Errors
    /// Why it does not start.
    pub async fn start_again(&mut self, at: usize) -> Result<(), NodeError> {
        let node = self.open(at).await?;
        self.nodes[at] = Some(node);
        Ok(())
    }

    /// Applies a world file on one node.
    ///
    /// # Panics
    /// If it is wrong.
    pub async fn apply(&self, at: usize, world: &str) -> Applied {
        let text = world.replace("${UPSTREAM}", &self.upstream.url());
        let read = WorldFile::parse(&text, &|_| None).expect("a world");
        self.control(at)
            .apply(&Actor::LocalToken, read.world, ApplyOptions::default())
            .await
            .expect("it is applied")
    }

    /// Waits until all nodes have applied this revision.
    ///
    /// # Panics
    /// If nothing can be learnt of them.
    pub async fn wait(&self, at: usize, revision: Revision) -> ClusterApplied {
        self.control(at).wait_cluster(revision, PATIENCE).await.expect("word of the nodes")
    }

    /// From its next start on, a node finds its database here.
    pub fn set_url(&mut self, at: usize, url: &str) {
        self.urls[at] = url.to_owned();
    }

    /// Waits until a node has written a local copy that it can start from.
    ///
    /// # Panics
    /// If it does not come.
    pub async fn copied(&self, at: usize) {
        let folder = self.folder(at).join("copy");
        let base = || {
            let mut files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            files.any(|file| file.file_name().to_string_lossy().starts_with("base-")).then_some(())
        };
        until(base).await.expect("a local copy");
    }

    /// Waits until every node that runs has applied what node `at` has.
    ///
    /// # Panics
    /// If that does not come.
    pub async fn converge(&self, at: usize) {
        let wanted = self.control(at).revision();
        let running: Vec<Arc<_>> =
            self.nodes.iter().flatten().map(|node| node.control().snapshots()).collect();
        let all = || {
            running.iter().all(|snapshot| snapshot.load().revision().number >= wanted.number).then_some(())
        };
        until(all).await.expect("all nodes come to the same revision");
    }

    /// Makes one call at a node, on a connection of its own.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn call(&self, at: usize, request: &Request) -> Answer {
        client::call(self.address(at), request).await.expect("an answer")
    }

    /// Makes one call at a node's admin server, with its token.
    ///
    /// # Panics
    /// If there is no answer.
    pub async fn admin(&self, at: usize, request: Request) -> Answer {
        let token = self.node(at).admin_token().expect("a local token").expose_secret().to_owned();
        client::call(self.node(at).admin_addr(), &request.bearer(&token)).await.expect("an answer")
    }
}
