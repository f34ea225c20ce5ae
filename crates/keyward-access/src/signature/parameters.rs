//! The parameters of query and form, and the texts that clients make of them.

use std::borrow::Cow;

use super::encoded::hex_digit;

/// Most parameters of one request: what is split here is not yet proven to come from anyone.
pub(super) const PARAMETERS_MAX: usize = 10_000;

/// The parameters of a request, split and undecoded, those of the query first.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameters<'a> {
    pieces: Vec<Piece<'a>>,
}

#[derive(Clone, Copy, Debug)]
struct Piece<'a> {
    /// Name, `=` and value, as sent.
    whole: &'a [u8],
    name: &'a [u8],
    value: &'a [u8],
    source: Source,
}

/// Where a parameter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Query,
    Form,
}

/// How a text is made of parameters. The default is what both vendors document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) encoding: Encoding,
    pub(super) pick: Pick,
    pub(super) empty: Empty,
    pub(super) order: Order,
    /// The one whose value counts where both have a name.
    pub(super) wins: Source,
    /// Only the parameters that stand there; absent: both.
    pub(super) only: Option<Source>,
}

/// Which values are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Decoded,
    /// The form's are decoded, the query's taken as sent.
    QueryAsSent,
    AsSent,
}

/// Which values of a repeated name are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    First,
    Last,
    /// All, joined by commas.
    Joined,
    /// All, each with its name.
    Every,
}

/// How a name without a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Empty {
    /// `name`
    Bare,
    /// `name=`
    Equals,
}

/// In which order the parameters stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// By the bytes of the name.
    ByName,
    /// As they were sent; then nothing is merged.
    AsSent,
}

impl Style {
    /// Decoded, sorted by name, the first value of each, bare where it is empty, the form before the query.
    pub(super) const DOCUMENTED: Self = Self {
        encoding: Encoding::Decoded,
        pick: Pick::First,
        empty: Empty::Bare,
        order: Order::ByName,
        wins: Source::Form,
        only: None,
    };
}

/// A parameter in the form in which it is signed.
struct Entry<'a> {
    name: Cow<'a, [u8]>,
    value: Cow<'a, [u8]>,
    source: Source,
}

impl<'a> Parameters<'a> {
    /// Splits query and form at `&`, and each piece at its first `=`. `None` if there are too many.
    pub(super) fn split(query: Option<&'a [u8]>, form: Option<&'a [u8]>) -> Option<Self> {
        let count = |text: Option<&[u8]>| {
            text.filter(|text| !text.is_empty())
                .map_or(0, |text| text.iter().filter(|byte| **byte == b'&').count() + 1)
        };
        let expected = count(query) + count(form);
        if expected > PARAMETERS_MAX {
            return None;
        }
        let mut pieces = Vec::with_capacity(expected);
        for (text, source) in [(query, Source::Query), (form, Source::Form)] {
            let wholes = text.unwrap_or_default().split(|byte| *byte == b'&');
            pieces.extend(wholes.filter(|whole| !whole.is_empty()).map(|whole| {
                let mut halves = whole.splitn(2, |byte| *byte == b'=');
                let (name, value) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
                Piece { whole, name, value, source }
            }));
        }
        Some(Self { pieces })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The bytes of all of them, as sent.
    pub(super) fn bytes(&self) -> usize {
        self.pieces.iter().map(|piece| piece.whole.len()).sum()
    }

    /// Does decoding change a parameter that stands there?
    pub(super) fn has_escapes(&self, source: Source) -> bool {
        let escapes = |piece: &Piece<'_>| piece.whole.iter().any(|byte| matches!(byte, b'%' | b'+'));
        self.pieces.iter().any(|piece| piece.source == source && escapes(piece))
    }

    /// Is there a parameter without a value?
    pub(super) fn has_empty_values(&self) -> bool {
        self.pieces.iter().any(|piece| piece.value.is_empty())
    }

    /// Does a name come more than once, decoded?
    pub(super) fn has_repeated_names(&self) -> bool {
        let mut names: Vec<_> = self.pieces.iter().map(|piece| decode(piece.name)).collect();
        names.sort_unstable();
        names.array_windows().any(|[one, other]| one == other)
    }

    /// The parameters as this style writes them, without `?`.
    pub(super) fn write(&self, style: Style) -> Vec<u8> {
        let mut entries = self.entries(style);
        let mut text = Vec::with_capacity(self.bytes() + self.pieces.len());
        match style.order {
            Order::AsSent => {
                entries.iter().for_each(|entry| put(&mut text, &entry.name, &entry.value, style))
            }
            Order::ByName => {
                // Stable: of one name and source, the first stays the first.
                let loses = |entry: &Entry<'_>| entry.source != style.wins;
                entries.sort_by(|one, other| (&one.name, loses(one)).cmp(&(&other.name, loses(other))));
                entries
                    .chunk_by(|one, other| one.name == other.name)
                    .for_each(|group| put_group(&mut text, group, style));
            }
        }
        text
    }

    /// The pieces as they were sent, sorted as whole texts and all kept: what Tencent's Python sample signs.
    pub(super) fn write_pieces(&self) -> Vec<u8> {
        let mut wholes: Vec<_> = self.pieces.iter().map(|piece| piece.whole).collect();
        wholes.sort_unstable();
        wholes.join(&b'&')
    }

    /// The pieces exactly as they were sent, in that order.
    pub(super) fn write_verbatim(&self) -> Vec<u8> {
        self.pieces.iter().map(|piece| piece.whole).collect::<Vec<_>>().join(&b'&')
    }

    /// What makes it doubtful which parameters were signed, if anything does: what `mode: strict` refuses.
    pub(super) fn doubt(&self) -> Option<Doubt> {
        let decoded = self.entries(Style { pick: Pick::Every, ..Style::DOCUMENTED });
        let separator = |byte: &u8| matches!(byte, b'&' | b'=' | b'\n');
        let separated = |entry: &Entry<'_>| entry.name.iter().chain(entry.value.iter()).any(separator);
        if self.pieces.iter().any(|piece| piece.name.is_empty()) {
            Some(Doubt::NoName)
        } else if decoded.iter().any(separated) {
            Some(Doubt::Separator)
        } else {
            self.has_repeated_names().then_some(Doubt::Repeated)
        }
    }

    /// Parameters without a name are passed over, as every client does.
    fn entries(&self, style: Style) -> Vec<Entry<'a>> {
        let wanted =
            |piece: &&Piece<'_>| !piece.name.is_empty() && style.only.is_none_or(|only| only == piece.source);
        let entry = |piece: &Piece<'a>| {
            let as_sent = match style.encoding {
                Encoding::Decoded => false,
                Encoding::QueryAsSent => piece.source == Source::Query,
                Encoding::AsSent => true,
            };
            let read = |raw: &'a [u8]| if as_sent { Cow::Borrowed(raw) } else { decode(raw) };
            Entry { name: read(piece.name), value: read(piece.value), source: piece.source }
        };
        self.pieces.iter().filter(wanted).map(entry).collect()
    }
}

/// Why it is doubtful which parameters were signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// A parameter has no name, so it is not signed.
    NoName,
    /// A decoded name or value holds a character that separates parameters.
    Separator,
    /// A name comes more than once, so not all of its values are signed.
    Repeated,
}

/// Writes the parameter that a group of one name makes. The group's first entry is of the source that counts.
fn put_group(text: &mut Vec<u8>, group: &[Entry<'_>], style: Style) {
    let Some(first) = group.first() else { return };
    let mut counting = group.iter().filter(|entry| entry.source == first.source);
    match style.pick {
        Pick::First => put(text, &first.name, &first.value, style),
        Pick::Last => put(text, &first.name, &counting.next_back().unwrap_or(first).value, style),
        Pick::Joined => {
            let values: Vec<&[u8]> = counting.map(|entry| entry.value.as_ref()).collect();
            put(text, &first.name, &values.join(&b','), style);
        }
        Pick::Every => group.iter().for_each(|entry| put(text, &entry.name, &entry.value, style)),
    }
}

fn put(text: &mut Vec<u8>, name: &[u8], value: &[u8], style: Style) {
    if !text.is_empty() {
        text.push(b'&');
    }
    text.extend_from_slice(name);
    if !value.is_empty() || style.empty == Empty::Equals {
        text.push(b'=');
        text.extend_from_slice(value);
    }
}

/// Decodes escapes, and `+` as a blank. What is no escape stays as it is.
fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if !raw.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(raw);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        let (meant, after) = match byte {
            b'%' => escape(after).unwrap_or((byte, after)),
            b'+' => (b' ', after),
            other => (other, after),
        };
        decoded.push(meant);
        rest = after;
    }
    Cow::Owned(decoded)
}

/// The byte that the two digits after a `%` mean, and what follows.
fn escape(after: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], rest) = after.split_first_chunk::<2>()?;
    Some((hex_digit(high)? << 4 | hex_digit(low)?, rest))
}

/// Which escapes of a path may be decoded for a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathEscapes {
    /// Those of bytes that mean nothing in a path.
    Meaningless,
    /// Only those of bytes that cannot stand in a path at all, so that no two paths have one text.
    Needed,
    /// All of them: for diagnosis alone.
    All,
}

/// The path with its escapes decoded; `None` if it has none, or one that must not be decoded.
///
/// Decoding an escape of a byte with a meaning would let a signature for `/a/b` cover `/a%2Fb` too, and one for
/// `/a?x=1` cover `/a%3Fx=1`. Letters, digits and dots are never escaped by clients, only by who disguises a path.
pub(super) fn decode_path(path: &[u8], allowed: PathEscapes) -> Option<Vec<u8>> {
    if !path.contains(&b'%') {
        return None;
    }
    let may_decode = |byte: u8| match allowed {
        PathEscapes::All => true,
        PathEscapes::Needed => byte == b' ' || !byte.is_ascii(),
        PathEscapes::Meaningless => {
            let means = b"/?#%&=\\;._-".contains(&byte) || byte.is_ascii_alphanumeric();
            !(means || byte.is_ascii_control())
        }
    };
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (meant, after) = escape(after).filter(|(meant, _)| may_decode(*meant))?;
            decoded.push(meant);
            rest = after;
        } else {
            decoded.push(byte);
        }
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split<'a>(query: &'a str, form: &'a str) -> Parameters<'a> {
        Parameters::split(Some(query.as_bytes()), Some(form.as_bytes())).unwrap()
    }

    fn documented(query: &str, form: &str) -> String {
        String::from_utf8(split(query, form).write(Style::DOCUMENTED)).unwrap()
    }

    #[test]
    fn the_documented_text() {
        for (query, form, text) in [
            ("", "", ""),
            ("b=2&a=1", "", "a=1&b=2"),
            ("flag&e=&k=v", "", "e&flag&k=v"),
            ("k=2&k=1&b=3", "", "b=3&k=2"),
            ("k=query", "k=form&j=1", "j=1&k=form"),
            ("q=a+b%20c%2Bd&%E4%B8%AD=1", "", "q=a b c+d&中=1"),
            ("=x&a=1&&", "=y", "a=1"),
            ("b=1&B=2&_=3&a1=4&a=5&A=6&10=x&9=y", "", "10=x&9=y&A=6&B=2&_=3&a=5&a1=4&b=1"),
            ("p=%zz%4&q=100%", "", "p=%zz%4&q=100%"),
        ] {
            assert_eq!(documented(query, form), text, "{query} {form}");
        }
    }

    #[test]
    fn other_styles() {
        let parameters = split("a=2&a=1&b=%20&c=", "");
        let write = |style| String::from_utf8(parameters.write(style)).unwrap();
        let documented = Style::DOCUMENTED;
        assert_eq!(write(Style { pick: Pick::Joined, ..documented }), "a=2,1&b= &c");
        assert_eq!(write(Style { pick: Pick::Last, empty: Empty::Equals, ..documented }), "a=1&b= &c=");
        assert_eq!(write(Style { encoding: Encoding::AsSent, ..documented }), "a=2&b=%20&c");
        assert_eq!(write(Style { order: Order::AsSent, ..documented }), "a=2&a=1&b= &c");
        assert_eq!(parameters.write_pieces(), b"a=1&a=2&b=%20&c=");
    }

    #[test]
    fn doubts() {
        for (query, form, doubt) in [
            ("a=1&b=2", "c=3", None),
            ("a=1&a=2", "", Some(Doubt::Repeated)),
            ("a=1&%61=2", "", Some(Doubt::Repeated)),
            ("a=1", "a=1", Some(Doubt::Repeated)),
            ("a=1%26b", "", Some(Doubt::Separator)),
            ("a=b=c", "", Some(Doubt::Separator)),
            ("a=1", "b=%0A", Some(Doubt::Separator)),
            ("=1", "", Some(Doubt::NoName)),
        ] {
            assert_eq!(split(query, form).doubt(), doubt, "{query} {form}");
        }
    }

    #[test]
    fn a_path_is_not_decoded_where_that_changes_what_it_means() {
        let decoded = |path: &str| {
            decode_path(path.as_bytes(), PathEscapes::Meaningless).map(|p| String::from_utf8(p).unwrap())
        };
        assert_eq!(decoded("/echo/%E4%B8%AD/a%20b").as_deref(), Some("/echo/中/a b"));
        assert_eq!(decoded("/a%40b").as_deref(), Some("/a@b"));
        assert_eq!(decoded("/plain"), None);
        for byte in b"/?#%&=\\;.\0\n\r\x7fa0Z-_" {
            assert_eq!(decoded(&format!("/a%{byte:02x}b")), None, "{byte:02x}");
        }
        for broken in ["/a%", "/a%4", "/a%zz", "/%20%"] {
            assert_eq!(decoded(broken), None, "{broken}");
        }
        assert_eq!(decode_path(b"/a%40b", PathEscapes::Needed), None);
        assert!(decode_path(b"/a%20%E4b", PathEscapes::Needed).is_some());
    }

    #[test]
    fn there_is_a_bound() {
        let many = "a&".repeat(PARAMETERS_MAX + 1);
        assert!(Parameters::split(Some(many.as_bytes()), None).is_none());
        assert!(Parameters::split(None, Some(many.as_bytes())).is_none());
    }
}
