//! `keyward consumer`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyward_api::{Answer, Call, ClientError, Consumer, Credential, Route, Stored};
use serde_json::Value;

use super::credentials::{AddOpaque, ListCredentials, OfCaller};
use super::fields::{Described, Description, Fields, Object, pair, read_text, reference, tags};
use super::nouns::{Basic, Listed, One, Switch, body, show_answer};
use super::remote::failure;
use super::{Failure, Outcome, output};

#[derive(Debug, Subcommand)]
pub(crate) enum ConsumerCommand {
    #[command(flatten)]
    Basic(Basic<ConsumerFields>),
    #[command(flatten)]
    Switch(Switch),
    /// Give its API key (the only one, or the one named) a new value; the old one proves nothing any more.
    Reset(Reset),
    /// Its API keys.
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Its JWT.
    #[command(subcommand)]
    Jwt(JwtCommand),
}

/// What a consumer is described by.
#[derive(Debug, Args)]
pub(crate) struct ConsumerFields {
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// A tag. Naming one replaces them all.
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair, help_heading = "Description")]
    tag: Vec<(String, String)>,
    /// Let it have API keys; one is generated.
    #[arg(long, help_heading = "Description")]
    api_key: bool,
    /// Where its API keys stand: bearer, header:NAME or query:NAME; up to three.
    #[arg(long, value_name = "SOURCE", help_heading = "Description")]
    source: Vec<String>,
    #[command(flatten)]
    jwt: JwtKeys,
}

/// Where the keys that verify tokens come from.
#[derive(Debug, Args)]
pub(crate) struct JwtKeys {
    /// Let it have JWT by a key set of its own, which is generated.
    #[arg(long, conflicts_with_all = ["jwks_file", "jwks_ref", "jwks_url"], help_heading = "Description")]
    jwt: bool,
    /// Let it have JWT by the key set (JWKS) in this file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["jwks_ref", "jwks_url"], help_heading = "Description")]
    jwks_file: Option<PathBuf>,
    /// Let it have JWT by the secret that holds a key set (JWKS), or one HS256 key.
    #[arg(long, value_name = "SECRET", conflicts_with = "jwks_url", help_heading = "Description")]
    jwks_ref: Option<String>,
    /// Let it have JWT by the key set (JWKS) that is fetched from here: https://… or http://….
    #[arg(long, value_name = "URL", help_heading = "Description")]
    jwks_url: Option<String>,
    /// How often it is fetched where its answer does not say how long it holds, in seconds; absent: five minutes.
    #[arg(long, value_name = "SECONDS", requires = "jwks_url", help_heading = "Description")]
    jwks_refresh_s: Option<u32>,
    /// How long a fetched key set is believed, in seconds; absent: a day.
    #[arg(long, value_name = "SECONDS", requires = "jwks_url", help_heading = "Description")]
    jwks_keep_s: Option<u32>,
    /// What `iss` of its tokens must be.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    issuer: Option<String>,
    /// What `aud` of its tokens must name; one of several is enough.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    audience: Vec<String>,
}

impl Described for JwtKeys {
    fn fields(&self) -> Result<Object, Failure> {
        let jwks = self.jwks_file.as_deref().map(read_text).transpose()?;
        let fields = Fields::default()
            // A key set that is given takes the place of one that was generated.
            .put(
                "symmetric",
                (self.jwt || jwks.is_some() || self.jwks_ref.is_some() || self.jwks_url.is_some())
                    .then_some(self.jwt),
            )
            .put("remote.url", self.jwks_url.as_deref())
            .put("remote.refresh_s", self.jwks_refresh_s)
            .put("remote.keep_s", self.jwks_keep_s)
            .put(
                "jwks",
                jwks.map(|text| text.replace('$', "$$")).or_else(|| self.jwks_ref.as_deref().map(reference)),
            )
            .put("issuer", self.issuer.as_deref())
            .list("audiences", self.audience.iter().map(String::as_str));
        Ok(fields.done())
    }
}

impl Described for ConsumerFields {
    fn fields(&self) -> Result<Object, Failure> {
        let sources = self.source.iter().map(|text| source(text)).collect::<Result<Vec<_>, _>>()?;
        let jwt = self.jwt.fields()?;
        let empty = || Value::Object(Object::new());
        let fields = Fields::default()
            .put("description", self.description.as_deref())
            .put("tags", tags(&self.tag))
            .put("api_key", self.api_key.then(empty))
            .list("api_key.sources", sources)
            .put("jwt", (!jwt.is_empty()).then_some(Value::Object(jwt)));
        Ok(fields.done())
    }
}

fn source(text: &str) -> Result<Value, Failure> {
    match text.split_once(':') {
        None if text == "bearer" => Ok(text.into()),
        Some((place @ ("header" | "query"), name)) => {
            Ok(Value::Object(Fields::default().put(place, Some(name)).done()))
        }
        _ => {
            Err(Failure::usage(format!("`{text}` is not a source; write bearer, header:NAME or query:NAME")))
        }
    }
}

/// Which API key to reset.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    one: One,
    /// Id of the API key; absent: the only one.
    #[arg(long, value_name = "ID")]
    credential: Option<String>,
    /// File with the new value (`-` for standard input); absent: generated.
    #[arg(long, value_name = "FILE")]
    value_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeyCommand {
    /// List them, without their values.
    List(ListCredentials),
    /// Add one: generated, or with the value that is given.
    Add(AddOpaque),
}

#[derive(Debug, Subcommand)]
pub(crate) enum JwtCommand {
    /// Show how its tokens are verified.
    Show(One),
    /// Set how its tokens are verified.
    Set(SetJwt),
}

/// A JWT to set.
#[derive(Debug, Args)]
pub(crate) struct SetJwt {
    #[command(flatten)]
    one: One,
    #[command(flatten)]
    description: Description<JwtKeys>,
}

impl ConsumerCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Basic(basic) => basic.run::<Consumer>().await,
            Self::Switch(switch) => switch.run::<Consumer>().await,
            Self::Reset(reset) => reset.run().await,
            Self::ApiKey(ApiKeyCommand::List(list)) => list.run(Route::ListApiKeys).await,
            Self::ApiKey(ApiKeyCommand::Add(add)) => add.run(Route::AddApiKey).await,
            Self::Jwt(JwtCommand::Show(one)) => show_jwt(&one).await,
            Self::Jwt(JwtCommand::Set(set)) => {
                let call = set.one.call(Route::SetJwt).json(body(&set.description.object()?)?);
                send(&set.one, call).await
            }
        }
    }
}

async fn show_jwt(one: &One) -> Outcome {
    let shown: Result<Answer<Credential>, ClientError> =
        one.remote.client()?.send(one.call(Route::ShowJwt)).await;
    match shown {
        Ok(answer) => show_answer(&one.remote, &answer),
        Err(ClientError::Refused(problem)) if problem.code == "jwt_unknown" => Err(Failure::new(format!(
            "consumer `{name}` has no JWT; `keyward consumer jwt set {name} --jwt` gives it one",
            name = one.name
        ))),
        Err(error) => Err(failure(error)),
    }
}

async fn send(one: &One, call: Call<'_>) -> Outcome {
    let answer: Answer<Credential> = one.remote.client()?.send(call).await.map_err(failure)?;
    show_answer(&one.remote, &answer)
}

impl Reset {
    async fn run(self) -> Outcome {
        let of = OfCaller { one: self.one };
        let wanted = |credential: &Credential| self.credential.as_ref().is_none_or(|id| credential.id == *id);
        of.reset(Route::ListApiKeys, ("API key", "consumer api-key list"), wanted, self.value_file.as_deref())
            .await
    }
}

impl Listed for Consumer {
    const NOUN: &'static str = "consumer";
    const TAGGED: bool = true;

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|consumer| {
            let about = &consumer.description;
            let claim = consumer.credentials.iter().find_map(|credential| credential.identity_claim.as_ref());
            let claim =
                claim.map(|claim| format!("{}={}", claim.name, claim.value.as_deref().unwrap_or_default()));
            [
                about.account.clone(),
                about.name.clone(),
                output::yes(about.enabled),
                consumer
                    .credentials
                    .iter()
                    .filter(|credential| credential.kind == "api_key")
                    .count()
                    .to_string(),
                output::or_dash(claim.as_deref()),
                about.description.clone(),
                consumer.id.clone(),
            ]
        });
        output::table(["account", "name", "enabled", "api keys", "jwt claim", "description", "id"], rows)
    }
}
