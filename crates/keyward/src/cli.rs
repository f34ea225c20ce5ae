//! The command line.

mod accounts;
mod apis;
mod applications;
mod apply;
mod consumers;
mod credentials;
mod explain;
mod export;
mod fields;
mod gateways;
mod grants;
mod groups;
mod nouns;
pub(crate) mod output;
mod reference;
pub(crate) mod remote;
mod serve;
mod services;
mod sign;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub use reference::reference;

/// The gateway that knows who is calling and what they may call.
///
/// `keyward serve` runs a node; every other command speaks to a running node's admin address, with the operator's
/// token from `KEYWARD_ADMIN_TOKEN` or the node's data folder.
#[derive(Debug, Parser)]
#[command(name = "keyward", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a node.
    Serve(serve::Serve),
    /// Make what a world file names so, in one transaction.
    Apply(apply::Apply),
    /// Write everything as a world file.
    Export(export::Export),
    /// Ask whether a call would be permitted, and why (not).
    Explain(explain::Explain),
    /// List who may call.
    WhoCan(explain::WhoCan),
    /// Print a signed curl command.
    Sign(sign::Sign),
    /// Applications: callers that sign.
    #[command(subcommand, visible_alias = "application")]
    App(applications::AppCommand),
    /// Consumers: callers with API keys or JWT.
    #[command(subcommand)]
    Consumer(consumers::ConsumerCommand),
    /// APIs: published interfaces.
    #[command(subcommand)]
    Api(apis::ApiCommand),
    /// Services: the upstreams.
    #[command(subcommand)]
    Service(services::ServiceCommand),
    /// Grants: who may call what.
    #[command(subcommand)]
    Grant(grants::GrantCommand),
    /// Groups: several callers under one name.
    #[command(subcommand)]
    Group(groups::GroupCommand),
    /// Accounts: the tenants.
    #[command(subcommand)]
    Account(accounts::AccountCommand),
    /// Gateways: named groups of nodes.
    #[command(subcommand)]
    Gateway(gateways::GatewayCommand),
    /// Credentials of applications and consumers, by id.
    #[command(subcommand)]
    Credential(credentials::CredentialCommand),
    /// Print a completion script for a shell.
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the reference page of the command line.
    #[command(hide = true)]
    Reference,
}

/// Why a command ended without doing what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// 1: refused or out of reach; 2: what was given is wrong.
    code: u8,
    text: String,
}

impl Failure {
    /// Refused, or out of reach.
    pub(crate) fn new(text: impl ToString) -> Self {
        Self { code: 1, text: text.to_string() }
    }

    /// What was given on the command line or in a file is wrong.
    pub(crate) fn usage(text: impl ToString) -> Self {
        Self { code: 2, text: text.to_string() }
    }
}

pub(crate) type Outcome = Result<(), Failure>;

/// Runs the command of the process's arguments.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { code, text }) => {
            if !text.is_empty() {
                output::complain(&text);
            }
            ExitCode::from(code)
        }
    }
}

fn run(command: Command) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("the system gives no runtime: {error}")))?;
    runtime.block_on(async {
        match command {
            Command::Serve(serve) => serve.run().await,
            Command::Apply(apply) => apply.run().await,
            Command::Export(export) => export.run().await,
            Command::Explain(explain) => explain.run().await,
            Command::WhoCan(who_can) => who_can.run().await,
            Command::Sign(sign) => sign.run().await,
            Command::App(command) => command.run().await,
            Command::Consumer(command) => command.run().await,
            Command::Api(command) => command.run().await,
            Command::Service(command) => command.run().await,
            Command::Grant(command) => command.run().await,
            Command::Group(command) => command.run().await,
            Command::Account(command) => command.run().await,
            Command::Gateway(command) => command.run().await,
            Command::Credential(command) => command.run().await,
            Command::Completion { shell } => completion(shell),
            Command::Reference => output::print(&reference()),
        }
    })
}

fn completion(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keyward", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod tests;
