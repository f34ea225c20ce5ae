//! Use: written down every few seconds, and shown.

use std::sync::Arc;
use std::time::Duration;

use keyward_access::UsageSource;
use keyward_model::{
    AccountId, Action, ApiId, CallerId, Calls, CallsKey, Day, DenyReason, Name, ParseError, Qualified,
    Timestamp,
};
use keyward_store::UsageOf;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::apis::ApiObject;
use crate::gather::Gather;
use crate::object::{self, list_limit};
use crate::{Actor, Control, ControlError, ObjectRef, Page, Problem};

/// Calls of one day by one caller to one API that came out alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageView {
    /// When they began.
    pub day: Day,
    /// Who was proven to call; `None` where nobody was.
    pub caller: Option<CallerId>,
    /// Its account and name; `None` where it is no more, or another account's.
    pub caller_name: Option<Qualified>,
    /// What was called; `None` where no API was reached.
    pub api: Option<ApiId>,
    /// Its account and name; `None` where it is no more, or another account's.
    pub api_name: Option<Qualified>,
    /// Why they were refused, or ended badly; `None` where they passed.
    pub reason: Option<DenyReason>,
    /// How many.
    pub calls: u64,
    /// When the last one began.
    pub last: Timestamp,
}

/// Which calls a list has, and which page of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// Only calls by callers of this account, or of its APIs.
    pub account: Option<Name>,
    /// Only this caller's.
    pub caller: Option<CallerId>,
    /// Only of this API.
    pub api: Option<ObjectRef<ApiId>>,
    /// The first day.
    pub from: Option<Day>,
    /// The first day that is not in the list any more.
    pub until: Option<Day>,
    /// What [`Page::next`] said; absent: from the start.
    pub after: Option<String>,
    /// Most items in a page, 1 to 1000; absent: 100.
    pub limit: Option<u32>,
}

/// What can be done with what is known of use.
#[derive(Clone, Copy, Debug)]
pub struct Usage<'c> {
    pub(crate) control: &'c Control,
}

impl Usage<'_> {
    /// Lists calls per day, the oldest day first.
    ///
    /// # Errors
    /// What the filter names does not exist, or `after` is not what a page said.
    pub async fn list(&self, actor: &Actor, filter: UsageFilter) -> Result<Page<UsageView>, ControlError> {
        actor.may("usage", Action::List)?;
        let limit = list_limit(filter.limit)?;
        let after = filter.after.as_deref().map(read_key).transpose()?;
        let mut reader = self.control.store().reader().await?;
        let mut gather = Gather::new(reader.reads(), actor, self.control.now());
        let mut of = UsageOf {
            caller: filter.caller,
            from: filter.from,
            until: filter.until,
            seen_by: gather.seen_accounts(),
            ..UsageOf::default()
        };
        if let Some(name) = &filter.account {
            let account = gather.account_named(name).await?;
            let unknown = || ControlError::not_found("account", format!("`{name}`"));
            of.account = Some(account.ok_or_else(unknown)?.id);
        }
        if let Some(api) = &filter.api {
            of.api = Some(object::find::<ApiObject>(&mut gather, api).await?.object.id);
        }
        let mut found = gather.reads.list_usage(&of, after.as_ref(), limit.saturating_add(1)).await?;
        let more = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
        found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let next = found.last().filter(|_| more).map(|(key, _)| write_key(key));
        Ok(Page { items: views(&mut gather, &found).await?, next })
    }

    /// Writes down what `source` has. What cannot be written goes back to it.
    ///
    /// # Errors
    /// The store does not answer, or takes no writes.
    pub async fn keep(&self, source: &dyn UsageSource) -> Result<(), ControlError> {
        let snapshot = self.control.snapshots().load_full();
        let mut batch = source.take();
        batch.secrets = snapshot.take_secret_uses();
        self.control.store().write_usage(batch).await.map_err(|(error, mut rest)| {
            snapshot.give_back_secret_uses(&std::mem::take(&mut rest.secrets));
            source.give_back(rest);
            error.into()
        })
    }
}

async fn views(gather: &mut Gather<'_>, found: &[(CallsKey, Calls)]) -> Result<Vec<UsageView>, ControlError> {
    let mut callers: Vec<CallerId> = found.iter().filter_map(|(key, _)| key.caller).collect();
    callers.sort_unstable();
    callers.dedup();
    gather.callers(&callers).await?;
    for api in found.iter().filter_map(|(key, _)| key.api) {
        gather.api(api).await?;
    }
    Ok(found.iter().map(|(key, calls)| view(gather, key, calls)).collect())
}

fn view(gather: &Gather<'_>, key: &CallsKey, calls: &Calls) -> UsageView {
    let existing = &gather.existing;
    let named = |account: AccountId, name: &Name| {
        // Of another's object the id says enough.
        if !gather.sees(Some(account)) {
            return None;
        }
        Some(Qualified { account: existing.account_name(account)?.clone(), name: name.clone() })
    };
    let caller = key.caller.and_then(|id| existing.callers.get(&id));
    let api = key.api.and_then(|id| existing.apis.get(&id));
    UsageView {
        day: key.day,
        caller: key.caller,
        caller_name: caller.and_then(|caller| named(caller.account, &caller.name)),
        api: key.api,
        api_name: api.and_then(|api| named(api.account, &api.name)),
        reason: key.reason,
        calls: calls.count,
        last: calls.last,
    }
}

/// Where the next page begins, as text.
fn write_key(key: &CallsKey) -> String {
    fn text<T: ToString>(part: Option<T>) -> String {
        part.map_or_else(String::new, |part| part.to_string())
    }
    format!("{}.{}.{}.{}", key.day.number(), text(key.caller), text(key.api), text(key.reason))
}

fn read_key(given: &str) -> Result<CallsKey, ControlError> {
    fn some<T: std::str::FromStr<Err = ParseError>>(text: &str) -> Option<Option<T>> {
        if text.is_empty() { Some(None) } else { text.parse().ok().map(Some) }
    }
    let read = || {
        let mut parts = given.split('.');
        let key = CallsKey {
            day: Day::from_number(parts.next()?.parse().ok()?),
            caller: some(parts.next()?)?,
            api: some(parts.next()?)?,
            reason: some(parts.next()?)?,
        };
        parts.next().is_none().then_some(key)
    };
    read().ok_or_else(|| {
        let text = format!("`{}` is not what a page said as its `next`", given.escape_debug());
        Problem::invalid("after_malformed", "after", text).into()
    })
}

/// How use is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsageOptions {
    /// How often.
    pub every: Duration,
    /// How many days calls per day are kept. When a credential or a grant was last used is kept for good.
    pub keep_days: u16,
}

impl Default for UsageOptions {
    fn default() -> Self {
        Self { every: Duration::from_secs(5), keep_days: 400 }
    }
}

/// The task that writes down what is used.
#[derive(Debug)]
pub struct UsageKeeper {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl UsageKeeper {
    /// Asks `source` every so often, on the runtime that this is called on. It ends when this is dropped.
    pub fn start(control: Control, source: Arc<dyn UsageSource>, options: UsageOptions) -> Self {
        let (stop, mut stopped) = oneshot::channel();
        let task = tokio::spawn(async move {
            let mut ticks = tokio::time::interval(options.every.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            let mut failing = false;
            let mut forgotten = None;
            loop {
                let stopping = tokio::select! {
                    _ = ticks.tick() => false,
                    _ = &mut stopped => true,
                };
                let mut kept = control.usage().keep(&*source).await;
                let oldest = Day::of(control.now()).minus_days(options.keep_days);
                if kept.is_ok() && forgotten != Some(oldest) {
                    kept = control.store().forget_usage_before(oldest).await.map_err(Into::into);
                    forgotten = kept.is_ok().then_some(oldest);
                }
                tell(&kept, failing);
                failing = kept.is_err();
                if stopping {
                    return;
                }
            }
        });
        Self { stop, task }
    }

    /// Writes down what is left, and ends.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::error!(%error, "what was used last could not be written down");
        }
    }
}

/// Says so when writing begins to fail, and when it works again.
fn tell(kept: &Result<(), ControlError>, was_failing: bool) {
    match kept {
        Err(error) if !was_failing => {
            tracing::warn!(%error, "what was used cannot be written down now; it is kept and tried again");
        }
        Ok(()) if was_failing => tracing::info!("what was used is written down again"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_page_ends_is_read_back() {
        let caller = "con_00000000000000000000000000000006".parse().unwrap();
        let api = "api_00000000000000000000000000000004".parse().unwrap();
        for key in [
            CallsKey { day: Day::from_number(-3), caller: None, api: None, reason: None },
            CallsKey {
                day: Day::from_number(20_605),
                caller: Some(caller),
                api: Some(api),
                reason: Some(DenyReason::GrantMissing),
            },
        ] {
            assert_eq!(read_key(&write_key(&key)).unwrap(), key);
        }
        for wrong in ["", "1", "1...", "x...", "1....", "1.nobody..", "1...nothing"] {
            let found = read_key(wrong);
            assert_eq!(found.is_ok(), wrong == "1...", "{wrong}");
        }
    }
}
