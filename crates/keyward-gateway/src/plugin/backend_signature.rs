//! `backend-signature`: the vendor's signature of what goes to a service (`X-Ca-Proxy-Signature`). It is the last to be asked,
//! and signs the head as it is written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyward_access::PluginEntry;
use keyward_http::BodyLength;
use keyward_model::BackendSignature;
use md5::{Digest as _, Md5};

use super::draft::push_field;
use super::{Act, Call, Needs, Refusal, Verdict};
use crate::query::decoded_text;

#[derive(Debug)]
pub(super) struct BackendSignatureAct {
    config: BackendSignature,
    entry: Arc<PluginEntry>,
}

/// What is left to be signed, once the head is written. `Debug` does not show it.
pub(crate) struct Signing {
    key: Box<str>,
    secret: hmac::Key,
    /// Names of fields, as they were listed, in order of these spellings.
    names: Vec<Box<str>>,
    /// The parameters of a form that goes as the body.
    form: Option<String>,
    /// Of a body that is no form.
    content_md5: Option<String>,
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signing").field("key", &self.key).finish_non_exhaustive()
    }
}

impl BackendSignatureAct {
    pub(super) fn new(config: &BackendSignature, entry: &Arc<PluginEntry>) -> Self {
        Self { config: config.clone(), entry: Arc::clone(entry) }
    }
}

impl Act for BackendSignatureAct {
    fn needs(&self) -> Needs {
        Needs::default()
    }

    fn request(&self, call: &mut Call<'_>) -> Verdict {
        let has_body = !matches!(call.head.body, BodyLength::None | BodyLength::Known(0))
            || call.draft.as_ref().is_some_and(|draft| draft.body.is_some());
        let body = match has_body.then(|| call.body(self.config.body_bytes as usize)).transpose() {
            Ok(body) => body.map(<[u8]>::to_vec).unwrap_or_default(),
            Err(verdict) => return verdict,
        };
        let Some(secret) = self.entry.value_of(&self.config.secret, call.now) else {
            return Verdict::Refuse(Refusal::failed("the secret of a signature has no value"));
        };
        let is_form = call.field("content-type").is_some_and(|value| {
            let kind = value.split(|byte| *byte == b';').next().unwrap_or_default();
            kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        let (form, content_md5) = match (body.is_empty(), is_form) {
            (true, _) => (None, None),
            (false, true) => (Some(String::from_utf8_lossy(&body).into_owned()), None),
            (false, false) => (None, Some(STANDARD.encode(Md5::digest(&body)))),
        };
        let mut names = self.config.names.clone();
        names.sort();
        *call.signing = Some(Signing {
            key: self.config.key.clone(),
            secret: hmac::Key::new(hmac::HMAC_SHA256, secret.expose_secret().as_bytes()),
            names,
            form,
            content_md5,
        });
        Verdict::Pass
    }
}

impl Signing {
    /// Signs the head that `out` holds, and appends the fields that say so.
    pub(crate) fn sign(&self, out: &mut Vec<u8>) {
        if let Some(content_md5) = &self.content_md5 {
            drop_field(out, "content-md5");
            push_field(out, "Content-MD5", content_md5.as_bytes());
        }
        let (text, names) = {
            let head = String::from_utf8_lossy(out);
            self.text(&head)
        };
        let signature = STANDARD.encode(hmac::sign(&self.secret, text.as_bytes()));
        push_field(out, "X-Ca-Proxy-Signature", signature.as_bytes());
        push_field(out, "X-Ca-Proxy-Signature-Headers", names.join(",").as_bytes());
        push_field(out, "X-Ca-Proxy-Signature-Secret-Key", self.key.as_bytes());
    }

    /// What is signed, and the names of the fields in it.
    fn text(&self, head: &str) -> (String, Vec<&str>) {
        let mut lines = head.split("\r\n");
        let mut line = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (line.next().unwrap_or_default(), line.next().unwrap_or_default());
        let (path, query) =
            target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
        let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(": ")).collect();
        let value = |name: &str| {
            fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
        };
        let mut text = format!("{method}\n{}\n", value("content-md5").unwrap_or_default());
        let mut names = Vec::new();
        for name in &self.names {
            let Some(value) = value(name) else { continue };
            text.push_str(&format!("{}:{value}\n", name.to_ascii_lowercase()));
            names.push(&**name);
        }
        text.push_str(path);
        // Of several of one name the first counts.
        let mut parameters: BTreeMap<String, String> = BTreeMap::new();
        for pieces in [query, self.form.as_deref()].into_iter().flatten() {
            for piece in pieces.split('&').filter(|piece| !piece.is_empty()) {
                let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
                parameters.entry(decoded_text(name)).or_insert_with(|| decoded_text(value));
            }
        }
        for (place, (name, value)) in parameters.iter().enumerate() {
            text.push(if place == 0 { '?' } else { '&' });
            text.push_str(&format!("{name}={value}"));
        }
        (text, names)
    }
}

/// Takes the lines of this field out of a written head.
fn drop_field(out: &mut Vec<u8>, name: &str) {
    let head = std::mem::take(out);
    for (place, line) in head.split_inclusive(|byte| *byte == b'\n').enumerate() {
        let other = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if place == 0 || !other.eq_ignore_ascii_case(name.as_bytes()) {
            out.extend_from_slice(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vendors_own_vector_comes_out() {
        let vectors = include_str!("../../../../spec/signature-vectors.json");
        let vectors: Vec<serde_json::Value> = serde_json::from_str(vectors).unwrap();
        let ours = vectors.iter().filter(|one| one["vendor"] == "alibaba-backend");
        let mut seen = 0;
        for vector in ours {
            seen += 1;
            let request = &vector["request"];
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let mut out =
                format!("{} {} HTTP/1.1\r\n", text(&request["method"]), text(&request["path_and_query"]));
            let mut names = Vec::new();
            for field in request["headers"].as_array().unwrap() {
                let (name, value) = (text(&field[0]), text(&field[1]));
                match &*name {
                    "X-Ca-Proxy-Signature-Headers" => names = value.split(',').map(Into::into).collect(),
                    "X-Ca-Proxy-Signature" | "X-Ca-Proxy-Signature-Secret-Key" => {}
                    _ => out.push_str(&format!("{name}: {value}\r\n")),
                }
            }
            let body = STANDARD.decode(text(&request["body_base64"])).unwrap();
            let secret = text(&vector["app_secret"]);
            let signing = Signing {
                key: text(&vector["app_key"]).into(),
                secret: hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()),
                names,
                form: Some(String::from_utf8(body).unwrap()),
                content_md5: None,
            };
            assert_eq!(signing.text(&out).0, text(&vector["string_to_sign"]));
            let mut out = out.into_bytes();
            signing.sign(&mut out);
            let signed = String::from_utf8(out).unwrap();
            assert!(
                signed.contains(&format!("X-Ca-Proxy-Signature: {}\r\n", text(&vector["signature"]))),
                "{signed}"
            );
        }
        assert!(seen >= 1);
    }

    #[test]
    fn a_field_is_taken_out_of_a_head_that_is_written() {
        let mut out = b"POST /a HTTP/1.1\r\nContent-MD5: old\r\nX: y\r\ncontent-md5: other\r\n".to_vec();
        drop_field(&mut out, "content-md5");
        assert_eq!(out, b"POST /a HTTP/1.1\r\nX: y\r\n");
    }
}
