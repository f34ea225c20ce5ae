//! Keyward's world file for a case: one API that admits one kind of credential, its callers and their grants.
//!
//! Names and credentials come from `callers.rs` and hold only letters, digits, `-` and `_`, so nothing is escaped.

use crate::callers::{Caller, Callers};
use crate::jwt::{AUDIENCE, ISSUER, Issuer};
use crate::request::HOST;
use crate::subject::Case;
use std::net::SocketAddr;

/// The plugin that does nothing, beside the world file.
pub(crate) const NOOP_FILE: &str = "noop.wasm";

/// The world of `case` with the backend at `backend`.
pub(crate) fn of(case: Case, callers: &Callers, backend: SocketAddr) -> String {
    let mut world = format!(
        "version: 1
services:
  - name: orders
    kind: http
    endpoints: [\"http://{backend}\"]
apis:
  - name: orders
    kind: rest
    hosts: [\"{HOST}\"]
    base_path: /orders
    admits: [{}]
    operations:
      - {{method: GET, path: \"/items/{{id}}\"}}
      - {{method: POST, path: \"/items\"}}
    stages:
      RELEASE: {{service: orders}}
",
        admitted(case)
    );
    if case == Case::AlibabaSignature {
        world.push_str(
            "    signature:
      schemes: [alibaba]
      algorithms: [HmacSHA256]
      require_nonce: true
      require_timestamp: true
",
        );
    }
    match case {
        Case::Plain => {}
        Case::KeyAuth => world.push_str(&key_auth(callers, |_, caller| format!("\"{}\"", caller.api_key))),
        Case::KeyAuthRef => {
            world.push_str("secrets:\n");
            for (at, caller) in callers.granted.iter().enumerate() {
                world.push_str(&format!("  - {{name: key_{at}, value: \"{}\"}}\n", caller.api_key));
            }
            world.push_str(&key_auth(callers, |at, _| format!("\"$ref{{key_{at}}}\"")));
        }
        Case::WasmNoop => world.push_str(&format!(
            "modules:\n  - {{name: noop, wasm: {{file: {NOOP_FILE}}}, limits: {{workers: 1}}}}\n\
             plugins:\n  - {{plugin: noop, on: {{api: orders}}}}\n"
        )),
        _ => world.push_str(&people(case, callers)),
    }
    world
}

/// A plugin that knows the same keys.
fn key_auth(callers: &Callers, key: impl Fn(usize, &Caller) -> String) -> String {
    let keys: Vec<String> = callers.granted.iter().enumerate().map(|(at, caller)| key(at, caller)).collect();
    format!(
        "plugins:\n  - plugin: key-auth\n    on: {{api: orders}}\n    config:\n      keys: [x-api-key]\n      \
         in_query: false\n      credentials: [{}]\n",
        keys.join(", ")
    )
}

fn admitted(case: Case) -> &'static str {
    match case {
        Case::Plain | Case::WasmNoop => "anyone",
        // What the plugin admits is beside it, and nobody presents that.
        Case::KeyAuth | Case::KeyAuthRef => "jwt",
        Case::ApiKey => "api_key",
        Case::JwtHs256 | Case::JwtEs256 => "jwt",
        Case::AlibabaSignature => "app_signature",
    }
}

/// The callers, the stranger among them, and a grant for each but the stranger.
fn people(case: Case, callers: &Callers) -> String {
    let (list, noun) = match case {
        Case::AlibabaSignature => ("applications", "application"),
        _ => ("consumers", "consumer"),
    };
    let mut text = format!("{list}:\n");
    for caller in callers.granted.iter().chain([&callers.stranger]) {
        text.push_str(&format!("  - name: {}\n{}", caller.name, credential(case, callers, caller)));
    }
    text.push_str("grants:\n");
    for caller in &callers.granted {
        text.push_str(&format!("  - {{to: {{{noun}: {}}}, api: orders, stages: [RELEASE]}}\n", caller.name));
    }
    text
}

fn credential(case: Case, callers: &Callers, caller: &Caller) -> String {
    match case {
        Case::Plain | Case::KeyAuth | Case::KeyAuthRef | Case::WasmNoop => String::new(),
        Case::ApiKey => format!(
            "    api_key:\n      sources: [{{header: x-api-key}}]\n      keys: [\"{}\"]\n",
            caller.api_key
        ),
        Case::JwtHs256 => jwt(&callers.hs256, caller),
        Case::JwtEs256 => jwt(&callers.es256, caller),
        Case::AlibabaSignature => format!(
            "    key_pairs:\n      - {{app_key: \"{}\", app_secret: \"{}\", scheme: alibaba}}\n",
            caller.app_key, caller.app_secret
        ),
    }
}

fn jwt(issuer: &Issuer, caller: &Caller) -> String {
    format!(
        "    jwt:
      jwks: '{}'
      issuer: {ISSUER}
      audiences: [{AUDIENCE}]
      identity_claim: {{name: uid, value: \"{}\"}}
",
        issuer.jwks(),
        caller.uid
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(case: Case) -> String {
        of(case, &Callers::new(2).unwrap(), "127.0.0.1:9000".parse().unwrap())
    }

    #[test]
    fn everybody_is_granted_but_the_stranger() {
        for case in [Case::ApiKey, Case::JwtHs256, Case::JwtEs256, Case::AlibabaSignature] {
            let world = world(case);
            assert_eq!(world.matches("  - name: caller-").count(), 2, "{case:?}");
            assert_eq!(world.matches("  - name: stranger").count(), 1, "{case:?}");
            assert_eq!(world.matches("api: orders, stages: [RELEASE]").count(), 2, "{case:?}");
            assert!(!world.contains("consumer: stranger") && !world.contains("application: stranger"));
        }
    }

    #[test]
    fn a_plugin_knows_the_keys_of_all_but_the_stranger_by_value_or_by_reference() {
        let callers = Callers::new(2).unwrap();
        let backend = "127.0.0.1:9000".parse().unwrap();
        let world = of(Case::KeyAuth, &callers, backend);
        let by_reference = of(Case::KeyAuthRef, &callers, backend);
        for caller in &callers.granted {
            assert_eq!(world.matches(&caller.api_key).count(), 1);
            assert_eq!(by_reference.matches(&caller.api_key).count(), 1, "the secret's own");
        }
        assert!(by_reference.contains("credentials: [\"$ref{key_0}\", \"$ref{key_1}\"]"), "{by_reference}");
        assert!(
            !world.contains(&callers.stranger.api_key) && !by_reference.contains(&callers.stranger.api_key)
        );
    }

    #[test]
    fn a_plain_world_has_no_callers() {
        let world = world(Case::Plain);
        assert!(world.contains("admits: [anyone]"));
        assert!(!world.contains("consumers:") && !world.contains("grants:"));
    }
}
