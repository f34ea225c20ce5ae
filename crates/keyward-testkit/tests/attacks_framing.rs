//! The attack catalogue, class request-smuggling: what is ambiguous is refused, and nothing of it reaches the service.

use keyward_testkit::cases;
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
