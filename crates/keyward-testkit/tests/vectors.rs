//! `spec/signature-vectors.json` through the live gateway: each vector in a world of its own, sent as the bytes its
//! client sent, with the gateway's clock at the vector's time.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_model::Timestamp;
use keyward_testkit::client::{Answer, Connection};
use keyward_testkit::gateway::{Gateway, START, Setup};
use serde_json::{Value, json};

/// The gateway's own signature towards services, which no client sends.
const OUTBOUND: &str = "alibaba-backend";

struct Vector(Value);

impl Vector {
    fn all() -> Vec<Self> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spec/signature-vectors.json");
        let all: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        all.into_iter().map(Self).collect()
    }

    fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap()
    }

    fn name(&self) -> String {
        format!("{} {}", self.text("vendor"), self.text("name"))
    }

    fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let lines = self.0["request"]["headers"].as_array().unwrap();
        lines.iter().map(|line| (line[0].as_str().unwrap(), line[1].as_str().unwrap()))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn body(&self) -> Vec<u8> {
        STANDARD.decode(self.0["request"]["body_base64"].as_str().unwrap()).unwrap()
    }

    /// One application that may call everything, with nothing but this vector's credential.
    fn world(&self) -> String {
        let (scheme, admitted, holds) = match self.text("vendor") {
            "alibaba-appcode" => ("alibaba", "app_code", json!({"app_codes": [self.text("app_key")]})),
            vendor => {
                let scheme = match vendor {
                    "tencent-keypair" => "tencent_key_pair",
                    vendor => vendor,
                };
                let pair = json!({
                    "app_key": self.text("app_key"),
                    "app_secret": self.text("app_secret"),
                    "scheme": scheme,
                });
                (scheme, "app_signature", json!({"key_pairs": [pair]}))
            }
        };
        let mut application = json!({"name": "vector"});
        application.as_object_mut().unwrap().extend(holds.as_object().unwrap().clone());
        json!({
            "version": 1,
            "services": [{"name": "origin", "kind": "http", "endpoints": ["${UPSTREAM}"]}],
            "apis": [{
                "name": "all",
                "kind": "rest",
                "base_path": "/",
                "admits": [admitted],
                "app_code_in": ["header", "query"],
                "signature": {
                    "schemes": [scheme],
                    "algorithms": ["HmacSHA1", "HmacSHA256", "HmacSHA384", "HmacSHA512"],
                },
                "stages": {"RELEASE": {"service": "origin"}, "TEST": {"service": "origin"}},
            }],
            "applications": [application],
            "grants": [{"to": {"application": "vector"}, "api": "all"}],
        })
        .to_string()
    }

    /// The time that the vector names itself.
    fn time(&self) -> Timestamp {
        if let Some(millis) = self.header("x-ca-timestamp") {
            Timestamp::from_millis(millis.parse().unwrap())
        } else if self.text("vendor").starts_with("tencent") {
            "2018-03-19T12:08:40Z".parse().unwrap()
        } else {
            START
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let request = &self.0["request"];
        let line = format!(
            "{} {} HTTP/1.1\r\n",
            request["method"].as_str().unwrap(),
            request["path_and_query"].as_str().unwrap()
        );
        let mut bytes = line.into_bytes();
        if self.header("host").is_none() {
            bytes.extend_from_slice(b"Host: api.example.com\r\n");
        }
        // The vector's length is that of the body that was signed, which another may have replaced.
        for (name, value) in self.headers().filter(|(name, _)| !name.eq_ignore_ascii_case("content-length")) {
            bytes.extend_from_slice(format!("{name}: ").as_bytes());
            // Strings are latin-1 views of the bytes.
            bytes.extend(value.chars().map(|character| u8::try_from(character).unwrap()));
            bytes.extend_from_slice(b"\r\n");
        }
        let body = self.body();
        if self.header("content-length").is_some() || !body.is_empty() {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend(body);
        bytes
    }

    async fn send(&self, gateway: &Gateway) -> Answer {
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        connection.send(&self.bytes()).await.unwrap();
        connection.answer(self.0["request"]["method"] == "HEAD").await.unwrap()
    }
}

/// What the client is told, in the vendor's words: a status and how its message begins.
fn told(rule: &str) -> (u16, &'static str) {
    match rule {
        "Invalid Signature" => (401, "Invalid Signature, Server StringToSign:`"),
        "Invalid Content-MD5" => (400, "Invalid Content-MD5"),
        "Empty Signature" => (401, "Empty Signature"),
        // An id that nobody holds looks like a signature that does not match.
        "HMAC signature does not match" | "HMAC apikey is invalid for API." => {
            (401, "HMAC signature does not match")
        }
        rule if rule.starts_with("HMAC signature cannot be verified") => {
            (401, "HMAC signature cannot be verified")
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_inbound_vector_is_decided_as_it_expects() {
    let vectors: Vec<_> = Vector::all().into_iter().filter(|v| v.text("vendor") != OUTBOUND).collect();
    assert_eq!(vectors.len(), 115, "116 vectors, less the backend's one");
    let mut wrong = Vec::new();
    for vector in vectors {
        let setup = Setup { at: Some(vector.time()), ..Setup::default() };
        let gateway = Gateway::start_with(&vector.world(), setup).await;
        let answer = vector.send(&gateway).await;
        let passed = gateway.upstream().hits();
        let message = answer.header("x-ca-error-message").unwrap_or_default().to_owned();
        let right = if vector.text("expect") == "accept" {
            answer.status == 200 && passed == 1
        } else {
            let (status, begins) = told(vector.text("rule"));
            let tencent = vector.text("vendor").starts_with("tencent");
            let message = if tencent {
                answer.json()["message"].as_str().unwrap_or_default().to_owned()
            } else {
                message
            };
            answer.status == status && message.starts_with(begins) && passed == 0
        };
        if !right {
            wrong.push(format!("{}: {} {} (passed {passed})", vector.name(), answer.status, answer.text()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
