//! A request as a test writes it, and the world in which it is judged.

use std::net::{IpAddr, Ipv4Addr};

use keyward_access::signature::{
    DigestChoice, Judged, KeyPair, Presented, Rule, SignRequest, SignedRequest, SigningSecret, sign,
    string_to_sign, verify,
};
use keyward_access::{Body, Denial, DigestCheck, Field, RequestHead};
use keyward_model::{
    HmacAlgorithm, Plaintext, SignatureMode, SignaturePolicy, SignatureScheme, Stage, Timestamp,
};

pub const NOW: Timestamp = Timestamp::from_millis(1_525_872_629_832);
pub const APP_KEY: &str = "203753385";
pub const SECRET: &str = "AppSecretForTests0123456789abcdef";
pub const NONCE: &str = "c9f15cbf-f4ac-4a6c-b54d-f51abf4b5b44";
pub const FORM: &str = "application/x-www-form-urlencoded";

#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub query: Option<String>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// Where it differs from `path`.
    pub signed_path: Option<String>,
}

impl Call {
    pub fn new(method: &str, target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { method, path, query, headers: Vec::new(), body: Vec::new(), signed_path: None }
    }

    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    pub fn body(mut self, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self.header("Content-Type", content_type)
    }

    pub fn value(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name));
        String::from_utf8(found.unwrap_or_else(|| panic!("no {name}")).1.clone()).unwrap()
    }

    /// Replaces the field, or adds it.
    pub fn set(&mut self, name: &str, value: impl AsRef<[u8]>) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
    }

    pub fn remove(&mut self, name: &str) {
        self.headers.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
    }

    pub fn target(&mut self, target: &str) {
        let other = Self::new("GET", target);
        (self.path, self.query) = (other.path, other.query);
    }

    /// Signs the call by Alibaba's rules, everything signed that can be.
    pub fn signed(self) -> Self {
        self.signed_with(&Signer::default())
    }

    pub fn signed_with(mut self, signer: &Signer) -> Self {
        let secret = SigningSecret::new(&Plaintext::new(signer.secret.clone()));
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| Field { name, value: value.as_slice() }).collect();
        let names: Vec<&str> = signer.sign_headers.iter().map(String::as_str).collect();
        let signed = sign(&SignRequest {
            scheme: signer.scheme,
            algorithm: signer.algorithm,
            method: &self.method,
            path: self.signed_path.as_deref().unwrap_or(&self.path),
            query: self.query.as_deref(),
            headers: &headers,
            sign_headers: &names,
            body: &self.body,
            app_key: &signer.app_key,
            secret: &secret,
            timestamp: signer.timestamp,
            nonce: signer.nonce.as_deref(),
            stage: signer.stage,
            digest: signer.digest,
        })
        .unwrap();
        self.headers
            .extend(signed.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into_bytes())));
        self
    }

    pub fn with_head<R>(&self, look: impl FnOnce(&RequestHead<'_>) -> R) -> R {
        let fields: Vec<_> =
            self.headers.iter().map(|(name, value)| Field { name, value: value.as_slice() }).collect();
        look(&RequestHead {
            method: &self.method,
            host: "api.test",
            path: &self.path,
            query: self.query.as_deref(),
            fields: &fields,
            client: IpAddr::V4(Ipv4Addr::LOCALHOST),
            secure: true,
            has_body: !self.body.is_empty(),
        })
    }
}

#[derive(Clone, Debug)]
pub struct Signer {
    pub scheme: SignatureScheme,
    pub algorithm: HmacAlgorithm,
    pub app_key: String,
    pub secret: String,
    pub timestamp: Option<Timestamp>,
    pub nonce: Option<String>,
    pub stage: Option<Stage>,
    pub sign_headers: Vec<String>,
    pub digest: DigestChoice,
}

impl Default for Signer {
    fn default() -> Self {
        Self {
            scheme: SignatureScheme::Alibaba,
            algorithm: HmacAlgorithm::Sha256,
            app_key: APP_KEY.into(),
            secret: SECRET.into(),
            timestamp: Some(NOW),
            nonce: Some(NONCE.into()),
            stage: None,
            sign_headers: Vec::new(),
            digest: DigestChoice::NotForms,
        }
    }
}

impl Signer {
    pub fn of(scheme: SignatureScheme) -> Self {
        Self { scheme, ..Self::default() }
    }
}

/// Who has which key pair, what the API admits, and what time it is.
#[derive(Clone, Debug)]
pub struct Setting {
    pub pairs: Vec<(String, SignatureScheme, String)>,
    pub policy: SignaturePolicy,
    pub now: Timestamp,
    pub diagnose: bool,
}

/// A proof, without what it borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub nonce: Option<String>,
    pub timestamp: Option<Timestamp>,
    pub digest: Option<DigestCheck>,
    pub rule: Rule,
}

impl Setting {
    /// One application with one pair of this scheme, and everything admitted.
    pub fn of(scheme: SignatureScheme) -> Self {
        let policy = SignaturePolicy {
            schemes: SignatureScheme::ALL.to_vec(),
            algorithms: HmacAlgorithm::ALL.to_vec(),
            ..SignaturePolicy::default()
        };
        Self { pairs: vec![(APP_KEY.into(), scheme, SECRET.into())], policy, now: NOW, diagnose: true }
    }

    pub fn alibaba() -> Self {
        Self::of(SignatureScheme::Alibaba)
    }

    pub fn strict(mut self) -> Self {
        self.policy.mode = SignatureMode::Strict;
        self
    }

    /// As the gateway does it: from the head, and again with the body where it is needed.
    ///
    /// `None` where nothing is presented.
    pub fn judge(&self, call: &Call) -> Option<Result<Held, Denial>> {
        let from_head = self.judge_with(call, Body::Unread)?;
        let whole = self.judge_with(call, Body::Whole(&call.body))?;
        let Some(whole) = whole.transpose() else { panic!("asked for a body that is there") };
        match from_head {
            Ok(None) => Some(whole),
            Ok(Some(held)) => {
                // What is left open is the digest, and only it.
                match &whole {
                    Ok(closed) => assert_eq!(Held { digest: None, ..held }, *closed),
                    Err(denial) => assert_eq!(denial.reason, keyward_model::DenyReason::DigestMismatch),
                }
                Some(whole)
            }
            Err(denial) => {
                // What the head alone refuses is refused, also where the body would have been wrong too.
                let reason = whole.as_ref().unwrap_err().reason;
                let body_too = reason == keyward_model::DenyReason::DigestMismatch && reason < denial.reason;
                assert!(body_too || reason == denial.reason, "{reason} {denial:?}");
                if body_too { Some(whole) } else { Some(Err(denial)) }
            }
        }
    }

    pub fn judge_with(&self, call: &Call, body: Body<'_>) -> Option<Result<Option<Held>, Denial>> {
        call.with_head(|head| {
            let presented = match Presented::find(head)? {
                Ok(presented) => presented,
                Err(denial) => return Some(Err(denial)),
            };
            let found = self.pairs.iter().find(|(app_key, ..)| app_key == presented.app_key());
            let secret = found.map(|(.., secret)| SigningSecret::new(&Plaintext::new(secret.clone())));
            let pair = found
                .zip(secret.as_ref())
                .map(|((_, scheme, _), secret)| KeyPair { scheme: *scheme, secret });
            let signed_path = call.signed_path.as_deref().unwrap_or(&call.path);
            let request = SignedRequest { head, signed_path, body };
            let judged = verify(&presented, pair, &self.policy, &request, self.now, self.diagnose);
            Some(judged.map(|judged| match judged {
                Judged::NeedsWholeBody => None,
                Judged::Held(proof) => Some(Held {
                    nonce: proof.nonce.map(str::to_owned),
                    timestamp: proof.timestamp,
                    digest: proof.digest,
                    rule: proof.rule,
                }),
            }))
        })
    }

    pub fn holds(&self, call: &Call) -> Held {
        self.judge(call).unwrap().unwrap_or_else(|denial| panic!("{denial:?}\n{call:?}"))
    }

    pub fn refuses(&self, call: &Call) -> Denial {
        match self.judge(call) {
            Some(Err(denial)) => denial,
            other => panic!("{other:?}\n{call:?}"),
        }
    }

    pub fn accepts(&self, call: &Call) -> bool {
        matches!(self.judge(call), Some(Ok(_)))
    }

    /// The documented text of a call that presents a signature.
    pub fn text(&self, call: &Call) -> Vec<u8> {
        let scheme = self.pairs[0].1;
        call.with_head(|head| {
            let presented = Presented::find(head).unwrap().unwrap();
            let signed_path = call.signed_path.as_deref().unwrap_or(&call.path);
            let request = SignedRequest { head, signed_path, body: Body::Whole(&call.body) };
            string_to_sign(&presented, scheme, &request).unwrap()
        })
    }
}
