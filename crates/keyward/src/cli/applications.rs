//! `keyward app`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyward_api::{Application, Credential, Route, Stored};
use serde_json::Value;

use super::credentials::{AddOpaque, ListCredentials, OfCaller};
use super::fields::{Described, Fields, Object, pair, read_secret, reference, tags};
use super::nouns::{Basic, Listed, One, Switch};
use super::{Failure, Outcome, output};

#[derive(Debug, Subcommand)]
pub(crate) enum AppCommand {
    #[command(flatten)]
    Basic(Basic<AppFields>),
    #[command(flatten)]
    Switch(Switch),
    /// Give a key pair (the default one, if none is named) a new AppSecret; the old one proves nothing any more.
    Reset(Reset),
    /// Its key pairs.
    #[command(subcommand)]
    KeyPair(KeyPairCommand),
    /// Its AppCodes.
    #[command(subcommand)]
    AppCode(AppCodeCommand),
}

/// What an application is described by.
#[derive(Debug, Args)]
pub(crate) struct AppFields {
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// A tag. Naming one replaces them all.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, help_heading = "Description")]
    tag: Vec<(String, String)>,
    /// Handed to services as CaAppExtInfo where an API declares it.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    extension: Option<String>,
    #[command(flatten)]
    pair: PairFields,
}

/// What a key pair is described by.
#[derive(Debug, Args)]
pub(crate) struct PairFields {
    /// AppKey of the pair; absent: generated.
    #[arg(long, value_name = "KEY", help_heading = "Key pair")]
    app_key: Option<String>,
    /// File with its AppSecret (`-` for standard input); absent: generated.
    #[arg(long, value_name = "FILE", help_heading = "Key pair")]
    app_secret_file: Option<PathBuf>,
    /// The secret that is its AppSecret.
    #[arg(long, value_name = "SECRET", conflicts_with = "app_secret_file", help_heading = "Key pair")]
    app_secret_ref: Option<String>,
    /// How requests are signed with it: alibaba, tencent or tencent_key_pair.
    #[arg(long, value_name = "SCHEME", help_heading = "Key pair")]
    scheme: Option<String>,
}

impl PairFields {
    fn fields(&self) -> Result<Object, Failure> {
        let secret = self.app_secret_file.as_deref().map(read_secret).transpose()?;
        let fields = Fields::default()
            .put("app_key", self.app_key.as_deref())
            .put("app_secret", secret.or_else(|| self.app_secret_ref.as_deref().map(reference)))
            .put("scheme", self.scheme.as_deref());
        Ok(fields.done())
    }
}

impl Described for AppFields {
    fn fields(&self) -> Result<Object, Failure> {
        let pair = self.pair.fields()?;
        let fields = Fields::default()
            .put("description", self.description.as_deref())
            .put("tags", tags(&self.tag))
            .put("extension", self.extension.as_deref())
            .list("key_pairs", (!pair.is_empty()).then_some(Value::Object(pair)));
        Ok(fields.done())
    }

    /// A list that is given replaces the one that is there, and pairs would be lost.
    fn check_change(&self) -> Result<(), Failure> {
        if self.pair.fields()?.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(
            "an application's key pairs are not changed by this; `keyward app key-pair add` adds one, `keyward app reset` \
             gives one a new secret, `keyward credential change` changes its scheme",
        ))
    }
}

/// Which key pair to reset.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    one: One,
    /// The pair with this AppKey; absent: the default pair.
    #[arg(long, value_name = "KEY", conflicts_with = "app_code")]
    app_key: Option<String>,
    /// Reset its AppCode instead (the only one, or the one with this id).
    #[arg(long, value_name = "ID", num_args = 0..=1, default_missing_value = "")]
    app_code: Option<String>,
    /// File with the new value (`-` for standard input); absent: generated.
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyPairCommand {
    /// List them, without their secrets.
    List(ListCredentials),
    /// Add one: generated, or with the AppKey and AppSecret that are given.
    Add(AddKeyPair),
}

/// A key pair to add.
#[derive(Debug, Args)]
pub(crate) struct AddKeyPair {
    #[command(flatten)]
    of: OfCaller,
    #[command(flatten)]
    pair: PairFields,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AppCodeCommand {
    /// List them, without their values.
    List(ListCredentials),
    /// Add one: generated, or with the value that is given.
    Add(AddOpaque),
}

impl AppCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Basic(basic) => basic.run::<Application>().await,
            Self::Switch(switch) => switch.run::<Application>().await,
            Self::Reset(reset) => reset.run().await,
            Self::KeyPair(KeyPairCommand::List(list)) => list.run(Route::ListKeyPairs).await,
            Self::KeyPair(KeyPairCommand::Add(add)) => {
                add.of.add(Route::AddKeyPair, add.pair.fields()?).await
            }
            Self::AppCode(AppCodeCommand::List(list)) => list.run(Route::ListAppCodes).await,
            Self::AppCode(AppCodeCommand::Add(add)) => add.run(Route::AddAppCode).await,
        }
    }
}

impl Reset {
    async fn run(self) -> Outcome {
        let of = OfCaller { one: self.one };
        match &self.app_code {
            None => {
                let wanted = |credential: &Credential| match &self.app_key {
                    Some(app_key) => credential.app_key.as_ref() == Some(app_key),
                    None => credential.default,
                };
                of.reset(
                    Route::ListKeyPairs,
                    ("key pair", "app key-pair list"),
                    wanted,
                    self.value_file.as_deref(),
                )
                .await
            }
            Some(id) => {
                let wanted = |credential: &Credential| id.is_empty() || credential.id == *id;
                of.reset(
                    Route::ListAppCodes,
                    ("AppCode", "app app-code list"),
                    wanted,
                    self.value_file.as_deref(),
                )
                .await
            }
        }
    }
}

impl Listed for Application {
    const NOUN: &'static str = "application";
    const COMMAND: &'static str = "app";
    const TAGGED: bool = true;

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|app| {
            let about = &app.description;
            let keys: Vec<&str> = app.credentials.iter().filter_map(|c| c.app_key.as_deref()).collect();
            let tags: Vec<String> =
                about.tags.iter().map(|(name, value)| format!("{name}={value}")).collect();
            [
                about.account.clone(),
                about.name.clone(),
                output::yes(about.enabled),
                keys.join(" "),
                app.credentials.iter().filter(|c| c.kind == "app_code").count().to_string(),
                tags.join(" "),
                app.id.clone(),
            ]
        });
        output::table(["account", "name", "enabled", "app keys", "app codes", "tags", "id"], rows)
    }
}
