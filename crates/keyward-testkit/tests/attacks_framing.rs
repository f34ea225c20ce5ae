//! The attack catalogue, class request-smuggling: what is ambiguous is refused, and nothing of it reaches the service.

use keyward_testkit::cases::{self, refused_all};
use keyward_testkit::client::Connection;
use keyward_testkit::fixture::{HOST, K1};
use keyward_testkit::gateway::Gateway;
use keyward_testkit::request::Request;
use keyward_testkit::upstream::Upstream;

/// Sends a case's bytes as they are; it must be answered with one of these statuses and the connection closed,
/// the service must not have seen a complete message, and the gateway must go on serving others.
async fn is_refused(id: &str, statuses: &[u16]) {
    let gateway = Gateway::fixture().await;
    let raw = cases::raw(id, &[("HOST", HOST), ("K1.key", K1)]).unwrap();
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    connection.send(&raw).await.unwrap();
    let answer = connection.answer(false).await.unwrap();
    assert!(statuses.contains(&answer.status), "{id}: {answer:?}");
    assert!(answer.header("x-ca-request-id").is_some(), "{id}: {answer:?}");
    let rest = connection.until_closed().await.unwrap();
    assert!(rest.is_empty(), "{id}: something followed the refusal: {:?}", String::from_utf8_lossy(&rest));
    assert_eq!(gateway.upstream().hits(), 0, "{id}: the service saw a complete message");
    let seen = gateway.upstream().bytes();
    assert!(!String::from_utf8_lossy(&seen).contains("/internal"), "{id}: something was smuggled");
    let healthy = gateway.call(&Request::get(HOST, "/public/health")).await;
    assert_eq!(healthy.status, 200, "{id}: the gateway no longer serves others");
}

macro_rules! refused {
    ($($name:ident = $id:literal: $($status:literal)|+;)*) => {
        $(#[tokio::test]
        async fn $name() {
            is_refused($id, &[$($status),+]).await;
        })*
    };
}

refused! {
    smug_002_transfer_encoding_then_content_length = "SMUG-002": 400;
    smug_004_content_length_list = "SMUG-004": 400;
    smug_006_content_length_plus = "SMUG-006": 400;
    smug_008_content_length_hexadecimal = "SMUG-008": 400;
    smug_010_content_length_semicolon = "SMUG-010": 400;
    smug_012_content_length_underscore = "SMUG-012": 400;
    smug_014_content_length_exponent = "SMUG-014": 400;
    smug_016_content_length_too_large = "SMUG-016": 400 | 413;
    smug_018_content_length_leading_zero = "SMUG-018": 400;
    smug_020_transfer_encoding_identity = "SMUG-020": 400 | 501;
    smug_022_transfer_encoding_quoted = "SMUG-022": 400 | 501;
    smug_024_transfer_encoding_leading_comma = "SMUG-024": 400 | 501;
    smug_026_transfer_encoding_parameter = "SMUG-026": 400 | 501;
    smug_028_transfer_encoding_no_break_space = "SMUG-028": 400 | 501;
    smug_030_transfer_encoding_gzip = "SMUG-030": 400 | 501;
    smug_032_two_transfer_encoding_lines = "SMUG-032": 400;
    smug_034_tab_before_colon = "SMUG-034": 400;
    smug_036_blank_before_first_field = "SMUG-036": 400;
    smug_038_bare_line_feeds = "SMUG-038": 400;
    smug_040_empty_field_name = "SMUG-040": 400;
    smug_042_field_name_no_token = "SMUG-042": 400;
    smug_044_no_host = "SMUG-044": 400;
    smug_046_chunk_size_plus = "SMUG-046": 400 | 413;
    smug_048_chunk_size_underscore = "SMUG-048": 400 | 413;
    smug_050_chunk_size_empty = "SMUG-050": 400 | 413;
    smug_052_line_feed_in_chunk_extension = "SMUG-052": 400 | 413;
    smug_054_carriage_return_alone_in_chunk_size = "SMUG-054": 400 | 413;
    smug_056_line_feed_after_chunk_data = "SMUG-056": 400 | 413;
    smug_058_line_feed_ends_trailers = "SMUG-058": 400 | 413;
    smug_060_chunked_in_http_1_0 = "SMUG-060": 400;
}

#[tokio::test]
async fn smug_062_a_body_of_an_anonymous_get_is_no_second_request() {
    let gateway = Gateway::fixture().await;
    let raw = cases::raw("SMUG-062", &[("HOST", HOST)]).unwrap();
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    connection.send(&raw).await.unwrap();
    assert_eq!(connection.answer(false).await.unwrap().status, 200);
    let last = gateway.upstream().last().unwrap();
    assert_eq!(last.line, "GET /public/health HTTP/1.1");
    assert_eq!(gateway.upstream().hits(), 1);
    assert!(last.body.starts_with(b"GET /internal"), "the body is carried as a body");
}

#[tokio::test]
async fn smug_064_a_refused_expectation_leaves_no_bytes_behind() {
    let gateway = Gateway::fixture().await;
    let raw = cases::raw("SMUG-064", &[("HOST", HOST)]).unwrap();
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    connection.send(&raw).await.unwrap();
    assert_eq!(connection.answer(false).await.unwrap().status, 401);
    let rest = connection.until_closed().await.unwrap();
    assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn smug_066_trace_with_a_body() {
    let gateway = Gateway::fixture().await;
    let raw = cases::raw("SMUG-066", &[("HOST", HOST), ("K1.key", K1)]).unwrap();
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    connection.send(&raw).await.unwrap();
    let answer = connection.answer(false).await.unwrap();
    assert!(matches!(answer.status, 400 | 405 | 501), "{answer:?}");
    assert_eq!(gateway.upstream().hits(), 0);
    assert!(!String::from_utf8_lossy(&gateway.upstream().bytes()).contains("AAAAA"));
}

#[tokio::test]
async fn smug_068_answers_of_doubtful_framing_do_not_pass() {
    const DOUBTFUL: [&[u8]; 7] = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX\0: y\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"nonsense\r\n\r\n",
    ];
    for doubtful in DOUBTFUL {
        let gateway = Gateway::fixture_with(Upstream::answering(doubtful).await.unwrap()).await;
        let answer = gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await;
        assert_eq!(answer.status, 502, "{:?}", String::from_utf8_lossy(doubtful));
    }
    const BAD_CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n";
    let gateway = Gateway::fixture_with(Upstream::answering(BAD_CHUNK).await.unwrap()).await;
    let mut connection = Connection::open(gateway.address()).await.unwrap();
    let cut = connection.call(&Request::get(HOST, "/orders/1").bearer(K1)).await;
    assert!(cut.is_err() || cut.as_ref().is_ok_and(|answer| answer.status == 502), "{cut:?}");
    const FLOOD: &[u8] = &[b'x'; 0];
    let mut flood = FLOOD.to_vec();
    (0..50).for_each(|_| flood.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"));
    flood.extend_from_slice(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let gateway = Gateway::fixture_with(Upstream::answering(flood.leak()).await.unwrap()).await;
    assert_eq!(gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await.status, 502);
}

#[tokio::test]
async fn an_answer_in_doubt_is_the_last_on_its_upstream_connection() {
    const TWO: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let gateway = Gateway::fixture_with(Upstream::answering(TWO).await.unwrap()).await;
    for _ in 0..3 {
        let answer = gateway.call(&Request::get(HOST, "/orders/1").bearer(K1)).await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok"),
            "an answer nobody asked for was handed out"
        );
    }
}

/// A POST by K1 with these further field lines, and what follows the head.
fn post(fields: &str, body: &str) -> Vec<u8> {
    format!("POST /orders HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {K1}\r\n{fields}\r\n{body}")
        .into_bytes()
}

/// Each is refused; what follows it on its connection is not looked at.
async fn are_refused(messages: Vec<Vec<u8>>) {
    const SECOND: &[u8] = b"GET /public/health HTTP/1.1\r\nHost: gw.test\r\n\r\n";
    let gateway = Gateway::fixture().await;
    let followed = messages.iter().map(|message| [message, SECOND].concat());
    for ((answer, reason), message) in refused_all(&gateway, followed).await.iter().zip(&messages) {
        let shown = String::from_utf8_lossy(message);
        assert!(matches!(answer.status, 400 | 405 | 413 | 417 | 431 | 501 | 505), "{shown:?}: {answer:?}");
        let expected = if answer.status == 405 { "method_not_allowed" } else { "request_malformed" };
        assert_eq!(reason, expected, "{shown:?}");
    }
    let seen = String::from_utf8_lossy(&gateway.upstream().bytes()).into_owned();
    assert!(!seen.contains("/public/health"), "what followed a refused message was served");
    assert_eq!(gateway.call(&Request::get(HOST, "/public/health")).await.status, 200);
}

#[tokio::test]
async fn lengths_that_two_readers_read_differently() {
    let lengths = [
        "-5",
        "+5",
        "5.0",
        "",
        "5,5",
        "5, 5",
        "0005",
        "5 5",
        "\"5\"",
        "'5'",
        "5\u{b}",
        "\u{c}5",
        "5#",
        "five",
        "1e1",
        "0b101",
        "0o5",
        "5_0",
        "5\r\n 0",
        "18446744073709551616",
        "18446744073709551621",
        "-0",
        "5\r\nContent-Length: 5",
        "5\r\nContent-Length: 6",
        "6\r\ncontent-length: 5",
        "5\r\nContent_Length: 0",
        "0\r\nContent.Length: 5",
        "\u{665}",
    ];
    are_refused(lengths.map(|length| post(&format!("Content-Length: {length}\r\n"), "AAAAA")).to_vec()).await;
}

#[tokio::test]
async fn codings_that_two_readers_read_differently() {
    let codings = [
        "xchunked",
        "chunkedx",
        "chunked, identity",
        "identity",
        "identity, chunked",
        "chunked, chunked",
        "chunked,",
        ",chunked",
        "chunked;",
        "chunked;q=1",
        "chunked\u{b}",
        "\u{b}chunked",
        "\"chunked\"",
        "'chunked'",
        "chunked chunked",
        "chunked\r\nTransfer-Encoding: identity",
        "identity\r\nTransfer-Encoding: chunked",
        "\r\n chunked",
        "chunked\r\n , identity",
        "chunked\r\nContent-Length: 5",
        "chunked\r\nTransfer_Encoding: identity",
        "deflate",
        "gzip",
        "x-gzip, chunked",
        "trailers",
        "",
        " , ",
        "chunke\u{64}\u{301}",
        "\u{ff43}hunked",
    ];
    let mut messages = codings
        .map(|coding| post(&format!("Transfer-Encoding: {coding}\r\n"), "1\r\nZ\r\n0\r\n\r\n"))
        .to_vec();
    for name in [
        "Transfer-Encoding ",
        "Transfer-Encoding\t",
        " Transfer-Encoding",
        "Transfer_Encoding",
        "transfer.encoding",
        "Transfer-Encoding\u{0}",
        "\u{0}Transfer-Encoding",
        "Transfer\u{2010}Encoding",
        "X: y\rTransfer-Encoding",
        "X: y\nTransfer-Encoding",
        "X: y\r\n\tTransfer-Encoding",
    ] {
        messages.push(post(&format!("{name}: chunked\r\n"), "1\r\nZ\r\n0\r\n\r\n"));
    }
    are_refused(messages).await;
}

#[tokio::test]
async fn chunks_that_two_readers_read_differently() {
    let bodies = [
        "0x1\r\nZ\r\n0\r\n\r\n",
        "-1\r\nZ\r\n0\r\n\r\n",
        " 1\r\nZ\r\n0\r\n\r\n",
        "1 \r\nZ\r\n0\r\n\r\n",
        "1\t\r\nZ\r\n0\r\n\r\n",
        "G\r\nZ\r\n0\r\n\r\n",
        "1,\r\nZ\r\n0\r\n\r\n",
        "\r\n1\r\nZ\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nZ\r\n0\r\n\r\n",
        "10000000000000001\r\nZ\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nZ\r\n",
        "1;\r\nZ\r\n0\r\n\r\n",
        "1;a=\"\r\n\"\r\nZ\r\n0\r\n\r\n",
        "1;a\u{0}\r\nZ\r\n0\r\n\r\n",
        "1;\rZ\r\n0\r\n\r\n",
        "1\nZ\r\n0\r\n\r\n",
        "1\r\nZZ\r\n0\r\n\r\n",
        "1\r\nZ0\r\n\r\n",
        "1\r\nZ\r0\r\n\r\n",
        "1\r\nZ\n\r0\r\n\r\n",
        "2\r\nZ\r\n0\r\n\r\n",
        "1\r\nZ\r\n0\r\nX : y\r\n\r\n",
        "1\r\nZ\r\n0\r\nX: y\r\n z\r\n\r\n",
        "1\r\nZ\r\n0\r\nX\r\n\r\n",
        "1\r\nZ\r\n0\r\nX: y\n\r\n",
        "1\r\nZ\r\n0\r\nX: a\u{0}b\r\n\r\n",
        "1\r\nZ\r\n0 \r\n\r\n",
        "1\r\nZ\r\n0\r\n\rX",
    ];
    let mut messages = bodies.map(|body| post("Transfer-Encoding: chunked\r\n", body)).to_vec();
    let extension = format!("1;{}\r\nZ\r\n0\r\n\r\n", "a".repeat(100_000));
    messages.push(post("Transfer-Encoding: chunked\r\n", &extension));
    let trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(20_000));
    messages.push(post("Transfer-Encoding: chunked\r\n", &trailers));
    are_refused(messages).await;
}

#[tokio::test]
async fn lines_that_two_readers_read_differently() {
    let fields = format!("Host: {HOST}\r\nAuthorization: Bearer {K1}\r\nContent-Length: 0\r\n");
    let lines = [
        "POST /orders HTTP/0.9",
        "POST /orders HTTP/1.2",
        "POST /orders HTTP/2.0",
        "POST /orders HTTP/11",
        "POST /orders HTTP/1.1x",
        "POST /orders HTTP/1.10",
        "POST /orders HTTP/01.1",
        "POST  /orders HTTP/1.1",
        "POST\t/orders\tHTTP/1.1",
        "POST /orders\u{b}HTTP/1.1",
        "POST /orders HTTP/1.1 ",
        " POST /orders HTTP/1.1",
        "\r\n\r\nPOST /orders HTTP/1.1",
        "\nPOST /orders HTTP/1.1",
        "POST /orders http/1.1",
        "POST /orders HTTP /1.1",
        "POST /orders",
        "POST orders HTTP/1.1",
        "POST http://gw.test@evil/orders HTTP/1.1",
        "POST http://evil/orders HTTP/1.1",
        "POST ftp://gw.test/orders HTTP/1.1",
        "POST http:/orders HTTP/1.1",
        "POST gw.test:80 HTTP/1.1",
        "CONNECT gw.test:80 HTTP/1.1",
        "CONNECT /orders HTTP/1.1",
        "TRACE /orders HTTP/1.1",
        "PO\u{0}ST /orders HTTP/1.1",
        "PRI * HTTP/2.0",
        "P[ST /orders HTTP/1.1",
        "POST /ord\u{e9} HTTP/1.1",
        "POST /orders#x HTTP/1.1",
        "POST /orders?a b HTTP/1.1",
        "POST /orders\u{0} HTTP/1.1",
        "POST * HTTP/1.1",
        "POST http://gw.test:81/orders HTTP/1.1",
        "POST http:///orders HTTP/1.1",
        "POST ?x HTTP/1.1",
        "/orders HTTP/1.1",
        "POST",
    ];
    let mut messages: Vec<Vec<u8>> =
        lines.iter().map(|line| format!("{line}\r\n{fields}\r\n").into_bytes()).collect();
    for more in [
        "Host: gw.test\r\n",
        "Host: other.test\r\n",
        "host:\r\n",
        "Foo\r\n",
        "Foo Bar: x\r\n",
        "Foo;: x\r\n",
        ": x\r\n",
        "Foo: x\u{1}y\r\n",
        "Foo: x\u{7f}\r\n",
        "F\u{f6}\u{f6}: x\r\n",
        "\tFoo: x\r\n",
        "Foo: x\r\n\tfold\r\n",
        "Foo: x\ry\r\n",
        "Foo: x\n\r\n",
        "Foo\n: x\r\n",
        "Expect: 100-continue, x\r\n",
        "Expect: something\r\n",
        "Connection: \"close\"\r\n",
    ] {
        messages.push(format!("POST /orders HTTP/1.1\r\n{fields}{more}\r\n").into_bytes());
    }
    for host in [
        "",
        "a, b",
        "gw.test/x",
        "u@gw.test",
        "gw.test:8o",
        "gw.test:65536",
        "gw.test:",
        "gw..test",
        "[::1",
        "gw.test%00",
        "\u{ff47}w.test",
    ] {
        messages.push(
            format!("GET /orders/1 HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {K1}\r\n\r\n")
                .into_bytes(),
        );
    }
    are_refused(messages).await;
}

#[tokio::test]
async fn what_follows_a_body_that_was_not_wanted_is_no_request() {
    let gateway = Gateway::fixture().await;
    for refused in [
        "POST /internal HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 58\r\n\r\n",
        "POST /none HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 58\r\n\r\n",
        "POST /orders HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 58\r\n\r\n",
    ] {
        let body = "GET /public/health HTTP/1.1\r\nHost: gw.test\r\nX-Smuggled: 1\r\n\r\n";
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        connection.send(format!("{refused}{body}").as_bytes()).await.unwrap();
        assert!(connection.answer(false).await.unwrap().status >= 400);
        connection.half_close().await.unwrap();
        let rest = connection.until_closed().await.unwrap();
        assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1 200"), "a body was taken for a request");
    }
    assert_eq!(gateway.upstream().hits(), 0);
}

#[tokio::test]
async fn extensions_and_trailers_end_here() {
    let gateway = Gateway::fixture().await;
    for body in [
        "5;name=\"value\"\r\nAAAAA\r\n0\r\n\r\n",
        "5\r\nAAAAA\r\n0;x\r\nX-Keyward-Caller-Name: evil\r\nX-Consumer-Id: evil\r\nContent-Length: 9\r\nHost: evil\r\n\r\n",
        "05\r\nAAAAA\r\n00\r\nTransfer-Encoding: evil\r\nAuthorization: evil\r\n\r\n",
    ] {
        let mut connection = Connection::open(gateway.address()).await.unwrap();
        let message = post("Transfer-Encoding: chunked\r\nTrailer: X-Consumer-Id\r\nTE: trailers\r\n", body);
        connection.send(&message).await.unwrap();
        assert_eq!(connection.answer(false).await.unwrap().status, 200, "{body:?}");
        let last = gateway.upstream().last().unwrap();
        assert_eq!(String::from_utf8_lossy(&last.body), "5\r\nAAAAA\r\n0\r\n\r\n");
        assert!(last.values("trailer").is_empty() && last.values("te").is_empty());
    }
    let seen = String::from_utf8_lossy(&gateway.upstream().bytes()).into_owned();
    assert!(!seen.contains("evil"), "{seen}");
}
