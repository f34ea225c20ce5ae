//! Answers to operators, which are those that requests get.

use keyward_access::{Basis, Explanation, Question, explain, who_can};
use keyward_model::CredentialKind::{Anyone, ApiKey, AppSignature};
use keyward_model::DenyReason::*;
use keyward_model::{ApiId, CallerId, Grantee, SignatureScheme, Stage, StageSet};

use crate::world::{NOON, World, at, operation};

fn question(world: &World, api: ApiId, caller: Option<CallerId>) -> Question {
    let (gateway, stage) = (world.gateway, Stage::Release);
    Question { gateway, api, stage, operation: None, caller, credential: None, at: NOON, staleness_ms: 0 }
}

fn with_operation(question: Question, method: &str, path: &str) -> Question {
    Question { operation: Some((method.into(), path.into())), ..question }
}

#[test]
fn a_configuration_that_is_too_old_for_the_api_is_told() {
    let mut world = World::new();
    let api = world.api("/orders", &[keyward_model::CredentialKind::Anyone]);
    let told = |world: &World, staleness_ms| {
        explain(&world.snapshot(), &Question { staleness_ms, ..question(world, api, None) }).decision
    };
    assert_eq!(told(&world, u64::MAX), Ok(Basis::Anyone));
    world.edit(api, |api| api.settings.max_staleness_s = Some(5));
    assert_eq!(told(&world, 5_000), Ok(Basis::Anyone));
    assert_eq!(told(&world, 5_001), Err(keyward_model::DenyReason::SnapshotStale));
}

#[test]
fn a_permit_names_its_grant_and_the_others_why_not() {
    let mut world = World::new();
    let api = world.api("/orders", &[ApiKey]);
    let ann = world.keyed("ann-key-0123456789");
    let to = Grantee::Caller(ann);
    let staged = world.grant_with(to, api, |grant| grant.stages = StageSet::of([Stage::Test]));
    let old = world.grant_with(to, api, |grant| grant.validity.until = Some(at(0)));
    let good = world.grant(to, api);
    let answer = explain(&world.snapshot(), &question(&world, api, Some(ann)));
    assert_eq!((answer.decision, answer.grant), (Ok(Basis::Grant(good)), Some(good)));
    let misses: Vec<_> =
        answer.near_misses.iter().map(|miss| (miss.grant, miss.reason, &*miss.detail)).collect();
    let expired = format!("it was valid until {NOON}, which is not after {NOON}");
    assert_eq!(
        misses,
        [(old, GrantExpired, expired.as_str()), (staged, GrantOtherStage, "it is for TEST, not for RELEASE"),]
    );
}

#[test]
fn a_denial_names_the_nearest_grant_in_words() {
    let mut world = World::new();
    let edge = world.gateway("edge");
    let api = world.api("/orders", &[ApiKey]);
    world.edit(api, |api| api.settings.operations = ["GET /{id}", "POST /"].map(operation).into());
    let ann = world.keyed("ann-key-0123456789");
    let group = world.group(&[ann]);
    world.groups.get_mut(&group).unwrap().enabled = false;
    let idle = world.grant(Grantee::Group(group), api);
    let elsewhere = world.grant_with(Grantee::Caller(ann), api, |grant| grant.gateways = Some(vec![edge]));
    let reads = world
        .grant_with(Grantee::Caller(ann), api, |grant| grant.operations = Some(vec![operation("GET /{x}")]));
    let ask = |method: &str, path: &str| {
        explain(&world.snapshot(), &with_operation(question(&world, api, Some(ann)), method, path))
    };
    let answer = ask("POST", "/");
    assert_eq!((answer.decision, answer.grant), (Err(OperationNotGranted), Some(reads)));
    let details: Vec<_> = answer.near_misses.iter().map(|miss| (miss.grant, miss.detail.clone())).collect();
    assert_eq!(
        details,
        [
            (reads, "it is for other operations than `POST /`".into()),
            (elsewhere, "it is for `edge`, not for `default`".into()),
            (idle, format!("it is for the group `{group}`, which is disabled: enable that")),
        ]
    );
    assert_eq!(ask("GET", "/7").decision, Ok(Basis::Grant(reads)));
    assert_eq!(ask("GET", "/{id}").decision, Ok(Basis::Grant(reads)));
    assert_eq!(ask("PUT", "/7").decision, Err(MethodNotAllowed));
    assert_eq!(ask("GET", "/7/8").decision, Err(ApiNotFound));
    assert_eq!(
        explain(&world.snapshot(), &question(&world, api, Some(ann))).decision,
        Ok(Basis::Grant(reads))
    );
}

#[test]
fn the_credential_that_gets_furthest_counts_unless_one_is_asked_about() {
    let mut world = World::new();
    let api = world.api("/orders", &[AppSignature]);
    let shop = world.application(world.account);
    let grant = world.grant(Grantee::Caller(shop), api);
    let decision = |world: &World, credential| {
        explain(&world.snapshot(), &Question { credential, ..question(world, api, Some(shop)) }).decision
    };
    assert_eq!(decision(&world, None), Ok(Basis::Grant(grant)));
    let code = world.app_code(shop, "SHOPCODE0123456789ABCDEF01234567");
    assert_eq!(decision(&world, None), Err(CredentialNotAdmitted));
    let foreign = world.pair(shop, "pair-key", "pair-secret-01234567", SignatureScheme::TencentKeyPair);
    assert_eq!(decision(&world, None), Err(AlgorithmNotAdmitted));
    let over = world.pair(shop, "old-key", "old-secret-012345678", SignatureScheme::Alibaba);
    world.edit_credential(over, |credential| credential.valid_until = Some(NOON));
    assert_eq!(decision(&world, None), Err(CredentialExpired));
    let good = world.pair(shop, "shop-key", "shop-secret-0123456789", SignatureScheme::Alibaba);
    assert_eq!(decision(&world, None), Ok(Basis::Grant(grant)));
    for (credential, expected) in [
        (code, Err(CredentialNotAdmitted)),
        (foreign, Err(AlgorithmNotAdmitted)),
        (over, Err(CredentialExpired)),
        (good, Ok(Basis::Grant(grant))),
    ] {
        assert_eq!(decision(&world, Some(credential)), expected);
    }
}

#[test]
fn what_does_not_answer_is_not_found() {
    let mut world = World::new();
    let edge = world.gateway("edge");
    let api = world.api("/orders", &[ApiKey, Anyone]);
    world.edit(api, |api| drop(api.stages.remove(&Stage::Test)));
    let ann = world.keyed("ann-key-0123456789");
    let snapshot = world.snapshot();
    let ask = |change: fn(&mut Question, keyward_model::GatewayId)| {
        let mut question = question(&world, api, Some(ann));
        change(&mut question, edge);
        explain(&snapshot, &question)
    };
    assert_eq!(ask(|question, _| question.stage = Stage::Test).decision, Err(ApiNotFound));
    assert_eq!(ask(|question, edge| question.gateway = edge).decision, Err(ApiNotFound));
    assert_eq!(ask(|_, _| {}).decision, Err(GrantMissing));
    let nobody: Explanation = ask(|question, _| question.caller = None);
    assert_eq!(nobody.decision, Ok(Basis::Anyone));
}

#[test]
fn who_can_lists_callers_with_the_grant_each_rests_on() {
    let mut world = World::new();
    let api = world.api("/orders", &[ApiKey]);
    let other = world.api("/other", &[ApiKey]);
    let callers: Vec<_> = (0..6).map(|n| world.keyed(&format!("key-{n}-0123456789abc"))).collect();
    let group = world.group(&callers[3..5]);
    let by_group = world.grant(Grantee::Group(group), api);
    let first = world.grant(Grantee::Caller(callers[0]), api);
    world.grant_with(Grantee::Caller(callers[1]), api, |grant| grant.revoked = Some(NOON));
    world.grant(Grantee::Caller(callers[2]), other);
    world.callers.get_mut(&callers[4]).unwrap().0.enabled = false;
    let snapshot = world.snapshot();
    let can: Vec<_> =
        who_can(&snapshot, &question(&world, api, None)).into_iter().map(|(c, g)| (c.id(), g)).collect();
    assert_eq!(can, [(callers[0], first), (callers[3], by_group)]);
    assert_eq!(who_can(&snapshot, &Question { stage: Stage::Pre, ..question(&world, api, None) }).len(), 2);
}
