//! The attack catalogue against operators: the first one, signing in, sessions, tokens, and handing out more than one has.

use keyward_control::Actor;
use keyward_model::{Role, Timestamp};
use keyward_testkit::client::{Answer, Connection};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::operators::{Operating, json, password};
use keyward_testkit::request::Request;
use serde_json::Value;

const EMPTY: &str = "version: 1\naccounts: [{name: theirs}]\n";

async fn sign_in(gateway: &Gateway, name: &str, password: &str) -> Answer {
    let body = serde_json::json!({"name": name, "password": password}).to_string();
    gateway.admin_anonymous(&json("POST", "/v1/session", &body)).await
}

/// The cookie and the CSRF token of a session that began.
fn session(answer: &Answer) -> (String, String) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let cookie = answer.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned();
    (cookie, answer.json()["csrf"].as_str().expect("a CSRF token").to_owned())
}

fn problem(answer: &Answer) -> String {
    answer.json()["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn admin_002_of_two_first_operators_at_once_one_is_made_and_the_way_in_is_closed() {
    let gateway = Gateway::start(EMPTY).await;
    let one_time =
        gateway.node().bootstrap_password().expect("a one-time password").expose_secret().to_owned();
    let body = |name: &str, one_time: &str| {
        serde_json::json!({"one_time_password": one_time, "name": name, "password": "correct horse battery"})
            .to_string()
    };
    let wrong = gateway.admin_anonymous(&json("POST", "/v1/bootstrap", &body("eve", "kw_bootstrap_x"))).await;
    assert_eq!((wrong.status, problem(&wrong).as_str()), (401, "sign_in_failed"), "{}", wrong.text());
    let in_query = format!("/v1/bootstrap?one_time_password={one_time}");
    let in_query = gateway.admin_anonymous(&json("POST", &in_query, &body("eve", "kw_bootstrap_x"))).await;
    assert!(matches!(in_query.status, 401 | 422), "{}", in_query.text());

    let (alice, bob) = (body("alice", &one_time), body("bob", &one_time));
    let (alice, bob) = (json("POST", "/v1/bootstrap", &alice), json("POST", "/v1/bootstrap", &bob));
    let (alice, bob) = tokio::join!(gateway.admin_anonymous(&alice), gateway.admin_anonymous(&bob));
    let mut statuses = [alice.status, bob.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 410], "{} {}", alice.text(), bob.text());
    let owners =
        gateway.node().control().operators().list(&Actor::LocalToken, Default::default()).await.unwrap();
    assert_eq!(owners.items.len(), 1);
    let again = gateway.admin_anonymous(&json("POST", "/v1/bootstrap", &body("carol", &one_time))).await;
    assert_eq!((again.status, problem(&again).as_str()), (410, "bootstrap_closed"));
    // Nor does a restart open it again.
    let gateway = gateway.restart().await;
    assert!(gateway.node().bootstrap_password().is_none());
    let again = gateway.admin_anonymous(&json("POST", "/v1/bootstrap", &body("carol", &one_time))).await;
    assert_eq!(again.status, 410);
}

#[tokio::test]
async fn admin_002_the_one_time_password_holds_for_an_hour() {
    let gateway = Gateway::start(EMPTY).await;
    let one_time =
        gateway.node().bootstrap_password().expect("a one-time password").expose_secret().to_owned();
    gateway.advance_ms(3_600_000);
    let body = serde_json::json!({"one_time_password": one_time, "name": "eve", "password": "correct horse battery"});
    let late = gateway.admin_anonymous(&json("POST", "/v1/bootstrap", &body.to_string())).await;
    assert_eq!((late.status, problem(&late).as_str()), (410, "bootstrap_closed"));
}

#[tokio::test]
async fn admin_006_nobody_hands_out_more_than_they_have() {
    let gateway = Gateway::start(EMPTY).await;
    let developer = gateway.operator("dev", &[(Some("default"), Role::Developer)]).await;
    let admin = gateway.operator("adm", &[(Some("default"), Role::Admin)]).await;
    let owner = gateway.operator("own", &[(Some("default"), Role::Owner)]).await;
    for body in [
        r#"{"name": "x", "role": "owner"}"#,
        r#"{"name": "x", "role": "admin"}"#,
        r#"{"name": "x", "role": "auditor"}"#,
        r#"{"name": "x", "accounts": ["theirs"]}"#,
        r#"{"name": "x", "role": "developer", "accounts": ["default", "theirs"]}"#,
    ] {
        let made = gateway.admin_as(&developer, "POST", "/v1/operators/dev/tokens", body).await;
        assert!(matches!(made.status, 403 | 422), "{body}: {}", made.text());
    }
    // What is less than one has may be handed out, and is no more than that.
    let less = gateway
        .admin_as(&developer, "POST", "/v1/operators/dev/tokens", r#"{"name": "x", "role": "viewer"}"#)
        .await;
    assert_eq!(less.status, 201, "{}", less.text());
    let viewer = keyward_testkit::operators::Operating {
        name: "dev".to_owned(),
        token: less.json()["value"].as_str().unwrap().to_owned(),
    };
    assert_eq!(gateway.admin_as(&viewer, "GET", "/v1/applications", "").await.status, 200);
    let made = gateway.admin_as(&viewer, "POST", "/v1/applications", r#"{"name": "a"}"#).await;
    assert_eq!((made.status, problem(&made).as_str()), (403, "role_lacking"), "{}", made.text());
    // Nor may a token of less make one of more, or for somebody else.
    let more = gateway.admin_as(&viewer, "POST", "/v1/operators/dev/tokens", r#"{"name": "y"}"#).await;
    assert_eq!(more.status, 403, "{}", more.text());
    let other = gateway.admin_as(&admin, "POST", "/v1/operators/own/tokens", r#"{"name": "y"}"#).await;
    assert_eq!(other.status, 403, "{}", other.text());

    // Operators are the owners' to make, in the accounts that they own.
    for (who, body, status) in [
        (&developer, r#"{"name": "n", "roles": [{"role": "viewer", "account": "default"}]}"#, 403),
        (&admin, r#"{"name": "n", "roles": [{"role": "viewer", "account": "default"}]}"#, 403),
        (&owner, r#"{"name": "n", "roles": [{"role": "owner"}]}"#, 403),
        (&owner, r#"{"name": "n", "roles": [{"role": "viewer", "account": "theirs"}]}"#, 422),
        (&owner, r#"{"name": "n", "roles": [{"role": "admin", "account": "default"}]}"#, 201),
    ] {
        let made = gateway.admin_as(who, "POST", "/v1/operators", body).await;
        assert_eq!(made.status, status, "{} {body}: {}", who.name, made.text());
    }
    let mightier =
        gateway.admin_as(&owner, "PATCH", "/v1/operators/own", r#"{"roles": [{"role": "owner"}]}"#).await;
    assert_eq!(mightier.status, 403, "{}", mightier.text());
    let own = gateway
        .admin_as(
            &developer,
            "PATCH",
            "/v1/operators/dev",
            r#"{"roles": [{"role": "owner", "account": "default"}]}"#,
        )
        .await;
    assert_eq!(own.status, 403, "{}", own.text());
}

#[tokio::test]
async fn admin_006_a_token_has_what_its_operator_has_when_it_is_used() {
    let gateway = Gateway::start(EMPTY).await;
    let developer = gateway.operator("dev", &[(Some("default"), Role::Developer)]).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let make = |name: &str| format!(r#"{{"name": "{name}"}}"#);
    assert_eq!(gateway.admin_as(&developer, "POST", "/v1/applications", &make("a")).await.status, 201);
    let demoted = gateway
        .admin_as(
            &owner,
            "PATCH",
            "/v1/operators/dev",
            r#"{"roles": [{"role": "viewer", "account": "default"}]}"#,
        )
        .await;
    assert_eq!(demoted.status, 200, "{}", demoted.text());
    assert_eq!(gateway.admin_as(&developer, "POST", "/v1/applications", &make("b")).await.status, 403);
    assert_eq!(gateway.admin_as(&developer, "GET", "/v1/applications", "").await.status, 200);
    assert_eq!(gateway.admin_as(&owner, "POST", "/v1/operators/dev/disable", "").await.status, 200);
    assert_eq!(gateway.admin_as(&developer, "GET", "/v1/applications", "").await.status, 401);
    assert_eq!(gateway.admin_as(&owner, "POST", "/v1/operators/dev/enable", "").await.status, 200);
    assert_eq!(gateway.admin_as(&developer, "GET", "/v1/applications", "").await.status, 200);
    gateway.advance_ms(91 * 86_400_000);
    assert_eq!(gateway.admin_as(&developer, "GET", "/v1/applications", "").await.status, 401, "it has ended");
}

#[tokio::test]
async fn admin_008_who_only_reads_changes_nothing_and_sees_no_secret() {
    let gateway = Gateway::start(
        "version: 1\napplications: [{name: A}]\nconsumers: [{name: K, api_key: {sources: [bearer]}}]\n",
    )
    .await;
    let auditor = gateway.operator("aud", &[(Some("default"), Role::Auditor)]).await;
    let application = gateway.admin_as(&auditor, "GET", "/v1/applications/A", "").await;
    assert_eq!(application.status, 200, "{}", application.text());
    let pair = application.json()["credentials"][0]["id"].as_str().unwrap().to_owned();
    let revealed =
        gateway.node().control().credentials().reveal(&Actor::LocalToken, pair.parse().unwrap()).await;
    assert!(!application.text().contains(revealed.unwrap().value.expose_secret()), "{}", application.text());
    let before = gateway.node().control().revision();
    for route in keyward_api::Route::ALL.iter().filter(|route| route.is_write()) {
        if matches!(route.noun(), "session" | "operator_token" | "leak") {
            continue;
        }
        let segments = route.segments().map(|segment| match segment.name {
            "stage" => "RELEASE",
            "kind" => "applications",
            _ if route.noun() == "credential" => pair.as_str(),
            _ => "A",
        });
        let target = route.fill(segments);
        let tried = gateway.admin_as(&auditor, route.method().as_str(), &target, "{}").await;
        assert_eq!(tried.status, 403, "{route:?}: {}", tried.text());
    }
    assert_eq!(gateway.node().control().revision(), before);
    let overridden = Request::get("localhost", "/v1/applications/A")
        .header("X-HTTP-Method-Override", "DELETE")
        .bearer(&auditor.token);
    assert_eq!(gateway.admin_anonymous(&overridden).await.status, 200);
    assert_eq!(
        gateway.admin_as(&auditor, "GET", "/v1/applications/A", "").await.status,
        200,
        "it is still there"
    );
}

#[tokio::test]
async fn admin_010_the_last_owner_stays_one() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    for (method, target, body) in [
        ("DELETE", "/v1/operators/own", ""),
        ("POST", "/v1/operators/own/disable", ""),
        ("PATCH", "/v1/operators/own", r#"{"roles": [{"role": "admin"}]}"#),
        ("PATCH", "/v1/operators/own", r#"{"roles": []}"#),
    ] {
        let tried = gateway.admin_as(&owner, method, target, body).await;
        assert_eq!((tried.status, problem(&tried).as_str()), (409, "last_owner"), "{method} {body}");
    }
    gateway.operator("second", &[(None, Role::Owner)]).await;
    assert_eq!(gateway.admin_as(&owner, "DELETE", "/v1/operators/own", "").await.status, 200);
    assert_eq!(
        gateway.admin_as(&owner, "GET", "/v1/operators", "").await.status,
        401,
        "gone with its tokens"
    );
}

#[tokio::test]
async fn admin_016_a_known_and_an_unknown_name_look_alike() {
    let gateway = Gateway::start(EMPTY).await;
    gateway.operator("alice", &[(None, Role::Owner)]).await;
    gateway.operator("disabled", &[(Some("default"), Role::Viewer)]).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    assert_eq!(gateway.admin_as(&owner, "POST", "/v1/operators/disabled/disable", "").await.status, 200);
    let mut told = Vec::new();
    for (name, word) in [
        ("alice", "not the password"),
        ("nobody", "not the password"),
        ("no\tname", "not the password"),
        ("disabled", password("disabled").as_str()),
    ] {
        let answer = sign_in(&gateway, name, word).await;
        let body: Value = answer.json();
        let heads: Vec<_> = ["content-type", "www-authenticate", "cache-control", "set-cookie"]
            .map(|name| answer.header(name).map(str::to_owned))
            .into();
        told.push((answer.status, body, heads));
    }
    assert_eq!(told[0].0, 401);
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
}

#[tokio::test]
async fn guessing_is_slowed_down_by_name_and_by_source() {
    let gateway = Gateway::start(EMPTY).await;
    gateway.operator("alice", &[(None, Role::Owner)]).await;
    let mut statuses = Vec::new();
    for guess in 0..7 {
        statuses.push(sign_in(&gateway, "alice", &format!("guess number {guess}")).await.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 401, 401, 429]);
    let right = sign_in(&gateway, "alice", &password("alice")).await;
    assert_eq!(
        (right.status, problem(&right).as_str()),
        (429, "sign_in_waits"),
        "the right one waits as well"
    );
    assert!(right.header("retry-after").is_some(), "{}", right.text());
    gateway.advance_ms(5_000);
    assert_eq!(sign_in(&gateway, "alice", &password("alice")).await.status, 200);
}

#[tokio::test]
async fn admin_018_a_sessions_cookie_is_kept_from_scripts_and_other_sites_and_ends() {
    let gateway = Gateway::start(EMPTY).await;
    gateway.operator("alice", &[(None, Role::Owner)]).await;
    let first = sign_in(&gateway, "alice", &password("alice")).await;
    let set = first.header("set-cookie").expect("a cookie").to_owned();
    assert!(set.starts_with("__Host-"), "{set}");
    for attribute in ["; Secure", "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(set.contains(attribute), "{set} has no {attribute}");
    }
    assert!(!set.contains("Domain"), "{set}");
    let (cookie, csrf) = session(&first);
    assert_eq!(cookie.split_once('=').unwrap().1.len(), 64, "256 bits");
    let (second, _) = session(&sign_in(&gateway, "alice", &password("alice")).await);
    assert_ne!(cookie, second);
    let show = |cookie: &str| Request::get("localhost", "/v1/session").header("Cookie", cookie);
    assert_eq!(gateway.admin_anonymous(&show(&cookie)).await.status, 200);

    // Signing out ends it on the server, not only in the browser.
    let out = Request::get("localhost", "/v1/session")
        .method("DELETE")
        .header("Cookie", &cookie)
        .header("Origin", "http://localhost")
        .header("X-Keyward-Csrf", &csrf);
    assert_eq!(gateway.admin_anonymous(&out).await.status, 200);
    assert_eq!(gateway.admin_anonymous(&show(&cookie)).await.status, 401);
    assert_eq!(gateway.admin_anonymous(&show(&second)).await.status, 200, "the other session goes on");

    // It ends unused after half an hour, and in any case after twelve.
    gateway.advance_ms(29 * 60_000);
    assert_eq!(gateway.admin_anonymous(&show(&second)).await.status, 200);
    gateway.advance_ms(29 * 60_000);
    assert_eq!(gateway.admin_anonymous(&show(&second)).await.status, 200, "use keeps it");
    gateway.advance_ms(31 * 60_000);
    assert_eq!(gateway.admin_anonymous(&show(&second)).await.status, 401, "idle");
    let (long, _) = session(&sign_in(&gateway, "alice", &password("alice")).await);
    for _ in 0..12 * 3 {
        gateway.advance_ms(20 * 60_000);
        let _ = gateway.admin_anonymous(&show(&long)).await;
    }
    assert_eq!(gateway.admin_anonymous(&show(&long)).await.status, 401, "twelve hours");
}

#[tokio::test]
async fn admin_018_a_change_of_rights_or_password_ends_every_session() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    gateway.operator("alice", &[(Some("default"), Role::Admin)]).await;
    let show = |cookie: &str| Request::get("localhost", "/v1/session").header("Cookie", cookie);
    for body in [
        r#"{"roles": [{"role": "viewer", "account": "default"}]}"#,
        r#"{"password": "another long password"}"#,
    ] {
        let word = password("alice");
        let (cookie, _) = session(&sign_in(&gateway, "alice", &word).await);
        assert_eq!(gateway.admin_as(&owner, "PATCH", "/v1/operators/alice", body).await.status, 200);
        assert_eq!(gateway.admin_anonymous(&show(&cookie)).await.status, 401, "{body}");
    }
    let (cookie, csrf) = session(&sign_in(&gateway, "alice", "another long password").await);
    let change = |old: &str| {
        let body = serde_json::json!({"old_password": old, "password": "a third long password"}).to_string();
        json("POST", "/v1/session/password", &body)
            .header("Cookie", &cookie)
            .header("Origin", "http://localhost")
            .header("X-Keyward-Csrf", &csrf)
    };
    let wrong = gateway.admin_anonymous(&change("not the old one")).await;
    assert_eq!((wrong.status, problem(&wrong).as_str()), (403, "password_wrong"), "{}", wrong.text());
    assert_eq!(gateway.admin_anonymous(&change("another long password")).await.status, 200);
    assert_eq!(gateway.admin_anonymous(&show(&cookie)).await.status, 401);
    session(&sign_in(&gateway, "alice", "a third long password").await);
}

#[tokio::test]
async fn admin_020_a_write_from_another_sites_page_is_refused() {
    let gateway = Gateway::start(EMPTY).await;
    gateway.operator("alice", &[(None, Role::Owner)]).await;
    gateway.operator("bob", &[(None, Role::Owner)]).await;
    let (cookie, csrf) = session(&sign_in(&gateway, "alice", &password("alice")).await);
    let (_, of_bob) = session(&sign_in(&gateway, "bob", &password("bob")).await);
    let write = |headers: &[(&str, &str)]| {
        let request = json("POST", "/v1/applications", r#"{"name": "forged"}"#).header("Cookie", &cookie);
        headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    };
    for headers in [
        vec![],
        vec![("Origin", "http://localhost")],
        vec![("X-Keyward-Csrf", csrf.as_str())],
        vec![("Origin", "http://localhost"), ("X-Keyward-Csrf", "0000")],
        vec![("Origin", "http://localhost"), ("X-Keyward-Csrf", of_bob.as_str())],
        vec![("Origin", "http://evil.test"), ("X-Keyward-Csrf", csrf.as_str())],
        vec![("Origin", "null"), ("X-Keyward-Csrf", csrf.as_str())],
        vec![("Origin", "http://localhost:1"), ("X-Keyward-Csrf", csrf.as_str())],
        vec![
            ("Origin", "http://localhost"),
            ("Origin", "http://evil.test"),
            ("X-Keyward-Csrf", csrf.as_str()),
        ],
    ] {
        let answer = gateway.admin_anonymous(&write(&headers)).await;
        assert_eq!(answer.status, 403, "{headers:?}: {}", answer.text());
    }
    let own = [("Origin", "http://localhost"), ("X-Keyward-Csrf", csrf.as_str())];
    assert_eq!(gateway.admin_anonymous(&write(&own)).await.status, 201);
    // Nor does another site's page sign anybody in.
    let body = serde_json::json!({"name": "alice", "password": password("alice")}).to_string();
    let forged = json("POST", "/v1/session", &body).header("Origin", "http://evil.test");
    assert_eq!(gateway.admin_anonymous(&forged).await.status, 403);
}

#[tokio::test]
async fn admin_028_whoever_is_not_known_holds_nothing_up() {
    let gateway = Gateway::start(EMPTY).await;
    let one_time =
        gateway.node().bootstrap_password().expect("a one-time password").expose_secret().to_owned();
    // Half requests of many, left hanging.
    let mut held = Vec::new();
    for _ in 0..64 {
        let mut connection =
            keyward_testkit::client::Connection::open(gateway.admin_address()).await.unwrap();
        connection
            .send(b"POST /v1/bootstrap HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
            .await
            .unwrap();
        held.push(connection);
    }
    let body = serde_json::json!({"one_time_password": one_time, "name": "alice", "password": "correct horse battery"});
    let first = gateway.admin_anonymous(&json("POST", "/v1/bootstrap", &body.to_string())).await;
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(held.len(), 64);
}

#[tokio::test]
async fn a_role_in_one_account_opens_no_audit_review_or_operators_of_another() {
    let gateway = Gateway::start(EMPTY).await;
    let mixed = [(Some("default"), Role::Viewer), (Some("theirs"), Role::Owner)];
    let mixed = gateway.operator("mixed", &mixed).await;
    let other = gateway.operator("other", &[(Some("default"), Role::Developer)]).await;
    let made = gateway.admin_as(&other, "POST", "/v1/applications", r#"{"name": "canary-app"}"#).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let theirs = r#"{"name": "their-app", "account": "theirs"}"#;
    assert_eq!(gateway.admin_as(&mixed, "POST", "/v1/applications", theirs).await.status, 201);
    for target in ["/v1/audit", "/v1/audit/export", "/v1/access-review"] {
        let own = gateway.admin_as(&mixed, "GET", target, "").await;
        assert_eq!(own.status, 200, "{target}: {}", own.text());
        assert!(own.text().contains("their-app"), "{target}: {}", own.text());
        assert!(!own.text().contains("canary-app"), "{target}: {}", own.text());
        let named = gateway.admin_as(&mixed, "GET", &format!("{target}?account=default"), "").await;
        assert_eq!((named.status, problem(&named).as_str()), (403, "role_lacking"), "{target}");
    }
    let operators = gateway.admin_as(&mixed, "GET", "/v1/operators", "").await;
    assert!(!operators.text().contains("other"), "{}", operators.text());
    for target in ["/v1/operators/other", "/v1/operators/other/tokens", "/v1/operators?account=default"] {
        let shown = gateway.admin_as(&mixed, "GET", target, "").await;
        assert_eq!(
            (shown.status, problem(&shown).as_str()),
            (403, "role_lacking"),
            "{target}: {}",
            shown.text()
        );
    }
    let own = gateway.admin_as(&mixed, "GET", "/v1/operators/mixed/tokens", "").await;
    assert_eq!(own.status, 200, "{}", own.text());
}

#[tokio::test]
async fn figures_of_all_accounts_are_for_those_with_a_role_everywhere() {
    let gateway = Gateway::start(EMPTY).await;
    let here = gateway.operator("here", &[(Some("default"), Role::Owner)]).await;
    let refused = gateway.admin_as(&here, "GET", "/metrics", "").await;
    assert_eq!((refused.status, problem(&refused).as_str()), (403, "role_lacking"), "{}", refused.text());
    let everywhere = gateway.operator("everywhere", &[(None, Role::Viewer)]).await;
    assert_eq!(gateway.admin_as(&everywhere, "GET", "/metrics", "").await.status, 200);
}

#[tokio::test]
async fn a_token_makes_none_that_outlives_it() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let until = Timestamp::from_millis(gateway.now_ms() + 3_600_000).to_string();
    let short = format!(r#"{{"name": "short", "valid_until": "{until}"}}"#);
    let short = gateway.admin_as(&owner, "POST", "/v1/operators/own/tokens", &short).await;
    let short = Operating { name: "own".into(), token: short.json()["value"].as_str().unwrap().into() };
    let usual = gateway.admin_as(&short, "POST", "/v1/operators/own/tokens", r#"{"name": "a"}"#).await;
    assert_eq!(
        (usual.status, usual.json()["valid_until"].as_str()),
        (201, Some(&*until)),
        "{}",
        usual.text()
    );
    let later = Timestamp::from_millis(gateway.now_ms() + 3_600_001).to_string();
    let longer = format!(r#"{{"name": "b", "valid_until": "{later}"}}"#);
    let longer = gateway.admin_as(&short, "POST", "/v1/operators/own/tokens", &longer).await;
    assert_eq!((longer.status, problem(&longer).as_str()), (403, "more_than_held"), "{}", longer.text());
}

#[tokio::test]
async fn a_password_that_was_changed_meanwhile_begins_no_session() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    gateway.operator("pat", &[(Some("default"), Role::Viewer)]).await;
    let mut old = password("pat");
    let mut begun = 0;
    for round in 0..12 {
        let new = format!("another password {round}");
        let change = serde_json::json!({"password": new}).to_string();
        let (signed, changed) = tokio::join!(
            sign_in(&gateway, "pat", &old),
            gateway.admin_as(&owner, "PATCH", "/v1/operators/pat", &change)
        );
        assert_eq!(changed.status, 200, "{}", changed.text());
        if signed.status == 200 {
            begun += 1;
            let (cookie, _) = session(&signed);
            let asked = Request::get("localhost", "/v1/session").header("Cookie", &cookie);
            let asked = gateway.admin_anonymous(&asked).await;
            assert_eq!(asked.status, 401, "round {round}: a session of the old password: {}", asked.text());
        }
        old = new;
        gateway.advance_ms(600_000);
    }
    assert!(begun <= 12);
}

#[tokio::test]
async fn failures_of_some_keep_nobody_else_behind_the_same_address_out() {
    let gateway = Gateway::start(EMPTY).await;
    gateway.operator("own", &[(None, Role::Owner)]).await;
    for number in 0..12 {
        assert_eq!(sign_in(&gateway, &format!("nobody-{number}"), "wrong password!").await.status, 401);
    }
    assert_eq!(sign_in(&gateway, "own", &password("own")).await.status, 200);
}

#[tokio::test]
async fn the_own_password_is_not_found_out_by_trying() {
    let gateway = Gateway::start(EMPTY).await;
    gateway.operator("own", &[(None, Role::Owner)]).await;
    let (cookie, csrf) = session(&sign_in(&gateway, "own", &password("own")).await);
    let attempt = |old: &str| {
        let body = serde_json::json!({"old_password": old, "password": "a new password of mine"});
        json("POST", "/v1/session/password", &body.to_string())
            .header("Cookie", &cookie)
            .header("X-Keyward-Csrf", &csrf)
            .header("Origin", "http://localhost")
    };
    let mut waits = 0;
    for _ in 0..8 {
        let answer = gateway.admin_anonymous(&attempt("wrong password!")).await;
        match answer.status {
            403 => assert_eq!(problem(&answer), "password_wrong", "{}", answer.text()),
            429 => waits += 1,
            other => panic!("{other}: {}", answer.text()),
        }
    }
    assert!(waits > 0, "nothing slowed it down");
    let right = gateway.admin_anonymous(&attempt(&password("own"))).await;
    assert_eq!(right.status, 429, "not even the right one, for a moment: {}", right.text());
    gateway.advance_ms(60_000);
    let right = gateway.admin_anonymous(&attempt(&password("own"))).await;
    assert_eq!(right.status, 200, "{}", right.text());
}

#[tokio::test]
async fn half_a_request_is_not_waited_for_without_end() {
    let gateway = Gateway::start(EMPTY).await;
    let owner = gateway.operator("own", &[(None, Role::Owner)]).await;
    let half_head = b"GET /v1/accounts HTTP/1.1\r\nHost: localhost\r\nAuthor".to_vec();
    let half_body = format!(
        "POST /v1/applications HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: \
         application/json\r\nContent-Length: 100\r\n\r\n{{\"name\"",
        owner.token
    );
    let mut closed = tokio::task::JoinSet::new();
    for bytes in [half_head, half_body.into_bytes()] {
        let mut connection = Connection::open(gateway.admin_address()).await.unwrap();
        closed.spawn(async move {
            connection.send(&bytes).await.unwrap();
            connection.until_closed().await
        });
    }
    while let Some(closed) = closed.join_next().await {
        let told = String::from_utf8(closed.unwrap().unwrap()).unwrap();
        assert!(told.is_empty() || told.starts_with("HTTP/1.1 4"), "{told}");
    }
    let made = gateway.node().control().applications().list(&Actor::LocalToken, Default::default()).await;
    assert!(made.unwrap().items.is_empty());
}
