//! Who a request is proven to come from: AppCodes, API keys, signatures, and several at once.

use keyward_access::signature::{DigestChoice, SignRequest, SigningSecret, sign};
use keyward_access::{Authentication, Body, BodyNeed, Dialect, Field, authenticate, resolve};
use keyward_model::CredentialKind::{Anyone, ApiKey, AppCode, AppSignature, Jwt};
use keyward_model::DenyReason::*;
use keyward_model::{
    CallerId, CredentialKind, Grantee, HmacAlgorithm, KeySource, Plaintext, SignatureScheme,
};

use crate::world::{Call, NOON, World, call, get, header};

const CODE: &str = "SHOPCODE0123456789ABCDEF01234567";
const SECRET: &str = "shop-secret-0123456789";

/// `ann` keeps keys at Bearer, `bob` in a header and a parameter; `shop` signs and has an AppCode. All may call `/orders`.
fn world(admits: &[CredentialKind]) -> World {
    let mut world = World::new();
    let orders = world.api("/orders", admits);
    let ann = world.keyed("ann-key-0123456789");
    let bob = world.keyed("bob-key-0123456789");
    world.callers.get_mut(&bob).unwrap().0.key_sources =
        vec![KeySource::Header(header("x-api-key")), KeySource::Query("apikey".into())];
    let shop = world.application(world.account);
    world.pair(shop, "shop-key", SECRET, SignatureScheme::Alibaba);
    world.app_code(shop, CODE);
    for caller in [ann, bob, shop] {
        world.grant(Grantee::Caller(caller), orders);
    }
    world
}

fn everything() -> World {
    world(&[AppSignature, AppCode, ApiKey, Jwt])
}

impl Call {
    fn signed(self, app_key: &str, secret: &str) -> Self {
        let fields: Vec<Field<'_>> = self.headers.iter().map(|(name, value)| Field { name, value }).collect();
        let signed = sign(&SignRequest {
            scheme: SignatureScheme::Alibaba,
            algorithm: HmacAlgorithm::Sha256,
            method: &self.method,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &fields,
            sign_headers: &[],
            body: &self.body,
            app_key,
            secret: &SigningSecret::new(&Plaintext::new(secret)),
            timestamp: Some(self.now),
            nonce: None,
            stage: None,
            digest: DigestChoice::NotForms,
        });
        signed.unwrap().headers.into_iter().fold(self, |call, (name, value)| call.header(name, &value))
    }
}

#[test]
fn an_api_key_opens_the_door_at_its_consumers_sources() {
    let world = everything();
    for call in [
        get("/orders").bearer("ann-key-0123456789"),
        get("/orders").header("authorization", "bEARER   ann-key-0123456789"),
        get("/orders").header("X-API-KEY", "bob-key-0123456789"),
        get("/orders?a=1&apikey=bob-key-0123456789"),
        get("/orders?api%6bey=bob%2Dkey-0123456789"),
    ] {
        assert!(call.passes(&world).is_some());
    }
    for call in [
        get("/orders").bearer("bob-key-0123456789"),
        get("/orders").header("X-Api-Key", "ann-key-0123456789"),
        get("/orders?apikey=ann-key-0123456789"),
        get("/orders").bearer("ann-key-012345678"),
        get("/orders").bearer("ann-key-01234567890"),
        get("/orders").bearer("ann-key-0123456789,bob-key-0123456789"),
        get("/orders").bearer("ANN-KEY-0123456789"),
        get("/orders").bearer(""),
        get("/orders").bearer("%"),
        get("/orders").bearer(CODE),
        get("/orders").header("X-Api-Key", ""),
        get("/orders").header("X-Api-Key", "Bearer bob-key-0123456789"),
    ] {
        assert_eq!(call.refused(&world), CredentialUnknown, "{:?}", call.headers);
    }
    for call in [
        get("/orders"),
        get("/orders?APIKEY=bob-key-0123456789"),
        get("/orders").header("X-Api-Key2", "bob-key-0123456789"),
        get("/orders").header("Authorization", ""),
    ] {
        assert_eq!(call.refused(&world), CredentialMissing);
    }
}

#[test]
fn key_bytes_that_are_no_text_are_unknown() {
    let world = everything();
    for byte in (0..=31_u8).chain(127..=255) {
        let mut call = get("/orders");
        call.headers.push(("Authorization".into(), [b"Bearer ann-key-".as_slice(), &[byte]].concat()));
        call.headers.push(("Accept".into(), vec![byte]));
        assert_eq!(call.refused(&world), CredentialUnknown, "{byte}");
    }
}

#[test]
fn a_source_that_no_granted_consumer_declares_is_not_looked_at() {
    let mut world = everything();
    let other = world.api("/other", &[ApiKey]);
    let ann = *world.callers.keys().find(|id| id.kind() == keyward_model::CallerKind::Consumer).unwrap();
    world.grant(Grantee::Caller(ann), other);
    assert_eq!(get("/other").header("X-Api-Key", "bob-key-0123456789").refused(&world), CredentialMissing);
    assert!(
        get("/other").header("X-Api-Key", "anything").bearer("ann-key-0123456789").passes(&world).is_some()
    );
}

#[test]
fn more_than_one_is_ambiguous_even_of_one_caller() {
    let world = everything();
    let (ann, bob) = ("ann-key-0123456789", "bob-key-0123456789");
    for call in [
        get("/orders").bearer(ann).header("X-Api-Key", bob),
        get("/orders").bearer(ann).header("X-Api-Key", "nobody's"),
        get("/orders?apikey=bob-key-0123456789").header("X-Api-Key", bob),
        get("/orders?apikey=bob-key-0123456789&apikey=bob-key-0123456789"),
        get("/orders").header("X-Api-Key", bob).header("X-Api-Key", bob),
        get("/orders").bearer("wrong").bearer(ann),
        get("/orders").header("X-Api-Key", bob).signed("shop-key", SECRET),
        get("/orders").header("Authorization", &format!("APPCODE {CODE}")).signed("shop-key", SECRET),
        get("/orders").bearer(ann).header("X-Ca-Key", "shop-key"),
    ] {
        assert_eq!(call.refused(&world), CredentialAmbiguous);
    }
}

#[test]
fn kinds_that_are_not_admitted_are_ignored_and_alone_refused() {
    let keys = world(&[ApiKey]);
    let ann = "ann-key-0123456789";
    assert!(get("/orders").bearer(ann).signed("shop-key", SECRET).passes(&keys).is_some());
    let two_lines = get("/orders").bearer(ann).header("Authorization", "Basic eDp5");
    assert_eq!(two_lines.refused(&keys), CredentialAmbiguous, "there is one such field");
    assert_eq!(get("/orders").signed("shop-key", SECRET).refused(&keys), CredentialNotAdmitted);
    assert_eq!(get("/orders").header("Authorization", "Basic eDp5").refused(&keys), CredentialNotAdmitted);
    assert_eq!(
        get("/orders").header("Authorization", &format!("APPCODE {CODE}")).refused(&keys),
        CredentialNotAdmitted
    );
    assert_eq!(get("/orders?AppCode=x").refused(&keys), CredentialNotAdmitted);
    let signed = world(&[AppSignature]);
    for call in [
        get("/orders").bearer(ann),
        get("/orders").header("X-Api-Key", "bob-key-0123456789"),
        get("/orders?apikey=bob-key-0123456789"),
    ] {
        assert_eq!(call.refused(&signed), CredentialNotAdmitted);
    }
}

#[test]
fn with_anyone_a_presented_credential_must_verify() {
    let optional = world(&[ApiKey, Anyone]);
    assert_eq!(get("/orders").passes(&optional), None);
    assert!(get("/orders").bearer("ann-key-0123456789").passes(&optional).is_some());
    assert_eq!(get("/orders").bearer("nobody's").refused(&optional), CredentialUnknown);
    assert_eq!(get("/orders").signed("shop-key", SECRET).refused(&optional), CredentialNotAdmitted);
    let open = world(&[Anyone]);
    assert_eq!(get("/orders").bearer("nobody's").signed("x", "y").passes(&open), None);
}

#[test]
fn an_app_code_stands_in_authorization_or_in_the_query_where_admitted() {
    let mut world = everything();
    let in_header = get("/orders").header("Authorization", &format!("APPCODE {CODE}"));
    assert!(in_header.passes(&world).is_some());
    assert_eq!(get("/orders").header("Authorization", "APPCODE nobody").refused(&world), CredentialUnknown);
    assert_eq!(
        get("/orders").header("Authorization", &format!("appcode {CODE}")).refused(&world),
        CredentialNotAdmitted
    );
    assert_eq!(get(&format!("/orders?AppCode={CODE}")).refused(&world), CredentialNotAdmitted);
    let api = *world.apis.keys().next().unwrap();
    world.edit(api, |api| api.settings.app_code_in.query = true);
    for spelling in ["AppCode", "appcode", "appCode", "APPCODE", "APPCode"] {
        assert!(get(&format!("/orders?{spelling}={CODE}")).passes(&world).is_some(), "{spelling}");
    }
    assert_eq!(get(&format!("/orders?aPPcode={CODE}")).refused(&world), CredentialMissing);
    assert_eq!(get(&format!("/orders?AppCode={CODE}&appcode={CODE}")).refused(&world), CredentialAmbiguous);
    world.edit(api, |api| api.settings.app_code_in.header = false);
    assert_eq!(in_header.refused(&world), CredentialNotAdmitted);
}

#[test]
fn an_app_code_in_the_clear_comes_from_loopback_only() {
    let mut world = everything();
    let call = get("/orders").header("Authorization", &format!("APPCODE {CODE}")).from("192.0.2.1");
    assert_eq!(call.refused(&world), CredentialNotAdmitted);
    let secure = Call { secure: true, ..call.clone() };
    assert!(secure.passes(&world).is_some());
    assert!(call.clone().from("::1").passes(&world).is_some());
    let api = *world.apis.keys().next().unwrap();
    world.edit(api, |api| api.settings.app_code_requires_tls = false);
    assert!(call.passes(&world).is_some());
}

#[test]
fn a_signature_opens_the_door_and_an_unknown_app_key_looks_like_a_wrong_one() {
    let world = everything();
    assert!(get("/orders?b=2&a=1").signed("shop-key", SECRET).passes(&world).is_some());
    let refused = |call: Call| call.judge(&world.snapshot(), world.gateway).unwrap_err();
    let wrong = refused(get("/orders").signed("shop-key", "another-secret-0123"));
    let unknown = refused(get("/orders").signed("nobody-k", "another-secret-0123"));
    assert_eq!((wrong.reason, unknown.reason), (ProofMismatch, CredentialUnknown));
    assert_eq!((wrong.dialect, unknown.dialect), (Dialect::Alibaba, Dialect::Alibaba));
    assert_eq!(wrong.message.unwrap().replace("shop-key", "nobody-k"), *unknown.message.unwrap());
    assert_eq!((wrong.caller, unknown.caller, wrong.target.is_some()), (None, None, true));
    assert_eq!(get("/orders").signed("SHOP-KEY", SECRET).refused(&world), CredentialUnknown);
    assert_eq!(get("/orders").header("X-Ca-Key", "shop-key").refused(&world), CredentialMalformed);
}

#[test]
fn reasons_about_credential_and_caller_are_told_after_the_proof() {
    let mut world = everything();
    let shop: CallerId =
        *world.callers.keys().find(|id| id.kind() == keyward_model::CallerKind::Application).unwrap();
    world.callers.get_mut(&shop).unwrap().1[0].enabled = false;
    assert_eq!(get("/orders").signed("shop-key", SECRET).refused(&world), CredentialDisabled);
    assert_eq!(get("/orders").signed("shop-key", "another-secret-0123").refused(&world), ProofMismatch);
}

#[test]
fn a_body_is_asked_for_only_where_the_verdict_needs_it() {
    let world = everything();
    let snapshot = world.snapshot();
    let need = |call: &Call, body: Body<'_>| {
        call.with_head(|head| {
            let target = resolve(&snapshot, world.gateway, head).unwrap();
            match authenticate(&snapshot, &target, head, body, NOON) {
                Ok(Authentication::NeedsBody(need)) => format!("{need:?}"),
                Ok(Authentication::Verified(verified)) => format!("digest {}", verified.digest.is_some()),
                Ok(Authentication::Absent) => "absent".into(),
                Err(denial) => denial.reason.to_string(),
            }
        })
    };
    let json = call("POST", "/orders")
        .header("Content-Type", "application/json")
        .body("{}")
        .signed("shop-key", SECRET);
    assert_eq!(need(&json, Body::Unread), format!("{:?}", BodyNeed::Digest));
    assert_eq!(need(&json, Body::Whole(b"{}")), "digest false");
    assert_eq!(need(&json, Body::Whole(b"{ }")), "digest_mismatch");
    assert_eq!(need(&json, Body::Streamed), "digest true");
    let form =
        call("POST", "/orders").header("Content-Type", "application/x-www-form-urlencoded").body("a=1");
    let form = form.signed("shop-key", SECRET);
    assert_eq!(need(&form, Body::Unread), format!("{:?}", BodyNeed::Whole));
    assert_eq!(need(&form, Body::Whole(b"a=1")), "digest false");
    assert_eq!(need(&form, Body::Whole(b"a=2")), "proof_mismatch");
    let keyed = call("POST", "/orders").body("{}").bearer("ann-key-0123456789");
    assert_eq!(need(&keyed, Body::Unread), "digest false");
}

#[test]
fn what_is_missing_is_told_in_the_words_of_the_apis_clients() {
    for (admits, scheme, dialect) in [
        (vec![AppSignature], SignatureScheme::Alibaba, Dialect::Alibaba),
        (vec![AppSignature, ApiKey], SignatureScheme::Tencent, Dialect::Tencent),
        (vec![AppCode], SignatureScheme::Tencent, Dialect::Alibaba),
        (vec![ApiKey, Jwt], SignatureScheme::Alibaba, Dialect::Plain),
    ] {
        let mut world = world(&admits);
        let api = *world.apis.keys().next().unwrap();
        world.edit(api, |api| api.settings.signature.schemes = vec![scheme]);
        let denial = get("/orders").judge(&world.snapshot(), world.gateway).unwrap_err();
        assert_eq!((denial.reason, denial.dialect), (CredentialMissing, dialect));
    }
}
