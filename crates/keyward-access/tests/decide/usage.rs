//! The places that an API looks at follow its grants, whichever way these came about.

use keyward_access::{Snapshot, SnapshotUpdate};
use keyward_model::CredentialKind::{ApiKey, Jwt};
use keyward_model::{ApiId, CallerId, Grantee, KeySource, TokenPlace};

use crate::tokens::jwt;
use crate::world::{World, get, header, revision};

/// Are this header, this parameter and this cookie taken for credentials?
fn looked_at(snapshot: &Snapshot, world: &World) -> (bool, bool, bool) {
    get("/orders").with_head(|head| {
        let target = keyward_access::resolve(snapshot, world.gateway, head).unwrap();
        let strip = target.strip();
        (strip.header("x-key"), strip.query("key=1").is_none(), strip.cookie(b"jar=1").is_none())
    })
}

fn world() -> (World, ApiId, CallerId) {
    let mut world = World::new();
    let api = world.api("/orders", &[ApiKey, Jwt]);
    let bob = world.keyed("bob-key-0123456789");
    world.callers.get_mut(&bob).unwrap().0.key_sources =
        vec![KeySource::Header(header("x-key")), KeySource::Query("key".into())];
    world.credential(
        bob,
        jwt("b", "uid", "bob", TokenPlace::Cookie { name: "jar".into(), prefix: "".into() }),
    );
    (world, api, bob)
}

const ALL: (bool, bool, bool) = (true, true, true);
const NONE: (bool, bool, bool) = (false, false, false);

#[test]
fn places_come_and_go_with_grants() {
    let (mut world, api, bob) = world();
    let mut snapshot = world.snapshot();
    assert_eq!(looked_at(&snapshot, &world), NONE);
    let to = Grantee::Caller(bob);
    let ids = [world.grant(to, api), world.grant(to, api)];
    let mut number = 1;
    let mut apply = |snapshot: &mut Snapshot, update: SnapshotUpdate| {
        number += 1;
        *snapshot = snapshot.apply(revision(number), &[update]).unwrap();
    };
    for id in ids {
        apply(&mut snapshot, SnapshotUpdate::UpsertGrant(world.grants[&id].clone()));
        assert_eq!(looked_at(&snapshot, &world), ALL);
    }
    // A revoked grant still counts, and so does the other one after the first has gone.
    world.grants.get_mut(&ids[0]).unwrap().revoked = Some(crate::world::NOON);
    apply(&mut snapshot, SnapshotUpdate::UpsertGrant(world.grants[&ids[0]].clone()));
    assert_eq!(looked_at(&snapshot, &world), ALL);
    apply(&mut snapshot, SnapshotUpdate::RemoveGrant { id: ids[0], grantee: to });
    assert_eq!(looked_at(&snapshot, &world), ALL);
    apply(&mut snapshot, SnapshotUpdate::RemoveGrant { id: ids[0], grantee: to });
    assert_eq!(looked_at(&snapshot, &world), ALL);
    apply(&mut snapshot, SnapshotUpdate::RemoveGrant { id: ids[1], grantee: to });
    assert_eq!(looked_at(&snapshot, &world), NONE);
}

#[test]
fn places_come_and_go_with_groups_and_members() {
    let (mut world, api, bob) = world();
    let group = world.group(&[]);
    world.grant(Grantee::Group(group), api);
    let mut snapshot = world.snapshot();
    assert_eq!(looked_at(&snapshot, &world), NONE);
    let mut number = 1;
    let mut apply = |snapshot: &mut Snapshot, update: SnapshotUpdate| {
        number += 1;
        *snapshot = snapshot.apply(revision(number), &[update]).unwrap();
    };
    let joined = |members: &[CallerId]| {
        let mut group = world.groups[&group].clone();
        group.members = members.to_vec();
        SnapshotUpdate::UpsertGroup(group)
    };
    apply(&mut snapshot, joined(&[bob]));
    assert_eq!(looked_at(&snapshot, &world), ALL);
    apply(&mut snapshot, joined(&[]));
    assert_eq!(looked_at(&snapshot, &world), NONE);
    apply(&mut snapshot, joined(&[bob]));
    let id = *world.grants.keys().next().unwrap();
    apply(&mut snapshot, SnapshotUpdate::RemoveGrant { id, grantee: Grantee::Group(group) });
    assert_eq!(looked_at(&snapshot, &world), NONE);
    apply(&mut snapshot, SnapshotUpdate::UpsertGrant(world.grants[&id].clone()));
    assert_eq!(looked_at(&snapshot, &world), ALL);
    apply(&mut snapshot, SnapshotUpdate::RemoveGroup(group));
    assert_eq!(looked_at(&snapshot, &world), NONE);
}

#[test]
fn places_follow_what_a_caller_declares() {
    let (mut world, api, bob) = world();
    world.grant(Grantee::Caller(bob), api);
    let mut snapshot = world.snapshot();
    assert_eq!(looked_at(&snapshot, &world), ALL);
    world.callers.get_mut(&bob).unwrap().0.key_sources = vec![KeySource::Query("key".into())];
    snapshot = snapshot.apply(revision(2), &[world.upsert_caller(bob)]).unwrap();
    assert_eq!(looked_at(&snapshot, &world), (false, true, true));
    world.callers.get_mut(&bob).unwrap().1.pop();
    snapshot = snapshot.apply(revision(3), &[world.upsert_caller(bob)]).unwrap();
    assert_eq!(looked_at(&snapshot, &world), (false, true, false));
    snapshot = snapshot.apply(revision(4), &[SnapshotUpdate::RemoveCaller(bob)]).unwrap();
    assert_eq!(looked_at(&snapshot, &world), NONE);
}
