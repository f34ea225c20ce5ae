//! `keyward node`.

use clap::{Args, Subcommand};
use keyward_api::{Call, Deleted, List, Node, Route};

use super::Outcome;
use super::nouns::gone;
use super::output::{self, show};
use super::remote::{Remote, failure};

#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// List the nodes that follow the store, and how far each has come.
    List(ListArgs),
    /// Forget a node that will not come back: nobody waits for it any more.
    Forget(Forget),
}

/// Where to ask.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    remote: Remote,
}

/// Which node to forget.
#[derive(Debug, Args)]
pub(crate) struct Forget {
    /// Its id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    remote: Remote,
}

impl NodeCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::List(args) => {
                let call = Call::new(Route::ListNodes, []);
                let list: List<Node> = args.remote.client()?.send(call).await.map_err(failure)?;
                show(args.remote.output, &list, |list| table(&list.items))
            }
            Self::Forget(forget) => {
                let call = Call::new(Route::ForgetNode, [forget.id.as_str()]);
                let deleted: Deleted = forget.remote.client()?.send(call).await.map_err(failure)?;
                show(forget.remote.output, &deleted, |deleted| gone("node", &forget.id, deleted))
            }
        }
    }
}

fn table(nodes: &[Node]) -> String {
    let rows = nodes.iter().map(|node| {
        [
            node.id.clone(),
            if node.this { format!("{} (this one)", node.name) } else { node.name.clone() },
            node.gateway.clone(),
            node.version.clone(),
            node.revision.to_string(),
            node.lag.to_string(),
            node.last_seen.clone(),
            node.admin.clone(),
            output::or_dash(node.trouble.as_deref()),
        ]
    });
    let headings = ["id", "name", "gateway", "version", "revision", "lag", "last seen", "admin", "trouble"];
    output::table(headings, rows)
}
