//! `keyward service`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use keyward_api::{Service, Stored};
use serde_json::Value;

use super::fields::{Described, Fields, Object, read_secret, reference};
use super::nouns::{Basic, Listed, Switch};
use super::{Failure, Outcome, output};

#[derive(Debug, Subcommand)]
pub(crate) enum ServiceCommand {
    #[command(flatten)]
    Basic(Basic<ServiceFields>),
    #[command(flatten)]
    Switch(Switch),
}

/// What a service is described by.
#[derive(Debug, Args)]
pub(crate) struct ServiceFields {
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// An address, with its weight after a blank where it is not 1.
    #[arg(long, value_name = "URL", help_heading = "Description")]
    endpoint: Vec<String>,
    /// Prove ourselves by this header field; its value comes from --auth-value-file or --auth-ref.
    #[arg(long, value_name = "NAME", requires = "auth_value", help_heading = "Description")]
    auth_header: Option<String>,
    /// File with the value of that header field (`-` for standard input).
    #[arg(
        long,
        value_name = "FILE",
        requires = "auth_header",
        group = "auth_value",
        help_heading = "Description"
    )]
    auth_value_file: Option<PathBuf>,
    /// The secret that is the value of that header field: its name, or a text such as `Bearer $ref{name}`.
    #[arg(
        long,
        value_name = "SECRET",
        requires = "auth_header",
        group = "auth_value",
        help_heading = "Description"
    )]
    auth_ref: Option<String>,
}

impl Described for ServiceFields {
    fn fields(&self) -> Result<Object, Failure> {
        let endpoints = self.endpoint.iter().map(|text| endpoint(text)).collect::<Result<Vec<_>, _>>()?;
        let secret = self.auth_value_file.as_deref().map(read_secret).transpose()?;
        let fields = Fields::default()
            .put("description", self.description.as_deref())
            .list("endpoints", endpoints)
            .put("auth.header.name", self.auth_header.as_deref())
            .put("auth.header.value", secret.or_else(|| self.auth_ref.as_deref().map(reference)));
        Ok(fields.done())
    }
}

fn endpoint(text: &str) -> Result<Value, Failure> {
    let Some((url, weight)) = text.split_once(' ') else { return Ok(text.into()) };
    let weight: u32 = weight
        .trim()
        .parse()
        .map_err(|_| Failure::usage(format!("`{weight}` is not a weight; write a whole number")))?;
    Ok(Value::Object(Fields::default().put("url", Some(url)).put("weight", Some(weight)).done()))
}

impl ServiceCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Basic(basic) => basic.run::<Service>().await,
            Self::Switch(switch) => switch.run::<Service>().await,
        }
    }
}

impl Listed for Service {
    const NOUN: &'static str = "service";

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|service| {
            let about = &service.description;
            let urls: Vec<&str> = about.endpoints.iter().map(|endpoint| endpoint.url.as_str()).collect();
            [about.account.clone(), about.name.clone(), output::yes(about.enabled), urls.join(" ")]
        });
        output::table(["account", "name", "enabled", "endpoints"], rows)
    }
}
