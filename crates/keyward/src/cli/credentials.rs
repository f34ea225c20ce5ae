//! `keyward credential`, and what the commands of applications and consumers have in common.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use keyward_api::{
    Answer, Call, Credential, CredentialRotation, Deleted, Done, ForeignCaller, List, Revealed, Route,
};

use super::fields::{Fields, Object, read_secret, read_text, reference};
use super::nouns::{One, body, credentials_table, gone, minted, once, show_answer, warn};
use super::output::{self, show};
use super::remote::{Remote, failure};
use super::{Failure, Outcome};

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialCommand {
    /// Show one, without its value.
    Show(ById),
    /// Find the key pair with this AppKey.
    Find(Find),
    /// Change when one ends, or the scheme of a key pair.
    Change(Change),
    /// Let it prove its caller again.
    Enable(ById),
    /// Let it prove nothing, at once.
    Disable(ById),
    /// Give it a new value; the old one proves nothing any more.
    Reset(Reset),
    /// Give it a successor beside it; the old one goes on for the overlap.
    Rotate(Rotate),
    /// Present a value that leaked: if it is one, it proves nothing any more. The answer does not say whether it was.
    ReportLeak(ReportLeak),
    /// Show its value again; the audit trail says so.
    Reveal(ById),
    /// Delete it.
    Delete(ById),
}

/// One credential.
#[derive(Debug, Args)]
pub(crate) struct ById {
    /// Its id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    remote: Remote,
}

/// An AppKey.
#[derive(Debug, Args)]
pub(crate) struct Find {
    /// The AppKey, compared exactly.
    #[arg(value_name = "APP_KEY")]
    app_key: String,
    #[command(flatten)]
    remote: Remote,
}

/// What to change.
#[derive(Debug, Args)]
pub(crate) struct Change {
    #[command(flatten)]
    one: ById,
    /// First moment in which it no longer holds; empty: for ever.
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,
    /// How requests are signed with it.
    #[arg(long, value_name = "SCHEME")]
    scheme: Option<String>,
}

/// What to reset.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    one: ById,
    /// File with the new value (`-` for standard input); absent: generated.
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
}

/// What to rotate.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    one: ById,
    /// How long the old one goes on, in seconds; 0: it ends at once.
    #[arg(long, value_name = "SECONDS", default_value_t = CredentialRotation::default().overlap_s)]
    overlap_s: u64,
    /// The new AppKey of a key pair; absent: generated.
    #[arg(long, value_name = "APP_KEY")]
    app_key: Option<String>,
    /// File with the new value (`-` for standard input); absent: generated.
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
}

/// What leaked.
#[derive(Debug, Args)]
pub(crate) struct ReportLeak {
    /// File with the API key, AppCode, AppSecret or operator token (`-` for standard input).
    #[arg(long, value_name = "FILE", default_value = "-")]
    value_file: PathBuf,
    /// Of an AppSecret: the AppKey it goes with.
    #[arg(long, value_name = "APP_KEY")]
    app_key: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// Whom to look up.
#[derive(Debug, Args)]
pub(crate) struct LookUp {
    #[command(flatten)]
    one: ById,
}

impl LookUp {
    pub(crate) async fn run(self) -> Outcome {
        let call = self.one.call(Route::LookUpCaller);
        let found: Answer<ForeignCaller> = self.one.remote.client()?.send(call).await.map_err(failure)?;
        show(self.one.remote.output, &found.object, output::fields)
    }
}

impl Rotate {
    async fn run(self) -> Outcome {
        let value = self.value_file.as_deref().map(read_text).transpose()?;
        let value = value.map(|text| text.trim_end_matches(['\r', '\n']).to_owned());
        let object = Fields::default()
            .put("overlap_s", Some(self.overlap_s))
            .put("value", value)
            .put("app_key", self.app_key)
            .done();
        reset_one(&self.one.remote, self.one.call(Route::RotateCredential).json(body(&object)?)).await
    }
}

impl ReportLeak {
    async fn run(self) -> Outcome {
        let value = read_text(&self.value_file)?.trim_end_matches(['\r', '\n']).to_owned();
        let object = Fields::default().put("value", Some(value)).put("app_key", self.app_key).done();
        let call = Call::new(Route::ReportLeak, []).json(body(&object)?);
        let done: Done = self.remote.client()?.send(call).await.map_err(failure)?;
        show(self.remote.output, &done, |_| {
            "reported: if it was a value of this store, it proves nothing any more".to_owned()
        })
    }
}

impl CredentialCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Show(one) => send(&one.remote, one.call(Route::ShowCredential)).await,
            Self::Find(find) => {
                let call = Call::new(Route::FindCredential, []).query("app_key", Some(&find.app_key));
                list(&find.remote, call).await
            }
            Self::Change(change) => change.run().await,
            Self::Enable(one) => send(&one.remote, one.call(Route::EnableCredential)).await,
            Self::Disable(one) => send(&one.remote, one.call(Route::DisableCredential)).await,
            Self::Reset(reset) => {
                let body = reset_body(reset.value_file.as_deref())?;
                reset_one(&reset.one.remote, reset.one.call(Route::ResetCredential).json(body)).await
            }
            Self::Rotate(rotate) => rotate.run().await,
            Self::ReportLeak(report) => report.run().await,
            Self::Reveal(one) => reveal(&one).await,
            Self::Delete(one) => delete(&one).await,
        }
    }
}

impl ById {
    fn call(&self, route: Route) -> Call<'static> {
        Call::new(route, [self.id.as_str()])
    }
}

impl Change {
    async fn run(self) -> Outcome {
        let until = self.valid_until.as_deref().map(|text| match text {
            "" => serde_json::Value::Null,
            text => text.into(),
        });
        let object = Fields::default().put("valid_until", until).put("scheme", self.scheme.as_deref()).done();
        if object.is_empty() {
            return Err(Failure::usage("there is nothing to change; name --valid-until or --scheme"));
        }
        send(&self.one.remote, self.one.call(Route::ChangeCredential).json(body(&object)?)).await
    }
}

async fn send(remote: &Remote, call: Call<'_>) -> Outcome {
    let answer: Answer<Credential> = remote.client()?.send(call).await.map_err(failure)?;
    show_answer(remote, &answer)
}

async fn reset_one(remote: &Remote, call: Call<'_>) -> Outcome {
    let answer: Answer<Credential> = remote.client()?.send(call).await.map_err(failure)?;
    made(remote, &answer)
}

async fn reveal(one: &ById) -> Outcome {
    let call = one.call(Route::RevealCredential);
    let answer: Answer<Revealed> = one.remote.client()?.send(call).await.map_err(failure)?;
    show(one.remote.output, &answer, |answer| answer.object.value.clone())
}

async fn delete(one: &ById) -> Outcome {
    let deleted: Deleted =
        one.remote.client()?.send(one.call(Route::DeleteCredential)).await.map_err(failure)?;
    show(one.remote.output, &deleted, |deleted| gone("credential", &one.id, deleted))
}

/// A caller whose credentials are spoken of.
#[derive(Debug, Args)]
pub(crate) struct OfCaller {
    #[command(flatten)]
    pub(crate) one: One,
}

impl OfCaller {
    /// Adds a credential of this description.
    pub(crate) async fn add(&self, route: Route, object: Object) -> Outcome {
        let call = self.one.call(route).json(body(&object)?);
        let answer: Answer<Credential> = self.one.remote.client()?.send(call).await.map_err(failure)?;
        made(&self.one.remote, &answer)
    }

    /// Gives the one credential that is wanted a new value. `kind` is what it is called in messages, with its article,
    /// and `list` the command that lists them.
    pub(crate) async fn reset(
        &self,
        route: Route,
        (kind, list): (&str, &str),
        wanted: impl Fn(&Credential) -> bool,
        value_file: Option<&Path>,
    ) -> Outcome {
        let (client, name) = (self.one.remote.client()?, &self.one.name);
        let all: List<Credential> = client.send(self.one.call(route)).await.map_err(failure)?;
        let mut wanted = all.items.iter().filter(|credential| wanted(credential));
        let credential = match (wanted.next(), wanted.next()) {
            (Some(one), None) => one,
            (None, _) => {
                return Err(Failure::new(format!(
                    "`{name}` has no such {kind}; `keyward {list} {name}` lists what there is"
                )));
            }
            (Some(_), Some(_)) => {
                return Err(Failure::usage(format!(
                    "`{name}` has more than one {kind}; name one by its id, as `keyward {list} {name}` lists it"
                )));
            }
        };
        let call = Call::new(Route::ResetCredential, [credential.id.as_str()]).json(reset_body(value_file)?);
        let answer: Answer<Credential> = client.send(call).await.map_err(failure)?;
        made(&self.one.remote, &answer)
    }
}

/// Shows a credential that was made anew, with the value that is shown this once.
fn made(remote: &Remote, answer: &Answer<Credential>) -> Outcome {
    warn(&answer.warnings);
    show(remote.output, answer, |answer| match answer.minted.as_slice() {
        [] => output::fields_but(&answer.object, &["etag"]),
        values => minted(values),
    })?;
    once(remote, &answer.minted);
    Ok(())
}

fn reset_body(value_file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    // A reset takes its value literally.
    let value = value_file.map(|path| read_secret(path).map(|text| text.replace("$$", "$"))).transpose()?;
    body(&Fields::default().put("value", value).done())
}

/// A caller whose credentials are listed.
#[derive(Debug, Args)]
pub(crate) struct ListCredentials {
    #[command(flatten)]
    one: One,
}

impl ListCredentials {
    pub(crate) async fn run(self, route: Route) -> Outcome {
        list(&self.one.remote, self.one.call(route)).await
    }
}

/// An AppCode or API key to add.
#[derive(Debug, Args)]
pub(crate) struct AddOpaque {
    #[command(flatten)]
    of: OfCaller,
    /// File with its value (`-` for standard input); absent: generated.
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
    /// The secret that is its value.
    #[arg(long, value_name = "SECRET", conflicts_with = "value_file")]
    value_ref: Option<String>,
    /// First moment in which it no longer holds.
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,
}

impl AddOpaque {
    pub(crate) async fn run(self, route: Route) -> Outcome {
        let value = self.value_file.as_deref().map(read_secret).transpose()?;
        let value = value.or_else(|| self.value_ref.as_deref().map(reference));
        let fields = Fields::default().put("value", value).put("valid_until", self.valid_until.as_deref());
        self.of.add(route, fields.done()).await
    }
}

async fn list(remote: &Remote, call: Call<'_>) -> Outcome {
    let list: List<Credential> = remote.client()?.send(call).await.map_err(failure)?;
    show(remote.output, &list, |list| credentials_table(&list.items))
}
