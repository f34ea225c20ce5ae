//! The header fields that signatures are about, found in one pass.

use crate::{Field, RequestHead};

macro_rules! known_fields {
    ($($name:ident = $text:literal,)*) => {
        /// A field that one of the schemes gives a meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Known { $($name,)* }

        impl Known {
            const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in lower case.
            pub(super) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

known_fields! {
    Accept = "accept",
    ContentMd5 = "content-md5",
    ContentType = "content-type",
    Date = "date",
    XDate = "x-date",
    Authorization = "authorization",
    ApigwNonce = "x-apigw-nonce",
    CaKey = "x-ca-key",
    CaSignature = "x-ca-signature",
    CaSignatureMethod = "x-ca-signature-method",
    CaSignatureHeaders = "x-ca-signature-headers",
    CaTimestamp = "x-ca-timestamp",
    CaNonce = "x-ca-nonce",
    CaStage = "x-ca-stage",
}

impl Known {
    /// The field of this name, in any case.
    #[inline]
    pub(super) fn of(name: &str) -> Option<Self> {
        let bytes = name.as_bytes();
        // The length leaves one or two names to compare with: this is asked of every field of every request.
        match bytes.len() {
            4 => is(bytes, b"date").then_some(Self::Date),
            6 if is(bytes, b"accept") => Some(Self::Accept),
            6 => is(bytes, b"x-date").then_some(Self::XDate),
            8 => is(bytes, b"x-ca-key").then_some(Self::CaKey),
            10 if is(bytes, b"x-ca-nonce") => Some(Self::CaNonce),
            10 => is(bytes, b"x-ca-stage").then_some(Self::CaStage),
            11 => is(bytes, b"content-md5").then_some(Self::ContentMd5),
            12 => is(bytes, b"content-type").then_some(Self::ContentType),
            13 if is(bytes, b"authorization") => Some(Self::Authorization),
            13 => is(bytes, b"x-apigw-nonce").then_some(Self::ApigwNonce),
            14 if is(bytes, b"x-ca-signature") => Some(Self::CaSignature),
            14 => is(bytes, b"x-ca-timestamp").then_some(Self::CaTimestamp),
            21 => is(bytes, b"x-ca-signature-method").then_some(Self::CaSignatureMethod),
            22 => is(bytes, b"x-ca-signature-headers").then_some(Self::CaSignatureHeaders),
            _ => None,
        }
    }
}

/// Is this name `lower_case`, but for case? Of a length known beforehand, so that it compiles to a few wide compares.
#[inline]
fn is<const LENGTH: usize>(name: &[u8], lower_case: &[u8; LENGTH]) -> bool {
    // The bit that tells lower case from upper means nothing in letters alone.
    let case_bit = |lower: &u8| if lower.is_ascii_lowercase() { 0x20 } else { 0 };
    let differs = |name: &[u8; LENGTH]| {
        let pairs = name.iter().zip(lower_case);
        pairs.fold(0, |differs, (byte, lower)| differs | ((byte | case_bit(lower)) ^ lower))
    };
    name.try_into().is_ok_and(|name| differs(name) == 0)
}

/// A set of known fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KnownSet(u32);

impl KnownSet {
    pub(super) const fn of(fields: &[Known]) -> Self {
        let (mut set, mut rest) = (Self(0), fields);
        while let [first, others @ ..] = rest {
            set = set.with(*first);
            rest = others;
        }
        set
    }

    #[must_use]
    pub(super) const fn with(self, known: Known) -> Self {
        Self(self.0 | 1 << known as u32)
    }

    pub(super) const fn contains(self, known: Known) -> bool {
        self.0 & 1 << known as u32 != 0
    }

    /// The first that is in both.
    pub(super) fn first_common(self, other: Self) -> Option<Known> {
        let common = Self(self.0 & other.0);
        (common.0 != 0).then(|| Known::ALL.iter().copied().find(|known| common.contains(*known))).flatten()
    }
}

/// The first value of each known field, and which of them came more than once.
pub(super) struct Fields<'a> {
    all: &'a [Field<'a>],
    values: [Option<&'a [u8]>; Known::ALL.len()],
    pub(super) repeated: KnownSet,
    /// There are `X-Ca-*` fields that are not known ones.
    other_ca: bool,
}

impl<'a> Fields<'a> {
    pub(super) fn read(head: &RequestHead<'a>) -> Self {
        let values = [None; Known::ALL.len()];
        let mut fields = Self { all: head.fields, values, repeated: KnownSet::default(), other_ca: false };
        for field in head.fields {
            let Some(known) = Known::of(field.name) else {
                fields.other_ca |= is_ca(field.name);
                continue;
            };
            if let Some(slot) = fields.values.get_mut(known as usize) {
                if slot.is_some() {
                    fields.repeated = fields.repeated.with(known);
                }
                *slot = slot.or(Some(field.value));
            }
        }
        fields
    }

    /// The field's first value.
    pub(super) fn value(&self, known: Known) -> Option<&'a [u8]> {
        self.values.get(known as usize).copied().flatten()
    }

    /// An `X-Ca-*` field that is not a known one and came more than once.
    pub(super) fn repeated_other_ca(&self) -> Option<&'a str> {
        let mut rest = self.all.iter();
        while let Some(field) = rest.next().filter(|_| self.other_ca) {
            let repeats = || rest.as_slice().iter().any(|other| other.name.eq_ignore_ascii_case(field.name));
            if is_ca(field.name) && Known::of(field.name).is_none() && repeats() {
                return Some(field.name);
            }
        }
        None
    }

    /// The value of the field of this name, known or not: absent, there once, or an error if there are several.
    pub(super) fn unique(&self, name: &str, known: Option<Known>) -> Result<Option<&'a [u8]>, Repeated> {
        if let Some(known) = known {
            return if self.repeated.contains(known) { Err(Repeated) } else { Ok(self.value(known)) };
        }
        let mut values =
            self.all.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value);
        match (values.next(), values.next()) {
            (value, None) => Ok(value),
            _ => Err(Repeated),
        }
    }
}

fn is_ca(name: &str) -> bool {
    name.as_bytes().first_chunk::<5>().is_some_and(|start| is(start, b"x-ca-"))
}

/// The field came more than once, so that it cannot be told which value was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeated;

/// Is this a field name as RFC 9110 has it?
pub(super) fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| TOKEN_BYTES.get(usize::from(byte)) == Some(&true))
}

const TOKEN_BYTES: [bool; 256] = {
    let mut bytes = [false; 256];
    let mut all: &[u8] = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    while let [first, rest @ ..] = all {
        if let Some((_, [byte, ..])) = bytes.split_at_mut_checked(*first as usize) {
            *byte = true;
        }
        all = rest;
    }
    bytes
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_are_found_in_any_case() {
        for known in Known::ALL.iter().copied() {
            assert_eq!(Known::of(known.name()), Some(known));
            assert_eq!(Known::of(&known.name().to_ascii_uppercase()), Some(known));
            let other = known.name().replace(char::is_alphabetic, "q");
            assert_eq!(Known::of(&other), None, "{other}");
        }
    }

    /// Every byte in every place: none but the other case is taken for another.
    #[test]
    fn names_that_differ_in_more_than_case_are_others() {
        for known in Known::ALL.iter().copied() {
            for at in 0..known.name().len() {
                for byte in 0..=0x7f_u8 {
                    let mut other = known.name().as_bytes().to_vec();
                    other[at] = byte;
                    let other = String::from_utf8(other).unwrap();
                    let same = other.eq_ignore_ascii_case(known.name());
                    assert_eq!(Known::of(&other) == Some(known), same, "{other}");
                }
            }
        }
    }

    #[test]
    fn tokens_are_those_of_rfc_9110() {
        for byte in 0..=0x7f_u8 {
            let expected = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(&char::from(byte).to_string()), expected, "{byte:02x}");
        }
        assert!(!is_token("") && !is_token("é"));
    }

    #[test]
    fn sets_hold_what_they_were_given() {
        let set = KnownSet::of(&[Known::Date, Known::CaStage]);
        assert!(set.contains(Known::Date) && set.contains(Known::CaStage) && !set.contains(Known::CaKey));
        assert_eq!(set.first_common(KnownSet::of(&[Known::CaKey, Known::CaStage])), Some(Known::CaStage));
        assert_eq!(set.first_common(KnownSet::of(&[Known::CaKey])), None);
    }
}
