//! Queries, read piece by piece and carried on byte for byte, less the parameters that only Keyward may set.

/// A query without its `?`, undecoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Query<'a>(pub(crate) &'a str);

/// One piece between `&`s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parameter<'a> {
    /// As it came.
    pub(crate) whole: &'a str,
    /// What stands before the first `=`, undecoded.
    pub(crate) name: &'a str,
}

impl<'a> Query<'a> {
    /// The pieces in order, empty ones too.
    pub(crate) fn parameters(self) -> impl Iterator<Item = Parameter<'a>> {
        self.0.split('&').map(|whole| {
            let name = whole.split_once('=').map_or(whole, |(name, _)| name);
            Parameter { whole, name }
        })
    }

    /// Appends the query with its `?`, less the parameters of these names. Without any left, nothing is appended.
    ///
    /// What stays is byte for byte what came, because the service may verify signatures of its own.
    pub(crate) fn push_without<'n>(self, out: &mut Vec<u8>, dropped: impl Iterator<Item = &'n str> + Clone) {
        let mut before = b'?';
        for parameter in self.parameters() {
            if !dropped.clone().any(|name| parameter.is_named(name)) {
                out.push(before);
                out.extend_from_slice(parameter.whole.as_bytes());
                before = b'&';
            }
        }
    }
}

impl Parameter<'_> {
    /// Is this its name, once decoded? Any reader of the query must agree on what is a credential, so escapes count.
    pub(crate) fn is_named(&self, name: &str) -> bool {
        self.name == name || (self.name.contains(['%', '+']) && decoded(self.name) == name.as_bytes())
    }
}

/// The same as text; what is not UTF-8 in it is replaced.
pub(crate) fn decoded_text(text: &str) -> String {
    String::from_utf8_lossy(&decoded(text)).into_owned()
}

/// Percent-decoded, `+` as a blank. Escapes that are none stay as they are.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped = match after {
            [high, low, ..] if first == b'%' => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        rest = match escaped {
            Some(byte) => {
                bytes.push(byte);
                after.get(2..).unwrap_or_default()
            }
            None => {
                bytes.push(if first == b'+' { b' ' } else { first });
                after
            }
        };
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(query: &str, dropped: &[&str]) -> String {
        let mut out = Vec::new();
        Query(query).push_without(&mut out, dropped.iter().copied());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_stays_is_byte_identical() {
        for query in ["", "a", "a=1&b=%20&c=+", "a=1&&b=2&", "=x", "a=1=2&a=1"] {
            assert_eq!(without(query, &["apikey"]), format!("?{query}"));
        }
    }

    #[test]
    fn credentials_go_in_every_spelling_of_their_name() {
        assert_eq!(without("a=1&apikey=s&b=2", &["apikey"]), "?a=1&b=2");
        assert_eq!(without("apikey=s", &["apikey"]), "");
        assert_eq!(without("apikey", &["apikey"]), "");
        assert_eq!(without("%61pike%79=s&x", &["apikey"]), "?x");
        assert_eq!(without("ApiKey=s", &["apikey"]), "?ApiKey=s");
        assert_eq!(without("a+b=s&c", &["a b"]), "?c");
        assert_eq!(without("apikey%=s", &["apikey"]), "?apikey%=s");
    }
}
