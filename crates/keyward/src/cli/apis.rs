//! `keyward api`.

use clap::{Args, Subcommand};
use keyward_api::{Answer, Api, Call, Route, Stored};
use serde_json::Value;

use super::fields::{Described, Fields, Object, operation, pair};
use super::nouns::{Basic, Listed, One, Switch, body, show_answer};
use super::remote::failure;
use super::{Failure, Outcome, output};

#[derive(Debug, Subcommand)]
pub(crate) enum ApiCommand {
    #[command(flatten)]
    Basic(Basic<ApiFields>),
    #[command(flatten)]
    Switch(Switch),
    /// Publish a stage: bind it to a service.
    Publish(Publish),
    /// Unpublish a stage.
    Unpublish(Unpublish),
}

/// What an API is described by.
#[derive(Debug, Args)]
pub(crate) struct ApiFields {
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// Publish it to this gateway.
    #[arg(long, value_name = "NAME", help_heading = "Description")]
    gateway: Vec<String>,
    /// Answer to this host; none: to any host.
    #[arg(long, value_name = "HOST", help_heading = "Description")]
    host: Vec<String>,
    /// Where it begins.
    #[arg(long, value_name = "PATH", help_heading = "Description")]
    base_path: Option<String>,
    /// Remove the base path towards the service?
    #[arg(long, value_name = "true|false", help_heading = "Description")]
    strip_base_path: Option<bool>,
    /// Admit this kind of credential: app_signature, app_code, api_key, jwt, or anyone.
    #[arg(long, value_name = "KIND", value_delimiter = ',', help_heading = "Description")]
    admit: Vec<String>,
    /// An operation, such as `GET /{id}`; none: every method and path below the base path.
    #[arg(long, value_name = "OPERATION", help_heading = "Description")]
    operation: Vec<String>,
    /// Refuse where a node has not known for longer than this that its configuration is the newest, in seconds.
    #[arg(long, value_name = "SECONDS", help_heading = "Description")]
    max_staleness_s: Option<u32>,
    /// Bind a stage to a service, such as `RELEASE=orders`.
    #[arg(long, value_name = "STAGE=SERVICE", value_parser = pair, help_heading = "Description")]
    stage: Vec<(String, String)>,
}

impl Described for ApiFields {
    fn fields(&self) -> Result<Object, Failure> {
        let stages: Object = self
            .stage
            .iter()
            .map(|(stage, service)| {
                let binding = Fields::default().put("service", Some(service.as_str())).done();
                (stage.clone(), Value::Object(binding))
            })
            .collect();
        let fields = Fields::default()
            .put("description", self.description.as_deref())
            .list("gateways", self.gateway.iter().map(String::as_str))
            .list("hosts", self.host.iter().map(String::as_str))
            .put("base_path", self.base_path.as_deref())
            .put("strip_base_path", self.strip_base_path)
            .list("admits", self.admit.iter().map(String::as_str))
            .list("operations", self.operation.iter().map(|text| operation(text)))
            .put("max_staleness_s", self.max_staleness_s)
            .put("stages", (!stages.is_empty()).then_some(Value::Object(stages)));
        Ok(fields.done())
    }
}

/// Which stage to publish, and how.
#[derive(Debug, Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    one: One,
    /// The stage: RELEASE, PRE or TEST.
    #[arg(value_name = "STAGE")]
    stage: String,
    /// The service that answers.
    #[arg(long, value_name = "NAME")]
    service: String,
    /// A path prefix before the base path that selects the stage.
    #[arg(long, value_name = "PATH")]
    path_prefix: Option<String>,
    /// A host that selects the stage.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
}

/// Which stage to unpublish.
#[derive(Debug, Args)]
pub(crate) struct Unpublish {
    #[command(flatten)]
    one: One,
    /// The stage: RELEASE, PRE or TEST.
    #[arg(value_name = "STAGE")]
    stage: String,
}

impl ApiCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Basic(basic) => basic.run::<Api>().await,
            Self::Switch(switch) => switch.run::<Api>().await,
            Self::Publish(publish) => publish.run().await,
            Self::Unpublish(unpublish) => unpublish.run().await,
        }
    }
}

impl Publish {
    async fn run(self) -> Outcome {
        let binding = Fields::default()
            .put("service", Some(self.service.as_str()))
            .put("path_prefix", self.path_prefix.as_deref())
            .put("host", self.host.as_deref());
        let call = stage_call(Route::PublishStage, &self.one, &self.stage).json(body(&binding.done())?);
        send(&self.one, call).await
    }
}

impl Unpublish {
    async fn run(self) -> Outcome {
        send(&self.one, stage_call(Route::UnpublishStage, &self.one, &self.stage)).await
    }
}

fn stage_call(route: Route, one: &One, stage: &str) -> Call<'static> {
    Call::new(route, [one.name.as_str(), stage]).query("account", one.account.as_deref())
}

async fn send(one: &One, call: Call<'_>) -> Outcome {
    let answer: Answer<Stored<Api>> = one.remote.client()?.send(call).await.map_err(failure)?;
    show_answer(&one.remote, &answer)
}

/// Whom the API lets call.
fn authorized(api: &Stored<Api>) -> &'static str {
    match api.nobody_authorized {
        Some(true) => "nobody",
        _ if api.description.admits.iter().any(|kind| kind == "anyone") => "anyone",
        _ => "by grant",
    }
}

impl Listed for Api {
    const NOUN: &'static str = "api";

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|api| {
            let about = &api.description;
            let hosts = if about.hosts.is_empty() { "*".to_owned() } else { about.hosts.join(" ") };
            [
                about.account.clone(),
                about.name.clone(),
                output::yes(about.enabled),
                hosts,
                about.base_path.clone(),
                about.admits.join(" "),
                authorized(api).to_owned(),
                about.stages.keys().map(String::as_str).collect::<Vec<_>>().join(" "),
                about.gateways.join(" "),
            ]
        });
        output::table(
            [
                "account",
                "name",
                "enabled",
                "hosts",
                "base path",
                "admits",
                "authorized",
                "stages",
                "gateways",
            ],
            rows,
        )
    }
}
