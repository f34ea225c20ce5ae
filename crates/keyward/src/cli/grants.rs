//! `keyward grant`.

use clap::{Args, Subcommand};
use keyward_api::{Answer, Call, Grant, Grantee, GrantsGiven, List, Revoked, Route, Stored};
use serde_json::Value;

use super::fields::{Fields, operation};
use super::nouns::{Listed, body, create, pages, show_answer, warn};
use super::output::{self, show};
use super::remote::{Remote, failure};
use super::{Failure, Outcome};

#[derive(Debug, Subcommand)]
pub(crate) enum GrantCommand {
    /// List them, oldest first.
    List(ListArgs),
    /// Show one.
    Show(One),
    /// Let a caller or group call an API.
    Create(Box<Create>),
    /// Give several on the same terms, 100 at most: all of them or none.
    Batch(Batch),
    /// Change when a grant holds, or its description. For anything else revoke it and give another.
    Change(Change),
    /// End a grant, for good and at once.
    #[command(visible_alias = "delete")]
    Revoke(One),
    /// Give up a grant on behalf of the caller it is for, for good and at once: what that caller's account may do
    /// with a grant of another account.
    Renounce(Renounce),
}

/// Which ones to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those on this API.
    #[arg(long, value_name = "NAME")]
    api: Option<String>,
    /// Only those for this application, or for a group it is in.
    #[arg(long, visible_alias = "application", value_name = "NAME", conflicts_with = "consumer")]
    app: Option<String>,
    /// Only those for this consumer, or for a group it is in.
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Account of what is named.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Account of the caller, where it is another one.
    #[arg(long, value_name = "NAME")]
    caller_account: Option<String>,
    /// Also those that were revoked.
    #[arg(long)]
    revoked: bool,
    /// At most this many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

/// One grant.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    remote: Remote,
}

/// Which grant to give up, and whose it is.
#[derive(Debug, Args)]
pub(crate) struct Renounce {
    #[command(flatten)]
    one: One,
    /// The grant is for this application.
    #[arg(long, visible_alias = "application", value_name = "NAME", required_unless_present = "consumer")]
    app: Option<String>,
    /// The grant is for this consumer.
    #[arg(long, value_name = "NAME", conflicts_with = "app")]
    consumer: Option<String>,
    /// Account of that caller; absent: `default`.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
}

/// What to grant.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Who may call: app:NAME, consumer:NAME or group:NAME, or the id of a caller of another account.
    #[arg(long, value_name = "CALLER", value_parser = grantee)]
    to: Grantee,
    /// Account of the caller that is named, where it is another one.
    #[arg(long, value_name = "NAME")]
    to_account: Option<String>,
    /// What may be called.
    #[arg(long, value_name = "NAME")]
    api: String,
    /// Account of the API.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only on this stage; none: on every stage.
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    stage: Vec<String>,
    /// Only on this gateway; none: on every gateway.
    #[arg(long, value_name = "NAME")]
    gateway: Vec<String>,
    /// Only this operation, such as `GET /{id}`; none: all.
    #[arg(long, value_name = "OPERATION")]
    operation: Vec<String>,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    remote: Remote,
}

/// What to grant to several, or on several APIs.
#[derive(Debug, Args)]
pub(crate) struct Batch {
    /// Who may call: app:NAME, consumer:NAME or group:NAME, or the id of a caller of another account.
    #[arg(long, value_name = "CALLER", value_parser = grantee, required = true)]
    to: Vec<Grantee>,
    /// What may be called.
    #[arg(long, value_name = "NAME", required = true)]
    api: Vec<String>,
    /// Account of the APIs.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only on this stage; none: on every stage.
    #[arg(long, value_name = "STAGE", value_delimiter = ',')]
    stage: Vec<String>,
    /// Only on this gateway; none: on every gateway.
    #[arg(long, value_name = "NAME")]
    gateway: Vec<String>,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    remote: Remote,
}

/// When a grant holds, and why it was given.
#[derive(Debug, Args)]
pub(crate) struct When {
    /// First moment in which it holds, such as 2026-01-31T12:00:00Z.
    #[arg(long, value_name = "TIME")]
    valid_from: Option<String>,
    /// First moment in which it no longer holds.
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,
    /// For people: why it was given.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// What to change.
#[derive(Debug, Args)]
pub(crate) struct Change {
    /// Its id.
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    when: When,
    #[command(flatten)]
    remote: Remote,
}

/// `app:NAME`, `consumer:NAME`, `group:NAME`, `app_…` or `con_…`.
fn grantee(text: &str) -> Result<Grantee, String> {
    let name = |name: &str| Some(name.to_owned());
    Ok(match text.split_once(':') {
        Some(("app" | "application", app)) => Grantee { application: name(app), ..Grantee::default() },
        Some(("consumer", consumer)) => Grantee { consumer: name(consumer), ..Grantee::default() },
        Some(("group", group)) => Grantee { group: name(group), ..Grantee::default() },
        None if text.starts_with("app_") => Grantee { application_id: name(text), ..Grantee::default() },
        None if text.starts_with("con_") => Grantee { consumer_id: name(text), ..Grantee::default() },
        _ => return Err("write it as app:NAME, consumer:NAME, group:NAME, or a caller's id".to_owned()),
    })
}

impl GrantCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::List(args) => args.run().await,
            Self::Show(one) => send(&one.remote, Call::new(Route::ShowGrant, [one.id.as_str()])).await,
            Self::Create(create) => create.run().await,
            Self::Batch(batch) => batch.run().await,
            Self::Change(change) => change.run().await,
            Self::Revoke(one) => end(&one, Call::new(Route::RevokeGrant, [one.id.as_str()]), "revoked").await,
            Self::Renounce(renounce) => {
                let call = Call::new(Route::RenounceGrant, [renounce.one.id.as_str()])
                    .query("application", renounce.app.as_deref())
                    .query("consumer", renounce.consumer.as_deref())
                    .query("account", renounce.account.as_deref());
                end(&renounce.one, call, "renounced").await
            }
        }
    }
}

impl ListArgs {
    async fn run(self) -> Outcome {
        let client = self.remote.client()?;
        let call = |after: Option<String>, page: usize| {
            Call::new(Route::ListGrants, [])
                .query("api", self.api.as_deref())
                .query("application", self.app.as_deref())
                .query("consumer", self.consumer.as_deref())
                .query("account", self.account.as_deref())
                .query("caller_account", self.caller_account.as_deref())
                .query("revoked", self.revoked.then_some(true))
                .query("limit", Some(page))
                .query("after", after)
        };
        let list: List<Stored<Grant>> = pages(&client, self.limit, call).await?;
        show(self.remote.output, &list, |list| Grant::table(&list.items))
    }
}

impl Create {
    async fn run(self) -> Outcome {
        let to = Grantee { account: self.to_account, ..self.to };
        let fields = self
            .when
            .fields()
            .put("to", Some(serde_json::to_value(to).map_err(Failure::new)?))
            .put("api", Some(self.api))
            .put("account", self.account)
            .list("stages", self.stage)
            .list("gateways", self.gateway)
            .list("operations", self.operation.iter().map(|text| operation(text)));
        create::<Grant>(&self.remote, &fields.done()).await
    }
}

impl Batch {
    async fn run(self) -> Outcome {
        let to: Result<Vec<Value>, _> = self.to.iter().map(serde_json::to_value).collect();
        let fields = self
            .when
            .fields()
            .list("to", to.map_err(Failure::new)?)
            .list("apis", self.api)
            .put("account", self.account)
            .list("stages", self.stage)
            .list("gateways", self.gateway);
        let call = Call::new(Route::CreateGrants, []).json(body(&fields.done())?);
        let given: GrantsGiven = self.remote.client()?.send(call).await.map_err(failure)?;
        warn(&given.warnings);
        show(self.remote.output, &given, |given| Grant::table(&given.grants))
    }
}

impl When {
    fn fields(&self) -> Fields {
        Fields::default()
            .put("valid_from", self.valid_from.as_deref().map(moment))
            .put("valid_until", self.valid_until.as_deref().map(moment))
            .put("description", self.description.as_deref())
    }
}

/// An empty text takes a bound away.
fn moment(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { text.into() }
}

impl Change {
    async fn run(self) -> Outcome {
        let object = self.when.fields().done();
        if object.is_empty() {
            return Err(Failure::usage(
                "there is nothing to change; name --valid-from, --valid-until or --description",
            ));
        }
        let call = Call::new(Route::ChangeGrant, [self.id.as_str()]).json(body(&object)?);
        send(&self.remote, call).await
    }
}

async fn send(remote: &Remote, call: Call<'_>) -> Outcome {
    let answer: Answer<Stored<Grant>> = remote.client()?.send(call).await.map_err(failure)?;
    show_answer(remote, &answer)
}

/// Ends a grant by this call; `done` says so.
async fn end(one: &One, call: Call<'_>, done: &str) -> Outcome {
    let answer: Answer<Revoked> = one.remote.client()?.send(call).await.map_err(failure)?;
    warn(&answer.warnings);
    show(one.remote.output, &answer, |answer| {
        let grant = &answer.object.grant;
        let mut text =
            format!("{done} {}: {} may no longer call {} by it", grant.id, who(grant), grant.description.api);
        for other in &answer.object.still_permitting {
            text.push_str(&format!(
                "\nstill permitting some of the same calls: {} ({})",
                other.id,
                who(other)
            ));
        }
        text
    })
}

/// `application shop`, `partner/shop`, `group staff` or an id.
fn who(grant: &Stored<Grant>) -> String {
    let to = &grant.description.to;
    let account = to.account.as_ref().map_or_else(String::new, |account| format!("{account}/"));
    let named = [("application", &to.application), ("consumer", &to.consumer), ("group", &to.group)];
    let named =
        named.iter().find_map(|(noun, name)| name.as_ref().map(|name| format!("{noun} {account}{name}")));
    let id = || to.application_id.clone().or_else(|| to.consumer_id.clone());
    named.or_else(id).unwrap_or_default()
}

fn all_or(values: Option<&Vec<String>>) -> String {
    values.map_or_else(|| "all".to_owned(), |values| values.join(" "))
}

impl Listed for Grant {
    const NOUN: &'static str = "grant";

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|grant| {
            let about = &grant.description;
            let operations: Option<Vec<String>> = about.operations.as_ref().map(|operations| {
                let text = |o: &keyward_api::OperationName| {
                    format!("{} {}", o.method.as_deref().unwrap_or("*"), o.path)
                };
                operations.iter().map(text).collect()
            });
            [
                grant.id.clone(),
                about.account.clone(),
                who(grant),
                about.api.clone(),
                all_or(about.stages.as_ref()),
                all_or(about.gateways.as_ref()),
                all_or(operations.as_ref()),
                output::or_dash(about.valid_from.as_deref()),
                output::or_dash(about.valid_until.as_deref()),
                output::or_dash(grant.state.as_deref()),
            ]
        });
        output::table(
            [
                "id",
                "account",
                "to",
                "api",
                "stages",
                "gateways",
                "operations",
                "valid from",
                "valid until",
                "state",
            ],
            rows,
        )
    }
}
