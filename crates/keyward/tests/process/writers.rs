//! Clients that write without end, and remember what was acknowledged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use keyward_testkit::client::Connection;
use tokio::task::JoinSet;

use crate::served::{Served, create};

/// What was asked for, and what came of it.
#[derive(Debug, Default)]
pub(crate) struct Writers {
    /// AppSecrets by application, of those whose making was acknowledged.
    acknowledged: Mutex<BTreeMap<String, String>>,
    busy: tokio::sync::Mutex<JoinSet<()>>,
}

impl Writers {
    /// So many clients, each on its own connection, until the node is gone. `round` tells names apart.
    pub(crate) async fn begin(served: &Served, round: usize, writers: usize) -> Arc<Self> {
        let all = Arc::new(Self::default());
        for writer in 0..writers {
            let name = format!("r{round}w{writer}n");
            let writing = Arc::clone(&all).write(served.admin, served.token.clone(), name);
            all.busy.lock().await.spawn(writing);
        }
        all
    }

    async fn write(self: Arc<Self>, admin: SocketAddr, token: String, prefix: String) {
        let Ok(mut connection) = Connection::open(admin).await else { return };
        for number in 0.. {
            let name = format!("{prefix}{number}");
            // One transaction of several rows: the application, its key pair, the account's revision, the audit.
            let made = create("/v1/applications", &format!(r#"{{"name": "{name}"}}"#)).bearer(&token);
            let Ok(answer) = connection.call(&made).await else { return };
            if answer.status != 201 {
                return;
            }
            let secret = answer.json()["minted"][0]["value"].as_str().unwrap().to_owned();
            self.acknowledged.lock().unwrap().insert(name, secret);
        }
    }

    /// What is acknowledged by now.
    pub(crate) fn acknowledged(&self) -> BTreeMap<String, String> {
        self.acknowledged.lock().unwrap().clone()
    }

    /// Waits until so many more are acknowledged.
    pub(crate) async fn more(&self, count: usize) {
        let wanted = self.acknowledged.lock().unwrap().len() + count;
        while self.acknowledged.lock().unwrap().len() < wanted {
            tokio::task::yield_now().await;
        }
    }

    /// Waits until every client has noticed that the node is gone.
    pub(crate) async fn end(&self) {
        while let Some(ended) = self.busy.lock().await.join_next().await {
            ended.unwrap();
        }
    }
}

/// What a node has of what writers made.
pub(crate) struct Found {
    /// By name: the ids of its key pairs.
    pub(crate) applications: BTreeMap<String, Vec<String>>,
}

impl Found {
    pub(crate) async fn on(served: &Served) -> Self {
        let mut applications = BTreeMap::new();
        for made in served.all("/v1/applications").await {
            let pairs = made["credentials"].as_array().cloned().unwrap_or_default();
            let ids = pairs.iter().map(|pair| pair["id"].as_str().unwrap().to_owned()).collect();
            applications.insert(made["name"].as_str().unwrap().to_owned(), ids);
        }
        Self { applications }
    }

    /// Nothing is there by half: each application has its key pair, each is in the audit with it, and the chain holds.
    pub(crate) async fn is_whole(&self, served: &Served) -> u64 {
        for (name, pairs) in &self.applications {
            assert_eq!(pairs.len(), 1, "{name} is there by half");
        }
        let audited = served.all("/v1/audit?action=application.create&noun=caller").await;
        let credentials = served.all("/v1/audit?action=application.create&noun=credential").await;
        let count = self.applications.len();
        assert_eq!((audited.len(), credentials.len()), (count, count), "the audit has what there is");
        served.show("/v1/audit/verify").await["entries"].as_u64().unwrap()
    }
}
