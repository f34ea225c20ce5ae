//! `keyward gateway`.

use clap::{Args, Subcommand};
use keyward_api::{Gateway, Stored};

use super::fields::{Described, Fields, Object};
use super::nouns::{Basic, Listed};
use super::{Failure, Outcome, output};

#[derive(Debug, Subcommand)]
pub(crate) enum GatewayCommand {
    #[command(flatten)]
    Basic(Basic<GatewayFields>),
}

/// What a gateway is described by.
#[derive(Debug, Args)]
pub(crate) struct GatewayFields {
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// Believe forwarded headers from this network.
    #[arg(long, value_name = "NETWORK", help_heading = "Description")]
    trusted_proxy: Vec<String>,
    /// Largest request body, in bytes.
    #[arg(long, value_name = "BYTES", help_heading = "Description")]
    body_bytes: Option<u64>,
}

impl Described for GatewayFields {
    fn fields(&self) -> Result<Object, Failure> {
        let fields = Fields::default()
            .put("description", self.description.as_deref())
            .list("trusted_proxies", self.trusted_proxy.iter().map(String::as_str))
            .put("limits.body_bytes", self.body_bytes);
        Ok(fields.done())
    }
}

impl GatewayCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Basic(basic) => basic.run::<Gateway>().await,
        }
    }
}

impl Listed for Gateway {
    const NOUN: &'static str = "gateway";
    const OWNED: bool = false;

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|gateway| {
            let about = &gateway.description;
            [about.name.clone(), about.trusted_proxies.join(" "), about.description.clone()]
        });
        output::table(["name", "trusted proxies", "description"], rows)
    }
}
