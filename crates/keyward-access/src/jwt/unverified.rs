//! Reading a token: everything that can be said of it before a key is known.

use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keyward_model::{DenyReason, JsonObject, JsonValue, JwsAlgorithm};

use super::VerifyingKeys;
use crate::Denial;

/// Longest token, in bytes. Tokens with many groups in them reach half of it.
const TOKEN_LENGTH_MAX: usize = 16_384;
/// Most members of a token's header.
const HEADER_MEMBERS_MAX: usize = 32;
/// Most claims of a token.
const CLAIMS_MAX: usize = 128;

/// Has this text the shape of a token: three parts of base64url, the first of which begins as a JSON object does?
///
/// Tells tokens from API keys where both may stand. [`Unverified::parse`] still has to read it.
pub fn looks_like_token(text: &str) -> bool {
    let is_part = |part: &str| {
        let in_alphabet = |all, b: u8| all & (b.is_ascii_alphanumeric() | (b == b'-') | (b == b'_'));
        !part.is_empty() && part.bytes().fold(true, in_alphabet)
    };
    let parts = text.split_once('.').and_then(|(header, rest)| Some((header, rest.split_once('.')?)));
    text.starts_with('e')
        && parts.is_some_and(|(header, (payload, signature))| {
            is_part(header) && is_part(payload) && is_part(signature)
        })
}

/// A token that was read and not yet believed.
pub struct Unverified<'t> {
    text: &'t str,
    reading: Rc<Reading>,
    /// Under which keys its signature held before.
    held_under: Option<Arc<VerifyingKeys>>,
}

/// What the text of a token says.
pub(super) struct Reading {
    algorithm: JwsAlgorithm,
    kid: Option<Rc<str>>,
    /// How long the part is that is signed.
    signed: usize,
    payload: String,
    claims: Vec<(Text, Claim)>,
}

impl<'t> Unverified<'t> {
    /// Reads a token in compact serialisation.
    ///
    /// # Errors
    /// `credential_malformed`, or `algorithm_not_admitted` for tokens that are signed in no way that Keyward verifies.
    pub fn parse(token: &'t str) -> Result<Self, Denial> {
        let parts = Parts::split(token)?;
        let payload = decoded_text(parts.payload)?;
        let claims = read_claims(&payload)?;
        let Jws { algorithm, kid, signed, .. } = Jws::read(parts)?;
        let reading = Reading { algorithm, kid, signed: signed.len(), payload, claims };
        Ok(Self { text: token, reading: Rc::new(reading), held_under: None })
    }

    /// A token of this text that was read before, and whose signature held under these keys.
    pub(super) fn remembered(text: &'t str, reading: Rc<Reading>, keys: Arc<VerifyingKeys>) -> Self {
        Self { text, reading, held_under: Some(keys) }
    }

    pub(crate) fn text(&self) -> &'t str {
        self.text
    }

    pub(super) fn reading(&self) -> &Rc<Reading> {
        &self.reading
    }

    /// Did its signature hold under these very keys before?
    pub(super) fn held_under(&self, keys: &VerifyingKeys) -> bool {
        self.held_under.as_deref().is_some_and(|held| std::ptr::eq(held, keys))
    }

    /// What its signature is verified by.
    pub(super) fn jws(&self) -> Jws<'t> {
        let (signed, rest) = self.text.split_at_checked(self.reading.signed).unwrap_or((self.text, ""));
        let signature = rest.strip_prefix('.').unwrap_or_default();
        Jws { algorithm: self.reading.algorithm, kid: self.reading.kid.clone(), signed, signature }
    }

    /// The text of a claim that is a JSON string, exactly as the token says it; `None` for anything else.
    ///
    /// There is no coercion: a number, an array of one string or another case is not the text.
    pub fn claim(&self, name: &str) -> Option<&str> {
        match self.find(name)? {
            Claim::Text(text) => text.of(&self.reading.payload),
            Claim::Other(_) => None,
        }
    }

    /// How the token says that it is signed.
    pub fn algorithm(&self) -> JwsAlgorithm {
        self.reading.algorithm
    }

    /// The key that it says it is signed with.
    pub fn kid(&self) -> Option<&str> {
        self.reading.kid.as_deref()
    }

    /// A claim of any type as it was written, valid JSON; strings have escapes resolved and no quotes.
    pub(super) fn value(&self, name: &str) -> Option<ClaimValue<'_>> {
        match self.find(name)? {
            Claim::Text(text) => text.of(&self.reading.payload).map(ClaimValue::Text),
            Claim::Other(range) => self.reading.payload.get(range.clone()).map(ClaimValue::Other),
        }
    }

    fn find(&self, name: &str) -> Option<&Claim> {
        let Reading { payload, claims, .. } = &*self.reading;
        claims.iter().find(|(other, _)| other.of(payload) == Some(name)).map(|(_, claim)| claim)
    }
}

impl fmt::Debug for Unverified<'_> {
    /// Not the token: it may be valid.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified")
            .field("algorithm", &self.reading.algorithm)
            .field("kid", &self.reading.kid)
            .finish_non_exhaustive()
    }
}

/// A claim's value.
pub(super) enum ClaimValue<'a> {
    /// The text of a string.
    Text(&'a str),
    /// Anything else, as it was written.
    Other(&'a str),
}

/// What a signature is verified by.
pub(super) struct Jws<'t> {
    pub(super) algorithm: JwsAlgorithm,
    pub(super) kid: Option<Rc<str>>,
    /// What is signed: the first two parts, as they came.
    pub(super) signed: &'t str,
    /// The third part, as it came.
    signature: &'t str,
}

impl<'t> Jws<'t> {
    /// What the header says. Members that are not known to us are ignored, keys and addresses among them.
    pub(super) fn read(parts: Parts<'t>) -> Result<Self, Denial> {
        let header = decoded_text(parts.header)?;
        let header = JsonObject::parse(&header, HEADER_MEMBERS_MAX).map_err(malformed)?;
        check_types(&header)?;
        let named = header.get("alg").and_then(JsonValue::as_str);
        let Some(Ok(algorithm)) = named.map(|name| name.parse()) else {
            return Err(Denial::new(DenyReason::AlgorithmNotAdmitted));
        };
        // Both change what is signed and how (RFC 7515 section 4.1.11, RFC 7797), so they are part of the algorithm.
        if header.get("crit").is_some() || header.get("b64").is_some() {
            return Err(Denial::new(DenyReason::AlgorithmNotAdmitted));
        }
        let kid = header.get("kid").and_then(JsonValue::as_str).map(|kid| kid.into());
        Ok(Self { algorithm, kid, signed: parts.signed, signature: parts.signature })
    }

    /// The signature's bytes, in `buffer`; `None` if it is too long for any algorithm or not canonical base64url.
    pub(super) fn signature<'b>(&self, buffer: &'b mut [u8; SIGNATURE_LENGTH_MAX]) -> Option<&'b [u8]> {
        // The engine refuses padding and unused bits that are set: one signature has one encoding.
        let length = URL_SAFE_NO_PAD.decode_slice(self.signature, buffer.as_mut_slice()).ok()?;
        buffer.get(..length)
    }
}

/// Longest signature, in bytes: RSA with 8192 bits, and what the decoder wants to see free behind it.
pub(super) const SIGNATURE_LENGTH_MAX: usize = 1_024 + 2;

/// The parts of a token in compact serialisation.
#[derive(Clone, Copy)]
pub(super) struct Parts<'t> {
    header: &'t str,
    pub(super) payload: &'t str,
    signature: &'t str,
    signed: &'t str,
}

impl<'t> Parts<'t> {
    pub(super) fn split(token: &'t str) -> Result<Self, Denial> {
        if token.len() > TOKEN_LENGTH_MAX {
            return Err(Denial::new(DenyReason::CredentialMalformed));
        }
        match token.bytes().filter(|b| *b == b'.').count() {
            2 => {}
            // A JWE. Nothing of it is read: its header could ask for any amount of work.
            4 => return Err(Denial::new(DenyReason::AlgorithmNotAdmitted)),
            _ => return Err(Denial::new(DenyReason::CredentialMalformed)),
        }
        let parts = token.rsplit_once('.').and_then(|(signed, signature)| {
            let (header, payload) = signed.split_once('.')?;
            Some(Self { header, payload, signature, signed })
        });
        parts.ok_or_else(|| Denial::new(DenyReason::CredentialMalformed))
    }
}

/// What the header says about itself must have the right types (RFC 7515 section 4.1); `alg` is judged on its own.
fn check_types(header: &JsonObject<'_>) -> Result<(), Denial> {
    let are_texts = ["kid", "typ", "cty"]
        .iter()
        .filter_map(|name| header.get(name))
        .all(|value| value.as_str().is_some());
    if are_texts { Ok(()) } else { Err(Denial::new(DenyReason::CredentialMalformed)) }
}

/// The bytes of a part. The engine refuses padding, blanks and unused bits that are set.
pub(super) fn decoded(part: &str) -> Result<Vec<u8>, Denial> {
    URL_SAFE_NO_PAD.decode(part).map_err(malformed)
}

fn decoded_text(part: &str) -> Result<String, Denial> {
    String::from_utf8(decoded(part)?).map_err(malformed)
}

fn malformed<E>(_: E) -> Denial {
    Denial::new(DenyReason::CredentialMalformed)
}

/// A claim's value, as a part of the payload.
enum Claim {
    Text(Text),
    Other(Range<usize>),
}

/// A text in the payload: in place, or on its own where escapes had to be resolved.
enum Text {
    InPlace(Range<usize>),
    Resolved(Box<str>),
}

impl Text {
    fn of<'a>(&'a self, payload: &'a str) -> Option<&'a str> {
        match self {
            Self::InPlace(range) => payload.get(range.clone()),
            Self::Resolved(text) => Some(text),
        }
    }
}

fn read_claims(payload: &str) -> Result<Vec<(Text, Claim)>, Denial> {
    let members = JsonObject::parse(payload, CLAIMS_MAX).map_err(malformed)?.into_members();
    let mut claims = Vec::with_capacity(members.len());
    for (name, value) in members {
        let claim = if value.is_string() {
            Claim::Text(placed(value.as_str().ok_or_else(|| malformed(()))?, payload))
        } else {
            Claim::Other(range_in(payload, value.as_written()))
        };
        claims.push((placed(name, payload), claim));
    }
    Ok(claims)
}

fn placed(text: std::borrow::Cow<'_, str>, payload: &str) -> Text {
    match text {
        std::borrow::Cow::Borrowed(text) => Text::InPlace(range_in(payload, text)),
        std::borrow::Cow::Owned(text) => Text::Resolved(text.into()),
    }
}

/// Where `part`, a slice of `whole`, stands in it. Kept in place of the slice, which would borrow from its neighbour.
fn range_in(whole: &str, part: &str) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}
