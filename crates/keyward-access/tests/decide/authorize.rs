//! Who may call what.

use keyward_model::CredentialKind::ApiKey;
use keyward_model::DenyReason::*;
use keyward_model::{ApiId, CallerId, Grant, Grantee, Stage, StageSet, Validity};

use crate::world::{World, at, call, get, name, operation};

const KEY: &str = "ann-key-0123456789";

/// A consumer, and an API that it may yet be granted on.
fn world() -> (World, CallerId, ApiId) {
    let mut world = World::new();
    let caller = world.keyed(KEY);
    let api = world.api("/orders", &[ApiKey]);
    (world, caller, api)
}

#[test]
fn without_a_grant_nobody_calls() {
    let (mut world, caller, _) = world();
    let other = world.api("/other", &[ApiKey]);
    world.grant(Grantee::Caller(caller), other);
    assert_eq!(get("/orders").bearer(KEY).refused(&world), GrantMissing);
    assert!(get("/other").bearer(KEY).passes(&world).is_some());
}

#[test]
fn validity_is_half_open_and_judged_by_the_millisecond() {
    let (mut world, caller, api) = world();
    let grant = world.grant_with(Grantee::Caller(caller), api, |grant| {
        grant.validity = Validity::new(Some(at(0)), Some(at(10))).unwrap();
    });
    let decide = |ms| get("/orders").bearer(KEY).at(at(ms)).decide(&world);
    assert_eq!(decide(-1), Err(GrantNotYetValid));
    assert_eq!(decide(0), Ok(Some(grant)));
    assert_eq!(decide(9), Ok(Some(grant)));
    assert_eq!(decide(10), Err(GrantExpired));
}

#[test]
fn each_reason_of_a_grant_is_told_with_that_grant() {
    let (mut world, caller, api) = world();
    let edge = world.gateway("edge");
    type Edit = fn(&mut Grant);
    let gateway = |grant: &mut Grant| grant.gateways = Some(vec![edge]);
    let cases: [(Edit, _); 5] = [
        (|grant| grant.stages = StageSet::of([Stage::Test]), GrantOtherStage),
        (|grant| grant.validity.from = Some(at(1)), GrantNotYetValid),
        (|grant| grant.validity.until = Some(at(0)), GrantExpired),
        (|grant| grant.revoked = Some(at(-5)), GrantRevoked),
        (|grant| grant.operations = Some(vec![operation("POST /")]), OperationNotGranted),
    ];
    let refused = |world: &World| {
        let denial = get("/orders").bearer(KEY).judge(&world.snapshot(), world.gateway).unwrap_err();
        (denial.reason, denial.grant)
    };
    for (edit, reason) in cases {
        let mut world = world.clone();
        let grant = world.grant_with(Grantee::Caller(caller), api, edit);
        assert_eq!(refused(&world), (reason, Some(grant)));
    }
    let grant = world.grant_with(Grantee::Caller(caller), api, gateway);
    assert_eq!(refused(&world), (GrantOtherGateway, Some(grant)));
}

#[test]
fn the_reason_reached_furthest_is_told_and_the_oldest_grant_that_reached_it() {
    let (mut world, caller, api) = world();
    let to = Grantee::Caller(caller);
    world.grant_with(to, api, |grant| grant.stages = StageSet::of([Stage::Test]));
    let first = world.grant_with(to, api, |grant| grant.revoked = Some(at(0)));
    world.grant_with(to, api, |grant| grant.revoked = Some(at(0)));
    world.grant_with(to, api, |grant| grant.validity.until = Some(at(0)));
    let denial = get("/orders").bearer(KEY).judge(&world.snapshot(), world.gateway).unwrap_err();
    assert_eq!((denial.reason, denial.grant), (GrantRevoked, Some(first)));
    assert_eq!((denial.caller, denial.credential.is_some()), (Some(caller), true));
}

#[test]
fn a_revoked_grant_is_that_whatever_its_validity() {
    let (mut world, caller, api) = world();
    world.grant_with(Grantee::Caller(caller), api, |grant| {
        grant.validity = Validity { from: None, until: Some(at(-10)) };
        grant.revoked = Some(at(-20));
    });
    assert_eq!(get("/orders").bearer(KEY).refused(&world), GrantRevoked);
}

#[test]
fn grants_add_up_and_the_oldest_that_matches_is_named() {
    let (mut world, caller, api) = world();
    let to = Grantee::Caller(caller);
    world.grant_with(to, api, |grant| grant.revoked = Some(at(0)));
    let group = world.group(&[caller]);
    let by_group = world.grant(Grantee::Group(group), api);
    let own = world.grant(to, api);
    assert!(by_group < own);
    assert_eq!(get("/orders").bearer(KEY).passes(&world), Some(by_group));
    world.groups.get_mut(&group).unwrap().enabled = false;
    assert_eq!(get("/orders").bearer(KEY).passes(&world), Some(own));
}

#[test]
fn a_disabled_groups_grant_is_none() {
    let (mut world, caller, api) = world();
    let group = world.group(&[caller]);
    world.grant(Grantee::Group(group), api);
    assert!(get("/orders").bearer(KEY).passes(&world).is_some());
    world.groups.get_mut(&group).unwrap().enabled = false;
    assert_eq!(get("/orders").bearer(KEY).refused(&world), GrantMissing);
    world.groups.get_mut(&group).unwrap().enabled = true;
    world.groups.get_mut(&group).unwrap().members.clear();
    assert_eq!(get("/orders").bearer(KEY).refused(&world), GrantMissing);
}

#[test]
fn a_partner_calls_by_a_grant_of_the_apis_account() {
    let (mut world, _, api) = world();
    let partner = world.account("partner");
    let friend = world.consumer(partner);
    world.key(friend, "friend-key-0123456789");
    let call = get("/orders").bearer("friend-key-0123456789");
    assert_eq!(call.refused(&world), GrantMissing);
    let grant = world.grant(Grantee::Caller(friend), api);
    assert_eq!(call.passes(&world), Some(grant));
    world.accounts.get_mut(&partner).unwrap().enabled = false;
    assert_eq!(call.refused(&world), AccountDisabled);
    world.callers.get_mut(&friend).unwrap().0.enabled = false;
    assert_eq!(call.refused(&world), CallerDisabled);
}

#[test]
fn a_grants_operations_cover_what_they_say_and_no_declared_literal_beside_it() {
    let (mut world, caller, api) = world();
    let free = world.api("/free", &[ApiKey]);
    world.edit(api, |api| {
        api.settings.operations = ["GET /{id}", "DELETE /{id}", "GET /admin", "GET /"].map(operation).into();
    });
    let reads = |grant: &mut Grant| grant.operations = Some(vec![operation("GET /{x}")]);
    world.grant_with(Grantee::Caller(caller), api, reads);
    world.grant_with(Grantee::Caller(caller), free, |grant| {
        grant.operations = Some(vec![operation("* /a/{x}")])
    });
    let decide = |method, path| call(method, path).bearer(KEY).decide(&world).map(|_| ());
    assert_eq!(decide("GET", "/orders/1"), Ok(()));
    assert_eq!(decide("GET", "/orders/%31"), Ok(()));
    for (method, path) in
        [("DELETE", "/orders/1"), ("GET", "/orders/admin"), ("GET", "/orders/%61dmin"), ("GET", "/orders")]
    {
        assert_eq!(decide(method, path), Err(OperationNotGranted), "{method} {path}");
    }
    assert_eq!(decide("PATCH", "/free/a/1"), Ok(()));
    for path in ["/free", "/free/a", "/free/a/", "/free/a/1/2", "/free/b/1"] {
        assert_eq!(decide("GET", path), Err(OperationNotGranted), "{path}");
    }
}

#[test]
fn a_disabled_service_answers_nothing_to_those_who_may() {
    let (mut world, caller, api) = world();
    world.grant(Grantee::Caller(caller), api);
    world.services.get_mut(&world.service.clone()).unwrap().spec.enabled = false;
    assert_eq!(get("/orders").bearer(KEY).refused(&world), UpstreamUnavailable);
    assert_eq!(get("/orders").refused(&world), CredentialMissing);
}

#[test]
fn a_permit_holds_as_long_as_it_would_be_given_again() {
    let (mut world, caller, api) = world();
    let grant = world.grant_with(Grantee::Caller(caller), api, |grant| grant.validity.until = Some(at(100)));
    let permit = get("/orders").bearer(KEY).judge(&world.snapshot(), world.gateway).unwrap();
    let holds = |world: &World, ms| permit.still_holds(&world.snapshot(), at(ms));
    assert_eq!(holds(&world, 99), Ok(()));
    assert_eq!(holds(&world, 100), Err(GrantExpired));

    let mut revoked = world.clone();
    revoked.grants.get_mut(&grant).unwrap().revoked = Some(at(1));
    assert_eq!(holds(&revoked, 2), Err(GrantRevoked));
    revoked
        .grant_with(Grantee::Caller(caller), api, |grant| grant.operations = Some(vec![operation("GET /")]));
    assert_eq!(holds(&revoked, 2), Err(OperationNotGranted));
    revoked.grant(Grantee::Caller(caller), api);
    assert_eq!(holds(&revoked, 2), Ok(()));

    type Change = fn(&mut World, CallerId, ApiId);
    let changes: [(Change, _); 6] = [
        (|world, caller, _| world.callers.get_mut(&caller).unwrap().0.enabled = false, CallerDisabled),
        (|world, caller, _| world.callers.get_mut(&caller).unwrap().1[0].enabled = false, CredentialDisabled),
        (|world, caller, _| world.callers.get_mut(&caller).unwrap().1.clear(), CredentialUnknown),
        (|world, caller, _| drop((world.grants.clear(), world.callers.remove(&caller))), CredentialUnknown),
        (|world, _, api| world.edit(api, |api| api.settings.enabled = false), ApiNotFound),
        (|world, _, api| world.edit(api, |api| drop(api.stages.remove(&Stage::Release))), ApiNotFound),
    ];
    for (change, reason) in changes {
        let mut world = world.clone();
        change(&mut world, caller, api);
        assert_eq!(holds(&world, 1), Err(reason));
    }
    assert_eq!(world.accounts[&world.account].name, name("default"));
}
