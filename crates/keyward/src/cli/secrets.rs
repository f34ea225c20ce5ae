//! `keyward secret`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyward_api::{Answer, Call, Reference, RevealedSecret, Route, Secret, SecretRotation, Stored};

use super::fields::{Described, Fields, Object, read_secret, read_text};
use super::nouns::{Basic, Listed, One, body, pages, show_answer};
use super::output::{self, show};
use super::remote::failure;
use super::{Failure, Outcome};

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one value, once per process")]
pub(crate) enum SecretCommand {
    #[command(flatten)]
    Basic(Basic<SecretFields>),
    /// Let it take effect again.
    Enable(One),
    /// Let it take no effect, at once; whatever refers to it breaks.
    Disable(Disable),
    /// Give it another value; the old one goes on proving who calls for the overlap.
    Rotate(Rotate),
    /// Give it its value before back.
    Rollback(RollBack),
    /// Show its value; the audit trail says so.
    Reveal(One),
    /// List who refers to it.
    References(References),
}

/// What a secret is described by.
#[derive(Debug, Args)]
pub(crate) struct SecretFields {
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// File with its value (`-` for standard input); absent, and not held elsewhere: generated.
    #[arg(long, value_name = "FILE", group = "source", help_heading = "Description")]
    value_file: Option<PathBuf>,
    /// Each node takes its value from this environment variable.
    #[arg(long, value_name = "NAME", group = "source", help_heading = "Description")]
    from_env: Option<String>,
    /// Each node takes its value from this file of its own, and watches it.
    #[arg(long, value_name = "PATH", group = "source", help_heading = "Description")]
    from_file: Option<String>,
    /// Each node takes its value from this path of the Vault-compatible server, such as secret/orders#key.
    #[arg(long, value_name = "PATH#FIELD", group = "source", help_heading = "Description")]
    from_vault: Option<String>,
    /// First moment in which it no longer holds.
    #[arg(long, value_name = "TIME", help_heading = "Description")]
    valid_until: Option<String>,
    /// A host that it may be sent to, also with a port; absent: the services that refer to it.
    #[arg(long, value_name = "HOST", help_heading = "Description")]
    destination: Vec<String>,
    /// An operator who, besides owners, may refer to it; absent: owners and admins.
    #[arg(long = "use", value_name = "OPERATOR", help_heading = "Description")]
    use_by: Vec<String>,
    /// An operator who, besides owners, may read it; absent: owners and admins.
    #[arg(long = "read", value_name = "OPERATOR", help_heading = "Description")]
    read_by: Vec<String>,
}

impl Described for SecretFields {
    fn fields(&self) -> Result<Object, Failure> {
        let value = self.value_file.as_deref().map(read_secret).transpose()?;
        let vault = self.from_vault.as_deref().map(|text| text.split_once('#').unwrap_or((text, "value")));
        let fields = Fields::default()
            .put("description", self.description.as_deref())
            .put("value", value)
            .put("from.env", self.from_env.as_deref())
            .put("from.file", self.from_file.as_deref())
            .put("from.vault.path", vault.map(|(path, _)| path))
            .put("from.vault.field", vault.map(|(_, field)| field))
            .put("valid_until", self.valid_until.as_deref())
            .list("destinations", self.destination.iter().map(String::as_str))
            .list("use", self.use_by.iter().map(String::as_str))
            .list("read", self.read_by.iter().map(String::as_str));
        Ok(fields.done())
    }
}

/// What to disable.
#[derive(Debug, Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    one: One,
    /// Only say what would break.
    #[arg(long)]
    dry_run: bool,
}

/// What to rotate.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    one: One,
    /// File with the new value (`-` for standard input); absent: generated.
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    /// How long the old value goes on proving who calls, in seconds; 0: it ends at once.
    #[arg(long, value_name = "SECONDS", default_value_t = SecretRotation::default().overlap_s)]
    overlap_s: u64,
}

/// What to roll back.
#[derive(Debug, Args)]
pub(crate) struct RollBack {
    #[command(flatten)]
    one: One,
    /// How long the value that is taken back goes on proving who calls, in seconds; 0: it ends at once.
    #[arg(long, value_name = "SECONDS", default_value_t = SecretRotation::default().overlap_s)]
    overlap_s: u64,
}

/// Whose references to list.
#[derive(Debug, Args)]
pub(crate) struct References {
    #[command(flatten)]
    one: One,
    /// At most this many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
}

impl SecretCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Basic(basic) => basic.run::<Secret>().await,
            Self::Enable(one) => send(&one, one.call(Route::EnableSecret)).await,
            Self::Disable(Disable { one, dry_run }) => {
                send(&one, one.call(Route::DisableSecret).query("dry_run", dry_run.then_some(true))).await
            }
            Self::Rotate(rotate) => rotate.run().await,
            Self::Rollback(RollBack { one, overlap_s }) => {
                let object = Fields::default().put("overlap_s", Some(overlap_s)).done();
                send(&one, one.call(Route::RollBackSecret).json(body(&object)?)).await
            }
            Self::Reveal(one) => {
                let call = one.call(Route::RevealSecret);
                let answer: Answer<RevealedSecret> =
                    one.remote.client()?.send(call).await.map_err(failure)?;
                show(one.remote.output, &answer, |answer| answer.object.value.clone())
            }
            Self::References(references) => references.run().await,
        }
    }
}

impl Rotate {
    async fn run(self) -> Outcome {
        let value = self.value_file.as_deref().map(read_text).transpose()?;
        let value = value.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let object = Fields::default().put("overlap_s", Some(self.overlap_s)).put("value", value).done();
        send(&self.one, self.one.call(Route::RotateSecret).json(body(&object)?)).await
    }
}

impl References {
    async fn run(self) -> Outcome {
        let client = self.one.remote.client()?;
        let call = |after: Option<String>, page: usize| {
            self.one.call(Route::ListReferences).query("limit", Some(page)).query("after", after)
        };
        let list = pages::<Reference>(&client, self.limit, call).await?;
        show(self.one.remote.output, &list, |list| {
            let rows = list
                .items
                .iter()
                .map(|one| [one.kind.clone(), one.name.clone(), one.field.clone(), one.link.clone()]);
            output::table(["kind", "name", "field", "link"], rows)
        })
    }
}

async fn send(one: &One, call: Call<'_>) -> Outcome {
    let answer: Answer<Stored<Secret>> = one.remote.client()?.send(call).await.map_err(failure)?;
    show_answer(&one.remote, &answer)
}

impl Listed for Secret {
    const NOUN: &'static str = "secret";

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|secret| {
            let (about, status) = (&secret.description, secret.status.as_ref());
            let held = match &about.from {
                None => "here",
                Some(from) if from.env.is_some() => "environment",
                Some(from) if from.file.is_some() => "file",
                Some(_) => "vault",
            };
            [
                about.account.clone(),
                about.name.clone(),
                output::yes(about.enabled),
                held.to_owned(),
                status.map_or_else(String::new, |status| status.version.to_string()),
                status.map_or_else(String::new, |status| status.references.to_string()),
                output::or_dash(status.and_then(|status| status.last_used.as_deref())),
                output::or_dash(secret.trouble.as_deref()),
            ]
        });
        output::table(
            ["account", "name", "enabled", "held", "version", "referenced", "last used", "trouble"],
            rows,
        )
    }
}
