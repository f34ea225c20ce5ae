//! A reference signer: signs requests by the vendors' documented rules, sharing no code with the product.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

use crate::request::Request;

/// What a request is signed with, and how.
#[derive(Clone, Debug)]
pub struct Signing {
    /// `X-Ca-Key`, or `id`.
    pub app_key: String,
    /// The secret.
    pub app_secret: String,
    /// `alibaba`, `tencent` or `tencent_key_pair`.
    pub scheme: String,
    /// `HmacSHA256` and so on.
    pub algorithm: String,
    /// The timestamp to send, in milliseconds; absent: none.
    pub timestamp_ms: Option<i64>,
    /// The nonce to send; absent: none.
    pub nonce: Option<String>,
    /// `X-Ca-Stage` to send, signed.
    pub stage: Option<String>,
    /// Further header names to sign.
    pub sign_headers: Vec<String>,
    /// Sign this target rather than the one that is sent.
    pub signed_target: Option<String>,
    /// Leave Content-MD5 away.
    pub no_digest: bool,
}

impl Signing {
    /// Signs by Alibaba's rules with SHA-256 and neither timestamp nor nonce.
    pub fn alibaba(app_key: &str, app_secret: &str) -> Self {
        Self {
            app_key: app_key.into(),
            app_secret: app_secret.into(),
            scheme: "alibaba".into(),
            algorithm: "HmacSHA256".into(),
            timestamp_ms: None,
            nonce: None,
            stage: None,
            sign_headers: Vec::new(),
            signed_target: None,
            no_digest: false,
        }
    }

    /// With this timestamp and nonce.
    #[must_use]
    pub fn fresh(mut self, timestamp_ms: i64, nonce: &str) -> Self {
        self.timestamp_ms = Some(timestamp_ms);
        self.nonce = Some(nonce.into());
        self
    }
}

/// Adds to `request` what makes it signed.
pub fn sign(request: &mut Request, signing: &Signing) {
    match signing.scheme.as_str() {
        "tencent" | "tencent_key_pair" => sign_tencent(request, signing),
        _ => sign_alibaba(request, signing),
    }
}

fn is_form(request: &Request) -> bool {
    request
        .value("content-type")
        .is_some_and(|t| t.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded"))
}

fn sign_alibaba(request: &mut Request, signing: &Signing) {
    let mut listed = vec!["X-Ca-Key".to_owned()];
    request.set("X-Ca-Key", &signing.app_key);
    if signing.algorithm != "HmacSHA256" {
        request.set("X-Ca-Signature-Method", &signing.algorithm);
        listed.push("X-Ca-Signature-Method".into());
    }
    if let Some(timestamp) = signing.timestamp_ms {
        request.set("X-Ca-Timestamp", &timestamp.to_string());
        listed.push("X-Ca-Timestamp".into());
    }
    if let Some(nonce) = &signing.nonce {
        request.set("X-Ca-Nonce", nonce);
        listed.push("X-Ca-Nonce".into());
    }
    if let Some(stage) = &signing.stage {
        request.set("X-Ca-Stage", stage);
        listed.push("X-Ca-Stage".into());
    }
    listed.extend(signing.sign_headers.iter().cloned());
    if !request.body.is_empty() && !is_form(request) && !signing.no_digest {
        let digest = STANDARD.encode(Md5::digest(&request.body));
        request.set("Content-MD5", &digest);
    }
    listed.sort();
    let mut text = format!("{}\n", request.method);
    for name in ["accept", "content-md5", "content-type", "date"] {
        text.push_str(&request.value(name).unwrap_or_default());
        text.push('\n');
    }
    for name in &listed {
        text.push_str(&format!("{name}:{}\n", request.value(name).unwrap_or_default()));
    }
    text.push_str(&path_and_parameters(request, signing));
    let signature = STANDARD.encode(hmac(&signing.algorithm, signing.app_secret.as_bytes(), text.as_bytes()));
    request.set("X-Ca-Signature-Headers", &listed.join(","));
    request.set("X-Ca-Signature", &signature);
}

fn sign_tencent(request: &mut Request, signing: &Signing) {
    let millis = signing.timestamp_ms.unwrap_or_default();
    let at = jiff::Timestamp::from_millisecond(millis).unwrap_or_default();
    let date = at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    request.set("X-Date", &date);
    let mut names = vec!["x-date".to_owned()];
    if signing.scheme == "tencent_key_pair" {
        request.set("Source", "keyward-test");
        names.push("source".into());
    }
    names.extend(signing.sign_headers.iter().map(|name| name.to_ascii_lowercase()));
    let lines: Vec<_> =
        names.iter().map(|name| format!("{name}: {}", request.value(name).unwrap_or_default())).collect();
    let mut text = lines.join("\n");
    if signing.scheme == "tencent" {
        let md5 = if request.body.is_empty() || is_form(request) {
            String::new()
        } else {
            STANDARD.encode(hex(&Md5::digest(&request.body)))
        };
        text.push_str(&format!(
            "\n{}\n{}\n{}\n{md5}\n{}",
            request.method,
            request.value("accept").unwrap_or_default(),
            request.value("content-type").unwrap_or_default(),
            path_and_parameters(request, signing)
        ));
    }
    let algorithm = signing.algorithm.to_ascii_lowercase().replace("hmacsha", "hmac-sha");
    let signature = STANDARD.encode(hmac(&signing.algorithm, signing.app_secret.as_bytes(), text.as_bytes()));
    request.set(
        "Authorization",
        &format!(
            "hmac id=\"{}\", algorithm=\"{algorithm}\", headers=\"{}\", signature=\"{signature}\"",
            signing.app_key,
            names.join(" ")
        ),
    );
}

/// Path, then the parameters of query and form, decoded, sorted by name, the first value of each, bare where empty.
fn path_and_parameters(request: &Request, signing: &Signing) -> String {
    let target = signing.signed_target.as_deref().unwrap_or(&request.target);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut parameters = std::collections::BTreeMap::new();
    let mut form = String::new();
    if is_form(request) {
        form = String::from_utf8_lossy(&request.body).into_owned();
    }
    for source in [form.as_str(), query] {
        for piece in source.split('&').filter(|piece| !piece.is_empty()) {
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            parameters.entry(decode(name)).or_insert_with(|| decode(value));
        }
    }
    let joined: Vec<_> = parameters
        .iter()
        .map(|(name, value)| if value.is_empty() { name.clone() } else { format!("{name}={value}") })
        .collect();
    if joined.is_empty() { path.to_owned() } else { format!("{path}?{}", joined.join("&")) }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hmac(algorithm: &str, secret: &[u8], text: &[u8]) -> Vec<u8> {
    fn with<M: Mac + KeyInit>(secret: &[u8], text: &[u8]) -> Vec<u8> {
        let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret) else { return Vec::new() };
        mac.update(text);
        mac.finalize().into_bytes().to_vec()
    }
    match algorithm {
        "HmacSHA1" => with::<Hmac<sha1::Sha1>>(secret, text),
        "HmacSHA384" => with::<Hmac<sha2::Sha384>>(secret, text),
        "HmacSHA512" => with::<Hmac<sha2::Sha512>>(secret, text),
        _ => with::<Hmac<sha2::Sha256>>(secret, text),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A compact JWS with an HMAC of this algorithm (`HS256`, `HS384`, `HS512`) under this base64url key.
pub fn token(
    algorithm: &str,
    kid: Option<&str>,
    secret_base64url: &str,
    claims: &serde_json::Value,
) -> String {
    let mut header = serde_json::json!({"alg": algorithm, "typ": "JWT"});
    if let (Some(kid), Some(members)) = (kid, header.as_object_mut()) {
        members.insert("kid".into(), kid.into());
    }
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let secret = URL_SAFE_NO_PAD.decode(secret_base64url).unwrap_or_default();
    let name = format!("HmacSHA{}", algorithm.trim_start_matches("HS"));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac(&name, &secret, signed.as_bytes())))
}

/// A key pair that signs tokens: RS256, ES256 or EdDSA.
pub struct TokenKey {
    kid: String,
    pair: KeyOf,
}

enum KeyOf {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl TokenKey {
    /// A new key for this algorithm.
    ///
    /// # Panics
    /// If the system gives none.
    pub fn generate(algorithm: &str, kid: &str) -> Self {
        let pair = match algorithm {
            "RS256" => KeyOf::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key")),
            "ES256" => KeyOf::Ec(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")),
            _ => KeyOf::Ed(Ed25519KeyPair::generate().expect("a key")),
        };
        Self { kid: kid.into(), pair }
    }

    /// `RS256`, `ES256` or `EdDSA`.
    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            KeyOf::Rsa(_) => "RS256",
            KeyOf::Ec(_) => "ES256",
            KeyOf::Ed(_) => "EdDSA",
        }
    }

    /// The public half, as a JWK.
    pub fn jwk(&self) -> String {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let material = match &self.pair {
            KeyOf::Rsa(pair) => {
                // PKCS#1 ends in the modulus and the exponent 65537, which takes five bytes.
                let der = pair.public_key().as_ref();
                let end = der.len() - 5;
                let modulus = &der[end - pair.public_modulus_len()..end];
                format!(r#""kty":"RSA","n":"{}","e":"AQAB""#, b64(modulus))
            }
            KeyOf::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                format!(r#""kty":"EC","crv":"P-256","x":"{}","y":"{}""#, b64(x), b64(y))
            }
            KeyOf::Ed(pair) => {
                format!(r#""kty":"OKP","crv":"Ed25519","x":"{}""#, b64(pair.public_key().as_ref()))
            }
        };
        format!(r#"{{{material},"alg":"{}","kid":"{}"}}"#, self.algorithm(), self.kid)
    }

    /// A token of exactly this header and payload.
    ///
    /// # Panics
    /// If the key does not sign.
    pub fn token_of(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let random = SystemRandom::new();
        let signature = match &self.pair {
            KeyOf::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature).expect("signed");
                signature
            }
            KeyOf::Ec(pair) => pair.sign(&random, signed.as_bytes()).expect("signed").as_ref().to_vec(),
            KeyOf::Ed(pair) => pair.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    /// A sound token of these claims.
    pub fn token(&self, payload: &str) -> String {
        self.token_of(&format!(r#"{{"alg":"{}","kid":"{}"}}"#, self.algorithm(), self.kid), payload)
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// A token of exactly this header and payload under an HMAC-SHA-256 key.
pub fn hmac_token(header: &str, payload: &str, secret: &[u8]) -> String {
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac("HmacSHA256", secret, signed.as_bytes())))
}
