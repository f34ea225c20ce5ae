//! What a request presents: a signature, not yet believed.

use std::fmt;

use keyward_model::{HmacAlgorithm, SignatureMode, SignaturePolicy, SignatureScheme, Timestamp};

use super::encoded::Signature;
use super::fields::{Fields, Known, KnownSet, is_token};
use super::{alibaba, refusal, tencent};
use crate::{Denial, Dialect, RequestHead};

/// Most names that a signature may list.
const LISTED_MAX: usize = 64;

/// Whose wire form a signature has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// `X-Ca-Key` and `X-Ca-Signature`.
    Alibaba,
    /// `Authorization: hmac …`, of application authentication or of key pair authentication: the form does not say.
    Tencent,
}

impl Family {
    /// The family whose wire form this scheme has.
    pub const fn of(scheme: SignatureScheme) -> Self {
        match scheme {
            SignatureScheme::Alibaba => Self::Alibaba,
            SignatureScheme::Tencent | SignatureScheme::TencentKeyPair => Self::Tencent,
        }
    }

    pub(crate) const fn dialect(self) -> Dialect {
        match self {
            Self::Alibaba => Dialect::Alibaba,
            Self::Tencent => Dialect::Tencent,
        }
    }
}

/// A signature as a request presents it, read strictly and not yet believed.
#[derive(Clone, Debug)]
pub struct Presented<'a> {
    pub(super) family: Family,
    pub(super) app_key: &'a str,
    /// The algorithm, or the name that is none.
    pub(super) algorithm: Result<HmacAlgorithm, &'a [u8]>,
    /// Absent where none was sent, or an empty one.
    pub(super) signature: Option<Signature>,
    /// The header fields in the block of the signed text, in its order.
    pub(super) listed: Vec<Listed<'a>>,
    /// The known ones among them that arrived.
    pub(super) signed: KnownSet,
    pub(super) positional: Positional<'a>,
    pub(super) time: Option<Time>,
    pub(super) nonce: Option<Nonce<'a>>,
    pub(super) stage: Option<&'a [u8]>,
}

/// A header field that the signature lists. `Debug` leaves out its value, for any field can be listed.
#[derive(Clone, Copy)]
pub(super) struct Listed<'a> {
    /// As written in the list.
    pub(super) name: &'a str,
    /// Absent where the field did not arrive; signed as empty then.
    pub(super) value: Option<&'a [u8]>,
}

impl fmt::Debug for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The header fields that have places of their own in the signed text. Absent is the same as empty.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Positional<'a> {
    pub(super) accept: &'a [u8],
    pub(super) content_md5: &'a [u8],
    pub(super) content_type: &'a [u8],
    pub(super) date: &'a [u8],
}

/// The time at which a request says it was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) at: Timestamp,
    pub(super) source: TimeSource,
}

/// Where a [`Time`] was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimeSource {
    /// `X-Ca-Timestamp`, signed or not.
    CaTimestamp {
        /// Is it in the signed block?
        signed: bool,
    },
    /// `X-Date`, signed.
    XDate,
    /// `Date`, signed. Tencent's gateway does not judge it, so it is judged only where a timestamp is required.
    Date,
}

/// A one-time value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nonce<'a> {
    pub(super) value: &'a str,
    pub(super) signed: bool,
}

impl<'a> Presented<'a> {
    /// The signature that a request presents, if it does; an error if it cannot be read, or if there are two.
    ///
    /// # Errors
    /// `credential_malformed`, or `credential_ambiguous` where both vendors' forms are presented at once.
    pub fn find(head: &RequestHead<'a>) -> Option<Result<Self, Denial>> {
        let fields = Fields::read(head);
        let alibaba = fields.value(Known::CaKey).is_some() || fields.value(Known::CaSignature).is_some();
        let tencent = fields.value(Known::Authorization).is_some()
            && head.values(Known::Authorization.name()).any(tencent::is_hmac);
        match (alibaba, tencent) {
            (false, false) => None,
            (true, false) => Some(alibaba::read(&fields)),
            (false, true) => Some(tencent::read(&fields)),
            (true, true) => Some(Err(refusal::ambiguous())),
        }
    }

    /// The AppKey, ApiAppKey or SecretId that it names: not empty, visible ASCII.
    pub fn app_key(&self) -> &'a str {
        self.app_key
    }

    /// Whose wire form it has.
    pub fn family(&self) -> Family {
        self.family
    }

    /// The algorithm that it names; `None` for a name that is none.
    pub fn algorithm(&self) -> Option<HmacAlgorithm> {
        self.algorithm.ok()
    }

    /// Is this field among the listed ones, and did it arrive?
    pub(super) fn signs(&self, field: Known) -> bool {
        self.signed.contains(field)
    }

    /// The time that this policy judges.
    pub(super) fn judged_time(&self, policy: &SignaturePolicy) -> Option<Time> {
        let required = policy.require_timestamp || policy.mode == SignatureMode::Strict;
        self.time.filter(|time| required || time.source != TimeSource::Date)
    }
}

impl Time {
    pub(super) fn is_signed(self) -> bool {
        self.source != TimeSource::CaTimestamp { signed: false }
    }
}

/// The signed fields in the list's order, and which known ones among them arrived.
pub(super) type SignedFields<'a> = (Vec<Listed<'a>>, KnownSet);

/// Reads the list of signed names: tokens, each once, each field at most once in the request. Some names are passed over.
pub(super) fn read_listed<'a>(
    fields: &Fields<'a>,
    names: impl Iterator<Item = &'a str>,
    passed_over: KnownSet,
) -> Result<SignedFields<'a>, ListError<'a>> {
    let mut listed: Vec<Listed<'a>> = Vec::with_capacity(8);
    let (mut named, mut signed) = (KnownSet::default(), KnownSet::default());
    for name in names {
        if !is_token(name) {
            return Err(ListError::NotAName);
        }
        let known = Known::of(name);
        if known.is_some_and(|known| passed_over.contains(known)) {
            continue;
        }
        let again = match known {
            Some(known) => named.contains(known),
            None => listed.iter().any(|other| other.name.eq_ignore_ascii_case(name)),
        };
        if again || listed.len() == LISTED_MAX {
            return Err(ListError::TooMany);
        }
        let value = fields.unique(name, known).map_err(|_| ListError::Repeated(name))?;
        if let Some(known) = known {
            named = named.with(known);
            signed = if value.is_some() { signed.with(known) } else { signed };
        }
        listed.push(Listed { name, value });
    }
    Ok((listed, signed))
}

/// What is wrong with a list of signed names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListError<'a> {
    /// Not the name of a header field.
    NotAName,
    /// A name twice, or more names than anyone needs.
    TooMany,
    /// The field of this name came more than once.
    Repeated(&'a str),
}

/// Reads a nonce: 1 to 128 visible ASCII characters.
pub(super) fn read_nonce(value: &[u8]) -> Option<&str> {
    let text = visible(value)?;
    (text.len() <= 128).then_some(text)
}

/// The text, if it is visible ASCII and not empty.
pub(super) fn visible(value: &[u8]) -> Option<&str> {
    let is_visible = !value.is_empty() && value.iter().all(u8::is_ascii_graphic);
    is_visible.then(|| std::str::from_utf8(value).ok()).flatten()
}
