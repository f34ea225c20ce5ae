//! What is the same for every noun with a name: list, show, create, change, delete, enable, disable.

use clap::{Args, Subcommand};
use keyward_api::{
    Answer, Call, Client, ClientError, Cluster, Credential, Deleted, List, Minted, Resource, Stored, Warning,
};
use serde::Serialize;

use super::fields::{Described, Description, Object, pair};
use super::output::{self, Format, note, show};
use super::remote::{Remote, failure};
use super::{Failure, Outcome};

/// A noun that is printed in a table.
pub(crate) trait Listed: Resource {
    /// `application`.
    const NOUN: &'static str;

    /// How its command is called: `app`.
    const COMMAND: &'static str = Self::NOUN;

    /// Does each belong to an account?
    const OWNED: bool = true;

    /// Can they have tags?
    const TAGGED: bool = false;

    /// The table of a list.
    fn table(items: &[Stored<Self>]) -> String;
}

/// Commands of every noun with a name.
#[derive(Debug, Subcommand)]
pub(crate) enum Basic<F: Described> {
    /// List them, oldest first.
    List(ListArgs),
    /// Show one.
    Show(One),
    /// Make one.
    Create(Create<F>),
    /// Change one: only what is given changes.
    Change(Change<F>),
    /// Delete one, with what it owns.
    Delete(Delete),
}

/// Commands of nouns that can be disabled.
#[derive(Debug, Subcommand)]
pub(crate) enum Switch {
    /// Let it take effect again.
    Enable(One),
    /// Let it take no effect, at once.
    Disable(One),
}

/// Which ones to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only this account's.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Only those with this in their name.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// Only applications or consumers with this tag.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    tag: Option<(String, String)>,
    /// Only the application with this AppKey, in any case.
    #[arg(long, value_name = "APPKEY")]
    app_key: Option<String>,
    /// Only those in this state: enabled or disabled. Gateways have none.
    #[arg(long, value_name = "STATE")]
    state: Option<String>,
    /// Only APIs of this kind: rest.
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only APIs published to this gateway.
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    /// In which order: created or name; with `-` before it the last first.
    #[arg(long, value_name = "ORDER", allow_hyphen_values = true)]
    sort: Option<String>,
    /// At most this many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

/// One object.
#[derive(Debug, Args)]
pub(crate) struct One {
    /// Its name or id.
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Its account; absent: `default`.
    #[arg(long, value_name = "NAME")]
    pub(crate) account: Option<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// What to make.
#[derive(Debug, Args)]
pub(crate) struct Create<F: Described> {
    /// Its name.
    #[arg(value_name = "NAME")]
    name: String,
    /// Its account; absent: `default`.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    #[command(flatten)]
    description: Description<F>,
    #[command(flatten)]
    remote: Remote,
}

/// What to change.
#[derive(Debug, Args)]
pub(crate) struct Change<F: Described> {
    #[command(flatten)]
    one: One,
    /// Give it this name.
    #[arg(long, value_name = "NAME", help_heading = "Description")]
    rename: Option<String>,
    #[command(flatten)]
    description: Description<F>,
}

/// What to delete.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    #[command(flatten)]
    one: One,
    /// Only say what would go along.
    #[arg(long)]
    dry_run: bool,
}

impl<F: Described> Basic<F> {
    pub(crate) async fn run<T: Listed>(self) -> Outcome {
        match self {
            Self::List(args) => list::<T>(args).await,
            Self::Show(one) => one.send::<T>(T::SHOW, None).await,
            Self::Create(create) => create.run::<T>().await,
            Self::Change(change) => change.run::<T>().await,
            Self::Delete(delete) => delete.run::<T>().await,
        }
    }
}

impl Switch {
    pub(crate) async fn run<T: Listed>(self) -> Outcome {
        let Some((enable, disable)) = T::SWITCH else {
            return Err(Failure::usage(format!("{} cannot be disabled", T::NOUN)));
        };
        match self {
            Self::Enable(one) => one.send::<T>(enable, None).await,
            Self::Disable(one) => one.send::<T>(disable, None).await,
        }
    }
}

impl One {
    /// A call about this object.
    pub(crate) fn call(&self, route: keyward_api::Route) -> Call<'static> {
        Call::new(route, [self.name.as_str()]).query("account", self.account.as_deref())
    }

    /// Sends a call about this object and shows what comes of it.
    pub(crate) async fn send<T: Listed>(&self, route: keyward_api::Route, body: Option<Vec<u8>>) -> Outcome {
        check_account::<T>(self.account.as_deref())?;
        let call = self.call(route);
        let call = match body {
            Some(body) => call.json(body),
            None => call,
        };
        let answer: Answer<Stored<T>> = self.remote.client()?.send(call).await.map_err(described::<T>)?;
        show_answer(&self.remote, &answer)
    }
}

impl<F: Described> Create<F> {
    async fn run<T: Listed>(self) -> Outcome {
        check_account::<T>(self.account.as_deref())?;
        let mut object = self.description.object()?;
        object.insert("name".to_owned(), self.name.into());
        if let Some(account) = self.account {
            object.insert("account".to_owned(), account.into());
        }
        create::<T>(&self.remote, &object).await
    }
}

/// Makes an object of this description and shows it.
pub(crate) async fn create<T: Listed>(remote: &Remote, object: &Object) -> Outcome {
    let call = Call::new(T::CREATE, []).json(body(object)?);
    let answer: Answer<Stored<T>> = remote.client()?.send(call).await.map_err(described::<T>)?;
    show_answer(remote, &answer)
}

/// What a failed call with a description means: its fields have the world file's names, not those of the flags.
fn described<T: Listed>(error: ClientError) -> Failure {
    let about_fields = match &error {
        ClientError::Refused(problem) if problem.code == INVALID => {
            problem.problems.iter().any(|problem| problem.path != "name")
        }
        _ => false,
    };
    let mut failure = failure(error);
    if about_fields {
        failure.add(format_args!(
            "these are the world file's names of fields; `keyward {} create --help` lists the options that set them",
            T::COMMAND
        ));
    }
    failure
}

/// The admin API's code for a description that is wrong.
const INVALID: &str = "invalid";

fn check_account<T: Listed>(account: Option<&str>) -> Outcome {
    match account {
        Some(_) if !T::OWNED => {
            Err(Failure::usage(format!("{} belongs to no account; leave --account out", a(T::NOUN))))
        }
        _ => Ok(()),
    }
}

/// The noun with its article.
fn a(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

impl<F: Described> Change<F> {
    async fn run<T: Listed>(self) -> Outcome {
        let mut object = self.description.change()?;
        if let Some(name) = self.rename {
            object.insert("name".to_owned(), name.into());
        }
        if object.is_empty() {
            return Err(Failure::usage(
                "there is nothing to change; name a field, such as --description TEXT",
            ));
        }
        self.one.send::<T>(T::CHANGE, Some(body(&object)?)).await
    }
}

impl Delete {
    async fn run<T: Listed>(self) -> Outcome {
        let Some(route) = T::DELETE else {
            return Err(Failure::usage(format!("{} cannot be deleted", T::NOUN)));
        };
        check_account::<T>(self.one.account.as_deref())?;
        let call = self.one.call(route).query("dry_run", self.dry_run.then_some(true));
        let deleted: Deleted = self.one.remote.client()?.send(call).await.map_err(failure)?;
        show(self.one.remote.output, &deleted, |deleted| gone(T::NOUN, &self.one.name, deleted))
    }
}

/// What went, in words.
pub(crate) fn gone(noun: &str, name: &str, deleted: &Deleted) -> String {
    let verb = if deleted.dry_run { "would delete" } else { "deleted" };
    let mut text = format!("{verb} {noun} {name}");
    for along in &deleted.along {
        text.push_str(&format!("\n{verb} {} {} ({})", along.noun, along.name, along.id));
    }
    match deleted.credentials {
        0 => {}
        1 => text.push_str(&format!("\n{verb} its credential")),
        several => text.push_str(&format!("\n{verb} its {several} credentials")),
    }
    text
}

/// JSON for a request.
pub(crate) fn body(object: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(object).map_err(Failure::new)
}

/// Shows one object, and what was generated with it.
pub(crate) fn show_answer<T: Serialize>(remote: &Remote, answer: &Answer<T>) -> Outcome {
    warn(&answer.warnings);
    tell_lagging(answer.cluster.as_ref());
    show(remote.output, answer, in_words)?;
    once(remote, &answer.minted);
    Ok(())
}

/// Names the nodes that have not applied a change.
fn tell_lagging(cluster: Option<&Cluster>) {
    for node in cluster.into_iter().flat_map(|cluster| &cluster.lagging) {
        note(&format!("warning: node {} ({}) is not known to have applied it", node.name, node.id));
    }
}

/// An object for people: its fields, a table of its credentials, a table of what was generated.
fn in_words<T: Serialize>(answer: &Answer<T>) -> String {
    let stored = serde_json::to_value(&answer.object).ok();
    let credentials =
        stored.and_then(|mut stored| stored.get_mut("credentials").map(serde_json::Value::take));
    let credentials: Vec<Credential> =
        credentials.and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default();
    let left_out: &[&str] = match credentials.as_slice() {
        [] => &["etag"],
        _ => &["etag", "credentials", "key_pairs", "app_codes"],
    };
    let mut parts = vec![output::fields_but(&answer.object, left_out)];
    if !credentials.is_empty() {
        parts.push(credentials_table(&credentials));
    }
    if !answer.minted.is_empty() {
        parts.push(minted(&answer.minted));
    }
    parts.iter().map(|part| part.trim_end()).collect::<Vec<_>>().join("\n\n")
}

/// A table of credentials.
pub(crate) fn credentials_table(credentials: &[Credential]) -> String {
    let rows = credentials.iter().map(|credential| {
        let claim = credential.identity_claim.as_ref();
        let claim =
            claim.map(|claim| format!("{}={}", claim.name, claim.value.as_deref().unwrap_or_default()));
        let key = credential.app_key.as_deref().or(credential.hint.as_deref()).or(claim.as_deref());
        [
            credential.id.clone(),
            credential.kind.clone(),
            output::or_dash(key),
            output::or_dash(credential.scheme.as_deref()),
            output::yes(credential.enabled),
            output::or_dash(credential.valid_until.as_deref()),
            credential.origin.clone(),
        ]
    });
    output::table(["id", "kind", "key", "scheme", "enabled", "valid until", "origin"], rows)
}

/// Says to people, once, that what was generated is shown once.
pub(crate) fn once(remote: &Remote, minted: &[Minted]) {
    if !minted.is_empty() && remote.output == Format::Table {
        note(
            "the values above were generated: keep them now; later `keyward credential reveal ID` shows one only where \
             its account allows it",
        );
    }
}

/// Says what is allowed but unwise.
pub(crate) fn warn(warnings: &[Warning]) {
    for warning in warnings {
        let place = if warning.path.is_empty() { String::new() } else { format!("{}: ", warning.path) };
        note(&format!("warning: {place}{}", warning.message));
    }
}

/// Generated values, for people: they are shown this once.
pub(crate) fn minted(minted: &[Minted]) -> String {
    let rows = minted.iter().map(|minted| {
        [
            minted.name.clone(),
            minted.kind.clone(),
            output::or_dash(minted.label.as_deref()),
            output::or_dash(minted.value.as_deref()),
        ]
    });
    output::table(["caller", "kind", "label", "value"], rows)
}

async fn list<T: Listed>(args: ListArgs) -> Outcome {
    check_account::<T>(args.account.as_deref())?;
    if args.tag.is_some() && !T::TAGGED {
        return Err(Failure::usage(format!("{} has no tags; leave --tag out", a(T::NOUN))));
    }
    let client = args.remote.client()?;
    let call = |after: Option<String>, page: usize| {
        Call::new(T::LIST, [])
            .query("account", args.account.as_deref())
            .query("name", args.name.as_deref())
            .query("tag", args.tag.as_ref().map(|(name, value)| format!("{name}={value}")))
            .query("app_key", args.app_key.as_deref())
            .query("state", args.state.as_deref())
            .query("kind", args.kind.as_deref())
            .query("gateway", args.gateway.as_deref())
            .query("sort", args.sort.as_deref())
            .query("limit", Some(page))
            .query("after", after)
    };
    let list = pages(&client, args.limit, call).await?;
    show(args.remote.output, &list, |list| T::table(&list.items))
}

/// Walks the pages of a list until there are `limit` items (0: all of them).
pub(crate) async fn pages<T: serde::de::DeserializeOwned>(
    client: &Client,
    limit: usize,
    call: impl Fn(Option<String>, usize) -> Call<'static>,
) -> Result<List<T>, Failure> {
    const PAGE: usize = 1_000;
    let wanted = if limit == 0 { usize::MAX } else { limit };
    let mut all = List { revision: 0, items: Vec::new(), next: None };
    loop {
        let page = PAGE.min(wanted - all.items.len());
        let list: List<T> = client.send(call(all.next.take(), page)).await.map_err(failure)?;
        all.revision = list.revision;
        all.items.extend(list.items);
        all.next = list.next;
        if all.next.is_none() || all.items.len() >= wanted {
            return Ok(all);
        }
    }
}
