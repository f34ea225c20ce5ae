//! The state machine against both sides at once, in whatever pieces their bytes come.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::fuzzing;
use crate::simulate::{Choices, Result, UpstreamScript, simulate};

/// One of everything, one behind the other.
fn medley() -> Vec<u8> {
    let mut bytes = Vec::new();
    let large = vec![b'x'; 9000];
    for (path, body) in [
        ("/a", &b""[..]),
        ("/a", b"hello"),
        ("/c", b"hello"),
        ("/h", b"held"),
        ("/p", b"paused"),
        ("/pc", b""),
        ("/hp", b"held, then paused"),
        ("/hc", b""),
        ("/r", b"passed over"),
        ("/w", b"watched"),
        ("/wc", &large),
        ("/hN", b"backwards"),
        ("/hcN", &large),
        ("/B", b"judged"),
        ("/cB", &large),
        ("/cBR", b"turned round"),
        ("/BQ", b"judged late"),
        ("/cPBQS", &large),
        ("/P", &large),
        ("/cPS", b"another status"),
        ("/X", b"replaced"),
        ("/cX", &large),
        ("/BX", b"replaced at the end"),
        ("/c", &large),
        ("/h", &large),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a.test\r\nX-A: b\r\n");
        bytes.extend_from_slice(format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(body);
        bytes.extend_from_slice(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes());
        for chunk in body.chunks(4500) {
            bytes.extend_from_slice(format!("{:x};ext=\"1\"\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\nTrailer: dropped\r\n\r\n");
    }
    bytes.extend_from_slice(
        b"GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\nGET /not HTTP/1.1\r\n",
    );
    bytes
}

/// What the client received, with the chunks of answers joined: where they are cut depends on how they came.
fn answers(result: &Result) -> Vec<(String, Vec<u8>)> {
    let mut answers = Vec::new();
    let mut rest = &result.to_client[..];
    while let Some(end) = memchr::memmem::find(rest, b"\r\n\r\n") {
        let head = String::from_utf8(rest[..end].to_vec()).unwrap();
        rest = &rest[end + 4..];
        let mut body = Vec::new();
        if head.contains("Transfer-Encoding: chunked") {
            loop {
                let end = memchr::memmem::find(rest, b"\r\n").unwrap();
                let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
                rest = &rest[end + 2..];
                if size == 0 {
                    break;
                }
                body.extend_from_slice(&rest[..size]);
                assert_eq!(&rest[size..size + 2], b"\r\n");
                rest = &rest[size + 2..];
            }
            let end = memchr::memmem::find(rest, b"\r\n").unwrap();
            body.extend_from_slice(&rest[..end]);
            rest = &rest[if end == 0 { 2 } else { end + 4 }..];
        } else if let Some(length) = head.split("Content-Length: ").nth(1) {
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            body.extend_from_slice(&rest[..length]);
            rest = &rest[length..];
        }
        answers.push((head, body));
    }
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(rest));
    answers
}

#[test]
fn every_way_of_arriving_gives_the_same_exchange() {
    let client = medley();
    let whole = simulate(&client, UpstreamScript::Proper, Choices(&[]));
    let expected = answers(&whole);
    assert_eq!((expected.len(), whole.requests.len()), (51, 49));
    for byte in [0, 1, 2, 6, 15, 128, 190, 249] {
        // A long run of one choice: pieces of one size, from single bytes to whole buffers.
        let choices = vec![byte; 400_000];
        let split = simulate(&client, UpstreamScript::Proper, Choices(&choices));
        assert_eq!(answers(&split), expected);
        assert_eq!(split.requests, whole.requests);
    }
}

#[test]
fn every_split_of_one_request_gives_the_same_exchange() {
    for client in [
        "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nT: u\r\n\r\n",
        "POST /wc HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: u\r\n\r\n",
        "\r\nPOST /h HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let whole = simulate(client.as_bytes(), UpstreamScript::Proper, Choices(&[]));
        for at in 1..client.len().min(128 * 16) {
            // The first byte is the half-close; before a read come no other choices but "do it" (three of them).
            let count = u8::try_from(at.min(16) - 1).unwrap();
            let mut choices = vec![0];
            choices.extend(std::iter::repeat_n(count, 500));
            let split = simulate(client.as_bytes(), UpstreamScript::Proper, Choices(&choices));
            assert_eq!(answers(&split), answers(&whole));
            assert_eq!(split.requests, whole.requests);
        }
    }
}

/// Messages that are well-formed, nearly well-formed, or not at all.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let path = prop::sample::select(vec![
        "/a",
        "/c",
        "/e",
        "/h",
        "/p",
        "/hp",
        "/hc",
        "/r",
        "/w",
        "/wc",
        "/we",
        "/N",
        "/hN",
        "/cBR",
        "/eB",
        "/eBR",
        "/cPBQ",
        "/eP",
        "/PX",
        "/eS",
        "*",
        "http://a/x",
    ]);
    let method = prop::sample::select(vec!["GET", "POST", "HEAD", "PUT", "OPTIONS", "TRACE"]);
    let version = prop::sample::select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0"]);
    let field = prop::sample::select(vec![
        "",
        "",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive, X\r\nX: y\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "X: \0\r\n",
        "X : y\r\n",
        "X: y\n",
    ]);
    let body = prop_oneof![
        8 => vec(prop::sample::select(vec![b'a', b'\r', b'\n', b'0']), 0..40),
        2 => vec(any::<u8>(), 0..40),
        1 => (3000usize..40_000).prop_map(|size| vec![b'b'; size]),
        1 => Just(b"evil!".to_vec()),
    ];
    (method, path, version, field, body, any::<u8>()).prop_map(|(method, path, version, field, body, way)| {
        let mut message = format!("{method} {path} {version}\r\nHost: a\r\n{field}").into_bytes();
        match way {
            0..120 => {
                message.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
                message.extend_from_slice(&body);
            }
            120..230 => {
                message.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                for chunk in body.chunks(usize::from(way)) {
                    message.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                    message.extend_from_slice(chunk);
                    message.extend_from_slice(b"\r\n");
                }
                message.extend_from_slice(b"0\r\n\r\n");
            }
            _ => {
                message.extend_from_slice(b"\r\n");
                message.extend_from_slice(&body);
            }
        }
        message
    })
}

fn upstream_words() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n",
        "HTTP/1.1 304 Not Modified\r\n",
        "Content-Length: 3\r\n",
        "Content-Length: 20000\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "\r\n",
        "3\r\nabc\r\n",
        "0\r\n\r\n",
        "abc",
        "\n",
    ]);
    vec(part, 0..8).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_client_says_requests_stay_whole(
        messages in vec(message(), 0..6),
        choices in vec(any::<u8>(), 0..3000),
    ) {
        simulate(&messages.concat(), UpstreamScript::Proper, Choices(&choices));
    }

    #[test]
    fn whatever_both_sides_say_the_connection_ends_well(
        messages in vec(message(), 0..4),
        words in upstream_words(),
        choices in vec(any::<u8>(), 0..2000),
    ) {
        simulate(&messages.concat(), UpstreamScript::Bytes(&words), Choices(&choices));
    }

    #[test]
    fn arbitrary_bytes_are_harmless(bytes in vec(any::<u8>(), 0..600)) {
        fuzzing::request_head(&bytes);
        fuzzing::response_head(&bytes);
        fuzzing::chunked_body(&bytes);
        fuzzing::connection(&bytes);
    }

    #[test]
    fn mutated_heads_are_read_strictly(message in message(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut message = message;
        let at = at.index(message.len());
        message[at] = byte;
        fuzzing::request_head(&message);
    }

    #[test]
    fn chunks_are_read_as_a_simple_decoder_reads_them(
        parts in vec(prop::sample::select(vec!["1", "a", "\r\n", "0\r\n", "abc", ";x=y", "3\r\nabc\r\n", "\r\n\r\n", "\n"]), 0..12),
        step in any::<u8>(),
    ) {
        let mut bytes = vec![step];
        bytes.extend_from_slice(parts.concat().as_bytes());
        fuzzing::chunked_body(&bytes);
    }
}
