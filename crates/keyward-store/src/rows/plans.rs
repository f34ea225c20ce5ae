//! How SQLite answers the lists: by an index in the order of the list, so that a page costs what it shows, however many rows there
//! are. (`make bench-scale` measures what that comes to.)

use std::cell::RefCell;

use keyward_model::{AccountId, ApiId, CallerId, CallerKind, Day, GatewayId, GroupId, Timestamp};
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::callers::CallerFilter;
use super::grants::GrantsOf;
use super::{After, ListPage, ObjectsOf, Order, Within};
use crate::{ApisOf, AuditFilter, GrantState, Reader, ReviewOf, Store, StoreOptions, UsageOf};

thread_local! {
    static ASKED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Remembers the text of a list.
pub(super) fn note(sql: &str) {
    ASKED.with_borrow_mut(|asked| asked.push(sql.to_owned()));
}

/// A step in which SQLite answers.
#[derive(Debug)]
struct Step {
    /// The step that it is a part of; 0: the whole.
    within: i64,
    what: String,
}

/// A store without rows, and without statistics, as a node has it.
struct Place {
    store: Store,
    /// Lists that are answered otherwise.
    wrong: RefCell<Vec<String>>,
    _folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions { data_dir: folder.path().to_owned(), url: None, master_key_file: None };
        Self { store: Store::open(options).await.unwrap(), wrong: RefCell::default(), _folder: folder }
    }

    /// The steps in which the lists are answered that were asked for since the last time, each with its text.
    async fn plans(&self) -> Vec<(String, Vec<Step>)> {
        let mut reader = self.store.reader().await.unwrap();
        let mut plans = Vec::new();
        for sql in ASKED.take() {
            let rows =
                reader.reads().all(sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")))).await;
            let steps = rows
                .unwrap()
                .iter()
                .map(|row| Step { within: row.get("parent"), what: row.get("detail") })
                .collect();
            plans.push((sql, steps));
        }
        plans
    }

    /// Every list that `ask` asks for is answered in its order, by an index.
    async fn is_served_in_order(&self, ask: impl AsyncFn(&mut Reader<'_>, &ListPage), by_name: bool) {
        for page in pages(by_name) {
            let mut reader = self.store.reader().await.unwrap();
            ask(&mut reader, &page).await;
            drop(reader);
            let plans = self.plans().await;
            assert!(!plans.is_empty(), "nothing was asked");
            for (sql, steps) in plans {
                // Where a list has sides, each gives a page by an index, and only these pages are put in order.
                let sided = sql.contains(" AS part ");
                let sorts = |step: &Step| step.what.contains("TEMP B-TREE") && !(sided && step.within == 0);
                let reads_all = |step: &Step| {
                    let what = step.what.as_str();
                    what.starts_with("SCAN") && !what.contains(" USING ") && !what.starts_with("SCAN side")
                };
                if steps.iter().any(|step| sorts(step) || reads_all(step)) {
                    self.wrong.borrow_mut().push(format!("{sql}\n{steps:#?}"));
                }
            }
        }
    }

    /// The steps in which the lists that `ask` asks for look for callers.
    async fn steps_on_callers(&self, ask: impl AsyncFn(&mut Reader<'_>)) -> Vec<String> {
        let mut reader = self.store.reader().await.unwrap();
        ask(&mut reader).await;
        drop(reader);
        // Where a list has sides, what their pages name is looked up by id at last.
        let sought = |sql: &str, step: &Step| {
            step.what.contains("callers") && !(sql.contains(" AS part ") && step.within == 0)
        };
        let mut found = Vec::new();
        for (sql, steps) in self.plans().await {
            found.extend(steps.into_iter().filter(|step| sought(&sql, step)).map(|step| step.what));
        }
        found
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let wrong = self.wrong.take();
        assert!(
            wrong.is_empty() || std::thread::panicking(),
            "rows are put in order, or all are read:\n{}",
            wrong.join("\n")
        );
    }
}

/// The first page and a later one, in every order.
fn pages(by_name: bool) -> Vec<ListPage> {
    let names: &[bool] = if by_name { &[false, true] } else { &[false] };
    let after = After { name: "n".into(), id: "i".into() };
    let orders =
        names.iter().flat_map(|&by_name| [false, true].map(|descending| Order { by_name, descending }));
    orders
        .flat_map(|order| [None, Some(after.clone())].map(|after| ListPage { after, limit: 101, order }))
        .collect()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn account(number: u128) -> AccountId {
    AccountId::from_uuid(id(number))
}

/// Whose: everybody's, one account's, several accounts'.
fn withins() -> [Within; 3] {
    [Within::All, account(1).into(), Within::Accounts(vec![account(1), account(2)])]
}

fn caller() -> CallerId {
    CallerId::from_uuid(CallerKind::Application, id(3))
}

#[tokio::test]
async fn every_list_of_callers_is_served_in_order_by_an_index() {
    let place = Place::new().await;
    let usual = || CallerFilter { kind: Some(CallerKind::Application), ..CallerFilter::default() };
    for within in withins() {
        for filter in [
            usual(),
            CallerFilter { name: Some("part".into()), ..usual() },
            CallerFilter { tag: Some(("team".into(), "a".into())), ..usual() },
            CallerFilter { app_key: Some("key".parse().unwrap()), ..usual() },
            CallerFilter { enabled: Some(true), ..usual() },
            CallerFilter { enabled: Some(false), ..usual() },
        ] {
            let filter = CallerFilter { within: within.clone(), ..filter };
            let ask = async |reader: &mut Reader<'_>, page: &ListPage| {
                reader.reads().list_callers(&filter, page).await.unwrap();
            };
            // One row needs no order.
            if filter.app_key.is_none() {
                place.is_served_in_order(ask, true).await;
            }
        }
    }
}

#[tokio::test]
async fn what_is_looked_for_by_its_key_or_among_few_is_not_looked_for_among_all() {
    let place = Place::new().await;
    for within in withins() {
        for page in pages(true) {
            let filter = CallerFilter {
                kind: Some(CallerKind::Application),
                within: within.clone(),
                app_key: Some("key".parse().unwrap()),
                ..CallerFilter::default()
            };
            let keyed = async |reader: &mut Reader<'_>| {
                reader.reads().list_callers(&filter, &page).await.unwrap();
            };
            let steps = place.steps_on_callers(keyed).await;
            assert!(
                !steps.is_empty() && steps.iter().all(|step| step.contains("id=?")),
                "{page:?} {within:?}: {steps:?}"
            );
            let filter = CallerFilter { app_key: None, enabled: Some(false), ..filter.clone() };
            let disabled = async |reader: &mut Reader<'_>| {
                reader.reads().list_callers(&filter, &page).await.unwrap();
            };
            let steps = place.steps_on_callers(disabled).await;
            // In one account by name, its callers are gone through in that order: SQLite thinks that this is less.
            let by_account_and_name = page.order.by_name && within != Within::All;
            assert!(
                by_account_and_name || steps.iter().all(|step| step.contains("callers_disabled")),
                "{page:?} {within:?}: {steps:?}"
            );
        }
    }
}

#[tokio::test]
async fn every_list_of_grants_is_served_in_order_by_an_index() {
    // But for those for one caller: they stand in two places and are few, so they are put in order.
    let place = Place::new().await;
    let usual = || GrantsOf::at(Timestamp::from_millis(0));
    let states = [
        None,
        Some(GrantState::NotYet),
        Some(GrantState::InEffect),
        Some(GrantState::Expired),
        Some(GrantState::Revoked),
    ];
    for of in [
        usual(),
        GrantsOf { account: Some(account(1)), ..usual() },
        GrantsOf { api: Some(ApiId::from_uuid(id(4))), ..usual() },
        GrantsOf { group: Some(GroupId::from_uuid(id(5))), ..usual() },
        GrantsOf { seen_by: account(1).into(), ..usual() },
        GrantsOf { seen_by: Within::Accounts(vec![account(1), account(2)]), ..usual() },
    ] {
        for state in states {
            let of = GrantsOf { state, revoked: state.is_none(), ..of.clone() };
            let ask = async |reader: &mut Reader<'_>, page: &ListPage| {
                reader.reads().list_grants(&of, page).await.unwrap();
            };
            place.is_served_in_order(ask, false).await;
        }
    }
}

#[tokio::test]
async fn every_list_of_what_there_is_less_of_is_served_in_order_by_an_index() {
    let place = Place::new().await;
    for within in withins() {
        for name in [None, Some("part")] {
            for enabled in [None, Some(false)] {
                let of = ObjectsOf { within: within.clone(), name: name.map(str::to_owned), enabled };
                let apis = ApisOf { within: within.clone(), name: of.name.clone(), ..ApisOf::default() };
                let published = ApisOf { gateway: Some(GatewayId::from_uuid(id(6))), ..apis.clone() };
                let ask = async |reader: &mut Reader<'_>, page: &ListPage| {
                    let mut reads = reader.reads();
                    reads.list_gateways(name, page).await.unwrap();
                    reads.list_accounts(&of, page).await.unwrap();
                    // By name, these of all accounts are put in order: there are not that many.
                    if !page.order.by_name || within != Within::All {
                        reads.list_services(&of, page).await.unwrap();
                        reads.list_groups(&of, page).await.unwrap();
                        reads.list_apis(&apis, page).await.unwrap();
                        reads.list_apis(&published, page).await.unwrap();
                    }
                    // Nor are there of operators.
                    if !page.order.by_name || within == Within::All {
                        reads.list_operators(&within, name, enabled, page).await.unwrap();
                    }
                };
                place.is_served_in_order(ask, true).await;
            }
        }
    }
}

#[tokio::test]
async fn the_lists_that_grow_with_time_are_served_in_order_by_an_index() {
    let place = Place::new().await;
    let text = |text: &str| Some(text.to_owned());
    for within in withins() {
        for filter in [
            AuditFilter::default(),
            AuditFilter { actor: text("start"), ..AuditFilter::default() },
            AuditFilter { noun: text("caller"), ..AuditFilter::default() },
            AuditFilter { object: text("app_1"), ..AuditFilter::default() },
            AuditFilter {
                action: text("application.create"),
                touch: text("created"),
                ..AuditFilter::default()
            },
            AuditFilter {
                from: Some(Timestamp::from_millis(1)),
                until: Some(Timestamp::from_millis(2)),
                ..AuditFilter::default()
            },
        ] {
            let ask = async |reader: &mut Reader<'_>, page: &ListPage| {
                let filter = AuditFilter {
                    within: within.clone(),
                    descending: page.order.descending,
                    ..filter.clone()
                };
                reader.reads().audit_page(&filter, page.after.as_ref().map(|_| 7), 101).await.unwrap();
            };
            place.is_served_in_order(ask, false).await;
        }
    }
    // Of the calls that concern one account, all are put in order.
    let days = (Some(Day::from_number(1)), Some(Day::from_number(9)));
    for of in [
        UsageOf::default(),
        UsageOf { caller: Some(caller()), ..UsageOf::default() },
        UsageOf { api: Some(ApiId::from_uuid(id(4))), ..UsageOf::default() },
        UsageOf { from: days.0, until: days.1, ..UsageOf::default() },
    ] {
        let ask = async |reader: &mut Reader<'_>, _: &ListPage| {
            reader.reads().list_usage(&of, None, 101).await.unwrap();
        };
        place.is_served_in_order(ask, false).await;
    }
}

#[tokio::test]
async fn every_question_of_the_review_is_served_in_order_by_an_index() {
    let place = Place::new().await;
    let at = Timestamp::from_millis(1);
    for within in withins() {
        let of = ReviewOf { within, at, since: at, soon: at };
        let ask = async |reader: &mut Reader<'_>, page: &ListPage| {
            let mut reads = reader.reads();
            reads.unused_grants(&of, page).await.unwrap();
            reads.ending_grants(&of, page).await.unwrap();
            reads.never_used_credentials(&of, page).await.unwrap();
            reads.ending_credentials(&of, page).await.unwrap();
            reads.weak_credentials(&of, page).await.unwrap();
            reads.callers_without_grant(&of, page).await.unwrap();
            reads.apis_without_grant(&of, page).await.unwrap();
        };
        place.is_served_in_order(ask, false).await;
    }
}
