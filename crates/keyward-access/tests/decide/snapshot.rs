//! What compiles and what does not, and that a change leaves the rest alone.

use keyward_access::{CompileError, ObjectId, Problem, ProblemKind, Snapshot, SnapshotUpdate};
use keyward_model::CredentialKind::{Anyone, ApiKey};
use keyward_model::DenyReason::{ApiNotFound, CredentialUnknown};
use keyward_model::{
    Grantee, HostPattern, KeySource, OpaqueProof, Proof, SignatureScheme, Stage, StageBinding, TokenPlace,
};

use crate::tokens::jwt;
use crate::world::{DIGEST_KEY, World, get, header, revision};

fn host(text: &str) -> HostPattern {
    text.parse().unwrap()
}

/// The problems of a world, compiled all or nothing.
fn problems(world: &World) -> Vec<(ObjectId, Option<ObjectId>, ProblemKind)> {
    let empty = Snapshot::empty(revision(0), DIGEST_KEY);
    match empty.apply(revision(1), &world.updates()) {
        Ok(_) => Vec::new(),
        Err(CompileError { problems }) => problems.into_iter().map(|p| (p.object, p.other, p.kind)).collect(),
    }
}

/// A world in which exactly one thing is wrong.
#[track_caller]
fn one_problem(world: &World) -> Problem {
    let empty = Snapshot::empty(revision(0), DIGEST_KEY);
    let mut problems = empty.apply(revision(1), &world.updates()).unwrap_err().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.pop().unwrap()
}

#[test]
fn one_path_on_one_host_is_one_apis() {
    let mut world = World::new();
    let first = world.api("/orders", &[Anyone]);
    let second = world.api("/orders/", &[Anyone]);
    let clash = (ObjectId::Api(second), Some(ObjectId::Api(first)), ProblemKind::Conflict);
    assert_eq!(problems(&world), [clash]);
    let text = one_problem(&world).text;
    assert_eq!(
        text,
        "`/orders` on host `api.test` at gateway `default` is another API's: choose another base path or host"
    );
    let mut elsewhere = world.clone();
    let edge = elsewhere.gateway("edge");
    elsewhere.edit(second, |api| api.gateways = vec![edge]);
    assert_eq!(problems(&elsewhere), []);
    elsewhere.edit(second, |api| api.gateways.push(elsewhere_default(&world)));
    assert_eq!(problems(&elsewhere), [clash]);
    world.edit(second, |api| api.settings.hosts = vec![host("other.test")]);
    assert_eq!(problems(&world), []);
    world.edit(second, |api| api.stages.get_mut(&Stage::Test).unwrap().host = Some(host("api.test")));
    assert_eq!(problems(&world), [clash]);
}

fn elsewhere_default(world: &World) -> keyward_model::GatewayId {
    world.gateway
}

#[test]
fn a_bound_prefix_is_a_path_like_any_other() {
    let mut world = World::new();
    let orders = world.api("/orders", &[Anyone]);
    let trial = world.api("/trial/orders", &[Anyone]);
    let bind = |world: &mut World, stage, prefix: &str| {
        world.edit(orders, |api| {
            api.stages.get_mut(&stage).unwrap().path_prefix = Some(prefix.parse().unwrap())
        });
    };
    bind(&mut world, Stage::Test, "/trial");
    assert_eq!(
        problems(&world),
        [(ObjectId::Api(trial), Some(ObjectId::Api(orders)), ProblemKind::Conflict)]
    );
    bind(&mut world, Stage::Test, "/t");
    bind(&mut world, Stage::Pre, "/t");
    assert_eq!(problems(&world), [(ObjectId::Api(orders), None, ProblemKind::Conflict)]);
}

#[test]
fn a_host_is_one_accounts_with_what_a_wildcard_covers() {
    let mut base = World::new();
    let other = base.account("other");
    let service = base.service(other);
    let mine = base.api("/a", &[Anyone]);
    let theirs = base.api("/b", &[Anyone]);
    base.edit(theirs, |api| {
        api.account = other;
        api.stages = [(Stage::Release, StageBinding { service, path_prefix: None, host: None })].into();
    });
    for (ours, foreign, conflict) in [
        ("api.test", "api.test", true),
        ("*.test", "api.test", true),
        ("api.test", "*.test", true),
        ("*.deep.test", "*.test", true),
        ("api.test", "b.test", false),
        ("*.a.test", "*.b.test", false),
        ("a.test", "*.a.test", false),
    ] {
        let mut world = base.clone();
        world.edit(mine, |api| api.settings.hosts = vec![host(ours)]);
        world.edit(theirs, |api| api.settings.hosts = vec![host(foreign)]);
        let expected =
            if conflict { vec![(ObjectId::Api(theirs), None, ProblemKind::Conflict)] } else { vec![] };
        assert_eq!(problems(&world), expected, "{ours} {foreign}");
    }
    let mut any = base.clone();
    any.edit(theirs, |api| api.settings.hosts.clear());
    assert_eq!(problems(&any), [(ObjectId::Api(theirs), None, ProblemKind::Invalid)]);
    // A host that was given up is free.
    base.edit(theirs, |api| api.settings.hosts = vec![host("theirs.test")]);
    let snapshot = base.snapshot();
    base.edit(theirs, |api| api.settings.hosts = vec![host("moved.test")]);
    base.edit(mine, |api| api.settings.hosts = vec![host("theirs.test")]);
    let swap = [mine, theirs].map(|id| SnapshotUpdate::UpsertApi(Box::new(base.apis[&id].clone())));
    assert!(snapshot.apply(revision(2), &swap[..1]).is_err());
    assert!(snapshot.apply(revision(2), &swap).is_ok());
}

#[test]
fn a_credential_is_one_callers() {
    let mut world = World::new();
    let (one, two) = (world.application(world.account), world.application(world.account));
    let first = world.pair(one, "Shop-Key", "secret-0123456789", SignatureScheme::Alibaba);
    let second = world.pair(two, "shop-key", "secret-0123456789", SignatureScheme::Tencent);
    let conflict = |(a, first), (b, second)| {
        (ObjectId::Credential(b, second), Some(ObjectId::Credential(a, first)), ProblemKind::Conflict)
    };
    assert_eq!(problems(&world), [conflict((one, first), (two, second))]);

    let mut world = World::new();
    let (ann, bob) = (world.keyed("the-same-key-0123456789"), world.consumer(world.account));
    let first = world.callers[&ann].1[0].id;
    let second = world.key(bob, "the-same-key-0123456789");
    assert_eq!(problems(&world), [conflict((ann, first), (bob, second))]);
    assert!(!one_problem(&world).text.contains("the-same-key"));
    let third = world.key(ann, "the-same-key-0123456789");
    let twice = conflict((ann, first), (ann, third));
    assert_eq!(problems(&world), [conflict((ann, first), (bob, second)), twice]);

    let mut world = World::new();
    let partner = world.account("partner");
    let consumers = [world.account, world.account, partner].map(|account| world.consumer(account));
    let ids = consumers.map(|id| world.credential(id, jwt("k", "uid", "same", TokenPlace::default())));
    assert_eq!(problems(&world), [conflict((consumers[0], ids[0]), (consumers[1], ids[1]))]);
}

#[test]
fn a_credential_that_was_given_up_is_free_and_one_that_is_there_stays() {
    let mut world = World::new();
    let ann = world.keyed("the-key-0123456789");
    let snapshot = world.snapshot();
    let bob = world.keyed("the-key-0123456789");
    let add = world.upsert_caller(bob);
    let refused = snapshot.apply(revision(2), std::slice::from_ref(&add)).unwrap_err();
    assert_eq!(refused.problems[0].object, ObjectId::Credential(bob, world.callers[&bob].1[0].id));
    let moved = snapshot.apply(revision(2), &[SnapshotUpdate::RemoveCaller(ann), add]).unwrap();
    let digest = moved.digest(b"the-key-0123456789");
    assert_eq!(moved.credential_by_digest(&digest).unwrap().0.id(), bob);
    assert_eq!(snapshot.credential_by_digest(&digest).unwrap().0.id(), ann);
}

#[test]
fn references_must_lead_somewhere_of_the_same_account() {
    use ObjectId::{Account, Api, Caller, Gateway, Grant, Group, Service};
    use ProblemKind::{InUse, UnknownReference};
    let mut world = World::new();
    let other = world.account("other");
    let api = world.api("/a", &[ApiKey]);
    let ann = world.keyed("ann-key-0123456789");
    let group = world.group(&[ann]);
    let grant = world.grant(Grantee::Group(group), api);
    let own = world.grant(Grantee::Caller(ann), api);
    assert_eq!(problems(&world), []);

    let without = |change: &dyn Fn(&mut World)| {
        let mut world = world.clone();
        change(&mut world);
        problems(&world)
    };
    let foreign_service = world.clone().service(other);
    let missing = |object, other| (object, Some(other), UnknownReference);
    assert_eq!(
        without(&|w| w.services.clear()),
        [
            missing(Api(api), Service(world.service)),
            missing(Grant(grant), Api(api)),
            missing(Grant(own), Api(api)),
        ]
    );
    assert_eq!(
        without(&|w| w
            .edit(api, |api| api.gateways = vec![keyward_model::GatewayId::from_uuid(world.service.uuid())]))
        .len(),
        3
    );
    assert!(
        without(&|w| {
            let service = w.service(other);
            assert_eq!(service, foreign_service);
            w.edit(api, |api| api.stages.values_mut().for_each(|binding| binding.service = service));
        })
        .contains(&missing(Api(api), Service(foreign_service)))
    );
    assert_eq!(
        without(&|w| w.callers.clear()),
        [missing(Group(group), Caller(ann)), missing(Grant(own), Caller(ann))]
    );
    assert_eq!(without(&|w| w.groups.clear()), [missing(Grant(grant), Group(group))]);
    assert_eq!(
        without(&|w| w.groups.get_mut(&group).unwrap().account = other),
        [missing(Group(group), Caller(ann)), missing(Grant(grant), Group(group)),]
    );
    assert_eq!(
        without(&|w| w.grants.get_mut(&own).unwrap().account = other),
        [missing(Grant(own), Api(api))]
    );
    assert_eq!(
        without(&|w| drop(w.accounts.remove(&world.account))).first(),
        Some(&missing(Service(world.service), Account(world.account)))
    );

    let snapshot = world.snapshot();
    let refused = |update| snapshot.apply(revision(2), &[update]).unwrap_err().problems;
    let in_use = |object, by| (object, Some(by), InUse);
    let told = |problems: Vec<Problem>| {
        problems.into_iter().map(|p| (p.object, p.other, p.kind)).collect::<Vec<_>>()
    };
    assert_eq!(
        told(refused(SnapshotUpdate::RemoveService(world.service))),
        [in_use(Service(world.service), Api(api))]
    );
    assert_eq!(
        told(refused(SnapshotUpdate::RemoveGateway(world.gateway))),
        [in_use(Gateway(world.gateway), Api(api))]
    );
    assert_eq!(refused(SnapshotUpdate::RemoveAccount(world.account)).len(), 4);
    assert!(snapshot.apply(revision(2), &[SnapshotUpdate::RemoveAccount(other)]).is_ok());
}

#[test]
fn a_caller_is_checked_by_itself() {
    let mut world = World::new();
    let ann = world.keyed("ann-key-0123456789");
    let shop = world.application(world.account);
    let wrong = world.key(shop, "an-application-has-no-keys");
    assert_eq!(problems(&world), [(ObjectId::Credential(shop, wrong), None, ProblemKind::Invalid)]);
    world.callers.remove(&shop);
    let sources = |world: &mut World, sources: Vec<KeySource>| {
        world.callers.get_mut(&ann).unwrap().0.key_sources = sources;
        problems(world)
    };
    let invalid = [(ObjectId::Caller(ann), None, ProblemKind::Invalid)];
    assert_eq!(sources(&mut world, vec![KeySource::Header(header("host"))]), invalid);
    assert_eq!(sources(&mut world, vec![KeySource::Bearer; 4]), invalid);
    assert_eq!(sources(&mut world, vec![KeySource::Bearer; 3]), []);
}

#[test]
fn a_bad_row_is_left_out_at_load_with_what_depends_on_it() {
    let mut world = World::new();
    let good = world.api("/good", &[ApiKey]);
    let bad = world.api("/good", &[ApiKey]);
    let after = world.api("/after", &[ApiKey]);
    let ann = world.keyed("ann-key-0123456789");
    let bob = world.keyed("ann-key-0123456789");
    world.key(bob, "bob-key-0123456789");
    let grants = [good, bad, after].map(|api| world.grant(Grantee::Caller(ann), api));
    world.grant(Grantee::Caller(bob), good);
    let loaded = Snapshot::load(revision(1), DIGEST_KEY, world.updates());
    let mut left_out: Vec<_> = loaded.quarantined.iter().map(|problem| problem.object).collect();
    left_out.sort();
    let key = world.callers[&bob].1[0].id;
    assert_eq!(left_out, [ObjectId::Api(bad), ObjectId::Credential(bob, key), ObjectId::Grant(grants[1])]);
    let decide = |path: &str, key: &str| {
        let permit = get(path).bearer(key).judge(&loaded.snapshot, world.gateway);
        permit.map(|permit| permit.caller()).map_err(|denial| denial.reason)
    };
    assert_eq!(decide("/good", "ann-key-0123456789"), Ok(Some(ann)));
    assert_eq!(decide("/after", "ann-key-0123456789"), Ok(Some(ann)));
    assert_eq!(decide("/good", "bob-key-0123456789"), Ok(Some(bob)));
}

#[test]
fn an_unsound_key_set_leaves_out_its_credential_alone() {
    let mut world = World::new();
    let api = world.api("/orders", &[ApiKey]);
    let ann = world.keyed("ann-key-0123456789");
    world.grant(Grantee::Caller(ann), api);
    // A point that is on no curve.
    let jwks = r#"{"keys":[{"kty":"EC","crv":"P-256","kid":"e","x":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","y":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}"#;
    let Proof::Jwt(mut binding) = jwt("k", "uid", "ann", TokenPlace::default()) else { panic!() };
    binding.keys = keyward_model::JwtKeys::Own(keyward_model::JwkSet::parse(jwks).unwrap());
    let credential = world.credential(ann, Proof::Jwt(binding));
    let loaded = Snapshot::load(revision(1), DIGEST_KEY, world.updates());
    assert_eq!(loaded.quarantined[0].object, ObjectId::Credential(ann, credential));
    assert!(get("/orders").bearer("ann-key-0123456789").judge(&loaded.snapshot, world.gateway).is_ok());
}

#[test]
fn a_change_is_one_and_the_snapshot_before_stays_as_it_was() {
    let mut world = World::new();
    let api = world.api("/orders", &[ApiKey]);
    let ann = world.keyed("ann-key-0123456789");
    let grant = world.grant(Grantee::Caller(ann), api);
    let call = get("/orders").bearer("ann-key-0123456789");
    let before = world.snapshot();
    let reason = |snapshot: &Snapshot| call.judge(snapshot, world.gateway).err().map(|denial| denial.reason);
    let after = before.apply(revision(2), &[SnapshotUpdate::RemoveCaller(ann)]).unwrap();
    assert_eq!((reason(&before), reason(&after)), (None, Some(CredentialUnknown)));
    assert_eq!((before.revision(), after.revision()), (revision(1), revision(2)));
    // What went with its grantee may still be removed by itself.
    let gone = SnapshotUpdate::RemoveGrant { id: grant, grantee: Grantee::Caller(ann) };
    assert!(after.apply(revision(3), &[gone]).is_ok());
    let no_api = after.apply(revision(3), &[SnapshotUpdate::RemoveApi(api)]).unwrap();
    assert_eq!(reason(&no_api), Some(ApiNotFound));
    assert!(no_api.apply(revision(4), &[SnapshotUpdate::RemoveService(world.service)]).is_ok());
}

#[test]
fn of_several_updates_of_one_object_the_last_one_wins() {
    let mut world = World::new();
    let ann = world.keyed("first-key-0123456789");
    let first = world.upsert_caller(ann);
    world.callers.get_mut(&ann).unwrap().1.clear();
    world.key(ann, "second-key-0123456789");
    let second = world.upsert_caller(ann);
    let snapshot = world.snapshot().apply(revision(2), &[second, first]).unwrap();
    let has = |value: &[u8]| snapshot.credential_by_digest(&snapshot.digest(value)).is_some();
    assert_eq!((has(b"first-key-0123456789"), has(b"second-key-0123456789")), (true, false));
}

#[test]
fn nothing_that_is_shown_holds_a_secret() {
    let mut world = World::new();
    let shop = world.application(world.account);
    world.pair(shop, "shop-key", "canary-secret-0123456789", SignatureScheme::Alibaba);
    world.credential(
        world.callers.keys().next().copied().unwrap(),
        Proof::AppCode(OpaqueProof::Digest(keyward_access::digest_credential(&DIGEST_KEY, b"canary"))),
    );
    let snapshot = world.snapshot();
    let shown = format!("{snapshot:?} {:?} {:?}", snapshot.caller(shop), snapshot.digest_key());
    assert!(!shown.contains("canary"), "{shown}");
}

#[test]
fn a_snapshot_is_shared_between_threads() {
    fn shared<T: Send + Sync + Clone>() {}
    shared::<Snapshot>();
}
