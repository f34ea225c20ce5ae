//! Requests signed by another implementation: `data/sign_independently.py`, which has nothing of ours in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_model::{DenyReason, SignatureScheme, Timestamp};
use serde_json::Value;

use crate::call::{Call, Setting};

fn all() -> Vec<Value> {
    serde_json::from_str(include_str!("data/independent.json")).unwrap()
}

fn read(case: &Value) -> (Call, Setting) {
    let text = |name: &str| case[name].as_str().unwrap().to_owned();
    let mut call = Call::new(&text("method"), &text("target"));
    for header in case["headers"].as_array().unwrap() {
        call = call.header(header[0].as_str().unwrap(), header[1].as_str().unwrap());
    }
    call.body = STANDARD.decode(text("body_base64")).unwrap();
    let scheme: SignatureScheme = text("scheme").parse().unwrap();
    let mut setting = Setting::of(scheme);
    setting.pairs = vec![(text("app_key"), scheme, text("secret"))];
    setting.now = Timestamp::from_millis(case["now_ms"].as_i64().unwrap());
    (call, setting)
}

#[test]
fn what_another_implementation_signs_holds() {
    let cases = all();
    assert_eq!(cases.len(), 240);
    for case in cases {
        let (call, setting) = read(&case);
        let text = STANDARD.decode(case["string_to_sign_base64"].as_str().unwrap()).unwrap();
        let ours = setting.text(&call);
        assert_eq!(String::from_utf8_lossy(&ours), String::from_utf8_lossy(&text), "{call:?}");
        assert_eq!(ours, text);
        let held = setting.holds(&call);
        assert_eq!(held.rule.to_string(), "documented");
    }
}

#[test]
fn what_another_implementation_signs_is_of_its_key_and_time_alone() {
    for case in all() {
        let (call, setting) = read(&case);
        let mut wrong = setting.clone();
        wrong.pairs[0].2.push('x');
        assert_eq!(wrong.refuses(&call).reason, DenyReason::ProofMismatch);
        let late = Setting { now: setting.now.plus_millis(1_801_000), ..setting };
        assert_eq!(late.refuses(&call).reason, DenyReason::ProofExpired);
    }
}
