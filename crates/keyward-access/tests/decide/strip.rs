//! What does not go on to a service.

use keyward_model::CredentialKind::{Anyone, ApiKey, AppCode, Jwt};
use keyward_model::{CredentialKind, Grantee, KeySource, TokenPlace};

use crate::tokens::jwt;
use crate::world::{World, get, header};

fn world(admits: &[CredentialKind]) -> World {
    let mut world = World::new();
    let api = world.api("/orders", admits);
    let bob = world.keyed("bob-key-0123456789");
    world.callers.get_mut(&bob).unwrap().0.key_sources =
        vec![KeySource::Header(header("x-api-key")), KeySource::Query("apikey".into())];
    let cat = world.consumer(world.account);
    world.credential(
        cat,
        jwt("c", "uid", "cat", TokenPlace::Cookie { name: "session".into(), prefix: "".into() }),
    );
    for caller in [bob, cat] {
        world.grant(Grantee::Caller(caller), api);
    }
    world
}

/// Headers that are removed, what is left of a query, and of a cookie.
fn stripped(admits: &[CredentialKind]) -> (Vec<&'static str>, Option<String>, Option<String>) {
    let query = "a=%31&api%6bey=x&AppCode=y&&b";
    let cookie = b"a=1;session=x;  b=2".as_slice();
    let call = get("/orders");
    call.resolve(&world(admits), |target| {
        let strip = target.strip();
        let names = ["Authorization", "Proxy-Authorization", "X-API-Key", "Accept", "Cookie", "X-Api"];
        let removed = names.into_iter().filter(|name| strip.header(name)).collect();
        let cookie = strip.cookie(cookie).map(|value| String::from_utf8(value.into_owned()).unwrap());
        (removed, strip.query(query).map(Into::into), cookie)
    })
    .unwrap()
}

#[test]
fn every_place_of_a_credential_is_emptied_whatever_is_admitted() {
    let headers = vec!["Authorization", "Proxy-Authorization", "X-API-Key"];
    let cookie = Some("a=1; b=2".to_owned());
    assert_eq!(stripped(&[ApiKey]), (headers.clone(), Some("a=%31&&b".into()), cookie.clone()));
    assert_eq!(stripped(&[AppCode, Jwt]), (headers, Some("a=%31&&b".into()), cookie));
}

#[test]
fn where_anyone_alone_is_admitted_everything_passes() {
    let query = "a=%31&api%6bey=x&AppCode=y&&b".to_owned();
    assert_eq!(stripped(&[Anyone]), (vec![], Some(query), Some("a=1;session=x;  b=2".into())));
}

#[test]
fn nothing_is_left_of_what_was_only_a_credential() {
    get("/orders")
        .resolve(&world(&[ApiKey]), |target| {
            assert_eq!(target.strip().query("apikey=x"), None);
            assert_eq!(target.strip().query("").as_deref(), Some(""));
            assert_eq!(target.strip().cookie(b"session=x;"), None);
        })
        .unwrap();
}
