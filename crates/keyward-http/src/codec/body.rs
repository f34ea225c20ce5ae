//! Where a message body begins, goes on and ends, while its bytes arrive.

use super::Fault;
use super::fields::{is_token_byte, trim};
use super::head_end::HeadEnd;
use crate::handler::Field;

/// Longest trailer section, in bytes.
const TRAILERS_MAX: usize = 8 * 1024;
/// Most trailer fields.
const TRAILER_FIELDS_MAX: usize = 32;
/// Longest extension of one chunk, and of all chunks of a body, in bytes.
const EXTENSION_MAX: u32 = 256;
const EXTENSIONS_MAX: u32 = 16 * 1024;
/// Most digits of a chunk size. Sixteen would overflow nothing, but no chunk is that large either.
const SIZE_DIGITS_MAX: u8 = 12;

/// What the next bytes of a body are. `skip` counts framing bytes before it, which the caller passes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// All bytes are used up; more must come.
    More { skip: usize },
    /// Body bytes.
    Data { skip: usize, data: usize },
    /// The body is complete. `trailers` bytes of trailer section follow (closing empty line included).
    End { skip: usize, trailers: usize },
}

/// Reads one body.
#[derive(Clone, Debug)]
pub(crate) enum BodyReader {
    /// So many bytes are still to come.
    Length(u64),
    /// Chunked transfer coding.
    Chunked(Chunked),
    /// Everything until the connection closes.
    UntilClose,
}

impl BodyReader {
    pub(crate) fn chunked() -> Self {
        Self::Chunked(Chunked::default())
    }

    /// Reads on in `input`, which starts with the first byte not passed over yet.
    ///
    /// # Errors
    /// Why the framing is in doubt; the connection is then useless.
    pub(crate) fn next(&mut self, input: &[u8]) -> Result<Piece, Fault> {
        match self {
            Self::Length(0) => Ok(Piece::End { skip: 0, trailers: 0 }),
            Self::Length(left) => {
                let data = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                *left -= data as u64;
                Ok(data_or_more(0, data))
            }
            Self::Chunked(chunked) => chunked.next(input),
            Self::UntilClose => Ok(data_or_more(0, input.len())),
        }
    }

    /// No byte is missing: the length is reached. (A chunked body says so with [`Piece::End`].)
    pub(crate) fn is_used_up(&self) -> bool {
        matches!(self, Self::Length(0))
    }
}

fn data_or_more(skip: usize, data: usize) -> Piece {
    if data == 0 { Piece::More { skip } } else { Piece::Data { skip, data } }
}

/// The state of chunked transfer coding.
#[derive(Clone, Debug, Default)]
pub(crate) struct Chunked {
    state: State,
    left: u64,
    digits: u8,
    extension: u32,
    extensions: u32,
    trailers: HeadEnd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    ExtensionName {
        empty: bool,
    },
    ExtensionValue {
        empty: bool,
    },
    Quoted,
    QuotedPair,
    AfterQuoted,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

impl Chunked {
    fn next(&mut self, input: &[u8]) -> Result<Piece, Fault> {
        let mut skip = 0;
        loop {
            let rest = input.get(skip..).unwrap_or_default();
            match self.state {
                State::Data => return Ok(self.data(skip, rest)),
                State::Trailers => return self.trailers(skip, rest),
                State::Done => return Ok(Piece::End { skip, trailers: 0 }),
                _ => {}
            }
            let Some(byte) = rest.first() else { return Ok(Piece::More { skip }) };
            self.state = self.after(*byte)?;
            skip += 1;
        }
    }

    fn data(&mut self, skip: usize, rest: &[u8]) -> Piece {
        let data = usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
        self.left -= data as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        data_or_more(skip, data)
    }

    fn trailers(&mut self, skip: usize, rest: &[u8]) -> Result<Piece, Fault> {
        match self.trailers.find(rest)? {
            Some(trailers) if trailers <= TRAILERS_MAX => {
                self.state = State::Done;
                Ok(Piece::End { skip, trailers })
            }
            None if rest.len() <= TRAILERS_MAX => Ok(Piece::More { skip }),
            _ => Err("trailer section is too long"),
        }
    }

    /// One byte of framing.
    fn after(&mut self, byte: u8) -> Result<State, Fault> {
        const EXTENSION: Fault = "chunk extension is not well-formed";
        if !matches!(self.state, State::Size | State::SizeLf | State::DataCr | State::DataLf) {
            self.extension += 1;
            self.extensions += 1;
            if self.extension > EXTENSION_MAX || self.extensions > EXTENSIONS_MAX {
                return Err("chunk extension is too long");
            }
        }
        match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => Ok(State::SizeLf),
            (State::Size, b';') if self.digits > 0 => Ok(State::ExtensionName { empty: true }),
            (State::Size, _) => self.size_digit(byte),
            (State::ExtensionName { empty: false }, b'=') => Ok(State::ExtensionValue { empty: true }),
            (State::ExtensionValue { empty: true }, b'"') => Ok(State::Quoted),
            (
                State::ExtensionName { empty: false }
                | State::ExtensionValue { empty: false }
                | State::AfterQuoted,
                b'\r',
            ) => Ok(State::SizeLf),
            (
                State::ExtensionName { empty: false }
                | State::ExtensionValue { empty: false }
                | State::AfterQuoted,
                b';',
            ) => Ok(State::ExtensionName { empty: true }),
            (State::ExtensionName { .. }, _) if is_token_byte(byte) => {
                Ok(State::ExtensionName { empty: false })
            }
            (State::ExtensionValue { .. }, _) if is_token_byte(byte) => {
                Ok(State::ExtensionValue { empty: false })
            }
            (State::Quoted, b'"') => Ok(State::AfterQuoted),
            (State::Quoted, b'\\') => Ok(State::QuotedPair),
            (State::Quoted | State::QuotedPair, b' '..=b'~' | b'\t') => Ok(State::Quoted),
            (State::SizeLf, b'\n') => Ok(self.start_chunk()),
            (State::SizeLf, _) => Err("chunk size line does not end in CRLF"),
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::DataCr | State::DataLf, _) => Err("chunk data is not followed by CRLF"),
            _ => Err(EXTENSION),
        }
    }

    fn size_digit(&mut self, byte: u8) -> Result<State, Fault> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return Err("chunk size is not a plain hexadecimal number"),
        };
        if self.digits >= SIZE_DIGITS_MAX {
            return Err("chunk size has too many digits");
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn start_chunk(&mut self) -> State {
        self.digits = 0;
        self.extension = 0;
        if self.left == 0 { State::Trailers } else { State::Data }
    }
}

/// Hands every field of a trailer section (its closing empty line included) to `each`.
///
/// # Errors
/// A trailer section that is not well-formed, or has too many fields.
pub(crate) fn read_trailers(section: &[u8], mut each: impl FnMut(&Field<'_>)) -> Result<(), Fault> {
    let mut space = [httparse::EMPTY_HEADER; TRAILER_FIELDS_MAX];
    match httparse::parse_headers(section, &mut space) {
        Ok(httparse::Status::Complete((used, fields))) if used == section.len() => {
            fields.iter().for_each(|field| each(&Field { name: field.name, value: trim(field.value) }));
            Ok(())
        }
        _ => Err("trailer section is not well-formed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes `bytes`, given in pieces of at most `step` bytes: the body and what was left over.
    fn decode(mut reader: BodyReader, bytes: &[u8], step: usize) -> Result<(Vec<u8>, usize), Fault> {
        let (mut at, mut seen, mut body) = (0, 0, Vec::new());
        loop {
            match reader.next(&bytes[at..seen])? {
                Piece::More { skip } if seen == bytes.len() => {
                    assert!(at + skip <= seen);
                    return Err("incomplete");
                }
                Piece::More { skip } => {
                    at += skip;
                    seen = (seen + step).min(bytes.len());
                }
                Piece::Data { skip, data } => {
                    body.extend_from_slice(&bytes[at + skip..at + skip + data]);
                    at += skip + data;
                }
                Piece::End { skip, trailers } => return Ok((body, bytes.len() - at - skip - trailers)),
            }
        }
    }

    #[test]
    fn every_split_gives_the_same_body() {
        for (bytes, body, left) in [
            (&b"5\r\nhello\r\n0\r\n\r\n"[..], &b"hello"[..], 0),
            (b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET", b"hello world", 3),
            (b"0005\r\nhello\r\n000\r\n\r\n", b"hello", 0),
            (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\nX: y\r\nZ:\r\n\r\n!", b"01234567890123456789", 1),
            (b"1;a\r\nx\r\n1;a=b;c=\"d;\\\"\r\n", b"", 0),
            (b"1;a=\"q \\\" q\";b=c\r\nx\r\n0;last\r\n\r\n", b"x", 0),
            (b"0\r\n\r\n", b"", 0),
        ] {
            for step in 1..=bytes.len() {
                let decoded = decode(BodyReader::chunked(), bytes, step);
                if body.is_empty() && bytes.len() > 5 {
                    assert!(decoded.is_err(), "{:?}", String::from_utf8_lossy(bytes));
                } else {
                    assert_eq!(decoded, Ok((body.to_vec(), left)), "{:?}", String::from_utf8_lossy(bytes));
                }
            }
        }
    }

    #[test]
    fn refuses_chunks_that_could_be_read_in_two_ways() {
        let long_extension = format!("1;{}\r\nZ\r\n0\r\n\r\n", "a".repeat(300));
        let long_trailers = format!("0\r\n{}\r\n", "A: b\r\n".repeat(2000));
        for bytes in [
            "+1\r\nZ\r\n0\r\n\r\n",
            "-1\r\nZ\r\n0\r\n\r\n",
            "0x1\r\nZ\r\n0\r\n\r\n",
            "1_0\r\nZ\r\n0\r\n\r\n",
            " 1\r\nZ\r\n0\r\n\r\n",
            "1 \r\nZ\r\n0\r\n\r\n",
            "1\t\r\nZ\r\n0\r\n\r\n",
            "\r\nZ\r\n0\r\n\r\n",
            ";a\r\nZ\r\n0\r\n\r\n",
            "g\r\nZ\r\n0\r\n\r\n",
            "1\nZ\r\n0\r\n\r\n",
            "1\rX\nZ\r\n0\r\n\r\n",
            "1\r\nZ\n0\r\n\r\n",
            "1\r\nZ\r0\r\n\r\n",
            "1\r\nZZ\r\n0\r\n\r\n",
            "1\r\nZ0\r\n\r\n",
            "1;\nZ\r\n0\r\n\r\n",
            "1;\r\nZ\r\n0\r\n\r\n",
            "1;a=\r\nZ\r\n0\r\n\r\n",
            "1;a b\r\nZ\r\n0\r\n\r\n",
            "1; a\r\nZ\r\n0\r\n\r\n",
            "1;a=\"\r\n\"\r\nZ\r\n0\r\n\r\n",
            "1;a=\"\n\"\r\nZ\r\n0\r\n\r\n",
            "1;a=\"b\"c\r\nZ\r\n0\r\n\r\n",
            "0000000000001\r\nZ\r\n0\r\n\r\n",
            "fffffffffffffffff\r\nZ\r\n0\r\n\r\n",
            "0\r\n\n",
            "0\n\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\nX: y\r\n\n",
            long_extension.as_str(),
            long_trailers.as_str(),
        ] {
            for step in 1..=bytes.len().min(40) {
                let decoded = decode(BodyReader::chunked(), bytes.as_bytes(), step);
                assert!(decoded.is_err() && decoded != Err("incomplete"), "{bytes:?}: {decoded:?}");
            }
        }
    }

    #[test]
    fn a_length_ends_where_it_says() {
        for step in 1..8 {
            assert_eq!(decode(BodyReader::Length(5), b"helloGET", step).map(|d| d.0), Ok(b"hello".to_vec()));
        }
        assert_eq!(decode(BodyReader::Length(9), b"hello", 9), Err("incomplete"));
        assert_eq!(decode(BodyReader::Length(0), b"", 1), Ok((Vec::new(), 0)));
    }

    #[test]
    fn trailers_are_fields_or_refused() {
        let mut names = Vec::new();
        read_trailers(b"A: b\r\nC:d \r\n\r\n", |f| names.push((f.name.to_owned(), f.value.to_vec())))
            .unwrap();
        assert_eq!(names, [("A".to_owned(), b"b".to_vec()), ("C".to_owned(), b"d".to_vec())]);
        for bad in [&b"A b\r\n\r\n"[..], b"A : b\r\n\r\n", b"A: b\r\n c\r\n\r\n", b"A: \0\r\n\r\n"] {
            assert!(read_trailers(bad, |_| {}).is_err());
        }
    }
}
