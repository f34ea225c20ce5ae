//! `keyward export`.

use clap::Args;
use keyward_api::{Call, Route};

use super::output::{Format, print};
use super::remote::{Remote, failure};
use super::{Failure, Outcome};

/// Write everything as a world file.
///
/// Secret values are left out; applying the file keeps what is stored.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// Only what belongs to this account.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Not supported by this version.
    #[arg(long, hide = true)]
    with_secrets: bool,
    /// Not supported by this version.
    #[arg(long, hide = true, value_name = "AGE_KEY")]
    recipient: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Export {
    pub(crate) async fn run(self) -> Outcome {
        if self.with_secrets || self.recipient.is_some() {
            return Err(Failure::usage("`--with-secrets` is not supported by this version; leave it out"));
        }
        let call = Call::new(Route::Export, []).query("account", self.account.as_deref());
        let bytes = self.remote.client()?.send_for_bytes(call).await.map_err(failure)?;
        let text = String::from_utf8(bytes).map_err(Failure::new)?;
        match self.remote.output {
            Format::Table | Format::Yaml => print(&text),
            Format::Json => {
                let value: serde_json::Value = serde_saphyr::from_str(&text).map_err(Failure::new)?;
                print(&serde_json::to_string_pretty(&value).map_err(Failure::new)?)
            }
        }
    }
}
