//! A request or an API may demand a configuration that is new enough.

use keyward_model::CredentialKind::Anyone;
use keyward_model::DenyReason::{RequestMalformed, SnapshotStale};

use crate::world::{NOON, World, get};

const MIN_REVISION: &str = "X-Keyward-Min-Revision";
const MAX_STALENESS: &str = "X-Keyward-Max-Staleness";

fn world() -> World {
    let mut world = World::new();
    world.api("/open", &[Anyone]);
    world
}

#[test]
fn a_request_may_demand_a_least_revision() {
    let world = world();
    let ours = world.snapshot().revision();
    let demand = |value: &str| get("/open").header(MIN_REVISION, value);
    for met in ["0", &ours.number.to_string(), &format!("{}/{}", ours.store, ours.number)] {
        demand(met).passes(&world);
    }
    let other = uuid::Uuid::from_u128(!ours.store.as_u128());
    let next = ours.number + 1;
    for unmet in
        [next.to_string(), u64::MAX.to_string(), format!("{}/{next}", ours.store), format!("{other}/0")]
    {
        assert_eq!(demand(&unmet).refused(&world), SnapshotStale, "{unmet}");
    }
}

#[test]
fn a_request_and_an_api_may_demand_a_greatest_staleness() {
    let mut world = world();
    let aged = |ms: i64| get("/open").confirmed_at(NOON.plus_millis(-ms));
    aged(1_000_000_000).passes(&world);
    let demanding = |ms, seconds: &str| aged(ms).header(MAX_STALENESS, seconds);
    demanding(30_000, "30").passes(&world);
    assert_eq!(demanding(30_001, "30").refused(&world), SnapshotStale);
    demanding(0, "0").passes(&world);
    assert_eq!(demanding(1, "0").refused(&world), SnapshotStale);
    demanding(-5_000, "0").passes(&world);

    let api = *world.apis.keys().next().unwrap();
    world.edit(api, |api| api.settings.max_staleness_s = Some(10));
    aged(10_000).passes(&world);
    assert_eq!(aged(10_001).refused(&world), SnapshotStale);
    assert_eq!(demanding(10_001, "4294967295").refused(&world), SnapshotStale, "a request asks for no less");
    assert_eq!(demanding(6_000, "5").refused(&world), SnapshotStale, "but it may ask for more");
}

#[test]
fn a_demand_that_is_not_understood_is_refused() {
    let world = world();
    let id = "6d8d5f4e-0000-4000-8000-000000000001";
    for wrong in
        ["", "-1", "+1", "1 ", " ", "1,2", "0x1", "1.0", "18446744073709551616", "/1", "1/", "a/b", "\u{e9}"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("{id}/"), format!("{{{id}}}/1"), format!("{id}/1/1"), id.replace('-', "") + "/1"])
    {
        let found = get("/open").header(MIN_REVISION, &wrong).refused(&world);
        assert_eq!(found, RequestMalformed, "{wrong:?}");
    }
    for wrong in ["", "-1", "1s", "1.5", "4294967296", "never"] {
        assert_eq!(get("/open").header(MAX_STALENESS, wrong).refused(&world), RequestMalformed, "{wrong:?}");
    }
    for name in [MIN_REVISION, MAX_STALENESS] {
        let twice = get("/open").header(name, "1").header(&name.to_lowercase(), "1");
        assert_eq!(twice.refused(&world), RequestMalformed, "{name}");
    }
    // What is not one of these fields demands nothing, and reaches no service either.
    get("/open").header("X_Keyward_Min_Revision", "junk").passes(&world);
}
