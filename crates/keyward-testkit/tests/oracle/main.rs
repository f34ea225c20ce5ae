//! The Snapshot against the oracle: random worlds, built up by random changes and compiled afresh, decide alike.
//!
//! `KEYWARD_ORACLE_WORLDS` sets how many worlds are tried (512 unless told), each with 256 requests.

mod requests;
mod steps;
mod universe;

use std::collections::BTreeMap;

use keyward_access::{
    Authentication, Basis, Body, Field, Question, RequestHead, Snapshot, authenticate, authorize, explain,
    resolve,
};
use keyward_model::{DenyReason, Revision};
use keyward_testkit::oracle::{Asked, Part, Rows, Truth, Verdict, decide};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use uuid::Uuid;

use crate::requests::Values;
use crate::steps::{Step, World};
use crate::universe::DIGEST_KEY;

/// Requests that are judged in every world.
const REQUESTS: u64 = 256;

#[test]
fn grant_021_the_snapshot_and_the_oracle_decide_alike() {
    let worlds =
        std::env::var("KEYWARD_ORACLE_WORLDS").ok().and_then(|count| count.parse().ok()).unwrap_or(512);
    let values = Values::new();
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let config = Config { cases: worlds, failure_persistence: None, ..Config::default() };
    let steps = prop::collection::vec(prop::collection::vec(any::<Step>(), 1..4), 8..40);
    TestRunner::new_with_rng(config, rng())
        .run(&(steps, any::<u64>()), |(batches, seed)| {
            let (world, grown) = grow(&batches)?;
            let fresh = Snapshot::load(revision(0), DIGEST_KEY, world.updates());
            prop_assert_eq!(fresh.quarantined, []);
            for number in 0..REQUESTS {
                let asked = requests::request(seed.wrapping_add(number), &values, &world.rows);
                let expected = decide(&world.rows, &values.truth(), &asked);
                for snapshot in [&grown, &fresh.snapshot] {
                    let verdict = judge(snapshot, &asked);
                    prop_assert_eq!(&verdict, &expected, "{:?}\n{:#?}", asked, world.rows);
                }
                check_answers(&grown, &world.rows, &values.truth(), &asked)?;
                let name = expected.map_or_else(|(reason, _)| reason.to_string(), |_| "allow".into());
                if let Ok(mut seen) = SEEN.lock() {
                    *seen.entry(name).or_default() += 1;
                }
            }
            Ok(())
        })
        .unwrap();
    if let Ok(counted) = SEEN.lock() {
        seen.clone_from(&counted);
    }
    assert!(seen.values().sum::<u64>() >= u64::from(worlds) * REQUESTS, "{seen:?}");
    if worlds >= 256 {
        let told: Vec<_> = REACHED.iter().filter(|reason| !seen.contains_key(reason.code())).collect();
        assert!(told.is_empty() && seen.contains_key("allow"), "never told: {told:?} of {seen:?}");
    }
}

/// How often each outcome came up: a test that never allows anything proves little.
static SEEN: std::sync::Mutex<BTreeMap<String, u64>> = std::sync::Mutex::new(BTreeMap::new());

/// What requests without signatures and AppCodes can be told.
const REACHED: &[DenyReason] = &[
    DenyReason::RequestMalformed,
    DenyReason::ApiNotFound,
    DenyReason::MethodNotAllowed,
    DenyReason::StageInvalid,
    DenyReason::CredentialMissing,
    DenyReason::CredentialAmbiguous,
    DenyReason::CredentialNotAdmitted,
    DenyReason::CredentialUnknown,
    DenyReason::CredentialDisabled,
    DenyReason::CredentialExpired,
    DenyReason::CallerDisabled,
    DenyReason::AccountDisabled,
    DenyReason::GrantMissing,
    DenyReason::GrantOtherGateway,
    DenyReason::GrantOtherStage,
    DenyReason::GrantNotYetValid,
    DenyReason::GrantExpired,
    DenyReason::GrantRevoked,
    DenyReason::OperationNotGranted,
    DenyReason::UpstreamUnavailable,
];

/// The same worlds in every run, unless more are asked for.
fn rng() -> proptest::test_runner::TestRng {
    proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha)
}

fn revision(number: u64) -> Revision {
    Revision { store: Uuid::from_u128(1), number }
}

/// Applies batch after batch. What is refused changes nothing, and would not compile afresh either.
fn grow(batches: &[Vec<Step>]) -> Result<(World, Snapshot), TestCaseError> {
    let empty = Snapshot::empty(revision(0), DIGEST_KEY);
    let mut world = World::new();
    let mut snapshot =
        empty.apply(revision(1), &world.updates()).map_err(|e| TestCaseError::fail(e.to_string()))?;
    for (number, batch) in batches.iter().enumerate() {
        let mut next = world.clone();
        next.begin();
        let updates: Vec<_> = batch.iter().flat_map(|step| next.take(step)).collect();
        let afresh = empty.apply(revision(2), &next.updates());
        match snapshot.apply(revision(number as u64 + 2), &updates) {
            Ok(changed) => {
                prop_assert!(afresh.is_ok(), "accepted, but not afresh: {:?}", afresh.err());
                (world, snapshot) = (next, changed);
            }
            Err(error) => prop_assert!(afresh.is_err(), "refused, but not afresh: {error}"),
        }
    }
    Ok((world, snapshot))
}

/// Takes a request up the ladder.
fn judge(snapshot: &Snapshot, asked: &Asked) -> Verdict {
    with_head(asked, |head| {
        let permit = resolve(snapshot, asked.gateway, head).and_then(|target| {
            let proven = authenticate(snapshot, &target, head, Body::Unread, asked.now)?;
            authorize(snapshot, &target, &proven, asked.now, asked.now)
        });
        permit.map(|permit| permit.grant()).map_err(|denial| (denial.reason, denial.grant))
    })
}

/// What operators are told is what callers are told, and a permit holds while nothing changes.
fn check_answers(
    snapshot: &Snapshot,
    rows: &Rows,
    truth: &Truth<'_>,
    asked: &Asked,
) -> Result<(), TestCaseError> {
    let expected = decide(rows, truth, asked);
    with_head(asked, |head| {
        let Ok(target) = resolve(snapshot, asked.gateway, head) else { return Ok(()) };
        let Ok(Authentication::Verified(verified)) =
            authenticate(snapshot, &target, head, Body::Unread, asked.now)
        else {
            return Ok(());
        };
        let path = target.operation_path().to_owned();
        let question = Question {
            gateway: asked.gateway,
            api: target.api.api().id,
            stage: target.stage,
            operation: Some((asked.method.clone(), path)),
            caller: Some(verified.caller.id()),
            credential: Some(verified.credential.id()),
            at: asked.now,
            staleness_ms: 0,
        };
        let answer = explain(snapshot, &question);
        let told = answer.decision.map_err(|reason| (reason, answer.grant)).map(|basis| match basis {
            Basis::Grant(grant) => Some(grant),
            Basis::Anyone | Basis::Plugin(_) => None,
        });
        prop_assert_eq!(&told, &expected);
        let proven = Authentication::Verified(verified);
        if let Ok(permit) = authorize(snapshot, &target, &proven, asked.now, asked.now) {
            prop_assert_eq!(permit.still_holds(snapshot, asked.now), Ok(()));
        }
        Ok(())
    })
}

fn with_head<T>(asked: &Asked, run: impl FnOnce(&RequestHead<'_>) -> T) -> T {
    let of = |part| asked.shown.iter().filter(move |shown| shown.part == part);
    let stages = asked.stages.iter().map(|stage| Field { name: "X-Ca-Stage", value: stage.as_bytes() });
    let headers = of(Part::Header).map(|shown| Field { name: &shown.name, value: shown.value.as_bytes() });
    let cookies: Vec<String> =
        of(Part::Cookie).map(|shown| format!("{}={}", shown.name, shown.value)).collect();
    let cookies = cookies.join("; ");
    let cookie = (!cookies.is_empty()).then_some(Field { name: "Cookie", value: cookies.as_bytes() });
    let query: Vec<String> = of(Part::Query).map(|shown| format!("{}={}", shown.name, shown.value)).collect();
    let query = query.join("&").replace(' ', "+");
    let fields: Vec<Field<'_>> = headers.chain(stages).chain(cookie).collect();
    run(&RequestHead {
        method: &asked.method,
        host: &asked.host,
        path: &asked.path,
        query: (!query.is_empty()).then_some(query.as_str()),
        fields: &fields,
        client: asked.client,
        secure: false,
        has_body: false,
    })
}
