//! Operators sign in through a real OpenID provider, in a browser, page by page.

use keyward_testkit::browser::{Browser, parameter, redirect};
use keyward_testkit::client::Answer;
use keyward_testkit::gateway::{Gateway, Setup};
use keyward_testkit::identity_provider::{OidcProvider, SITE, open_id};
use keyward_testkit::request::Request;
use serde_json::json;

const EMPTY: &str = "version: 1\n";
const SESSION: &str = "__Host-keyward-session";

async fn start(provider: &OidcProvider, client_id: &str, secret: Option<&str>) -> Gateway {
    let open_id = Some(open_id(provider.issuer(), client_id, secret));
    Gateway::start_with(EMPTY, Setup { real_clock: true, open_id, ..Setup::default() }).await
}

/// Makes an operator who is this subject there.
async fn link(gateway: &Gateway, name: &str, issuer: &str, subject: &str) {
    let body = json!({"name": name, "roles": [{"role": "owner"}], "identities": [{"issuer": issuer, "subject": subject}]});
    let request = Request::get("localhost", "/v1/operators").method("POST");
    let request = request.header("Content-Type", "application/json").body(body.to_string());
    let made = gateway.admin(request).await;
    assert_eq!(made.status, 201, "{}", made.text());
}

fn site(path: &str) -> String {
    format!("https://{SITE}{path}")
}

/// Goes through the provider's pages as this person, up to the page to which it leads back.
async fn sign_in(browser: &mut Browser, person: &str) -> Answer {
    let mut page = browser.open(&site("/sign-in/oidc")).await;
    for _ in 0..3 {
        if browser.at.contains("/interaction/") {
            page = browser.submit(&page, &[("login", person), ("password", "any")]).await;
        }
    }
    page
}

/// Who is signed in there.
async fn who(gateway: &Gateway, browser: &Browser) -> Option<String> {
    let cookie = browser.cookie(SITE, SESSION)?;
    let request = Request::get(SITE, "/v1/session").header("Cookie", &format!("{SESSION}={cookie}"));
    let answer = gateway.admin_anonymous(&request).await;
    answer.json()["name"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn an_operator_signs_in_through_the_provider_and_the_audit_says_so() {
    let provider = OidcProvider::start().await;
    for (client_id, secret) in [("keyward", Some("secret of keyward: &+%")), ("open", None)] {
        let gateway = start(&provider, client_id, secret).await;
        link(&gateway, "alice", provider.issuer(), "alice-7").await;
        let mut browser = Browser::new(SITE, gateway.admin_address());
        let page = browser.open(&site("/sign-in")).await;
        let authority = provider.issuer().trim_start_matches("http://");
        assert!(
            page.text().contains("href=\"/sign-in/oidc\"") && page.text().contains(authority),
            "{}",
            page.text()
        );
        let back = sign_in(&mut browser, "alice-7").await;
        assert_eq!(back.status, 200, "{client_id}: {} {}", browser.at, back.text());
        // The page leads on by itself, to one place and no other.
        assert!(back.text().contains("content=\"0; url=/docs\""), "{}", back.text());
        assert_eq!(who(&gateway, &browser).await.as_deref(), Some("alice"));
        let set: Vec<&str> =
            back.headers.iter().filter(|(n, _)| n == "set-cookie").map(|(_, v)| v.as_str()).collect();
        let session = set.iter().find(|line| line.starts_with(SESSION)).expect("a session");
        assert!(session.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict"), "{session}");
        assert!(set.iter().any(|line| line.starts_with("__Host-keyward-sign-in=;")), "{set:?}");

        let audit = gateway.admin(Request::get("localhost", "/v1/audit?limit=1000")).await.text();
        assert!(audit.contains("session.create") && audit.contains(provider.issuer()), "{audit}");
        let code = parameter(&browser.at, "code").expect("a code");
        assert!(!audit.contains(&code), "a code is in the audit");
        for (path, bytes) in gateway.data_files() {
            let text = String::from_utf8_lossy(&bytes);
            assert!(
                !text.contains(&code) && !secret.is_some_and(|secret| text.contains(secret)),
                "{}",
                path.display()
            );
        }
    }
}

#[tokio::test]
async fn a_secret_is_sent_as_the_node_was_set_up() {
    let provider = OidcProvider::start().await;
    let gateway = start(&provider, "keyward", Some("not the secret")).await;
    link(&gateway, "alice", provider.issuer(), "alice").await;
    let mut browser = Browser::new(SITE, gateway.admin_address());
    let back = sign_in(&mut browser, "alice").await;
    assert_eq!(back.status, 401, "{}", back.text());
    assert!(
        back.text().contains("invalid_client") && !back.text().contains("not the secret"),
        "{}",
        back.text()
    );
    assert_eq!(who(&gateway, &browser).await, None);
}

#[tokio::test]
async fn nobody_becomes_an_operator_by_signing_in_and_the_page_says_what_to_do() {
    let provider = OidcProvider::start().await;
    let gateway = start(&provider, "open", None).await;
    link(&gateway, "alice", provider.issuer(), "alice").await;
    link(&gateway, "elsewhere", "https://other.example", "mallory").await;
    let mut browser = Browser::new(SITE, gateway.admin_address());
    // A subject is compared exactly, and what is linked at another provider is somebody else.
    for person in ["Alice", "mallory", "alice@example.com"] {
        let mut browser = Browser::new(SITE, gateway.admin_address());
        let back = sign_in(&mut browser, person).await;
        assert_eq!(back.status, 401, "{person}: {}", back.text());
        assert!(
            back.text().contains("identity_unknown") && back.text().contains(provider.issuer()),
            "{}",
            back.text()
        );
        assert_eq!(who(&gateway, &browser).await, None, "{person}");
    }
    let mut script = Browser::new(SITE, gateway.admin_address());
    let back = sign_in(&mut script, "<script>x</script>").await;
    assert!(back.status == 401 && !back.text().contains("<script>"), "{}", back.text());
    // The first who is turned away can be let in without leaving the page.
    link(&gateway, "mallory", provider.issuer(), "mallory").await;
    assert_eq!(sign_in(&mut browser, "mallory").await.status, 200);
    assert_eq!(who(&gateway, &browser).await.as_deref(), Some("mallory"));
}

#[tokio::test]
async fn what_the_provider_sent_back_is_worth_something_once() {
    let provider = OidcProvider::start().await;
    let gateway = start(&provider, "open", None).await;
    link(&gateway, "alice", provider.issuer(), "alice").await;
    let mut browser = Browser::new(SITE, gateway.admin_address());
    let begun = browser.visit(&site("/sign-in/oidc")).await;
    let under_way = browser.cookie(SITE, "__Host-keyward-sign-in").expect("a cookie").to_owned();
    let mut page = browser.open(redirect(&begun).expect("a redirect")).await;
    for _ in 0..3 {
        if browser.at.contains("/interaction/") {
            page = browser.submit(&page, &[("login", "alice"), ("password", "any")]).await;
        }
    }
    assert_eq!(page.status, 200, "{}", page.text());
    let back = browser.at.clone();
    // The same again, as a browser has it, and as a thief has it who has the cookie, too.
    let again = browser.visit(&back).await;
    assert_eq!(again.status, 401, "{}", again.text());
    let mut thief = Browser::new(SITE, gateway.admin_address());
    thief.set_cookie(SITE, "__Host-keyward-sign-in", &under_way);
    let again = thief.visit(&back).await;
    assert_eq!(again.status, 401, "{}", again.text());
    assert!(again.text().contains("invalid_grant"), "the provider was asked, and knows it: {}", again.text());
    assert!(thief.cookie(SITE, SESSION).is_none());
    let without_cookie = Browser::new(SITE, gateway.admin_address()).visit(&back).await;
    assert!(without_cookie.text().contains("sign_in_not_begun"), "{}", without_cookie.text());
}

#[tokio::test]
async fn where_the_provider_is_away_passwords_go_on() {
    let mut provider = OidcProvider::start().await;
    let gateway = start(&provider, "open", None).await;
    gateway.operator("bob", &[]).await;
    provider.kill();
    let mut browser = Browser::new(SITE, gateway.admin_address());
    let page = browser.open(&site("/sign-in/oidc")).await;
    assert_eq!(page.status, 503, "{}", page.text());
    assert!(
        page.text().contains("sign in with a password") && page.text().contains("href=\"/sign-in\""),
        "{}",
        page.text()
    );
    let body = json!({"name": "bob", "password": keyward_testkit::operators::password("bob")}).to_string();
    let signed =
        gateway.admin_anonymous(&keyward_testkit::operators::json("POST", "/v1/session", &body)).await;
    assert_eq!(signed.status, 200, "{}", signed.text());
}
