//! Reading queries: pairs of `name=value`, joined by `&`, both parts escaped.

use std::borrow::Cow;

/// The pairs of a query, undecoded.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// The decoded name of a pair.
pub(crate) fn name_of(pair: &str) -> Cow<'_, str> {
    decode_name(pair.split_once('=').map_or(pair, |(name, _)| name))
}

/// A name, decoded. One that is no text afterwards is nobody's name, and stays as it is.
pub(crate) fn decode_name(name: &str) -> Cow<'_, str> {
    match decode(name) {
        Cow::Borrowed(_) => Cow::Borrowed(name),
        Cow::Owned(bytes) => String::from_utf8(bytes).map_or(Cow::Borrowed(name), Cow::Owned),
    }
}

/// A value, decoded as a form's values are: `+` is a blank. Percent signs that begin no escape stay.
pub(crate) fn decode(text: &str) -> Cow<'_, [u8]> {
    if !text.bytes().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let escape = match rest {
            [b'%', high, low, ..] => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        decoded.push(escape.unwrap_or(if *first == b'+' { b' ' } else { *first }));
        rest = if escape.is_some() { rest.get(3..).unwrap_or_default() } else { after };
    }
    Cow::Owned(decoded)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded_as_a_form() {
        let read: Vec<_> = pairs("a=1&b&c=x=y&%61=%2B+%").map(|(n, v)| (decode_name(n), decode(v))).collect();
        let expected = [("a", "1"), ("b", ""), ("c", "x=y"), ("a", "+ %")];
        assert_eq!(read.len(), expected.len());
        for ((name, value), (other_name, other_value)) in read.iter().zip(expected) {
            assert_eq!((&**name, &**value), (other_name, other_value.as_bytes()));
        }
    }
}
