//! The vendor signature as its SDKs make it, written a second time: nothing here is shared with the product.
//!
//! The form is that of the vendor's Node client: lower-case names, the stage signed, HmacSHA256.

use crate::failure::{Failure, Outcome};
use crate::request::{ACCEPT, Request, SIGNED_PATH};
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The parts of a signed request that differ from call to call; every one has a fixed length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    timestamp: [u8; 13],
    nonce: [u8; 36],
    signature: [u8; 44],
}

/// Signs for one key pair.
pub(crate) struct Signer {
    app_key: String,
    key: hmac::Key,
    nonces: Rc<Nonces>,
}

impl Signer {
    /// A signer for a key pair; `nonces` is shared by all signers of a run.
    pub(crate) fn new(app_key: &str, app_secret: &str, nonces: Rc<Nonces>) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
        Self { app_key: app_key.to_owned(), key, nonces }
    }

    /// A fresh stamp: this moment, a nonce never used before, and the signature over both.
    pub(crate) fn stamp(&self) -> Outcome<Stamp> {
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        let timestamp = format!("{now_ms:013}");
        let nonce = self.nonces.next();
        let text = string_to_sign(ACCEPT, &self.app_key, &nonce, "RELEASE", &timestamp, SIGNED_PATH);
        let signature = self.sign(&text);
        Ok(Stamp { timestamp: fixed(&timestamp)?, nonce: fixed(&nonce)?, signature: fixed(&signature)? })
    }

    fn sign(&self, text: &str) -> String {
        STANDARD.encode(hmac::sign(&self.key, text.as_bytes()))
    }

    /// The request of this key pair, with room for a stamp.
    pub(crate) fn request(&self) -> Outcome<StampedRequest> {
        let app_key = &self.app_key;
        let (timestamp, nonce, signature) = ("0".repeat(13), "0".repeat(36), "0".repeat(44));
        let request = Request::with(&format!(
            "x-ca-timestamp: {timestamp}\r\nx-ca-key: {app_key}\r\nx-ca-nonce: {nonce}\r\nx-ca-stage: RELEASE\r\n\
             x-ca-signature-headers: x-ca-key,x-ca-nonce,x-ca-stage,x-ca-timestamp\r\nx-ca-signature: {signature}\r\n"
        ));
        let slot =
            |name| request.value_of(name).ok_or_else(|| Failure::new(format!("no `{name}` was written")));
        let slots = Slots {
            timestamp: slot("x-ca-timestamp")?,
            nonce: slot("x-ca-nonce")?,
            signature: slot("x-ca-signature")?,
        };
        Ok(StampedRequest { request, slots })
    }
}

/// A request whose signature is written in place before each call.
#[derive(Clone, Debug)]
pub(crate) struct StampedRequest {
    pub(crate) request: Request,
    slots: Slots,
}

#[derive(Clone, Debug)]
struct Slots {
    timestamp: Range<usize>,
    nonce: Range<usize>,
    signature: Range<usize>,
}

impl StampedRequest {
    /// Writes `stamp` into the request.
    pub(crate) fn apply(&mut self, stamp: &Stamp) {
        let parts: [(&Range<usize>, &[u8]); 3] = [
            (&self.slots.timestamp, &stamp.timestamp),
            (&self.slots.nonce, &stamp.nonce),
            (&self.slots.signature, &stamp.signature),
        ];
        for (slot, value) in parts {
            if let Some(place) = self.request.bytes.get_mut(slot.clone()) {
                place.copy_from_slice(value);
            }
        }
    }
}

/// Nonces in the form of a UUID, never the same twice in a process.
pub(crate) struct Nonces {
    run: u64,
    count: Cell<u64>,
}

impl Nonces {
    /// A source that starts from `seed`, which tells this process from others.
    pub(crate) fn new(seed: u64) -> Self {
        Self { run: seed, count: Cell::new(0) }
    }

    fn next(&self) -> String {
        /// An odd factor maps the counter one to one within 62 bits, so that nonces look random and stay unique.
        const SPREAD: u64 = 0x1E37_79B9_7F4A_7C15;
        const LOW_62: u64 = (1 << 62) - 1;
        let count = self.count.get();
        self.count.set(count + 1);
        let low = (1 << 63) | (count.wrapping_mul(SPREAD) & LOW_62);
        let (a, b, c) = (self.run >> 32, (self.run >> 16) & 0xffff, self.run & 0xfff);
        format!("{a:08x}-{b:04x}-4{c:03x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
    }
}

/// What is signed for a GET without Content-MD5, Content-Type and Date.
fn string_to_sign(
    accept: &str,
    app_key: &str,
    nonce: &str,
    stage: &str,
    timestamp: &str,
    path: &str,
) -> String {
    format!(
        "GET\n{accept}\n\n\n\nx-ca-key:{app_key}\nx-ca-nonce:{nonce}\nx-ca-stage:{stage}\nx-ca-timestamp:{timestamp}\n{path}"
    )
}

fn fixed<const N: usize>(text: &str) -> Outcome<[u8; N]> {
    text.as_bytes().try_into().map_err(|_| Failure::new(format!("`{text}` is not {N} bytes long")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Captured from the vendor's npm client `aliyun-api-gateway` 1.1.6.
    #[test]
    fn agrees_with_a_call_captured_from_the_vendors_client() {
        let secret = "AppSecretForTests0123456789abcdef";
        let signer = Signer::new("203753385", secret, Rc::new(Nonces::new(1)));
        let nonce = "c9f15cbf-f4ac-4a6c-b54d-000000000002";
        let text = string_to_sign("application/json", "203753385", nonce, "RELEASE", "1525872629832", "/");
        assert_eq!(signer.sign(&text), "kAZRSZ6J7s9v7vUSMssaP4e5RISWU6v4THznArQme4A=");
    }

    #[test]
    fn a_stamp_replaces_the_changing_values_and_nothing_else() {
        let signer = Signer::new("203700001", "secret-of-the-test", Rc::new(Nonces::new(7)));
        let mut stamped = signer.request().unwrap();
        let before = stamped.request.bytes.clone();
        let stamp = signer.stamp().unwrap();
        stamped.apply(&stamp);
        assert_eq!(stamped.request.bytes.len(), before.len());
        let value = |name| stamped.request.bytes[stamped.request.value_of(name).unwrap()].to_vec();
        assert_eq!(value("x-ca-nonce"), stamp.nonce);
        assert_eq!(value("x-ca-signature"), stamp.signature);
        assert_eq!(value("x-ca-timestamp"), stamp.timestamp);
        assert_eq!(value("x-ca-key"), b"203700001");
    }

    #[test]
    fn nonces_have_the_form_of_a_uuid_and_do_not_repeat() {
        let nonces = Nonces::new(u64::MAX);
        let many: HashSet<String> = (0..10_000).map(|_| nonces.next()).collect();
        assert_eq!(many.len(), 10_000);
        for nonce in many.iter().take(50) {
            let lengths: Vec<_> = nonce.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{nonce}");
            assert_eq!(&nonce[14..15], "4");
        }
    }
}
