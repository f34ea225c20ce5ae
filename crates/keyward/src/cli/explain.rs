//! `keyward explain` and `keyward who-can`.

use clap::Args;
use keyward_api::{Answer, Call, Explanation, Permitted, Route};
use keyward_model::DenyReason;

use super::Outcome;
use super::output::{self, show};
use super::remote::{Remote, failure};

/// Ask whether a call would be permitted, and why (not).
///
/// The answer comes from the code that decides. Without a caller it is about a call that presents nothing.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    what: What,
    /// The call of this application.
    #[arg(long, visible_alias = "app", value_name = "NAME", group = "caller")]
    application: Option<String>,
    /// The call of this consumer.
    #[arg(long, value_name = "NAME", group = "caller")]
    consumer: Option<String>,
    /// The call of the application with this AppKey, by that key pair.
    #[arg(long, value_name = "KEY", group = "caller")]
    app_key: Option<String>,
    /// Account of the API, where the caller is of another one.
    #[arg(long, value_name = "NAME")]
    api_account: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

/// List who may call, with the grant each rests on.
#[derive(Debug, Args)]
pub(crate) struct WhoCan {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    remote: Remote,
}

/// What would be called.
#[derive(Debug, Args)]
pub(crate) struct What {
    /// The API.
    #[arg(long, value_name = "NAME")]
    api: String,
    /// The stage; absent: RELEASE.
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// Method and path below the base path, such as `GET /42`; absent: any operation.
    #[arg(long, value_name = "OPERATION")]
    operation: Option<String>,
    /// Account in which the names are looked up. An API that is not there is looked for in `default`.
    #[arg(long, value_name = "NAME")]
    account: Option<String>,
    /// The gateway; absent: `default`.
    #[arg(long, value_name = "NAME")]
    gateway: Option<String>,
    /// The moment, such as 2026-01-31T12:00:00Z; absent: now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

impl What {
    fn call(&self, route: Route) -> Call<'static> {
        Call::new(route, [])
            .query("api", Some(&self.api))
            .query("stage", self.stage.as_deref())
            .query("operation", self.operation.as_deref())
            .query("account", self.account.as_deref())
            .query("gateway", self.gateway.as_deref())
            .query("at", self.at.as_deref())
    }
}

impl Explain {
    pub(crate) async fn run(self) -> Outcome {
        let call = self
            .what
            .call(Route::Explain)
            .query("application", self.application.as_deref())
            .query("consumer", self.consumer.as_deref())
            .query("app_key", self.app_key.as_deref())
            .query("api_account", self.api_account.as_deref());
        let answer: Answer<Explanation> = self.remote.client()?.send(call).await.map_err(failure)?;
        show(self.remote.output, &answer, |answer| in_words(&answer.object))
    }
}

fn in_words(explanation: &Explanation) -> String {
    let mut text = format!("{}: {}", explanation.decision, explanation.reason);
    if let Some(grant) = &explanation.grant {
        text.push_str(&format!(" ({grant})"));
    }
    if let Ok(reason) = explanation.reason.parse::<DenyReason>() {
        text.push_str(&format!("\n  {} {}", reason.meaning().trim(), reason.advice()));
    }
    for miss in &explanation.near_misses {
        text.push_str(&format!("\n  {} does not permit it: {}, {}", miss.grant, miss.reason, miss.detail));
    }
    text
}

impl WhoCan {
    pub(crate) async fn run(self) -> Outcome {
        let call = self.what.call(Route::WhoCan);
        let who: keyward_api::WhoCan = self.remote.client()?.send(call).await.map_err(failure)?;
        show(self.remote.output, &who, |who| {
            let rows = who.items.iter().map(|caller| {
                let Permitted { noun, account, name, id, grant } = caller.clone();
                [noun, output::or_dash(account.as_deref()), name, id, grant]
            });
            let table = output::table(["noun", "account", "name", "id", "grant"], rows);
            let anyone = "everybody who presents no credential may call, too: the API admits `anyone`";
            if who.anyone { format!("{table}\n\n{anyone}") } else { table }
        })
    }
}
