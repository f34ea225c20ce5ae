//! `keyward access-review`.

use clap::Args;
use keyward_api::{Call, List, ReviewItem, Route};

use super::Outcome;
use super::nouns::pages;
use super::output::{self, show};
use super::remote::Remote;

/// List what somebody should look at: grants and credentials that nobody uses, that end soon, weak secrets, callers
/// that may call nothing, APIs that nobody may call.
#[derive(Debug, Args)]
pub(crate) struct AccessReview {
    /// Only this finding: grant_unused, grant_ending, credential_never_used, credential_ending, weak_secret,
    /// caller_without_grant or api_without_grant.
    #[arg(long, value_name = "FINDING")]
    finding: Option<String>,
    /// Only what belongs to this account.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// After how many days without use something is unused; absent: 90.
    #[arg(long, value_name = "DAYS")]
    unused_days: Option<u32>,
    /// Within how many days something ends soon; absent: 30.
    #[arg(long, value_name = "DAYS")]
    ending_days: Option<u32>,
    /// At most this many; 0 for all.
    #[arg(long, value_name = "N", default_value_t = 0)]
    limit: usize,
    #[command(flatten)]
    remote: Remote,
}

impl AccessReview {
    pub(crate) async fn run(self) -> Outcome {
        let client = self.remote.client()?;
        let call = |after: Option<String>, page: usize| {
            Call::new(Route::ReviewAccess, [])
                .query("finding", self.finding.as_deref())
                .query("account", self.account.as_deref())
                .query("unused_days", self.unused_days)
                .query("ending_days", self.ending_days)
                .query("limit", Some(page))
                .query("after", after)
        };
        let list: List<ReviewItem> = pages(&client, self.limit, call).await?;
        show(self.remote.output, &list, |list| table(&list.items))
    }
}

fn table(items: &[ReviewItem]) -> String {
    let rows = items.iter().map(|item| {
        let caller = item.caller_name.as_deref().or(item.caller.as_deref());
        [
            item.finding.clone(),
            item.account.clone(),
            output::or_dash(caller.or(item.group_name.as_deref())),
            output::or_dash(item.api_name.as_deref()),
            output::or_dash(item.kind.as_deref()),
            output::or_dash(item.last_used.as_deref()),
            output::or_dash(item.valid_until.as_deref()),
            item.id.clone(),
        ]
    });
    output::table(["finding", "account", "caller", "api", "kind", "last used", "ends", "id"], rows)
}
