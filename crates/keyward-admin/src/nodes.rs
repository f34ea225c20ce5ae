//! Nodes, and waiting until all of them have applied a write.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::CONTENT_LENGTH;
use axum::middleware::Next;
use axum::response::Response;
use keyward_api::{Cluster, Deleted, LaggingNode, List, Node, NodeName, Route};
use keyward_control::{ClusterApplied, NodeRef, NodeView};
use keyward_model::Revision;

use crate::Admin;
use crate::answer::{REVISION, json};
use crate::refusal::Refusal;
use crate::request::Asked;

/// How long a write waits for the other nodes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest answer that is looked into, in bytes.
const ANSWER_MAX: usize = 1 << 30;

pub(crate) async fn list(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let revision = admin.control().revision();
    let nodes = admin.control().nodes().list(&asked.actor).await?;
    let items: Vec<Node> = nodes.into_iter().map(shown).collect();
    Ok(json(revision, &List { revision: revision.number, items, next: None }))
}

pub(crate) async fn forget(State(admin): State<Admin>, asked: Asked) -> Result<Response, Refusal> {
    let control = asked.control(&admin);
    let revision = control.nodes().forget(&asked.actor, asked.segment("id")).await?;
    let dry_run = asked.flag("dry_run");
    let body =
        Deleted { revision: revision.number, dry_run, along: Vec::new(), credentials: 0, cluster: None };
    Ok(json(revision, &body))
}

/// With `wait=cluster` the answer to a write comes when all nodes have applied it, and says which have not.
pub(crate) async fn wait(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let wanted = request.extensions().get::<Route>().is_some_and(|route| route.is_write())
        && request.uri().query().unwrap_or_default().split('&').any(|pair| pair == "wait=cluster");
    let response = next.run(request).await;
    let number = response.headers().get(REVISION).and_then(|number| number.to_str().ok()?.parse().ok());
    let (true, true, Some(number)) = (wanted, response.status().is_success(), number) else {
        return response;
    };
    let revision = Revision { store: admin.control().revision().store, number };
    let cluster = match admin.control().wait_cluster(revision, PATIENCE).await {
        Ok(cluster) => cluster,
        Err(error) => {
            // It holds on this node; of the others nothing can be told.
            tracing::warn!(%error, "it is not known which nodes have applied a write");
            let node = NodeRef { id: String::new(), name: "all others".to_owned() };
            let reason = format!("the store does not tell: {error}");
            ClusterApplied {
                applied: Vec::new(),
                lagging: vec![keyward_control::Lagging { node, revision: 0, reason }],
            }
        }
    };
    told(response, &cluster).await
}

async fn told(response: Response, cluster: &ClusterApplied) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, ANSWER_MAX).await else {
        return Response::from_parts(parts, Body::empty());
    };
    let named = match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(serde_json::Value::Object(mut fields)) => {
            serde_json::to_value(shown_cluster(cluster)).ok().map(|cluster| {
                fields.insert("cluster".to_owned(), cluster);
                serde_json::Value::Object(fields).to_string()
            })
        }
        _ => None,
    };
    parts.headers.remove(CONTENT_LENGTH);
    let body = named.map_or_else(|| Body::from(bytes.clone()), Body::from);
    Response::from_parts(parts, body)
}

fn shown_cluster(cluster: &ClusterApplied) -> Cluster {
    Cluster {
        applied: cluster
            .applied
            .iter()
            .map(|node| NodeName { id: node.id.clone(), name: node.name.clone() })
            .collect(),
        lagging: cluster
            .lagging
            .iter()
            .map(|lagging| LaggingNode {
                id: lagging.node.id.clone(),
                name: lagging.node.name.clone(),
                revision: lagging.revision,
                reason: lagging.reason.clone(),
            })
            .collect(),
    }
}

fn shown(view: NodeView) -> Node {
    Node {
        id: view.id,
        name: view.name,
        gateway: view.gateway,
        version: view.version,
        admin: view.admin,
        started: view.started.to_string(),
        last_seen: view.last_seen.to_string(),
        revision: view.revision,
        lag: view.lag,
        trouble: view.trouble,
        this: view.this,
    }
}
