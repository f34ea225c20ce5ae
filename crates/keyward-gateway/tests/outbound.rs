//! What goes to a service, and what does not.

mod desk;

use desk::{API_KEY, Ask, Desk, NOW_MS, World};
use keyward_model::{
    Admits, ClaimToHeader, CredentialKind, IdentityClaim, JwkSet, JwtBinding, JwtKeys, JwtSettings,
    ParameterPlace, Plaintext, ServiceAuth, SystemParameter, SystemParameterName, TokenPlace,
};
use proptest::prelude::*;

fn with_key(target: &str) -> Ask {
    Ask::get(target).field("X-Api-Key", API_KEY)
}

#[test]
fn identity_is_set_once_and_cannot_be_chosen() {
    let desk = Desk::new(World::default());
    let ask = with_key("/orders/1")
        .field("X-Keyward-Caller-Id", "evil")
        .field("x_keyward_caller_name", "evil")
        .field("X.Keyward.Account", "evil")
        .field("X-Keyward-Request-Id", "evil")
        .field("X-Consumer-ID", "evil")
        .field("X-Mse-Consumer", "evil")
        .field("X-Ca-App-Id", "evil")
        .field("CaAppExtInfo", "evil")
        .field("X-SSL-Client-Verify", "evil")
        .field("Accept", "*/*");
    let sent = desk.call(&ask).unwrap();
    assert!(sent.fields.iter().all(|(_, value)| value != "evil"), "{sent:?}");
    assert_eq!(sent.values("x-keyward-caller-id"), ["con_00000000000000000000000000000006"]);
    assert_eq!(sent.values("x-keyward-caller-name"), ["analytics"]);
    assert_eq!(sent.values("x-keyward-account"), ["default"]);
    assert_eq!(sent.values("x-keyward-request-id").len(), 1);
    assert_eq!(sent.values("accept"), ["*/*"]);
}

#[test]
fn a_name_in_any_script_is_a_safe_field() {
    let desk = Desk::new(World { shop_name: "web 店", ..World::default() });
    let sent = desk.call(&Ask::get("/orders").signed("nonce-0123456789abcdef")).unwrap();
    assert_eq!(sent.values("x-keyward-caller-name"), ["web %E5%BA%97"]);
    assert!(sent.fields.iter().all(|(name, _)| !name.to_lowercase().starts_with("x-ca-")), "{sent:?}");
}

#[test]
fn whoever_is_admitted_unknown_has_no_identity_and_keeps_what_is_theirs() {
    let desk = Desk::new(World::admitting(&[CredentialKind::Anyone]));
    let ask = Ask::get("/orders?apikey=mine")
        .field("Authorization", "Bearer mine")
        .field("X-Api-Key", "mine")
        .field("Cookie", "session=mine")
        .field("X-Keyward-Caller-Id", "evil");
    let sent = desk.call(&ask).unwrap();
    assert_eq!(sent.line, "GET /base/orders?apikey=mine HTTP/1.1");
    for name in ["authorization", "x-api-key", "cookie"] {
        assert_eq!(sent.values(name).len(), 1, "{name}");
    }
    assert!(sent.values("x-keyward-caller-id").is_empty());
    assert_eq!(sent.values("x-keyward-request-id").len(), 1);
}

#[test]
fn the_callers_own_credential_ends_here() {
    let desk = Desk::new(World::default());
    let by_header = desk.call(&with_key("/orders?x=%2F&&y")).unwrap();
    assert_eq!(by_header.line, "GET /base/orders?x=%2F&&y HTTP/1.1");
    assert!(by_header.values("x-api-key").is_empty());
    let by_query = desk.call(&Ask::get(&format!("/orders?a=1&apikey={API_KEY}&b=+"))).unwrap();
    assert_eq!(by_query.line, "GET /base/orders?a=1&b=+ HTTP/1.1");
    let bearer =
        desk.call(&Ask::get("/orders").field("Authorization", &format!("bearer {API_KEY}"))).unwrap();
    assert!(bearer.values("authorization").is_empty());
    let text = format!("{by_header:?}{by_query:?}{bearer:?}");
    assert!(!text.contains(API_KEY));
}

#[test]
fn what_connection_names_ends_here_and_takes_nothing_of_ours_along() {
    let desk = Desk::new(World::default());
    let ask = with_key("/orders")
        .field("Connection", "close, X-Trace, X-Keyward-Caller-Name, X-Forwarded-For, Host, Content-Length")
        .field("X-Trace", "hop")
        .field("Keep-Alive", "timeout=5")
        .field("TE", "trailers")
        .field("Upgrade", "h2c")
        .field("Transfer_Encoding", "chunked")
        .field("Expect", "100-continue");
    let sent = desk.call(&ask).unwrap();
    for name in ["x-trace", "connection", "keep-alive", "te", "upgrade", "transfer_encoding", "expect"] {
        assert!(sent.values(name).is_empty(), "{name}");
    }
    assert_eq!(sent.values("x-keyward-caller-name"), ["analytics"]);
    assert_eq!(sent.values("x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(sent.values("host"), ["127.0.0.1:9000"]);
}

#[test]
fn forwarded_fields_come_from_the_socket_or_from_a_trusted_proxy() {
    let spoofed = with_key("/orders")
        .field("X-Forwarded-For", "127.0.0.1")
        .field("X-Forwarded-Uri", "/public")
        .field("Forwarded", "for=127.0.0.1")
        .field("X-Real-IP", "127.0.0.1")
        .field("X-HTTP-Method-Override", "DELETE")
        .field("X-Original-URL", "/public");
    let sent = Desk::new(World::default()).call(&spoofed).unwrap();
    assert_eq!(sent.values("x-forwarded-for"), ["192.0.2.7"]);
    assert_eq!(sent.values("x-real-ip"), ["192.0.2.7"]);
    assert_eq!(sent.values("x-forwarded-host"), ["gw.test:8080"]);
    assert_eq!(sent.values("forwarded"), ["for=192.0.2.7;host=\"gw.test:8080\";proto=http"]);
    for name in ["x-forwarded-uri", "x-http-method-override", "x-original-url"] {
        assert!(sent.values(name).is_empty(), "{name}");
    }
    let trusting = World { trusted_proxies: vec!["192.0.2.0/24".parse().unwrap()], ..World::default() };
    let desk = Desk::new(trusting);
    let sent = desk.call(&with_key("/orders").field("X-Forwarded-For", "6.6.6.6, 203.0.113.9")).unwrap();
    assert_eq!(sent.values("x-forwarded-for"), ["6.6.6.6, 203.0.113.9, 192.0.2.7"]);
    assert_eq!(sent.values("x-real-ip"), ["203.0.113.9"]);
    assert_eq!(desk.records()[0]["client"], "203.0.113.9");
}

#[test]
fn an_allow_list_judges_the_address_that_counts() {
    let mut world = World { trusted_proxies: vec!["192.0.2.7/32".parse().unwrap()], ..World::default() };
    world.api.allowed_addresses = vec!["203.0.113.9/32".parse().unwrap()];
    let desk = Desk::new(world);
    let claims = |value: &str| with_key("/orders").field("X-Forwarded-For", value);
    desk.call(&claims("203.0.113.9")).unwrap();
    for (ask, why) in [
        (claims("203.0.113.9, 198.51.100.1"), "a part that the client wrote"),
        (claims("203.0.113.9, what"), "a list that cannot be read"),
        (claims("203.0.113.9").from("192.0.2.8"), "a peer that is not trusted"),
    ] {
        assert_eq!(desk.call(&ask).unwrap_err().reason(), "api_not_found", "{why}");
    }
}

fn parameter(name: SystemParameterName, place: ParameterPlace) -> SystemParameter {
    SystemParameter { name, place }
}

#[test]
fn system_parameters_go_where_the_api_declares_them() {
    use SystemParameterName as P;
    let header = |name: &str| ParameterPlace::Header(name.parse().unwrap());
    let mut world = World { extension: Some("tier=gold; 50%".into()), ..World::default() };
    world.api.system_parameters = vec![
        parameter(P::AppId, header("X-App-Id")),
        parameter(P::AppKey, ParameterPlace::Query("app_key".into())),
        parameter(P::AppExtInfo, header("X-App-Ext")),
        parameter(P::Stage, ParameterPlace::Query("stage".into())),
        parameter(P::RequestId, header("X-Id")),
        parameter(P::ClientIp, header("X-Ip")),
        parameter(P::Domain, header("X-Domain")),
        parameter(P::ApiName, header("X-Api")),
        parameter(P::HttpSchema, header("X-Schema")),
        parameter(P::ClientUa, header("X-Ua")),
        parameter(P::RequestHandleTime, header("X-Time")),
    ];
    let desk = Desk::new(world);
    let spoof = |ask: Ask| {
        ask.field("X-App-Id", "evil").field("x_app_ext", "evil").field("User-Agent", "curl/8 100%")
    };
    let ask = spoof(Ask::get("/orders?app_key=evil&a=1&sta%67e=evil").signed("nonce-0123456789abcdef"));
    let sent = desk.call(&ask).unwrap();
    assert_eq!(sent.line, "GET /base/orders?a=1&app_key=203753385&stage=RELEASE HTTP/1.1");
    for (name, value) in [
        ("X-App-Id", "app_00000000000000000000000000000005"),
        ("X-App-Ext", "tier=gold; 50%25"),
        ("X-Ip", "192.0.2.7"),
        ("X-Domain", "gw.test"),
        ("X-Api", "orders"),
        ("X-Schema", "HTTP"),
        ("X-Ua", "curl/8 100%"),
        ("X-Time", "Fri, 21 Nov 2025 10:00:00 GMT"),
    ] {
        assert_eq!(sent.values(name), [value], "{name}");
    }
    assert_eq!(sent.values("x-id"), sent.values("x-keyward-request-id"));
    assert!(sent.values("x_app_ext").is_empty());
    // Another kind of caller has no AppKey, and may not bring one either.
    let sent = desk.call(&spoof(with_key("/orders?app_key=evil"))).unwrap();
    assert_eq!(sent.line, "GET /base/orders?stage=RELEASE HTTP/1.1");
    assert!(sent.values("x-app-id").is_empty() && sent.values("x-app-ext").is_empty());
}

#[test]
fn we_prove_ourselves_to_the_service_and_nobody_else_can() {
    let auth = |value: Option<&str>| ServiceAuth::Header {
        name: "X-Backend-Key".parse().unwrap(),
        value: value.map(|value| Plaintext::new(value).into()),
    };
    let desk = Desk::new(World { service_auth: Some(auth(Some("s3cret"))), ..World::default() });
    let sent = desk
        .call(&with_key("/orders").field("x_backend_key", "evil").field("X-Backend-Key", "evil"))
        .unwrap();
    assert_eq!(sent.values("x-backend-key"), ["s3cret"]);
    assert!(sent.values("x_backend_key").is_empty());
    assert!(!format!("{:?}", desk.records()).contains("s3cret"));
    let desk = Desk::new(World { service_auth: Some(auth(None)), ..World::default() });
    let answer = desk.call(&with_key("/orders")).unwrap_err();
    assert_eq!((answer.status, answer.reason()), (503, "secret_unresolvable"));
}

#[test]
fn paths_keep_their_bytes_between_prefix_and_base_path() {
    let mut world = World::default();
    world.api.strip_base_path = true;
    let desk = Desk::new(world);
    for (target, line) in [
        ("/orders/a%20b/c?x", "GET /base/a%20b/c?x HTTP/1.1"),
        ("/orders", "GET /base/ HTTP/1.1"),
        ("/test/orders/1", "GET /base/1 HTTP/1.1"),
    ] {
        assert_eq!(desk.call(&with_key(target)).unwrap().line, line, "{target}");
    }
    assert_eq!(desk.records()[2]["stage"], "TEST");
}

#[test]
fn endpoints_have_their_shares() {
    let world =
        World { endpoints: vec![("http://127.0.0.1:1", 2), ("http://127.0.0.1:2", 1)], ..World::default() };
    let desk = Desk::new(world);
    let order: Vec<_> = (0..6).map(|_| desk.call(&with_key("/orders")).unwrap().endpoint).collect();
    assert_eq!(order.iter().filter(|endpoint| endpoint.ends_with(":1")).count(), 4, "{order:?}");
    desk.publish(World { endpoints: vec![("http://127.0.0.1:3", 1)], ..World::default() });
    assert_eq!(desk.call(&with_key("/orders")).unwrap().endpoint, "http://127.0.0.1:3");
}

#[test]
fn only_methods_that_may_be_repeated_are() {
    let desk = Desk::new(World::default());
    for (method, expected) in
        [("GET", true), ("PUT", true), ("DELETE", true), ("POST", false), ("PATCH", false)]
    {
        let asked = desk.ask(&Ask { method: method.into(), ..with_key("/orders") });
        assert_eq!(asked.forward().idempotent, expected, "{method}");
        asked.end().unwrap();
    }
}

fn jwt_world(token: TokenPlace, forward: bool) -> World {
    let (_, jwks) = JwkSet::symmetric("k", &[7; 32]).unwrap();
    let settings = JwtSettings {
        claims_to_headers: vec![ClaimToHeader { claim: "team".into(), header: "X-Team".parse().unwrap() }],
        token,
        forward,
        ..JwtSettings::default()
    };
    let identity_claim = IdentityClaim { name: "uid".into(), value: "ana".into() };
    let mut world = World {
        jwt: Some(JwtBinding { keys: JwtKeys::Own(jwks), settings, identity_claim }),
        ..World::default()
    };
    world.api.admits = Admits::of([CredentialKind::Jwt, CredentialKind::ApiKey]).unwrap();
    world
}

fn token(team: &str) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use hmac::{KeyInit, Mac};
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(serde_json::json!({"alg": "HS256", "kid": "k"}));
    let claims = part(serde_json::json!({"uid": "ana", "team": team, "exp": NOW_MS / 1000 + 60}));
    let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&[7; 32]).unwrap();
    mac.update(format!("{head}.{claims}").as_bytes());
    format!("{head}.{claims}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

#[test]
fn claims_are_set_by_tokens_alone() {
    let desk = Desk::new(jwt_world(TokenPlace::default(), false));
    let bearer = format!("Bearer {}", token("red"));
    let sent =
        desk.call(&Ask::get("/orders").field("Authorization", &bearer).field("x_team", "blue")).unwrap();
    assert_eq!(sent.values("x-team"), ["red"]);
    assert!(sent.values("x_team").is_empty() && sent.values("authorization").is_empty());
    // A caller of another kind must not be able to say what only a token can.
    let sent = desk.call(&with_key("/orders").field("X-Team", "blue").field("X_Team", "blue")).unwrap();
    assert!(sent.values("x-team").is_empty() && sent.values("x_team").is_empty(), "{sent:?}");
    let injected = format!("Bearer {}", token("red\r\nX-Keyward-Account: evil"));
    let sent = desk.call(&Ask::get("/orders").field("Authorization", &injected)).unwrap();
    assert_eq!(sent.values("x-keyward-account"), ["default"]);
}

#[test]
fn a_claim_says_nothing_that_is_ours_to_say() {
    let header = |name: &str| ParameterPlace::Header(name.parse().unwrap());
    let mut world = jwt_world(TokenPlace::default(), false);
    let taken =
        ["X-App-Id", "X_Stage", "X-Backend.Key", "True-Client-IP", "X-HTTP-Method-Override", "CaAppKey"];
    world.jwt.as_mut().unwrap().settings.claims_to_headers.extend(
        taken.iter().map(|name| ClaimToHeader { claim: "team".into(), header: name.parse().unwrap() }),
    );
    world.api.system_parameters = vec![
        parameter(SystemParameterName::AppId, header("X-App-Id")),
        parameter(SystemParameterName::Stage, header("X-Stage")),
        parameter(SystemParameterName::ApiName, header("X-Backend-Key")),
    ];
    let (name, value) = ("X-Backend-Key".parse().unwrap(), Some(Plaintext::new("s3cret")));
    world.service_auth = Some(ServiceAuth::Header { name, value: value.map(Into::into) });
    let desk = Desk::new(world);
    let bearer = format!("Bearer {}", token("evil"));
    let sent = desk.call(&Ask::get("/orders").field("Authorization", &bearer)).unwrap();
    assert_eq!(sent.fields.iter().filter(|(_, value)| value == "evil").count(), 1, "{sent:?}");
    assert_eq!(sent.values("x-team"), ["evil"]);
    assert_eq!(sent.values("x-stage"), ["RELEASE"]);
    assert_eq!(sent.values("x-backend-key"), ["s3cret"], "each of ours is set once");
}

#[test]
fn a_token_in_a_cookie_is_taken_out_alone() {
    let place = TokenPlace::Cookie { name: "session".into(), prefix: "".into() };
    let desk = Desk::new(jwt_world(place, false));
    let cookie = format!("a=1; session={}; b=2", token("red"));
    let sent = desk.call(&Ask::get("/orders").field("Cookie", &cookie)).unwrap();
    assert_eq!(sent.values("cookie"), ["a=1; b=2"]);
}

#[test]
fn a_token_goes_on_where_its_consumer_says_so() {
    let desk = Desk::new(jwt_world(TokenPlace::default(), true));
    let bearer = format!("Bearer {}", token("red"));
    let sent = desk.call(&Ask::get("/orders").field("Authorization", &bearer)).unwrap();
    assert_eq!(sent.values("authorization"), [bearer.as_str()]);
    let sent = desk.call(&Ask::get("/orders").field("Authorization", &format!("Bearer {API_KEY}"))).unwrap();
    assert!(sent.values("authorization").is_empty(), "a key does not go on because tokens do");
}

/// Spellings of a name that a service may take for the name itself.
fn alias(name: &'static str) -> impl Strategy<Value = String> {
    proptest::collection::vec((any::<bool>(), 0..3_usize), name.len()).prop_map(move |choices| {
        let spelled = name.chars().zip(choices).map(|(character, (upper, separator))| match character {
            '-' => ['-', '_', '.'][separator],
            other if upper => other.to_ascii_uppercase(),
            other => other,
        });
        spelled.collect()
    })
}

const OWNED: [&str; 24] = [
    "x-keyward-caller-id",
    "x-keyward-anything",
    "x-consumer-username",
    "x-mse-consumer",
    "x-ca-key",
    "x-ca-app-id",
    "x-ssl-client-dn",
    "caappid",
    "caappextinfo",
    "caclientip",
    "x-forwarded-for",
    "x-forwarded-prefix",
    "forwarded",
    "x-real-ip",
    "x-original-url",
    "x-rewrite-url",
    "x-http-method-override",
    "x-middleware-subrequest",
    "transfer-encoding",
    "content-length",
    "proxy-authorization",
    "x-app-id",
    "x-team",
    "x-backend-key",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn no_owned_name_survives_in_any_spelling(
        names in proptest::collection::vec(proptest::sample::select(&OWNED[..]).prop_flat_map(alias), 1..12),
    ) {
        // Signature fields as such would be taken for a signature; what stands in them is another test's matter.
        let names: Vec<_> = names
            .into_iter()
            .filter(|name| !name.eq_ignore_ascii_case("x-ca-key"))
            .collect();
        let mut world = jwt_world(TokenPlace::default(), false);
        world.api.system_parameters = vec![parameter(
            SystemParameterName::AppId,
            ParameterPlace::Header("X-App-Id".parse().unwrap()),
        )];
        world.service_auth = Some(ServiceAuth::Header {
            name: "X-Backend-Key".parse().unwrap(),
            value: Some(Plaintext::new("s3cret").into()),
        });
        let desk = Desk::new(world);
        let ask = names.iter().fold(with_key("/orders"), |ask, name| ask.field(name, "evil"));
        let sent = desk.call(&ask).unwrap();
        prop_assert!(sent.fields.iter().all(|(_, value)| !value.contains("evil")), "{sent:?}");
        for ours in ["x-keyward-caller-id", "x-keyward-caller-name", "x-keyward-account", "x-keyward-request-id",
                     "x-forwarded-for", "x-real-ip", "forwarded", "host", "x-backend-key"] {
            prop_assert_eq!(sent.values(ours).len(), 1, "{}", ours);
        }
    }

    #[test]
    fn a_query_without_credentials_is_byte_identical(query in "[!-~&&[^#?]]{0,60}") {
        prop_assume!(!query.split('&').any(|pair| {
            let name = pair.split('=').next().unwrap_or_default().to_lowercase();
            name.contains('%') || name == "apikey"
        }));
        let desk = Desk::new(World::default());
        let sent = desk.call(&with_key(&format!("/orders?{query}"))).unwrap();
        prop_assert_eq!(sent.line, format!("GET /base/orders?{query} HTTP/1.1"));
    }

    #[test]
    fn no_value_that_was_sent_starts_a_field_or_a_record(text in "\\PC{0,40}") {
        let world = World { extension: Some(text.clone()), ..World::default() };
        let mut declaring = world;
        declaring.api.system_parameters = vec![
            parameter(SystemParameterName::AppExtInfo, ParameterPlace::Header("X-Ext".parse().unwrap())),
            parameter(SystemParameterName::AppExtInfo, ParameterPlace::Query("ext".into())),
        ];
        let desk = Desk::new(declaring);
        let sent = desk.call(&Ask::get("/orders").signed("nonce-0123456789abcdef")).unwrap();
        prop_assert_eq!(sent.values("x-ext").len(), 1);
        prop_assert!(sent.line.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        prop_assert_eq!(sent.line.matches(' ').count(), 2);
        prop_assert_eq!(desk.records().len(), 1);
    }
}
