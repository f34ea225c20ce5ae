//! Which API, stage and operation a request asks for.

use keyward_model::CredentialKind::{Anyone, AppSignature};
use keyward_model::DenyReason::{ApiNotFound, MethodNotAllowed, RequestMalformed, StageInvalid};
use keyward_model::{ApiId, BasePath, SignatureScheme, Stage};

use crate::world::{World, call, get, operation};

fn base(text: &str) -> Option<BasePath> {
    Some(text.parse().unwrap())
}

/// API, stage, and the path towards the service.
fn found(call: &crate::world::Call, world: &World) -> (ApiId, Stage, String) {
    call.resolve(world, |target| (target.api.api().id, target.stage, target.service_path().to_owned()))
        .unwrap()
}

#[test]
fn the_longest_base_path_on_a_boundary_answers() {
    let mut world = World::new();
    let orders = world.api("/orders", &[Anyone]);
    let internal = world.api("/orders/internal", &[Anyone]);
    assert_eq!(found(&get("/orders"), &world).0, orders);
    assert_eq!(found(&get("/orders/1"), &world).0, orders);
    assert_eq!(found(&get("/orders/internals"), &world).0, orders);
    assert_eq!(found(&get("/orders/internal"), &world).0, internal);
    assert_eq!(found(&get("/orders/internal/x"), &world).0, internal);
    assert_eq!(get("/ordersx").refused(&world), ApiNotFound);
    assert_eq!(get("/ORDERS").refused(&world), ApiNotFound);
}

#[test]
fn an_escaped_letter_does_not_hide_the_more_specific_api() {
    let mut world = World::new();
    world.api("/orders", &[Anyone]);
    let internal = world.api("/orders/internal", &[Anyone]);
    let (api, _, path) = found(&get("/orders/%69nternal/x"), &world);
    assert_eq!(api, internal);
    assert_eq!(path, "/orders/%69nternal/x");
}

#[test]
fn hosts_are_exact_then_wildcard_then_any_and_never_fall_through() {
    let mut world = World::new();
    let exact = world.api("/only", &[Anyone]);
    world.edit(exact, |api| api.settings.hosts = vec!["one.wild.test".parse().unwrap()]);
    let wild = world.api("/", &[Anyone]);
    world.edit(wild, |api| api.settings.hosts = vec!["*.wild.test".parse().unwrap()]);
    let deeper = world.api("/", &[Anyone]);
    world.edit(deeper, |api| api.settings.hosts = vec!["*.deep.wild.test".parse().unwrap()]);
    let any = world.api("/any", &[Anyone]);
    world.edit(any, |api| api.settings.hosts.clear());
    assert_eq!(found(&get("/only").host("one.wild.test"), &world).0, exact);
    assert_eq!(get("/x").host("one.wild.test").refused(&world), ApiNotFound);
    assert_eq!(found(&get("/x").host("two.wild.test"), &world).0, wild);
    assert_eq!(found(&get("/x").host("a.b.wild.test"), &world).0, wild);
    assert_eq!(found(&get("/x").host("a.deep.wild.test"), &world).0, deeper);
    assert!(get("/any").host("two.wild.test").resolve(&world, |_| ()).is_ok());
    assert_eq!(get("/x").host("wild.test").refused(&world), ApiNotFound);
    assert_eq!(found(&get("/any/1").host("elsewhere.test"), &world).0, any);
    assert_eq!(found(&get("/any").host(""), &world).0, any);
}

#[test]
fn operations_are_the_apis_own_and_methods_are_exact() {
    let mut world = World::new();
    let api = world.api("/orders", &[Anyone]);
    world.edit(api, |api| {
        api.settings.operations = ["GET /", "GET /{id}", "GET /admin", "DELETE /{id}"].map(operation).into();
    });
    let operation = |call: &crate::world::Call| {
        call.resolve(&world, |target| target.operation.unwrap().to_string()).map_err(|denial| denial.reason)
    };
    assert_eq!(operation(&get("/orders")).unwrap(), "GET /");
    assert_eq!(operation(&get("/orders/")).unwrap(), "GET /");
    assert_eq!(operation(&get("/orders/1")).unwrap(), "GET /{id}");
    assert_eq!(operation(&get("/orders/admin")).unwrap(), "GET /admin");
    assert_eq!(operation(&get("/orders/%61dmin")).unwrap(), "GET /admin");
    assert_eq!(operation(&call("DELETE", "/orders/admin")), Err(MethodNotAllowed));
    assert_eq!(operation(&call("HEAD", "/orders/1")), Err(MethodNotAllowed));
    assert_eq!(operation(&call("get", "/orders/1")), Err(MethodNotAllowed));
    assert_eq!(operation(&get("/orders/1/2")), Err(ApiNotFound));
}

#[test]
fn the_stage_comes_from_host_prefix_or_header_and_they_must_agree() {
    let mut world = World::new();
    let api = world.api("/orders", &[Anyone]);
    world.edit(api, |api| {
        api.stages.get_mut(&Stage::Test).unwrap().path_prefix = base("/trial");
        api.stages.get_mut(&Stage::Pre).unwrap().host = Some("pre.api.test".parse().unwrap());
    });
    let stage = |call: crate::world::Call| {
        call.resolve(&world, |target| (target.stage, target.service_path().to_owned())).map_err(|d| d.reason)
    };
    let orders = |stage| Ok((stage, "/orders/1".to_owned()));
    assert_eq!(stage(get("/orders/1")), orders(Stage::Release));
    assert_eq!(stage(get("/orders/1").header("X-Ca-Stage", "PRE")), orders(Stage::Pre));
    assert_eq!(stage(get("/trial/orders/1")), orders(Stage::Test));
    assert_eq!(stage(get("/orders/1").host("pre.api.test")), orders(Stage::Pre));
    assert_eq!(stage(get("/trial/orders/1").header("X-Ca-Stage", "TEST")), orders(Stage::Test));
    assert_eq!(stage(get("/trial/orders/1").header("X-Ca-Stage", "RELEASE")), Err(StageInvalid));
    assert_eq!(stage(get("/trial/orders/1").host("pre.api.test")), Err(StageInvalid));
    assert_eq!(
        stage(get("/orders/1").header("X-Ca-Stage", "TEST").header("X-Ca-Stage", "PRE")),
        Err(StageInvalid)
    );
    for wrong in ["release", "PROD", "", "RELEASE "] {
        assert_eq!(stage(get("/orders/1").header("X-Ca-Stage", wrong)), Err(StageInvalid), "{wrong:?}");
    }
}

#[test]
fn a_stage_that_is_not_published_is_not_found() {
    let mut world = World::new();
    let api = world.api("/orders", &[Anyone]);
    world.edit(api, |api| {
        api.stages.remove(&Stage::Test);
        api.settings.operations = vec![operation("GET /")];
    });
    assert_eq!(get("/orders").header("X-Ca-Stage", "TEST").refused(&world), ApiNotFound);
    // What comes first in the list is told first.
    assert_eq!(call("PUT", "/orders").header("X-Ca-Stage", "TEST").refused(&world), ApiNotFound);
    assert_eq!(call("PUT", "/orders").header("X-Ca-Stage", "none").refused(&world), MethodNotAllowed);
    assert_eq!(get("/orders/x").header("X-Ca-Stage", "none").refused(&world), ApiNotFound);
}

#[test]
fn tencents_prefixes_are_bound_where_its_schemes_are_admitted() {
    let mut world = World::new();
    let signed = world.api("/orders", &[AppSignature, Anyone]);
    world.edit(signed, |api| drop(api.stages.remove(&Stage::Pre)));
    let plain = world.api("/plain", &[Anyone]);
    let test = world.api("/test", &[Anyone]);
    let path = get("/test/orders/1").resolve(&world, |target| {
        assert_eq!((target.api.api().id, target.stage), (signed, Stage::Test));
        [
            target.signed_path(SignatureScheme::Tencent),
            target.signed_path(SignatureScheme::Alibaba),
            target.service_path(),
        ]
        .map(str::to_owned)
    });
    assert_eq!(path.unwrap(), ["/orders/1", "/test/orders/1", "/orders/1"]);
    assert_eq!(found(&get("/release/orders"), &world), (signed, Stage::Release, "/orders".into()));
    assert_eq!(get("/prepub/orders").refused(&world), ApiNotFound);
    assert_eq!(get("/testing/orders").refused(&world), ApiNotFound);
    // An API's own base path is the other reading, and stands where no longer one is bound.
    assert_eq!(found(&get("/test/plain"), &world).0, test);
    assert_eq!(found(&get("/plain"), &world).0, plain);
}

#[test]
fn an_own_base_path_wins_against_an_unwritten_prefix() {
    let mut world = World::new();
    let root = world.api("/", &[AppSignature, Anyone]);
    let release = world.api("/release", &[Anyone]);
    assert_eq!(found(&get("/release/x"), &world).0, release);
    assert_eq!(found(&get("/test/x"), &world), (root, Stage::Test, "/x".into()));
    assert_eq!(found(&get("/test"), &world), (root, Stage::Test, "/".into()));
}

#[test]
fn a_prefix_written_out_takes_the_place_of_the_unwritten_one() {
    let mut world = World::new();
    let api = world.api("/orders", &[AppSignature, Anyone]);
    world.edit(api, |api| api.stages.get_mut(&Stage::Test).unwrap().path_prefix = base("/a/b"));
    assert_eq!(found(&get("/a/b/orders"), &world), (api, Stage::Test, "/orders".into()));
    assert_eq!(get("/test/orders").refused(&world), ApiNotFound);
}

#[test]
fn the_base_path_is_stripped_where_the_api_says_so() {
    let mut world = World::new();
    let api = world.api("/a/b", &[Anyone]);
    world.edit(api, |api| {
        api.settings.strip_base_path = true;
        api.stages.get_mut(&Stage::Test).unwrap().path_prefix = base("/t");
    });
    for (path, towards) in
        [("/a/b", "/"), ("/a/b/", "/"), ("/a/b/c%20d", "/c%20d"), ("/t/a/b/c", "/c"), ("/%61/b/c", "/c")]
    {
        assert_eq!(found(&get(path), &world).2, towards, "{path}");
    }
}

#[test]
fn an_api_answers_to_nothing_where_it_does_not_serve() {
    let mut world = World::new();
    let api = world.api("/orders", &[Anyone]);
    assert_eq!(get("/orders").passes(&world), None);

    let mut walled = world.clone();
    walled.edit(api, |api| api.settings.allowed_addresses = vec!["192.0.2.0/24".parse().unwrap()]);
    assert_eq!(get("/orders").refused(&walled), ApiNotFound);
    assert_eq!(get("/orders").from("192.0.2.7").passes(&walled), None);
    assert_eq!(get("/orders").from("::ffff:192.0.2.7").passes(&walled), None);

    let mut disabled = world.clone();
    disabled.edit(api, |api| api.settings.enabled = false);
    assert_eq!(get("/orders").refused(&disabled), ApiNotFound);

    let mut frozen = world.clone();
    frozen.accounts.get_mut(&world.account).unwrap().enabled = false;
    assert_eq!(get("/orders").refused(&frozen), ApiNotFound);

    let edge = world.gateway("edge");
    world.edit(api, |api| api.gateways = vec![edge]);
    assert_eq!(get("/orders").refused(&world), ApiNotFound);
    assert!(get("/orders").judge(&world.snapshot(), edge).is_ok());
}

#[test]
fn an_ambiguous_path_is_refused_before_anything_is_looked_for() {
    let mut world = World::new();
    world.api("/orders", &[Anyone]);
    for path in [
        "//orders",
        "/nowhere/../orders",
        "/orders/..;/x",
        "/orders/%2e%2e",
        "/orders%2fx",
        "/orders/%252e%252e/x",
    ] {
        assert_eq!(get(path).refused(&world), RequestMalformed, "{path}");
    }
}
