//! `keyward usage`.

use clap::Args;
use keyward_api::{Call, List, Route, Usage};

use super::Outcome;
use super::nouns::pages;
use super::output::{self, show};
use super::remote::Remote;

/// List calls per day (UTC), caller, API and outcome, the oldest day first.
///
/// Every node writes down what it saw each few seconds. Calls of nobody who was proven have no caller, and calls that
/// reached no API have no API.
#[derive(Debug, Args)]
pub(crate) struct UsageCommand {
    /// Only calls of this API.
    #[arg(long, value_name = "NAME")]
    api: Option<String>,
    /// Only calls by this application.
    #[arg(long, visible_alias = "application", value_name = "NAME", conflicts_with = "consumer")]
    app: Option<String>,
    /// Only calls by this consumer.
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
    /// Account of what is named; alone: only calls by callers of this account, or of its APIs.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// Account of the caller, where it is another one.
    #[arg(long, value_name = "NAME")]
    caller_account: Option<String>,
    /// The first day, such as 2026-01-31.
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The first day that is left out again.
    #[arg(long, value_name = "DAY")]
    until: Option<String>,
    /// At most this many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

impl UsageCommand {
    pub(crate) async fn run(self) -> Outcome {
        let client = self.remote.client()?;
        let call = |after: Option<String>, page: usize| {
            Call::new(Route::ListUsage, [])
                .query("api", self.api.as_deref())
                .query("application", self.app.as_deref())
                .query("consumer", self.consumer.as_deref())
                .query("account", self.account.as_deref())
                .query("caller_account", self.caller_account.as_deref())
                .query("from", self.from.as_deref())
                .query("until", self.until.as_deref())
                .query("limit", Some(page))
                .query("after", after)
        };
        let list: List<Usage> = pages(&client, self.limit, call).await?;
        show(self.remote.output, &list, |list| table(&list.items))
    }
}

fn table(items: &[Usage]) -> String {
    let rows = items.iter().map(|usage| {
        [
            usage.day.clone(),
            named(usage.caller_account.as_deref(), usage.caller_name.as_deref(), usage.caller.as_deref()),
            named(usage.api_account.as_deref(), usage.api_name.as_deref(), usage.api.as_deref()),
            output::or_dash(usage.reason.as_deref()),
            usage.calls.to_string(),
            usage.last.clone(),
        ]
    });
    output::table(["day", "caller", "api", "reason", "calls", "last"], rows)
}

/// `ACCOUNT/NAME`, or the id of what is no more.
fn named(account: Option<&str>, name: Option<&str>, id: Option<&str>) -> String {
    match (account, name) {
        (Some(account), Some(name)) => format!("{account}/{name}"),
        _ => output::or_dash(id),
    }
}
