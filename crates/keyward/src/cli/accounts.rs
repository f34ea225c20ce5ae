//! `keyward account`.

use clap::{Args, Subcommand};
use keyward_api::{Account, Stored};

use super::fields::{Described, Fields, Object};
use super::nouns::{Basic, Listed, Switch};
use super::{Failure, Outcome, output};

#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    #[command(flatten)]
    Basic(Basic<AccountFields>),
    #[command(flatten)]
    Switch(Switch),
}

/// What an account is described by.
#[derive(Debug, Args)]
pub(crate) struct AccountFields {
    /// For people.
    #[arg(long, value_name = "TEXT", help_heading = "Description")]
    description: Option<String>,
    /// May secrets be shown again?
    #[arg(long, value_name = "true|false", help_heading = "Description")]
    reveal: Option<bool>,
    /// The longest validity of a grant that it gives, in seconds.
    #[arg(long, value_name = "SECONDS", help_heading = "Description")]
    grant_validity_max_s: Option<u64>,
}

impl Described for AccountFields {
    fn fields(&self) -> Result<Object, Failure> {
        let fields = Fields::default()
            .put("description", self.description.as_deref())
            .put("reveal", self.reveal)
            .put("grant_validity_max_s", self.grant_validity_max_s);
        Ok(fields.done())
    }
}

impl AccountCommand {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Basic(basic) => basic.run::<Account>().await,
            Self::Switch(switch) => switch.run::<Account>().await,
        }
    }
}

impl Listed for Account {
    const NOUN: &'static str = "account";
    const OWNED: bool = false;

    fn table(items: &[Stored<Self>]) -> String {
        let rows = items.iter().map(|account| {
            let about = &account.description;
            [
                about.name.clone(),
                output::yes(about.enabled),
                output::yes(about.reveal),
                about.description.clone(),
            ]
        });
        output::table(["name", "enabled", "reveal", "description"], rows)
    }
}
