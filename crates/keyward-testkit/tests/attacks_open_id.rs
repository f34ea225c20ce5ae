//! Attacks on signing in through a provider, with a provider that says whatever the attacker wants.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_testkit::browser::{Browser, parameter, redirect};
use keyward_testkit::client::Answer;
use keyward_testkit::gateway::{Gateway, Setup};
use keyward_testkit::identity_provider::{IdentityProvider, SITE, open_id};
use keyward_testkit::key_server::SigningKey;
use keyward_testkit::operators::json as request;
use keyward_testkit::request::Request;
use serde_json::{Value, json};

const SESSION: &str = "__Host-keyward-session";
const UNDER_WAY: &str = "__Host-keyward-sign-in";

/// A node, its provider, and the provider's key. The operator `alice` is the subject `alice` there.
struct Place {
    gateway: Gateway,
    provider: IdentityProvider,
    key: SigningKey,
}

/// A sign-in that a browser has begun.
struct Begun {
    browser: Browser,
    state: String,
    nonce: String,
    location: String,
}

impl Place {
    async fn new() -> Self {
        Self::with(Some("the secret")).await
    }

    async fn with(secret: Option<&str>) -> Self {
        let (provider, key) = (IdentityProvider::start().await, SigningKey::new("own"));
        provider.publishes(&[key.jwk()]);
        let setup =
            Setup { open_id: Some(open_id(&provider.issuer(), "keyward", secret)), ..Setup::default() };
        let gateway = Gateway::start_with("version: 1\n", setup).await;
        let place = Self { gateway, provider, key };
        place.link("alice", "alice").await;
        place
    }

    async fn link(&self, name: &str, subject: &str) {
        let body = json!({"name": name, "roles": [{"role": "viewer"}], "identities": [{"issuer": self.provider.issuer(), "subject": subject}]});
        let made = self.gateway.admin(request("POST", "/v1/operators", &body.to_string())).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }

    async fn begin(&self) -> Begun {
        let mut browser = Browser::new(SITE, self.gateway.admin_address());
        let answer = browser.visit(&at("/sign-in/oidc")).await;
        let location = redirect(&answer).unwrap_or_else(|| panic!("{}", answer.text())).to_owned();
        let of = |name: &str| parameter(&location, name).expect(name);
        Begun { state: of("state"), nonce: of("nonce"), browser, location: location.clone() }
    }

    /// Claims that prove who `alice` is to whoever began this.
    fn claims(&self, nonce: &str) -> Value {
        let now = self.gateway.now_ms() / 1000;
        json!({"iss": self.provider.issuer(), "aud": "keyward", "sub": "alice", "nonce": nonce, "iat": now, "exp": now + 300})
    }

    /// Where the provider sends a browser with this state and code.
    fn back(&self, state: &str, code: &str) -> String {
        at(&format!("/sign-in/oidc/return?code={code}&state={state}&iss={}", self.provider.issuer()))
    }

    /// Whom a sign-in ends up as, where the provider says this of it.
    async fn outcome(&self, id_token: impl FnOnce(&Self, &str) -> String) -> Result<String, String> {
        let mut begun = self.begin().await;
        self.provider.gives(&id_token(self, &begun.nonce));
        let back = self.back(&begun.state, "code");
        let answer = begun.browser.visit(&back).await;
        self.ended(&begun.browser, &answer).await
    }

    /// Who is signed in, or the code of the problem that the page names.
    async fn ended(&self, browser: &Browser, answer: &Answer) -> Result<String, String> {
        let Some(cookie) = browser.cookie(SITE, SESSION) else {
            assert_ne!(answer.status, 200, "{}", answer.text());
            let code = answer
                .text()
                .split("<small>")
                .nth(1)
                .and_then(|rest| rest.split('<').next())
                .map(str::to_owned);
            return Err(code.unwrap_or_else(|| answer.text()));
        };
        let request = Request::get(SITE, "/v1/session").header("Cookie", &format!("{SESSION}={cookie}"));
        let answer = self.gateway.admin_anonymous(&request).await;
        Ok(answer.json()["name"].as_str().expect("a name").to_owned())
    }
}

fn at(path: &str) -> String {
    format!("https://{SITE}{path}")
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn refused(code: &str) -> Result<String, String> {
    Err(code.to_owned())
}

#[tokio::test]
async fn a_sound_token_signs_in_and_the_code_is_exchanged_with_its_verifier() {
    let place = Place::new().await;
    let mut begun = place.begin().await;
    let of = |name: &str| parameter(&begun.location, name);
    assert_eq!(of("response_type").as_deref(), Some("code"));
    assert_eq!(of("redirect_uri").as_deref(), Some("https://keyward.test/sign-in/oidc/return"));
    assert_eq!(of("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(of("scope").as_deref(), Some("openid"));
    let challenge = of("code_challenge").expect("a challenge");
    place.provider.gives(&place.key.token(&place.claims(&begun.nonce)));
    let back = place.back(&begun.state, "the%20code");
    let answer = begun.browser.visit(&back).await;
    assert_eq!(place.ended(&begun.browser, &answer).await.as_deref(), Ok("alice"));
    let exchanged = place.provider.exchanged();
    let form = format!("?{}", exchanged[0].form);
    let verifier = parameter(&form, "code_verifier").expect("a verifier");
    assert_eq!(URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes())), challenge);
    assert!(!begun.location.contains(&verifier), "the browser never saw it");
    assert_eq!(parameter(&form, "code").as_deref(), Some("the code"));
    assert_eq!(parameter(&form, "redirect_uri"), parameter(&begun.location, "redirect_uri"));
    assert_eq!(exchanged[0].authorization.as_deref(), Some("Basic a2V5d2FyZDp0aGUlMjBzZWNyZXQ="));
    assert!(!form.contains("secret"));
}

#[tokio::test]
async fn tokens_that_the_provider_did_not_make_for_this_sign_in_prove_nothing() {
    let place = Place::new().await;
    let changed = |name: &'static str, value: Value| {
        move |place: &Place, nonce: &str| {
            let mut claims = place.claims(nonce);
            claims[name] = value;
            place.key.token(&claims)
        }
    };
    let unproven = refused("identity_unproven");
    let past = place.gateway.now_ms() / 1000 - 3_600;
    assert_eq!(place.outcome(changed("nonce", "another".into())).await, unproven);
    assert_eq!(place.outcome(changed("iss", "https://other.example".into())).await, unproven);
    assert_eq!(place.outcome(changed("aud", "other".into())).await, unproven);
    assert_eq!(place.outcome(changed("aud", json!(["keyward", "other"]))).await, unproven);
    // After some failures in a row each next one waits.
    place.gateway.advance_ms(3_600_000);
    assert_eq!(place.outcome(changed("azp", "other".into())).await, unproven);
    assert_eq!(place.outcome(changed("exp", past.into())).await, unproven);
    assert_eq!(place.outcome(changed("iat", past.into())).await, unproven);
    assert_eq!(
        place.outcome(|place, nonce| place.key.token(&place.claims(nonce))).await.as_deref(),
        Ok("alice")
    );
    // Not by name, not by e-mail address: by the subject that is linked, exactly.
    place.gateway.advance_ms(3_600_000);
    assert_eq!(place.outcome(changed("sub", "Alice".into())).await, refused("identity_unknown"));
    let by_mail = |place: &Place, nonce: &str| {
        let mut claims = place.claims(nonce);
        claims["sub"] = "mallory".into();
        claims["email"] = "alice".into();
        claims["preferred_username"] = "alice".into();
        place.key.token(&claims)
    };
    assert_eq!(place.outcome(by_mail).await, refused("identity_unknown"));
}

#[tokio::test]
async fn tokens_that_are_signed_otherwise_prove_nothing() {
    let place = Place::new().await;
    let unproven = refused("identity_unproven");
    let by_another = |kid: &'static str| {
        move |place: &Place, nonce: &str| SigningKey::new(kid).token(&place.claims(nonce))
    };
    assert_eq!(place.outcome(by_another("own")).await, unproven);
    assert_eq!(place.outcome(by_another("strange")).await, unproven);
    let none = |alg: &'static str| {
        move |place: &Place, nonce: &str| {
            format!("{}.{}.", part(&json!({"alg": alg, "kid": "own"})), part(&place.claims(nonce)))
        }
    };
    assert_eq!(place.outcome(none("none")).await, unproven);
    assert_eq!(place.outcome(none("NONE")).await, unproven);
    let public_key_as_secret = |secret: Vec<u8>| {
        move |place: &Place, nonce: &str| {
            let signed =
                format!("{}.{}", part(&json!({"alg": "HS256", "kid": "own"})), part(&place.claims(nonce)));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
        }
    };
    let point = [place.key.jwk()["x"].clone(), place.key.jwk()["y"].clone()]
        .map(|part| URL_SAFE_NO_PAD.decode(part.as_str().unwrap()).unwrap());
    for secret in [place.key.jwk().to_string().into_bytes(), [vec![4], point.concat()].concat()] {
        place.gateway.advance_ms(3_600_000);
        assert_eq!(place.outcome(public_key_as_secret(secret)).await, unproven);
    }
    // Nor by the secret that both sides share: whoever runs the node could be anybody then.
    assert_eq!(place.outcome(public_key_as_secret(b"the secret".to_vec())).await, unproven);
    for nonsense in [json!({"id_token": 1}), json!({"access_token": "a"}), json!([])] {
        place.gateway.advance_ms(3_600_000);
        let mut begun = place.begin().await;
        place.provider.exchanges(200, nonsense);
        let back = place.back(&begun.state, "code");
        let answer = begun.browser.visit(&back).await;
        assert_eq!(place.ended(&begun.browser, &answer).await, unproven);
    }
}

#[tokio::test]
async fn keys_that_the_provider_has_changed_are_fetched_and_old_ones_no_longer_hold() {
    let place = Place::new().await;
    let sound = |place: &Place, nonce: &str| place.key.token(&place.claims(nonce));
    assert_eq!(place.outcome(sound).await.as_deref(), Ok("alice"));
    let newer = SigningKey::new("newer");
    place.provider.publishes(&[newer.jwk()]);
    place.gateway.advance_ms(11_000);
    let by_newer = |place: &Place, nonce: &str| newer.token(&place.claims(nonce));
    assert_eq!(place.outcome(by_newer).await.as_deref(), Ok("alice"));
    assert_eq!(place.outcome(sound).await, refused("identity_unproven"));
    // A token cannot make the node ask again and again.
    let hits = place.provider.hits();
    let strange = |place: &Place, nonce: &str| SigningKey::new("strange").token(&place.claims(nonce));
    assert_eq!(place.outcome(strange).await, refused("identity_unproven"));
    assert_eq!(place.provider.hits(), hits + 1, "the code was exchanged, and no more");
}

#[tokio::test]
async fn a_sign_in_of_another_browser_ends_nowhere_else() {
    let place = Place::new().await;
    let attacker = place.begin().await;
    place.provider.gives(&place.key.token(&place.claims(&attacker.nonce)));
    let (back, hits) = (place.back(&attacker.state, "code"), place.provider.hits());
    // The victim follows the attacker's link: without a sign-in of its own, and with one.
    let mut victim = Browser::new(SITE, place.gateway.admin_address());
    let answer = victim.visit(&back).await;
    assert_eq!(place.ended(&victim, &answer).await, refused("sign_in_not_begun"));
    let mut begun = place.begin().await;
    let answer = begun.browser.visit(&back).await;
    assert_eq!(place.ended(&begun.browser, &answer).await, refused("sign_in_not_begun"));
    assert_eq!(place.provider.exchanged().len(), 0, "no code was exchanged");
    assert_eq!(place.provider.hits(), hits);
    for state in ["", &begun.state[1..], &begun.nonce, &format!("{}&state={}", begun.state, begun.state)] {
        let mut begun = place.begin().await;
        let answer = begun.browser.visit(&place.back(state, "code")).await;
        assert_eq!(place.ended(&begun.browser, &answer).await, refused("sign_in_not_begun"), "{state}");
    }
    // A cookie cannot be made up, nor last longer than it was given for.
    let under_way = begun.browser.cookie(SITE, UNDER_WAY).map(str::to_owned);
    assert_eq!(under_way, None, "it is gone once a browser came back, whatever came of it");
    let mut begun = place.begin().await;
    let cookie = begun.browser.cookie(SITE, UNDER_WAY).expect("a cookie").to_owned();
    let (until, random) = cookie.split_once('.').expect("a time");
    let later = until.parse::<i64>().unwrap() + 3_600_000;
    place.gateway.advance_ms(600_000);
    begun.browser.set_cookie(SITE, UNDER_WAY, &format!("{later}.{random}"));
    let back = place.back(&begun.state, "code");
    let answer = begun.browser.visit(&back).await;
    assert_eq!(place.ended(&begun.browser, &answer).await, refused("sign_in_not_begun"));
    begun.browser.set_cookie(SITE, UNDER_WAY, &cookie);
    let answer = begun.browser.visit(&back).await;
    assert_eq!(
        place.ended(&begun.browser, &answer).await,
        refused("sign_in_not_begun"),
        "ten minutes are over"
    );
}

#[tokio::test]
async fn a_sign_in_ends_once_also_with_another_code_also_after_a_restart() {
    let mut place = Place::new().await;
    let mut begun = place.begin().await;
    let cookie = begun.browser.cookie(SITE, UNDER_WAY).expect("a cookie").to_owned();
    place.provider.gives(&place.key.token(&place.claims(&begun.nonce)));
    // Any node of the store can end it: nothing of it is in the memory of the one that began it.
    place.gateway = place.gateway.restart().await;
    let mut browser = Browser::new(SITE, place.gateway.admin_address());
    browser.set_cookie(SITE, UNDER_WAY, &cookie);
    let answer = browser.visit(&place.back(&begun.state, "code")).await;
    assert_eq!(place.ended(&browser, &answer).await.as_deref(), Ok("alice"));
    place.gateway = place.gateway.restart().await;
    begun.browser = Browser::new(SITE, place.gateway.admin_address());
    begun.browser.set_cookie(SITE, UNDER_WAY, &cookie);
    let answer = begun.browser.visit(&place.back(&begun.state, "a-second-code")).await;
    assert_eq!(place.ended(&begun.browser, &answer).await, refused("sign_in_not_begun"));
}

#[tokio::test]
async fn of_two_answers_at_once_one_begins_a_session() {
    let place = Place::new().await;
    let begun = place.begin().await;
    let cookie = begun.browser.cookie(SITE, UNDER_WAY).expect("a cookie").to_owned();
    place.provider.gives(&place.key.token(&place.claims(&begun.nonce)));
    let back = place.back(&begun.state, "code");
    let one = async || {
        let mut browser = Browser::new(SITE, place.gateway.admin_address());
        browser.set_cookie(SITE, UNDER_WAY, &cookie);
        browser.visit(&back).await.status
    };
    let mut statuses = [0; 4];
    (statuses[0], statuses[1], statuses[2], statuses[3]) = tokio::join!(one(), one(), one(), one());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401, 401, 401]);
}

#[tokio::test]
async fn the_answer_of_another_provider_is_not_taken_for_this_ones() {
    let place = Place::new().await;
    let sound = |place: &Place, nonce: &str| place.key.token(&place.claims(nonce));
    for (issuer, says_so) in
        [("&iss=https://other.example", true), ("", true), ("&iss=", false), ("&iss=a&iss=b", true)]
    {
        place.provider.describes(&json!({"authorization_response_iss_parameter_supported": says_so}));
        place.gateway.advance_ms(3_600_000);
        let mut begun = place.begin().await;
        place.provider.gives(&sound(&place, &begun.nonce));
        let exchanged = place.provider.exchanged().len();
        let back = at(&format!("/sign-in/oidc/return?code=code&state={}{issuer}", begun.state));
        let answer = begun.browser.visit(&back).await;
        assert_eq!(place.ended(&begun.browser, &answer).await, refused("identity_unproven"), "{issuer}");
        assert_eq!(place.provider.exchanged().len(), exchanged, "the code stays here: {issuer}");
    }
    // A provider that does not say who it is, and never said that it would.
    place.gateway.advance_ms(3_600_000);
    place.provider.describes(&json!({"authorization_response_iss_parameter_supported": false}));
    let mut begun = place.begin().await;
    place.provider.gives(&sound(&place, &begun.nonce));
    let answer =
        begun.browser.visit(&at(&format!("/sign-in/oidc/return?code=code&state={}", begun.state))).await;
    assert_eq!(place.ended(&begun.browser, &answer).await.as_deref(), Ok("alice"));
    // A description of another issuer is not believed.
    place.provider.describes(&json!({"issuer": "https://other.example"}));
    place.gateway.advance_ms(3_600_000);
    let mut browser = Browser::new(SITE, place.gateway.admin_address());
    let answer = browser.visit(&at("/sign-in/oidc")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
}

#[tokio::test]
async fn a_disabled_operator_is_kept_out_and_its_sessions_end() {
    let place = Place::new().await;
    let sound = |place: &Place, nonce: &str| place.key.token(&place.claims(nonce));
    let mut begun = place.begin().await;
    place.provider.gives(&sound(&place, &begun.nonce));
    let back = place.back(&begun.state, "code");
    begun.browser.visit(&back).await;
    let cookie = format!("{SESSION}={}", begun.browser.cookie(SITE, SESSION).expect("a session"));
    let who = || Request::get(SITE, "/v1/session").header("Cookie", &cookie);
    assert_eq!(place.gateway.admin_anonymous(&who()).await.status, 200);
    let disabled = place.gateway.admin(request("POST", "/v1/operators/alice/disable", "")).await;
    assert_eq!(disabled.status, 200, "{}", disabled.text());
    assert_eq!(place.gateway.admin_anonymous(&who()).await.status, 401);
    assert_eq!(place.outcome(sound).await, refused("identity_unknown"));
    let enabled = place.gateway.admin(request("POST", "/v1/operators/alice/enable", "")).await;
    assert_eq!(enabled.status, 200, "{}", enabled.text());
    assert_eq!(place.outcome(sound).await.as_deref(), Ok("alice"));
    // What is taken away from an operator no longer signs it in; another can have it then.
    let body = json!({"identities": [{"issuer": place.provider.issuer(), "subject": "alice"}]}).to_string();
    let taken = place
        .gateway
        .admin(request("POST", "/v1/operators", &body.replacen('{', r#"{"name": "bob", "#, 1)))
        .await;
    assert_eq!(
        (taken.status, taken.json()["code"].as_str()),
        (409, Some("identity_taken")),
        "{}",
        taken.text()
    );
    let cleared = place.gateway.admin(request("PATCH", "/v1/operators/alice", r#"{"identities": []}"#)).await;
    assert_eq!(cleared.status, 200, "{}", cleared.text());
    assert_eq!(place.outcome(sound).await, refused("identity_unknown"));
    place.link("bob", "alice").await;
    assert_eq!(place.outcome(sound).await.as_deref(), Ok("bob"));
}

#[tokio::test]
async fn nothing_that_a_link_carries_leads_elsewhere_or_onto_the_page() {
    let place = Place::new().await;
    let more = "&next=https://evil.example&redirect_uri=https://evil.example&url=//evil.example";
    let mut browser = Browser::new(SITE, place.gateway.admin_address());
    let answer = browser.visit(&at(&format!("/sign-in/oidc?{}", &more[1..]))).await;
    let location = redirect(&answer).expect("a redirect");
    assert!(location.starts_with(&place.provider.issuer()) && !location.contains("evil"), "{location}");
    let mut begun = place.begin().await;
    place.provider.gives(&place.key.token(&place.claims(&begun.nonce)));
    let answer = begun.browser.visit(&format!("{}{more}", place.back(&begun.state, "code"))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("location").is_none() && !answer.text().contains("evil"), "{}", answer.text());
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    // Where it is called by another name, and where a proxy is said to have been.
    let evil = Request::get("evil.example", "/sign-in/oidc").header("X-Forwarded-Host", SITE);
    assert_eq!(place.gateway.admin_anonymous(&evil).await.status, 421);
    let forwarded = Request::get(SITE, "/sign-in/oidc").header("X-Forwarded-Host", "evil.example");
    let answer = place.gateway.admin_anonymous(&forwarded).await;
    assert!(!redirect(&answer).expect("a redirect").contains("evil"));
    // The provider's words are not repeated unless they are one.
    for error in ["%3Cscript%3Ealert(1)%3C/script%3E", "call%200800%201234", "access_denied"] {
        place.gateway.advance_ms(3_600_000);
        let mut begun = place.begin().await;
        let prose = "&error_description=%3Cb%3Ecall%20us";
        let back = at(&format!(
            "/sign-in/oidc/return?error={error}&state={}&iss={}{prose}",
            begun.state,
            place.provider.issuer()
        ));
        let answer = begun.browser.visit(&back).await;
        assert_eq!(place.ended(&begun.browser, &answer).await, refused("provider_refused"));
        let text = answer.text();
        assert_eq!(text.contains("access_denied"), error == "access_denied", "{text}");
        assert!(!text.contains("<script>") && !text.contains("0800") && !text.contains("call us"), "{text}");
    }
    // Programs are told in their own form.
    let answer =
        place.gateway.admin_anonymous(&Request::get(SITE, "/sign-in/oidc/return?code=x&state=y")).await;
    assert_eq!(
        (answer.status, answer.json()["code"].as_str()),
        (401, Some("sign_in_not_begun")),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_provider_that_does_not_answer_well_is_told_and_asked_again() {
    let place = Place::new().await;
    let sound = |place: &Place, nonce: &str| place.key.token(&place.claims(nonce));
    let begin = async || {
        let mut browser = Browser::new(SITE, place.gateway.admin_address());
        browser.visit(&at("/sign-in/oidc")).await
    };
    place.provider.is_down(true);
    let answer = begin().await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.text().contains("password"), "{}", answer.text());
    place.provider.is_down(false);
    let mut begun = place.begin().await;
    place.provider.exchanges(500, "oops");
    let back = place.back(&begun.state, "code");
    let answer = begun.browser.visit(&back).await;
    assert_eq!(place.ended(&begun.browser, &answer).await, refused("provider_unavailable"));
    let mut begun = place.begin().await;
    place.provider.exchanges(200, "x".repeat(100_000));
    let back = place.back(&begun.state, "code");
    let answer = begun.browser.visit(&back).await;
    assert_eq!(place.ended(&begun.browser, &answer).await, refused("provider_unavailable"));
    assert_eq!(place.outcome(sound).await.as_deref(), Ok("alice"));
    // What its description leads to is no less safe than itself, and no place that nobody allowed.
    for address in ["http://10.0.0.1/exchange", "http://keyward.example/exchange", "file:///etc/passwd"] {
        place.gateway.advance_ms(3_600_000);
        place.provider.describes(&json!({"token_endpoint": address}));
        assert_eq!(begin().await.status, 503, "{address}");
    }
    place.gateway.advance_ms(3_600_000);
    place.provider.describes(&json!({"token_endpoint": "https://10.0.0.1/exchange"}));
    assert_eq!(place.outcome(sound).await, refused("provider_unavailable"));
    let exchanged = place.provider.exchanged().len();
    let symmetric = json!({"kty": "oct", "kid": "own", "alg": "HS256", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"});
    place.provider.publishes(&[symmetric]);
    place.gateway.advance_ms(3_600_000);
    assert_eq!(begin().await.status, 503, "a key that both sides share is no key of a provider");
    assert_eq!(place.provider.exchanged().len(), exchanged);
}

#[tokio::test]
async fn a_provider_in_a_private_network_is_asked_only_where_that_is_allowed() {
    let provider = IdentityProvider::start().await;
    let mut open_id = open_id(&provider.issuer(), "keyward", None);
    open_id.allow_egress.clear();
    let gateway =
        Gateway::start_with("version: 1\n", Setup { open_id: Some(open_id), ..Setup::default() }).await;
    let answer = gateway.admin_anonymous(&Request::get(SITE, "/sign-in/oidc")).await;
    assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("provider_unavailable")));
    assert!(answer.text().contains("--allow-egress"), "{}", answer.text());
    assert_eq!(provider.hits(), 0);
}

#[tokio::test]
async fn whoever_fails_again_and_again_waits_and_the_provider_is_left_alone() {
    let place = Place::new().await;
    // So many of one source cost nothing, for many may stand behind it.
    for _ in 0..51 {
        let wrong = |place: &Place, _: &str| place.key.token(&place.claims("another"));
        assert_eq!(place.outcome(wrong).await, refused("identity_unproven"));
    }
    let exchanged = place.provider.exchanged().len();
    let sound = |place: &Place, nonce: &str| place.key.token(&place.claims(nonce));
    assert_eq!(place.outcome(sound).await, refused("sign_in_waits"));
    assert_eq!(place.provider.exchanged().len(), exchanged);
    place.gateway.advance_ms(60_000);
    assert_eq!(place.outcome(sound).await.as_deref(), Ok("alice"));
    // Whoever did not begin here does not count: any page can send a browser to this address.
    let mut victim = Browser::new(SITE, place.gateway.admin_address());
    for _ in 0..12 {
        assert_eq!(victim.visit(&place.back("x", "y")).await.status, 401);
    }
    assert_eq!(place.outcome(sound).await.as_deref(), Ok("alice"));
}

#[tokio::test]
async fn without_a_provider_there_is_no_way_through_one() {
    let gateway = Gateway::start("version: 1\n").await;
    let page = gateway.admin_anonymous(&Request::get("localhost", "/sign-in")).await;
    assert!(page.status == 200 && !page.text().contains("oidc"), "{}", page.text());
    for path in ["/sign-in/oidc", "/sign-in/oidc/return?code=x&state=y"] {
        let answer = gateway.admin_anonymous(&Request::get("localhost", path)).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (404, Some("provider_unset")), "{path}");
    }
}

#[tokio::test]
async fn an_identity_is_checked_when_it_is_given() {
    let gateway = Gateway::start("version: 1\n").await;
    let long = "x".repeat(1_025);
    for (issuer, subject) in [
        ("idp.example", "s"),
        ("http://idp.example", "s"),
        ("https://idp.example/?x", "s"),
        ("", "s"),
        ("https://idp.example", ""),
        ("https://idp.example", "a\u{0}b"),
        ("https://idp.example", &long),
    ] {
        let body = json!({"name": "a", "identities": [{"issuer": issuer, "subject": subject}]}).to_string();
        let made = gateway.admin(request("POST", "/v1/operators", &body)).await;
        assert_eq!(made.status, 422, "{issuer} {subject}: {}", made.text());
    }
    let twice = json!({"issuer": "https://idp.example", "subject": "s"});
    let body = json!({"name": "a", "identities": [twice, twice]}).to_string();
    let made = gateway.admin(request("POST", "/v1/operators", &body)).await;
    assert_eq!((made.status, made.json()["code"].as_str()), (409, Some("identity_taken")), "{}", made.text());
}
