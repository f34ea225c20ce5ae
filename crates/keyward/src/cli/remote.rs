//! How commands reach a node.

use std::path::PathBuf;

use clap::Args;
use keyward_api::{Client, ClientError};

use super::Failure;
use super::output::Format;
use crate::data_dir::DataDir;

/// The admin address of a node that was started without saying one.
pub(crate) const ADMIN_DEFAULT: &str = "127.0.0.1:9080";

/// The environment variable with the operator's token. A token is never an argument: other users can read those.
const TOKEN: &str = "KEYWARD_ADMIN_TOKEN";

/// Above these options in the help.
pub(crate) const NODE_OPTIONS: &str = "Node";

/// Which node to speak to, and how to print.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    /// Admin address of the node.
    #[arg(
        long,
        env = "KEYWARD_ADMIN",
        value_name = "URL",
        default_value = "http://127.0.0.1:9080",
        help_heading = NODE_OPTIONS
    )]
    admin: String,
    /// The node's data folder, where its admin-token is read unless KEYWARD_ADMIN_TOKEN holds one.
    #[arg(long, env = "KEYWARD_DATA", value_name = "DIR", default_value = "data", help_heading = NODE_OPTIONS)]
    data: PathBuf,
    /// How far the answer to a change waits: `node`, or `cluster` for all nodes; those that lag are named.
    #[arg(long, value_enum, default_value_t, value_name = "HOW", help_heading = NODE_OPTIONS)]
    wait: Wait,
    /// How to print.
    #[arg(long, short, value_enum, default_value_t, value_name = "FORM", help_heading = NODE_OPTIONS)]
    pub(crate) output: Format,
}

/// How far the answer to a change waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Wait {
    /// Until the node that is asked applies it.
    #[default]
    Node,
    /// Until all nodes do.
    Cluster,
}

impl Remote {
    /// A client with the operator's token.
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        let client = Client::new(&self.admin, self.token()?).map_err(failure)?;
        Ok(match self.wait {
            Wait::Node => client,
            Wait::Cluster => client.waiting_for_cluster(),
        })
    }

    fn token(&self) -> Result<String, Failure> {
        if let Ok(token) = std::env::var(TOKEN)
            && !token.trim().is_empty()
        {
            let token = token.trim();
            if !token.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(Failure::usage(format!(
                    "{TOKEN} holds characters that no token has; set it to the contents of the node's `admin-token` file"
                )));
            }
            return Ok(token.to_owned());
        }
        let data = DataDir::at(&self.data);
        match data.admin_token() {
            Ok(Some(token)) => Ok(token.expose_secret().to_owned()),
            Ok(None) => Err(Failure::new(format!(
                "there is no operator token: `{}` does not exist; start a node with `keyward serve`, name its data \
                 folder with --data, or set {TOKEN}",
                data.admin_token_file().display()
            ))),
            Err(error) => Err(Failure::new(format!("the operator token cannot be read: {error}"))),
        }
    }
}

/// What a failed call means for the one who typed the command.
pub(crate) fn failure(error: ClientError) -> Failure {
    match error {
        ClientError::Unreachable { base, cause } => Failure::new(format!(
            "nothing answers at {base} ({cause}); start a node with `keyward serve`, or name another one with --admin"
        )),
        ClientError::Refused(problem) if problem.code == "operator_unknown" => Failure::new(format!(
            "the node does not know this token; name the node's own data folder with --data, or set {TOKEN}"
        )),
        ClientError::Refused(problem) => Failure::new(format!("{problem}\ncode: {}", problem.code)),
        ClientError::Address(_) => Failure::usage(error),
        other => Failure::new(other),
    }
}
