//! Which reason is told, in which words, and what a proof says.

use keyward_access::Dialect;
use keyward_access::signature::{Family, Presented, vendor_message};
use keyward_model::{DenyReason, HmacAlgorithm, SignatureScheme, Stage};

use crate::call::{APP_KEY, Call, FORM, NONCE, NOW, Setting, Signer};

const JSON: &str = "application/json";

fn get() -> Call {
    Call::new("GET", "/a?k=v").header("Accept", JSON)
}

fn tencent() -> Signer {
    Signer::of(SignatureScheme::Tencent)
}

type Mend = dyn Fn(&mut Setting, &mut Call);

/// One call with every fault; each is mended in turn, and the next reason in order is told.
#[test]
fn reasons_are_told_in_order() {
    let mut setting = Setting::alibaba().strict();
    setting.policy.schemes = vec![SignatureScheme::Tencent];
    setting.policy.algorithms = vec![HmacAlgorithm::Sha512];
    setting.now = NOW.plus_millis(3_600_000);
    let signer = Signer { app_key: "other".into(), nonce: Some("short".into()), ..Signer::default() };
    let mut call = Call::new("POST", "/a").body(JSON, "{}").signed_with(&signer).header("X-Ca-Stage", "TEST");
    let mut told = Vec::new();
    let mends: [&Mend; 8] = [
        &|_, call| call.set("X-Ca-Nonce", NONCE),
        &|setting, _| setting.policy.schemes = vec![SignatureScheme::Alibaba],
        &|setting, _| setting.policy.algorithms = vec![HmacAlgorithm::Sha256],
        &|_, call| call.remove("X-Ca-Stage"),
        &|setting, _| setting.pairs[0].0 = "other".into(),
        &|setting, call| {
            let nonce = Some(NONCE.to_owned());
            let body = std::mem::replace(&mut call.body, b"{}".to_vec());
            *call = Call::new("POST", "/a").body(JSON, "{}").signed_with(&Signer {
                app_key: "other".into(),
                nonce,
                ..Signer::default()
            });
            call.body = [body, b" ".to_vec()].concat();
            setting.policy.require_nonce = true;
        },
        &|_, call| call.body = b"{}".to_vec(),
        &|setting, _| setting.now = NOW,
    ];
    for mend in mends {
        told.push(setting.refuses(&call).reason);
        mend(&mut setting, &mut call);
    }
    use DenyReason as R;
    let expected = [
        R::CredentialMalformed,
        R::AlgorithmNotAdmitted,
        R::AlgorithmNotAdmitted,
        R::RequiredHeaderNotSigned,
        R::CredentialUnknown,
        R::ProofMismatch,
        R::DigestMismatch,
        R::ProofExpired,
    ];
    assert_eq!(told, expected);
    // What the request itself lacks is told before it is looked whose AppKey it names, so that nobody learns by it
    // which ones exist; but for that, the order is the list's.
    let known: Vec<_> = expected.into_iter().filter(|reason| *reason != R::CredentialUnknown).collect();
    assert!(known.is_sorted());
    setting.holds(&call);
}

#[test]
fn a_mismatch_shows_the_servers_text() {
    let mut call = get().signed();
    call.target("/a?k=w&x=%E4%B8%AD");
    let denial = Setting::alibaba().refuses(&call);
    assert_eq!(denial.reason, DenyReason::ProofMismatch);
    assert_eq!(denial.dialect, Dialect::Alibaba);
    assert_eq!(
        denial.message.as_deref().unwrap(),
        format!(
            "Invalid Signature, Server StringToSign:`GET#application/json####X-Ca-Key:{APP_KEY}#X-Ca-Nonce:{NONCE}\
             #X-Ca-Timestamp:{}#/a?k=w&x=中`",
            NOW.as_millis()
        )
    );
}

#[test]
fn what_is_shown_is_escaped_and_bounded() {
    let mut call = get().signed();
    call.target(&format!("/a?c=%0D%0A%00%1B%7F&long={}", "x".repeat(30_000)));
    let message = Setting::alibaba().refuses(&call).message.unwrap();
    assert!(message.contains("c=\\r#\\u{0}\\u{1b}\\u{7f}&long=xxx"), "{message}");
    assert!(message.len() < 4200 && message.ends_with("…`"), "{}", message.len());
    assert!(!message.contains(char::is_control));
    call.set("X-Ca-Signature-Headers", "x");
    call.set("x", [0xff, 0xfe, b'a']);
    Setting::alibaba().refuses(&call);
}

#[test]
fn unknown_and_wrong_have_one_face() {
    for scheme in SignatureScheme::ALL {
        for diagnose in [true, false] {
            let (mut known, mut nobody) = (Setting::of(scheme), Setting::of(scheme));
            (known.diagnose, nobody.diagnose) = (diagnose, diagnose);
            known.pairs[0].2 = "another secret".into();
            nobody.pairs.clear();
            let form = Call::new("POST", "/a").body(FORM, "a=1&a=2&b=%20&c=");
            for call in [get(), form, get().header("X-Gone", "1")] {
                let mut call = call.signed_with(&Signer::of(scheme));
                call.remove("X-Gone");
                let (wrong, unknown) = (known.refuses(&call), nobody.refuses(&call));
                assert_eq!(unknown.reason, DenyReason::CredentialUnknown);
                assert_eq!(wrong.reason, DenyReason::ProofMismatch);
                assert_eq!(wrong, keyward_access::Denial { reason: wrong.reason, ..unknown });
            }
        }
    }
}

/// Of a scheme that is not admitted, one who cannot sign does not even learn that.
#[test]
fn a_scheme_that_is_not_admitted_is_told_to_its_holder_alone() {
    let mut setting = Setting::of(SignatureScheme::TencentKeyPair);
    setting.policy.schemes = vec![SignatureScheme::Tencent];
    let held = get().signed_with(&Signer::of(SignatureScheme::TencentKeyPair));
    let denial = setting.refuses(&held);
    assert_eq!(denial.reason, DenyReason::AlgorithmNotAdmitted);
    assert_eq!(denial.message.as_deref(), Some("HMAC apikey is invalid for API."));
    setting.pairs[0].2.push('x');
    let (wrong, unknown) = (setting.refuses(&held), Setting { pairs: Vec::new(), ..setting }.refuses(&held));
    assert_eq!((wrong.message, wrong.hint), (unknown.message, unknown.hint));
    let mut other = Setting::alibaba();
    other.policy.schemes = vec![SignatureScheme::Tencent];
    let denial = other.refuses(&get().signed());
    assert_eq!(denial.reason, DenyReason::AlgorithmNotAdmitted);
    assert!(denial.hint.unwrap().contains("`signature.schemes`"));
}

#[test]
fn an_algorithm_that_is_not_admitted_is_named() {
    let mut setting = Setting::alibaba();
    setting.policy.algorithms = vec![HmacAlgorithm::Sha256];
    let sha1 = Signer { algorithm: HmacAlgorithm::Sha1, ..Signer::default() };
    let denial = setting.refuses(&get().signed_with(&sha1));
    assert_eq!(denial.reason, DenyReason::AlgorithmNotAdmitted);
    assert_eq!(
        denial.hint.unwrap(),
        "this API admits HmacSHA256: sign with that, or list HmacSHA1 under the API's `signature.algorithms`"
    );
    // Spelled exactly; and no unknown name falls back to the default.
    for odd in ["hmacsha256", "HMACSHA256", "HmacMD5", "HmacSHA256 ", "", "none", "HmacSHA224"] {
        let call = get().signed().header("X-Ca-Signature-Method", odd);
        let denial = setting.refuses(&call);
        assert_eq!(denial.reason, DenyReason::AlgorithmNotAdmitted, "{odd}");
        assert!(denial.hint.unwrap().contains("HmacSHA256"), "{odd}");
    }
    let mut setting = Setting::of(SignatureScheme::Tencent);
    setting.policy.algorithms = vec![HmacAlgorithm::Sha256];
    let denial = setting.refuses(&get().signed_with(&Signer { algorithm: HmacAlgorithm::Sha1, ..tencent() }));
    assert_eq!(denial.message.as_deref(), Some("HMAC algorithm hmac-sha1 not supported."));
    assert!(denial.hint.unwrap().contains("list HmacSHA1"));
}

#[test]
fn what_cannot_be_read_is_malformed() {
    let setting = Setting::of(SignatureScheme::Tencent);
    let good = get().signed_with(&tencent());
    let authorization = good.value("authorization");
    for (value, message) in [
        ("hmac", "HMAC id or signature missing."),
        (r#"hmac id="", headers="x-date", signature="AAAA""#, "HMAC id or signature missing."),
        (r#"hmac id="a b", headers="x-date""#, "HMAC id or signature missing."),
        ("hmac id", "HMAC authorization format error."),
        (r#"hmac id="a", headers="x-date x-date""#, "HMAC authorization headers is invalidate."),
        (r#"hmac id="a", headers="x-date authorization""#, "HMAC authorization headers is invalidate."),
        (r#"hmac id="a", headers="x:date""#, "HMAC authorization headers is invalidate."),
    ] {
        let mut call = good.clone();
        call.set("Authorization", value);
        let denial = setting.refuses(&call);
        assert_eq!(
            (denial.reason, denial.message.as_deref()),
            (DenyReason::CredentialMalformed, Some(message)),
            "{value}"
        );
        assert_eq!(denial.dialect, Dialect::Tencent);
    }
    let mut unsigned = good.clone();
    unsigned.set("Authorization", authorization.split(", signature").next().unwrap());
    let denial = setting.refuses(&unsigned);
    assert_eq!(denial.reason, DenyReason::ProofMismatch);
    assert_eq!(denial.message.as_deref(), Some("HMAC id or signature missing."));
    let mut no_date = good;
    no_date.set("X-Date", "2018-03-19T12:08:40Z");
    assert_eq!(setting.refuses(&no_date).reason, DenyReason::CredentialMalformed);
    for (key, value) in
        [("X-Ca-Key", ""), ("X-Ca-Key", "a b"), ("X-Ca-Key", "\u{4e2d}"), ("X-Ca-Signature-Headers", "a:b")]
    {
        let mut call = get().signed();
        call.set(key, value);
        assert_eq!(
            Setting::alibaba().refuses(&call).reason,
            DenyReason::CredentialMalformed,
            "{key} {value}"
        );
    }
    let many = format!("/a?{}", "a&".repeat(20_000));
    let mut call = get().signed();
    call.target(&many);
    assert_eq!(Setting::alibaba().refuses(&call).reason, DenyReason::CredentialMalformed);
}

#[test]
fn what_is_presented_is_told() {
    let call = get().signed_with(&Signer { algorithm: HmacAlgorithm::Sha384, ..tencent() });
    call.with_head(|head| {
        let presented = Presented::find(head).unwrap().unwrap();
        assert_eq!(presented.app_key(), APP_KEY);
        assert_eq!(presented.family(), Family::Tencent);
        assert_eq!(presented.algorithm(), Some(HmacAlgorithm::Sha384));
        assert!(!format!("{presented:?}").contains("signature: Some(["));
    });
    for other in ["Bearer abc", "APPCODE 123", "hmacx id=1", "Basic aG1hYzo="] {
        assert!(Setting::alibaba().judge(&get().header("Authorization", other)).is_none(), "{other}");
    }
}

#[test]
fn later_refusals_have_the_vendors_words() {
    for reason in DenyReason::ALL {
        assert_eq!(vendor_message(Dialect::Plain, *reason), None);
    }
    assert_eq!(vendor_message(Dialect::Alibaba, DenyReason::NonceReplayed), Some("Nonce Used"));
    assert_eq!(vendor_message(Dialect::Alibaba, DenyReason::GrantMissing), Some("Unauthorized"));
    assert_eq!(
        vendor_message(Dialect::Tencent, DenyReason::GrantMissing),
        Some("HMAC apikey is invalid for API.")
    );
    let stage = get().signed_with(&Signer { stage: Some(Stage::Test), ..Signer::default() });
    Setting::alibaba().strict().holds(&stage);
}
