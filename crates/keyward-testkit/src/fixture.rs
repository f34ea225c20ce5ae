//! The world in which the attack catalogue's cases play (its case FIXTURE-000), as far as this version has its nouns.
//!
//! Account T1 of the catalogue is `default`, T2 is `partner`, T3 is `stranger`.

/// Host of every API of the fixture.
pub const HOST: &str = "gw.test";
/// Consumer K1's API key (Bearer).
pub const K1: &str = "kw-test-k1-0123456789abcdefghij";
/// Consumer K2's API key (header `x-api-key`).
pub const K2: &str = "kw-test-k2-0123456789abcdefghij";
/// Consumer K3's API key (query `apikey`).
pub const K3: &str = "kw-test-k3-0123456789abcdefghij";
/// The disabled consumer KX's API key (Bearer).
pub const KX: &str = "kw-test-kx-0123456789abcdefghij";
/// Application A's AppCode.
pub const A_CODE: &str = "A0A0A0A0B1B1B1B1C2C2C2C2D3D3D3D3";
/// AppKey and AppSecret of applications A (pairs k0 and k1), B, C and D.
pub const A0: (&str, &str) = ("app-a-k0", "secret-of-a-k0-0123456789abcdef");
/// A's second pair.
pub const A1: (&str, &str) = ("app-a-k1", "secret-of-a-k1-0123456789abcdef");
/// B has no grant.
pub const B0: (&str, &str) = ("app-b-k0", "secret-of-b-k0-0123456789abcdef");
/// C is the partner's, granted.
pub const C0: (&str, &str) = ("app-c-k0", "secret-of-c-k0-0123456789abcdef");
/// D is the stranger's, without grant.
pub const D0: (&str, &str) = ("app-d-k0", "secret-of-d-k0-0123456789abcdef");
/// The key of consumer J1's HS256 key set, base64url.
pub const J1_SECRET: &str = "ajEtc2VjcmV0LTAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5";

/// Everything that nobody but its holder may see.
pub const SECRETS: [&str; 11] = [K1, K2, K3, KX, A_CODE, A0.1, A1.1, B0.1, C0.1, D0.1, J1_SECRET];

/// The world file with nothing added.
pub fn world() -> String {
    WORLD.replace("${MORE_CONSUMERS}", "").replace("${MORE_GRANTS}", "")
}

/// The world file; `${UPSTREAM}` is the origin.
pub const WORLD: &str = r#"
version: 1
accounts: [{name: partner}, {name: stranger}]
services: [{name: origin, kind: http, endpoints: ["${UPSTREAM}"]}]
apis:
  - name: orders
    kind: rest
    hosts: [gw.test]
    base_path: /orders
    admits: [app_signature, api_key, jwt]
    operations:
      - {method: GET, path: /}
      - {method: GET, path: "/{id}"}
      - {method: POST, path: /}
      - {method: DELETE, path: "/{id}"}
    stages: {RELEASE: {service: origin}, PRE: {service: origin}, TEST: {service: origin}}
  - name: strict-orders
    kind: rest
    hosts: [gw.test]
    base_path: /strict
    admits: [app_signature]
    signature: {mode: strict}
    stages: {RELEASE: {service: origin}, TEST: {service: origin}}
  - name: once
    kind: rest
    hosts: [gw.test]
    base_path: /once
    admits: [app_signature]
    signature: {require_nonce: true, require_timestamp: true}
    stages: {RELEASE: {service: origin}}
  - name: admin-only
    kind: rest
    hosts: [gw.test]
    base_path: /internal
    admits: [app_signature]
    stages: {RELEASE: {service: origin}}
  - name: walled
    kind: rest
    hosts: [gw.test]
    base_path: /walled
    admits: [api_key]
    allowed_addresses: [127.0.0.1/32]
    stages: {RELEASE: {service: origin}}
  - name: health
    kind: rest
    hosts: [gw.test]
    base_path: /public
    admits: [anyone]
    operations: [{method: GET, path: /health}, {method: POST, path: /health}]
    stages: {RELEASE: {service: origin}}
  - name: optional
    kind: rest
    hosts: [gw.test]
    base_path: /optional
    admits: [api_key, anyone]
    stages: {RELEASE: {service: origin}}
  - name: codes
    kind: rest
    hosts: [gw.test]
    base_path: /codes
    admits: [app_code]
    app_code_in: [header, query]
    stages: {RELEASE: {service: origin}}
applications:
  - name: A
    extension: "tier=gold"
    key_pairs:
      - {app_key: app-a-k0, app_secret: secret-of-a-k0-0123456789abcdef, scheme: alibaba}
      - {app_key: app-a-k1, app_secret: secret-of-a-k1-0123456789abcdef, scheme: alibaba}
    app_codes: [A0A0A0A0B1B1B1B1C2C2C2C2D3D3D3D3]
  - {name: B, key_pairs: [{app_key: app-b-k0, app_secret: secret-of-b-k0-0123456789abcdef, scheme: alibaba}]}
  - {name: C, account: partner, key_pairs: [{app_key: app-c-k0, app_secret: secret-of-c-k0-0123456789abcdef, scheme: alibaba}]}
  - {name: D, account: stranger, key_pairs: [{app_key: app-d-k0, app_secret: secret-of-d-k0-0123456789abcdef, scheme: alibaba}]}
consumers:
  - {name: K1, api_key: {sources: [bearer], keys: [kw-test-k1-0123456789abcdefghij]}}
  - {name: K2, api_key: {sources: [{header: x-api-key}], keys: [kw-test-k2-0123456789abcdefghij]}}
  - {name: K3, api_key: {sources: [{query: apikey}], keys: [kw-test-k3-0123456789abcdefghij]}}
  - {name: KX, enabled: false, api_key: {sources: [bearer], keys: [kw-test-kx-0123456789abcdefghij]}}
  - name: J1
    jwt:
      jwks: '{"keys":[{"kty":"oct","alg":"HS256","kid":"h1","k":"ajEtc2VjcmV0LTAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5"}]}'
      identity_claim: {name: uid, value: j1}
${MORE_CONSUMERS}
grants:
  - {to: {application: A}, api: orders, description: A on orders}
  - {to: {application: A}, api: strict-orders}
  - {to: {application: A}, api: once}
  - {to: {application: B}, api: once}
  - {to: {application: A}, api: codes}
  - {to: {application: C, account: partner}, api: orders, stages: [RELEASE], description: C on orders}
  - {to: {consumer: K1}, api: orders, stages: [RELEASE], description: K1 on orders}
  - {to: {consumer: K2}, api: orders, stages: [RELEASE]}
  - {to: {consumer: K3}, api: orders, stages: [RELEASE]}
  - {to: {consumer: KX}, api: orders, stages: [RELEASE]}
  - {to: {consumer: J1}, api: orders, stages: [RELEASE]}
  - {to: {consumer: K1}, api: walled}
  - {to: {consumer: K1}, api: optional}
${MORE_GRANTS}
"#;
