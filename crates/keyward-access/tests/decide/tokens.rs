//! Who a token is of: by its claim, its keys and its place.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use keyward_access::{Authentication, Body, authenticate, resolve};
use keyward_model::CredentialKind::{ApiKey, Jwt};
use keyward_model::DenyReason::*;
use keyward_model::{
    AccountId, ApiId, CallerId, ClaimToHeader, Grantee, IdentityClaim, JwkSet, JwtBinding, JwtKeys,
    JwtSettings, KeySource, Proof, TokenPlace,
};

use crate::world::{NOON, World, get, header};

/// A token signed with HS256 by the key of this name, good for a minute.
pub(crate) fn token(key: &str, claims: &str) -> String {
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let exp = NOON.as_millis() / 1000 + 60;
    let header = encode(&format!(r#"{{"alg":"HS256","kid":"{key}"}}"#));
    let text = format!("{header}.{}", encode(&format!(r#"{{"exp":{exp},{claims}}}"#)));
    let mut mac = <Hmac<sha2::Sha256> as KeyInit>::new_from_slice(&secret(key)).unwrap();
    mac.update(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

pub(crate) fn secret(key: &str) -> Vec<u8> {
    format!("{key:-<40}").into_bytes()
}

pub(crate) fn jwt(key: &str, claim: &str, value: &str, token: TokenPlace) -> Proof {
    let (_, jwks) = JwkSet::symmetric(key, &secret(key)).unwrap();
    let settings = JwtSettings { token, ..JwtSettings::default() };
    let identity_claim = IdentityClaim { name: claim.into(), value: value.into() };
    Proof::Jwt(Box::new(JwtBinding { keys: JwtKeys::Own(jwks), settings, identity_claim }))
}

fn consumer(world: &mut World, account: AccountId, key: &str, value: &str, place: TokenPlace) -> CallerId {
    let caller = world.consumer(account);
    world.credential(caller, jwt(key, "uid", value, place));
    caller
}

fn own_consumer(world: &mut World, key: &str, value: &str, place: TokenPlace) -> CallerId {
    consumer(world, world.account, key, value, place)
}

fn world() -> (World, ApiId, CallerId) {
    let mut world = World::new();
    let api = world.api("/orders", &[ApiKey, Jwt]);
    let ann = own_consumer(&mut world, "a", "ann", TokenPlace::default());
    world.grant(Grantee::Caller(ann), api);
    (world, api, ann)
}

#[test]
fn the_claim_names_the_consumer_and_its_own_key_proves_it() {
    let (mut world, api, _) = world();
    let bob = own_consumer(&mut world, "b", "bob", TokenPlace::default());
    let grant = world.grant(Grantee::Caller(bob), api);
    assert_eq!(get("/orders").bearer(&token("b", r#""uid":"bob""#)).passes(&world), Some(grant));
    let decide = |key: &str, claims: &str| get("/orders").bearer(&token(key, claims)).refused(&world);
    assert_eq!(decide("a", r#""uid":"bob""#), CredentialUnknown);
    assert_eq!(decide("a", r#""uid":"nobody""#), CredentialUnknown);
    for claim in [
        r#""uid":1"#,
        r#""uid":["ann"]"#,
        r#""uid":null"#,
        r#""uid":"Ann""#,
        r#""uid":"ann ""#,
        r#""sub":"ann""#,
    ] {
        assert_eq!(decide("a", claim), CredentialUnknown, "{claim}");
    }
    let forged = token("a", r#""uid":"ann""#);
    let forged = format!("{}.{}", forged.rsplit_once('.').unwrap().0, URL_SAFE_NO_PAD.encode([0; 32]));
    assert_eq!(get("/orders").bearer(&forged).refused(&world), ProofMismatch);
}

#[test]
fn a_token_needs_its_grant_like_any_other_credential() {
    let (mut world, ..) = world();
    own_consumer(&mut world, "e", "eve", TokenPlace::default());
    assert_eq!(get("/orders").bearer(&token("e", r#""uid":"eve""#)).refused(&world), GrantMissing);
}

#[test]
fn a_bearer_value_is_a_key_first_and_then_a_token() {
    let (mut world, api, ann) = world();
    assert_eq!(get("/orders").bearer("no-token").refused(&world), CredentialUnknown);
    let value = token("a", r#""uid":"ann""#);
    assert!(get("/orders").bearer(&value).passes(&world).is_some());
    let odd = world.keyed(&value);
    assert_eq!(get("/orders").bearer(&value).refused(&world), GrantMissing);
    let grant = world.grant(Grantee::Caller(odd), api);
    assert_eq!(get("/orders").bearer(&value).passes(&world), Some(grant));
    // Either opens the door for a consumer that has both.
    world.key(ann, "ann-key-0123456789");
    assert!(get("/orders").bearer("ann-key-0123456789").passes(&world).is_some());
}

#[test]
fn where_only_tokens_are_admitted_anything_is_read_as_one() {
    let (mut world, api, _) = world();
    world.edit(api, |api| api.settings.admits = keyward_model::Admits::of([Jwt]).unwrap());
    assert_eq!(get("/orders").bearer("no-token").refused(&world), CredentialMalformed);
    assert_eq!(get("/orders").bearer("a.b.c.d.e").refused(&world), AlgorithmNotAdmitted);
    assert!(get("/orders").bearer(&token("a", r#""uid":"ann""#)).passes(&world).is_some());
}

#[test]
fn a_token_stands_where_its_consumer_keeps_them() {
    let (mut world, api, _) = world();
    let place = TokenPlace::Header { name: header("x-token"), prefix: "JWT ".into() };
    let bob = own_consumer(&mut world, "b", "bob", place);
    let cat = own_consumer(&mut world, "c", "cat", TokenPlace::Query { name: "t".into(), prefix: "".into() });
    let dan =
        own_consumer(&mut world, "d", "dan", TokenPlace::Cookie { name: "s".into(), prefix: "".into() });
    let own = TokenPlace::Header { name: header("authorization"), prefix: "Token ".into() };
    let eve = own_consumer(&mut world, "e", "eve", own);
    for caller in [bob, cat, dan, eve] {
        world.grant(Grantee::Caller(caller), api);
    }
    let of = |key: &str, uid: &str| token(key, &format!(r#""uid":"{uid}""#));
    for call in [
        get("/orders").header("X-Token", &format!("JWT {}", of("b", "bob"))),
        get(&format!("/orders?x=1&t={}", of("c", "cat"))),
        get("/orders").header("Cookie", &format!("a=b; s={}; c=d", of("d", "dan"))),
        get("/orders").header("Authorization", &format!("Token {}", of("e", "eve"))),
        get("/orders").header("Authorization", &format!("bearer {}", of("a", "ann"))),
        get("/orders").bearer(&of("a", "ann")).header("X-Token", "something else"),
    ] {
        assert!(call.passes(&world).is_some());
    }
    for call in [
        get("/orders").bearer(&of("b", "bob")),
        get("/orders").header("X-Token", &format!("JWT {}", of("a", "ann"))),
        get("/orders").header("Authorization", &format!("Token {}", of("a", "ann"))),
    ] {
        assert_eq!(call.refused(&world), CredentialUnknown);
    }
    let missing = get("/orders").header("X-Token", &format!("jwt {}", of("b", "bob")));
    assert_eq!(missing.refused(&world), CredentialMissing);
    for call in [
        get(&format!("/orders?t={}", of("c", "cat"))).bearer(&of("a", "ann")),
        get("/orders").header("Cookie", &format!("s={0}; s={0}", of("d", "dan"))),
    ] {
        assert_eq!(call.refused(&world), CredentialAmbiguous);
    }
}

#[test]
fn a_partners_token_is_known_once_it_was_granted() {
    let (mut world, api, _) = world();
    let partner = world.account("partner");
    let friend = consumer(&mut world, partner, "f", "friend", TokenPlace::default());
    let call = get("/orders").bearer(&token("f", r#""uid":"friend""#));
    assert_eq!(call.refused(&world), CredentialUnknown);
    let grant = world.grant_with(Grantee::Caller(friend), api, |grant| grant.revoked = Some(NOON));
    assert_eq!(call.refused(&world), GrantRevoked);
    world.grants.get_mut(&grant).unwrap().revoked = None;
    assert_eq!(call.passes(&world), Some(grant));
    // Another consumer of the partner's, with the same claim name, is not.
    consumer(&mut world, partner, "g", "stranger", TokenPlace::default());
    assert_eq!(get("/orders").bearer(&token("g", r#""uid":"stranger""#)).refused(&world), CredentialUnknown);
}

#[test]
fn a_claim_that_a_partner_chose_too_is_told_apart_by_the_key() {
    let (mut world, api, _) = world();
    let partner = world.account("partner");
    let double = consumer(&mut world, partner, "f", "ann", TokenPlace::default());
    let grant = world.grant(Grantee::Caller(double), api);
    assert_eq!(get("/orders").bearer(&token("f", r#""uid":"ann""#)).passes(&world), Some(grant));
    assert_ne!(get("/orders").bearer(&token("a", r#""uid":"ann""#)).passes(&world), Some(grant));
    // With the same key as well, it is nobody's in particular.
    let twin_account = world.account("twin");
    let twin = consumer(&mut world, twin_account, "a", "ann", TokenPlace::default());
    world.grant(Grantee::Caller(twin), api);
    assert_eq!(get("/orders").bearer(&token("a", r#""uid":"ann""#)).refused(&world), CredentialAmbiguous);
}

#[test]
fn claims_go_along_and_a_token_is_forwarded_only_if_asked() {
    let (mut world, api, ann) = world();
    let edit = |world: &mut World, edit: fn(&mut JwtSettings)| {
        let Proof::Jwt(binding) = &mut world.callers.get_mut(&ann).unwrap().1[0].proof else { panic!() };
        edit(&mut binding.settings);
    };
    edit(&mut world, |settings| {
        settings.claims_to_headers =
            vec![ClaimToHeader { claim: "team".into(), header: "x-team".parse().unwrap() }];
    });
    let call = get("/orders").bearer(&token("a", r#""uid":"ann","team":"red""#));
    let verified = |world: &World| {
        let snapshot = world.snapshot();
        call.with_head(|head| {
            let target = resolve(&snapshot, world.gateway, head).unwrap();
            let proven = authenticate(&snapshot, &target, head, Body::Unread, NOON).unwrap();
            let Authentication::Verified(verified) = proven else { panic!("{proven:?}") };
            let strips = target.strip().sparing(&verified).header("Authorization");
            (verified.claims.clone(), verified.forward_credential, strips)
        })
    };
    assert_eq!(verified(&world), (vec![(header("x-team"), "red".into())], false, true));
    edit(&mut world, |settings| settings.forward = true);
    assert_eq!(verified(&world), (vec![(header("x-team"), "red".into())], true, false));
    // A key at the same place is another consumer's, and is not forwarded.
    let bob = world.keyed("bob-key-0123456789");
    world.callers.get_mut(&bob).unwrap().0.key_sources = vec![KeySource::Bearer];
    world.grant(Grantee::Caller(bob), api);
}
