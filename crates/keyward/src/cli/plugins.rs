//! `keyward plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyward_api::{Answer, Call, Deleted, List, Plugin, PluginKindView, PluginTarget, Route, Stored};
use serde_json::Value;

use super::fields::{Described, Description, Fields, Object, operation, read_yaml};
use super::nouns::{Listed, body, create, gone, pages, show_answer};
use super::output::{self, show};
use super::remote::{Remote, failure};
use super::{Failure, Outcome};

#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// List them, oldest first.
    List(ListArgs),
    /// Show one, without the secrets that are written out in it.
    Show(One),
    /// Bind one to a gateway, an API or an operation.
    Create(Box<Create>),
    /// Change one: only what is given changes.
    Change(Box<Change>),
    /// Delete one.
    Delete(Delete),
    /// Let it take effect again.
    Enable(One),
    /// Let it take no effect, at once.
    Disable(One),
    /// List the built-in ones, or show what one of them can be told.
    Kinds(Kinds),
}

/// Which ones to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those bound to this API, or to an operation of it.
    #[arg(long, value_name = "NAME")]
    api: Option<String>,
    /// Only those bound to this gateway.
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    /// Only those that do this, such as key-auth.
    #[arg(long, value_name = "PLUGIN")]
    plugin: Option<String>,
    /// Account of what is named; alone: only those of this account.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only those in this state: enabled or disabled.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// At most this many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

/// One plugin.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    remote: Remote,
}

/// What to make.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What it does: a built-in (`keyward plugin kinds` lists them), or a custom one by its name.
    #[arg(value_name = "PLUGIN")]
    plugin: String,
    /// Its account; absent: `default`.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    #[command(flatten)]
    description: Description<PluginFields>,
    #[command(flatten)]
    remote: Remote,
}

/// What to change.
#[derive(Debug, Args)]
pub(crate) struct Change {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    description: Description<PluginFields>,
}

/// What to delete.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    one: One,
    /// Only say whether it could be.
    #[arg(long)]
    dry_run: bool,
}

/// Which built-in to show.
#[derive(Debug, Args)]
pub(crate) struct Kinds {
    /// One of them: shows the JSON Schema of what it can be told.
    #[arg(value_name = "PLUGIN")]
    plugin: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// What a plugin is described by.
#[derive(Debug, Args)]
pub(crate) struct PluginFields {
    /// Bind it to this API.
    #[arg(long, value_name = "NAME", group = "target", help_heading = "Description")]
    api: Option<String>,
    /// Bind it to this operation of the API, such as `GET /{id}`.
    #[arg(long, value_name = "OPERATION", requires = "api", help_heading = "Description")]
    operation: Option<String>,
    /// Bind it to this gateway: it then acts on the calls of all accounts.
    #[arg(long, value_name = "NAME", group = "target", help_heading = "Description")]
    gateway: Option<String>,
    /// Lower ones go first among those that are bound to the same.
    #[arg(long, value_name = "N", allow_hyphen_values = true, help_heading = "Description")]
    order: Option<i32>,
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// File with its configuration (YAML or JSON; `-` for standard input). Single fields: `--set config.FIELD=VALUE`.
    #[arg(long, value_name = "FILE", help_heading = "Description")]
    config: Option<PathBuf>,
}

impl Described for PluginFields {
    fn fields(&self) -> Result<Object, Failure> {
        let config = self.config.as_deref().map(read_yaml).transpose()?;
        let fields = Fields::default()
            .put("on.api", self.api.as_deref())
            .put("on.operation", self.operation.as_deref().map(operation))
            .put("on.gateway", self.gateway.as_deref())
            .put("order", self.order)
            .put("description", self.description.as_deref())
            .put("config", config);
        let mut object = fields.done();
        if let Some(Value::Object(on)) = object.get_mut("on") {
            // What it was bound to before is no part of where it is bound now.
            for other in ["api", "operation", "gateway"] {
                on.entry(other).or_insert(Value::Null);
            }
        }
        Ok(object)
    }
}

impl PluginCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::List(args) => args.run().await,
            Self::Show(one) => one.send(Call::new(Route::ShowPlugin, [one.id.as_str()])).await,
            Self::Create(create) => create.run().await,
            Self::Change(change) => change.run().await,
            Self::Delete(Delete { one, dry_run }) => {
                let call = Call::new(Route::DeletePlugin, [one.id.as_str()])
                    .query("dry_run", dry_run.then_some(true));
                let deleted: Deleted = one.remote.client()?.send(call).await.map_err(failure)?;
                show(one.remote.output, &deleted, |deleted| gone(Plugin::NOUN, &one.id, deleted))
            }
            Self::Enable(one) => one.send(Call::new(Route::EnablePlugin, [one.id.as_str()])).await,
            Self::Disable(one) => one.send(Call::new(Route::DisablePlugin, [one.id.as_str()])).await,
            Self::Kinds(kinds) => kinds.run().await,
        }
    }
}

impl ListArgs {
    async fn run(self) -> Outcome {
        let client = self.remote.client()?;
        let call = |after: Option<String>, page: usize| {
            Call::new(Route::ListPlugins, [])
                .query("api", self.api.as_deref())
                .query("gateway", self.gateway.as_deref())
                .query("plugin", self.plugin.as_deref())
                .query("account", self.account.as_deref())
                .query("state", self.state.as_deref())
                .query("limit", Some(page))
                .query("after", after)
        };
        let list: List<Stored<Plugin>> = pages(&client, self.limit, call).await?;
        show(self.remote.output, &list, |list| Plugin::table(&list.items))
    }
}

impl One {
    async fn send(&self, call: Call<'_>) -> Outcome {
        let answer: Answer<Stored<Plugin>> = self.remote.client()?.send(call).await.map_err(failure)?;
        show_answer(&self.remote, &answer)
    }
}

impl Create {
    async fn run(self) -> Outcome {
        let mut object = self.description.object()?;
        object.insert("plugin".to_owned(), self.plugin.into());
        if let Some(account) = self.account {
            object.insert("account".to_owned(), account.into());
        }
        create::<Plugin>(&self.remote, &object).await
    }
}

impl Change {
    async fn run(self) -> Outcome {
        let object = self.description.change()?;
        if object.is_empty() {
            return Err(Failure::usage(
                "there is nothing to change; name a field, such as --set config.in_query=false",
            ));
        }
        let call = Call::new(Route::ChangePlugin, [self.one.id.as_str()]).json(body(&object)?);
        self.one.send(call).await
    }
}

impl Kinds {
    async fn run(self) -> Outcome {
        let call = Call::new(Route::ListPluginKinds, []);
        let list: List<PluginKindView> = self.remote.client()?.send(call).await.map_err(failure)?;
        let Some(wanted) = self.plugin else {
            return show(self.remote.output, &list, |list| {
                let rows =
                    list.items.iter().map(|kind| [kind.name.clone(), kind.phase.clone(), kind.about.clone()]);
                output::table(["plugin", "phase", "what it does"], rows)
            });
        };
        let Some(kind) = list.items.into_iter().find(|kind| kind.name == wanted) else {
            return Err(Failure::usage(format!(
                "`{wanted}` is not built in; `keyward plugin kinds` lists what is"
            )));
        };
        show(self.remote.output, &kind, |kind| serde_json::to_string_pretty(&kind.schema).unwrap_or_default())
    }
}

/// `api orders`, `api orders GET /{id}`, `gateway edge`.
fn target(on: &PluginTarget) -> String {
    match (&on.gateway, &on.api, &on.operation) {
        (Some(gateway), ..) => format!("gateway {gateway}"),
        (None, Some(api), Some(operation)) => {
            format!("api {api} {} {}", operation.method.as_deref().unwrap_or("*"), operation.path)
        }
        (None, api, _) => format!("api {}", api.as_deref().unwrap_or_default()),
    }
}

impl Listed for Plugin {
    const NOUN: &'static str = "plugin";

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|plugin| {
            let about = &plugin.description;
            [
                plugin.id.clone(),
                about.account.clone(),
                about.plugin.clone(),
                target(&about.on),
                about.order.to_string(),
                output::yes(about.enabled),
                output::or_dash(plugin.trouble.as_deref()),
            ]
        });
        output::table(["id", "account", "plugin", "on", "order", "enabled", "trouble"], rows)
    }
}
