//! `keyward module`.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand};
use keyward_api::{Module, Stored};

use super::fields::{Described, Fields, Object, read_bytes};
use super::nouns::{Basic, Listed, Switch};
use super::{Failure, Outcome, output};

#[derive(Debug, Subcommand)]
pub(crate) enum ModuleCommand {
    #[command(flatten)]
    Basic(Basic<ModuleFields>),
    #[command(flatten)]
    Switch(Switch),
}

/// What a module is described by.
#[derive(Debug, Args)]
pub(crate) struct ModuleFields {
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// The .wasm file (`-` for standard input).
    #[arg(long, value_name = "FILE", help_heading = "Description")]
    wasm: Option<PathBuf>,
    /// What becomes of a call where it traps, takes too much or cannot be started: refuse or skip.
    #[arg(long, value_name = "WHAT", help_heading = "Description")]
    on_failure: Option<String>,
    /// It is asked about: request-body, response-head, response-body. Named here, those that are not named are not asked about.
    #[arg(long, value_name = "PART", value_delimiter = ',', value_parser = ["request-body", "response-head", "response-body"], help_heading = "Description")]
    sees: Vec<String>,
    /// A service that it may call out to.
    #[arg(long, value_name = "NAME", help_heading = "Description")]
    service: Vec<String>,
}

impl Described for ModuleFields {
    fn fields(&self) -> Result<Object, Failure> {
        let wasm = self.wasm.as_deref().map(read_bytes).transpose()?;
        let sees = |part: &str| (!self.sees.is_empty()).then(|| self.sees.iter().any(|one| one == part));
        let fields = Fields::default()
            .put("description", self.description.as_deref())
            .put("wasm.base64", wasm.map(|bytes| STANDARD.encode(bytes)))
            .put("on_failure", self.on_failure.as_deref())
            .put("sees.request_body", sees("request-body"))
            .put("sees.response_head", sees("response-head"))
            .put("sees.response_body", sees("response-body"))
            .list("services", self.service.iter().map(String::as_str));
        let mut object = fields.done();
        if let Some(serde_json::Value::Object(wasm)) = object.get_mut("wasm") {
            // What is stored is not kept beside it.
            wasm.insert("sha256".to_owned(), serde_json::Value::Null);
        }
        Ok(object)
    }
}

impl ModuleCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Basic(basic) => basic.run::<Module>().await,
            Self::Switch(switch) => switch.run::<Module>().await,
        }
    }
}

impl Listed for Module {
    const NOUN: &'static str = "module";

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|module| {
            let about = &module.description;
            let digest = about.wasm.as_ref().and_then(|wasm| wasm.sha256.as_deref()).unwrap_or_default();
            [
                about.account.clone(),
                about.name.clone(),
                output::yes(about.enabled),
                about.on_failure.clone(),
                digest.get(..16).unwrap_or_default().to_owned(),
                about.services.join(" "),
            ]
        });
        output::table(["account", "name", "enabled", "on failure", "sha256", "services"], rows)
    }
}
