//! HMAC-033: random requests, signed by the reference signer, which shares no code with the product. What it signs
//! verifies; what is changed afterwards does not.
//!
//! `make soak` (KEYWARD_SOAK) tries more of them.

use keyward_testkit::client::Connection;
use keyward_testkit::fixture::HOST;
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;
use keyward_testkit::signer::Signing;

const WORLD: &str = r#"
version: 1
services: [{name: origin, kind: http, endpoints: ["${UPSTREAM}"]}]
apis:
  - name: any
    kind: rest
    hosts: [gw.test]
    base_path: /
    admits: [app_signature]
    signature: {schemes: [alibaba, tencent, tencent_key_pair], algorithms: [HmacSHA1, HmacSHA256, HmacSHA384, HmacSHA512]}
    stages: {RELEASE: {service: origin}, PRE: {service: origin}, TEST: {service: origin}}
applications:
  - name: any
    key_pairs:
      - {app_key: pair-of-alibaba, app_secret: secret-of-alibaba-0123456789, scheme: alibaba}
      - {app_key: pair-of-tencent, app_secret: secret-of-tencent-0123456789, scheme: tencent}
      - {app_key: pair-of-key-pair, app_secret: secret-of-key-pair-0123456789, scheme: tencent_key_pair}
grants: [{to: {application: any}, api: any}]
"#;

const PAIRS: [(&str, &str, &str); 3] = [
    ("alibaba", "pair-of-alibaba", "secret-of-alibaba-0123456789"),
    ("tencent", "pair-of-tencent", "secret-of-tencent-0123456789"),
    ("tencent_key_pair", "pair-of-key-pair", "secret-of-key-pair-0123456789"),
];

fn rounds() -> u64 {
    if std::env::var_os("KEYWARD_SOAK").is_some() { 50_000 } else { 4_000 }
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_of<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }
}

const NAMES: [&str; 12] =
    ["a", "b", "A", "a-b", "b_c", "%61", "z.z", "%E4%B8%AD", "x%5B%5D", "%20", "~", "a%2Bb"];
const VALUES: [&str; 14] = [
    "",
    "1",
    "0",
    "b",
    "two+words",
    "two%20words",
    "%2B",
    "%E4%B8%AD%E6%96%87",
    "%26",
    "%3D",
    "a/b",
    "a:b",
    "'(*)!",
    "%25",
];
const SEGMENTS: [&str; 10] =
    ["orders", "1", "a%20b", "%E4%B8%AD", "x.y", "~u", "a:b", "v;p=1", "A", "a%2Bb+c"];

fn parameters(n: &mut Numbers) -> String {
    let pairs: Vec<String> = (0..n.below(5))
        .map(|_| match n.below(6) {
            0 => n.one_of(&NAMES).to_owned(),
            _ => format!("{}={}", n.one_of(&NAMES), n.one_of(&VALUES)),
        })
        .collect();
    pairs.join("&")
}

fn request(n: &mut Numbers) -> Request {
    let path: Vec<&str> = (0..=n.below(4)).map(|_| n.one_of(&SEGMENTS)).collect();
    let mut target = format!("/{}", path.join("/"));
    let query = parameters(n);
    if !query.is_empty() {
        target = format!("{target}?{query}");
    }
    let mut request =
        Request::get(HOST, &target).method(n.one_of(&["GET", "POST", "PUT", "DELETE", "PATCH"]));
    if n.once_in(2) {
        request.set("Accept", n.one_of(&["*/*", "application/json", "text/html, */*;q=0.1"]));
    }
    if n.once_in(3) {
        request.set("Date", "Mon, 01 Jun 2026 12:00:00 GMT");
    }
    if n.once_in(3) {
        request.set("X-Trace", n.one_of(&["1", "a b", "a:b", "", "a, b"]));
    }
    if request.method != "GET" {
        match n.below(4) {
            0 => {
                request.set("Content-Type", "application/x-www-form-urlencoded");
                request.body = parameters(n).into_bytes();
            }
            1 => {
                request.set("Content-Type", "application/json; charset=utf-8");
                request.body = format!("{{\"amount\": {}}}", n.below(1000)).into_bytes();
            }
            2 => {
                request.set("Content-Type", "application/octet-stream");
                request.body = (0..n.below(2000)).map(|_| n.below(256) as u8).collect();
            }
            _ => {}
        }
        request.announce_empty = true;
    }
    request
}

fn signing(n: &mut Numbers, gateway: &Gateway, number: u64, request: &Request) -> Signing {
    let (scheme, app_key, secret) = PAIRS[n.below(PAIRS.len())];
    let mut signing = Signing::alibaba(app_key, secret);
    signing.scheme = scheme.into();
    signing.algorithm = n.one_of(&["HmacSHA1", "HmacSHA256", "HmacSHA384", "HmacSHA512"]).into();
    if scheme != "alibaba" || n.once_in(2) {
        signing.timestamp_ms = Some(gateway.now_ms() - n.below(100_000) as i64);
    }
    if scheme == "alibaba" && signing.timestamp_ms.is_some() {
        signing.nonce = Some(format!("nonce-of-hmac-033-{number}"));
    }
    if scheme == "alibaba" && n.once_in(4) {
        signing.stage = Some(n.one_of(&["RELEASE", "PRE", "TEST"]).into());
    }
    if request.value("x-trace").is_some() {
        signing.sign_headers.push("X-Trace".into());
    }
    signing
}

/// Changes something that this scheme's signature covers; says what.
fn change(n: &mut Numbers, request: &mut Request, scheme: &str) -> &'static str {
    let covers_all = scheme != "tencent_key_pair";
    match n.below(6) {
        0 if covers_all => {
            request.target.insert(1, 'x');
            "path"
        }
        1 if covers_all => {
            let mark = if request.target.contains('?') { '&' } else { '?' };
            request.target.push_str(&format!("{mark}zz=1"));
            "query"
        }
        2 if covers_all => {
            request.method = if request.method == "PUT" { "POST".into() } else { "PUT".into() };
            request.announce_empty = true;
            "method"
        }
        3 if covers_all => {
            let accept = request.value("accept").unwrap_or_default();
            request.set("Accept", &format!("{accept}x"));
            "accept"
        }
        4 if covers_all && !request.body.is_empty() => {
            let form = request.value("content-type").is_some_and(|t| t.contains("form"));
            request.body.extend_from_slice(if form { b"&zz=1" } else { b" " });
            "body"
        }
        _ if request.value("x-trace").is_some() => {
            request.set("X-Trace", "changed");
            "signed header"
        }
        _ => {
            let name = if scheme == "alibaba" { "X-Ca-Signature" } else { "Authorization" };
            let value = request.value(name).unwrap_or_default();
            // The first character of the Base64 text carries six bits of the signature.
            let at = value.rfind("signature=\"").map_or(0, |at| at + 11);
            let other = if value[at..].starts_with('A') { "B" } else { "A" };
            request.set(name, &format!("{}{other}{}", &value[..at], &value[at + 1..]));
            "signature"
        }
    }
}

#[tokio::test]
async fn hmac_033_what_an_independent_signer_signs_verifies_and_nothing_else() {
    let gateway = Gateway::start(WORLD).await;
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    let mut disagreements = Vec::new();
    for number in 0..rounds() {
        let n = &mut Numbers(number.wrapping_mul(0x0005_deec_e66d));
        let request = request(n);
        let signing = signing(n, &gateway, number, &request);
        let sound = request.clone().signed(&signing);
        let answer = connection.call(&sound).await.unwrap();
        if answer.status != 200 {
            disagreements.push(format!("refused: {sound:?}: {answer:?}"));
        }
        let again = Signing { nonce: signing.nonce.as_ref().map(|nonce| format!("{nonce}-b")), ..signing };
        let mut changed = request.signed(&again);
        let what = change(n, &mut changed, &again.scheme);
        let hits = gateway.upstream().hits();
        let answer = connection.call(&changed).await.unwrap();
        if !matches!(answer.status, 400 | 401) || gateway.upstream().hits() != hits {
            disagreements.push(format!("{what} changed, and let through: {changed:?}: {answer:?}"));
        }
        if answer.header("connection").is_some_and(|value| value.contains("close")) {
            connection = Connection::open(gateway.address()).await.unwrap();
        }
        assert!(disagreements.len() < 20, "{disagreements:#?}");
    }
    assert!(disagreements.is_empty(), "{disagreements:#?}");
}
