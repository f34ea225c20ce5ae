//! The command line.

mod accounts;
mod apis;
mod applications;
mod apply;
mod audit;
mod backup;
mod consumers;
mod credentials;
mod examples;
mod explain;
mod export;
mod fields;
mod gateways;
mod grants;
mod groups;
mod held;
mod modules;
mod nodes;
mod nouns;
mod operators;
pub(crate) mod output;
mod plugins;
mod reference;
pub(crate) mod remote;
mod review;
mod secrets;
mod serve;
mod services;
mod sign;
mod usage;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

pub(crate) use apply::file_beside;
pub use reference::reference;

/// The gateway that knows who is calling and what they may call.
///
/// `keyward serve` runs a node, `backup` and `restore` work on its data folder; every other command speaks to a running node's
/// admin address, with the operator's token from `KEYWARD_ADMIN_TOKEN` or the node's data folder.
#[derive(Debug, Parser)]
#[command(name = "keyward", version, max_term_width = 100, after_long_help = examples::ROOT)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(after_help = examples::SERVE)]
    Serve(Box<serve::Serve>),
    #[command(after_help = examples::BACKUP)]
    Backup(backup::Backup),
    #[command(after_help = examples::RESTORE)]
    Restore(backup::Restore),
    #[command(after_help = examples::APPLY)]
    Apply(apply::Apply),
    #[command(after_help = examples::EXPORT)]
    Export(export::Export),
    #[command(after_help = examples::EXPLAIN)]
    Explain(explain::Explain),
    #[command(after_help = examples::WHO_CAN)]
    WhoCan(explain::WhoCan),
    #[command(after_help = examples::SIGN)]
    Sign(sign::Sign),
    /// Applications: callers that sign, or present an AppCode.
    #[command(subcommand, visible_alias = "application", after_help = examples::APP)]
    App(applications::AppCommand),
    /// Consumers: callers with API keys or JWT.
    #[command(subcommand, after_help = examples::CONSUMER)]
    Consumer(consumers::ConsumerCommand),
    /// APIs: published interfaces.
    #[command(subcommand, after_help = examples::API)]
    Api(apis::ApiCommand),
    /// Secrets: written once, referred to wherever a credential belongs.
    #[command(subcommand, after_help = examples::SECRET)]
    Secret(secrets::SecretCommand),
    /// Services: the upstreams.
    #[command(subcommand, after_help = examples::SERVICE)]
    Service(services::ServiceCommand),
    /// Modules: WebAssembly of your own, so that plugins can be made of it.
    #[command(subcommand, after_help = examples::MODULE)]
    Module(modules::ModuleCommand),
    /// Plugins: what is done to calls.
    #[command(subcommand, after_help = examples::PLUGIN)]
    Plugin(plugins::PluginCommand),
    /// Grants: who may call what.
    #[command(subcommand, after_help = examples::GRANT)]
    Grant(grants::GrantCommand),
    /// Groups: several callers under one name.
    #[command(subcommand, after_help = examples::GROUP)]
    Group(groups::GroupCommand),
    /// Accounts: the tenants.
    #[command(subcommand, after_help = examples::ACCOUNT)]
    Account(accounts::AccountCommand),
    /// Gateways: named groups of nodes.
    #[command(subcommand, after_help = examples::GATEWAY)]
    Gateway(gateways::GatewayCommand),
    /// Credentials of applications and consumers, by id.
    #[command(subcommand, after_help = examples::CREDENTIAL)]
    Credential(credentials::CredentialCommand),
    /// Nodes: who follows the store.
    #[command(subcommand, after_help = examples::NODE)]
    Node(nodes::NodeCommand),
    /// Operators: who operates, and what they may do where.
    #[command(subcommand, after_help = examples::OPERATOR)]
    Operator(operators::OperatorCommand),
    /// The audit: who did what.
    #[command(subcommand, after_help = examples::AUDIT)]
    Audit(audit::AuditCommand),
    /// Look a caller of any account up by its exact id.
    #[command(after_help = examples::CALLER)]
    Caller(credentials::LookUp),
    #[command(after_help = examples::REVIEW)]
    AccessReview(review::AccessReview),
    #[command(after_help = examples::USAGE)]
    Usage(usage::UsageCommand),
    /// Print the contract of the admin API: OpenAPI 3.1, as a node serves it at `/openapi.json`.
    #[command(after_help = examples::OPENAPI)]
    Openapi,
    /// Print a completion script for a shell.
    #[command(after_help = examples::COMPLETION)]
    Completion {
        /// The shell.
        shell: clap_complete::Shell,
    },
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

    /// Says one thing more, on a line of its own.
    pub(crate) fn add(&mut self, more: impl std::fmt::Display) {
        self.text.push_str(&format!("\n{more}"));
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
            Command::Backup(backup) => backup.run().await,
            Command::Restore(restore) => restore.run().await,
            Command::Apply(apply) => apply.run().await,
            Command::Export(export) => export.run().await,
            Command::Explain(explain) => explain.run().await,
            Command::WhoCan(who_can) => who_can.run().await,
            Command::Sign(sign) => sign.run().await,
            Command::App(command) => command.run().await,
            Command::Consumer(command) => command.run().await,
            Command::Api(command) => command.run().await,
            Command::Secret(command) => command.run().await,
            Command::Module(command) => command.run().await,
            Command::Plugin(command) => command.run().await,
            Command::Service(command) => command.run().await,
            Command::Grant(command) => command.run().await,
            Command::Group(command) => command.run().await,
            Command::Account(command) => command.run().await,
            Command::Gateway(command) => command.run().await,
            Command::Credential(command) => command.run().await,
            Command::Node(command) => command.run().await,
            Command::Operator(command) => command.run().await,
            Command::Audit(command) => command.run().await,
            Command::Caller(look_up) => look_up.run().await,
            Command::AccessReview(review) => review.run().await,
            Command::Usage(usage) => usage.run().await,
            Command::Openapi => openapi(),
            Command::Completion { shell } => completion(shell),
        }
    })
}

fn openapi() -> Outcome {
    let document = serde_json::to_string_pretty(&keyward_api::openapi()).map_err(Failure::new)?;
    output::print(&document)
}

fn completion(shell: clap_complete::Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "keyward", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}

#[cfg(test)]
mod parity;
#[cfg(test)]
mod tests;
