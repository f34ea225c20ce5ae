//! The access record: one JSON line for every request, written in three pieces as the request goes along.
//!
//! It is written by hand into a buffer that is used again and again. It never holds a secret: of a query it has what
//! went on to the service, which holds no credential; where nothing went on, any value may be one in the wrong place,
//! so only the names are written.

use keyward_http::Outcome;
use keyward_model::{CallerId, CredentialId, GrantId, Name, PluginId, Stage, Timestamp};

use crate::RequestId;
use crate::query::Query;
use crate::text::{AddressText, push_id, push_json, push_json_plain, push_json_within, push_number};

/// The line of one request as far as it is known.
#[derive(Debug, Default)]
pub(crate) struct Line(Vec<u8>);

/// What the head says.
pub(crate) struct Asked<'a> {
    pub(crate) request_id: &'a RequestId,
    pub(crate) client: &'a AddressText,
    /// Absent where the message could not be read.
    pub(crate) method: Option<&'a str>,
    pub(crate) host: Option<&'a str>,
    pub(crate) path: Option<&'a str>,
}

/// What may be written of a query.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Queried<'a> {
    /// There is none.
    #[default]
    None,
    /// What is left after its credentials were taken out.
    Carried(&'a str),
    /// The names of its parameters.
    NamesOf(&'a str),
}

/// What the decision found. Absent parts are written as null.
#[derive(Default)]
pub(crate) struct Decided<'a> {
    pub(crate) query: Queried<'a>,
    pub(crate) stage: Option<Stage>,
    pub(crate) caller: Option<CallerId>,
    pub(crate) caller_name: Option<&'a Name>,
    pub(crate) credential: Option<CredentialId>,
    pub(crate) grant: Option<GrantId>,
    pub(crate) upstream: Option<&'a str>,
}

impl Line {
    /// A line in this buffer, whose contents go.
    pub(crate) fn within(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self(buffer)
    }

    /// The buffer, to be used again.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.0
    }

    /// The finished line, with its line feed.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Writes what the head says.
    pub(crate) fn asked(&mut self, time: &mut TimeText, now: Timestamp, asked: &Asked<'_>) {
        let out = &mut self.0;
        out.extend_from_slice(b"{\"time\":\"");
        time.push(out, now);
        out.extend_from_slice(b"\",\"request_id\":\"");
        out.extend_from_slice(asked.request_id.as_bytes());
        out.extend_from_slice(b"\",\"client\":\"");
        out.extend_from_slice(asked.client.as_bytes());
        out.extend_from_slice(b"\",\"method\":");
        push_foreign(out, asked.method);
        out.extend_from_slice(b",\"host\":");
        push_foreign(out, asked.host);
        out.extend_from_slice(b",\"path\":");
        push_foreign(out, asked.path);
    }

    /// Writes what the decision found. The API is given as its id and name.
    pub(crate) fn decided(&mut self, decided: &Decided<'_>, api: Option<(&str, &Name)>, revision: u64) {
        let out = &mut self.0;
        push_query(out, decided.query);
        out.extend_from_slice(b",\"api\":");
        push_text(out, api.map(|(id, _)| id));
        out.extend_from_slice(b",\"api_name\":");
        push_text(out, api.map(|(_, name)| name.as_str()));
        out.extend_from_slice(b",\"stage\":");
        push_text(out, decided.stage.map(Stage::as_str));
        out.extend_from_slice(b",\"caller\":");
        push_caller(out, decided.caller);
        out.extend_from_slice(b",\"caller_name\":");
        push_text(out, decided.caller_name.map(Name::as_str));
        out.extend_from_slice(b",\"credential\":");
        push_typed(out, CredentialId::PREFIX, decided.credential.map(CredentialId::uuid));
        out.extend_from_slice(b",\"grant\":");
        push_typed(out, GrantId::PREFIX, decided.grant.map(GrantId::uuid));
        out.extend_from_slice(b",\"revision\":");
        push_number(out, revision);
        out.extend_from_slice(b",\"upstream\":");
        push_text(out, decided.upstream);
    }

    /// Writes how it ended, and ends the line. `plugin` is the one that ended it, or that the permit rests on.
    pub(crate) fn ended(
        &mut self,
        outcome: &Outcome,
        reason: Option<&'static str>,
        plugin: Option<PluginId>,
    ) {
        let out = &mut self.0;
        out.extend_from_slice(b",\"status\":");
        push_number(out, outcome.status.into());
        out.extend_from_slice(b",\"reason\":");
        push_text(out, reason);
        out.extend_from_slice(b",\"plugin\":");
        push_typed(out, PluginId::PREFIX, plugin.map(PluginId::uuid));
        out.extend_from_slice(b",\"request_bytes\":");
        push_number(out, outcome.request_bytes);
        out.extend_from_slice(b",\"response_bytes\":");
        push_number(out, outcome.response_bytes);
        out.extend_from_slice(b",\"complete\":");
        out.extend_from_slice(if outcome.complete { b"true" } else { b"false" });
        out.extend_from_slice(b",\"duration_us\":");
        push_number(out, u64::try_from(outcome.duration.as_micros()).unwrap_or(u64::MAX));
        out.extend_from_slice(b"}\n");
    }
}

/// Writes moments as `2026-01-31T12:00:00.123Z`, remembering the text of the last second.
#[derive(Debug, Default)]
pub(crate) struct TimeText {
    second: i64,
    text: Vec<u8>,
}

impl TimeText {
    /// Appends a moment.
    pub(crate) fn push(&mut self, out: &mut Vec<u8>, now: Timestamp) {
        let second = now.as_millis().div_euclid(1000);
        if self.text.is_empty() || second != self.second {
            self.second = second;
            // The model writes whole seconds without a fraction: `…T12:00:00Z`.
            self.text = Timestamp::from_millis(second.saturating_mul(1000)).to_string().into_bytes();
            if self.text.pop() != Some(b'Z') {
                self.text.clear();
            }
        }
        out.extend_from_slice(&self.text);
        let millis = now.as_millis().rem_euclid(1000) as u16;
        let digit = |number: u16| b'0' + (number % 10) as u8;
        out.extend_from_slice(&[b'.', digit(millis / 100), digit(millis / 10), digit(millis), b'Z']);
    }
}

const HIDDEN: &[u8] = b"[hidden]";

/// How the JSON of a token's header begins in Base64: `{"`.
const TOKEN_START: &str = "eyJ";

fn push_query(out: &mut Vec<u8>, query: Queried<'_>) {
    out.extend_from_slice(b",\"query\":");
    match query {
        Queried::None => push_text(out, None),
        // A token where nobody looks for one goes on like any value; but it opens doors to whoever reads it here.
        Queried::Carried(query) if query.contains(TOKEN_START) => push_names(out, query),
        Queried::Carried(query) => push_json(out, query),
        Queried::NamesOf(query) => push_names(out, query),
    }
}

fn push_names(out: &mut Vec<u8>, query: &str) {
    out.push(b'"');
    for (place, parameter) in Query(query).parameters().enumerate() {
        if place > 0 {
            out.push(b'&');
        }
        // A piece without a name may be a credential itself.
        if parameter.name != parameter.whole {
            push_json_within(out, parameter.name);
            out.push(b'=');
        }
        out.extend_from_slice(HIDDEN);
    }
    out.push(b'"');
}

/// A text that somebody sent.
fn push_foreign(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_json(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

/// A text of ours: an id, a name, a code, an endpoint's URL.
fn push_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => push_json_plain(out, text),
        None => out.extend_from_slice(b"null"),
    }
}

fn push_caller(out: &mut Vec<u8>, caller: Option<CallerId>) {
    let prefix = caller.map(|caller| caller.kind().prefix()).unwrap_or_default();
    push_typed(out, prefix, caller.map(CallerId::uuid));
}

fn push_typed(out: &mut Vec<u8>, prefix: &str, uuid: Option<uuid::Uuid>) {
    match uuid {
        Some(uuid) => {
            out.push(b'"');
            push_id(out, prefix, uuid);
            out.push(b'"');
        }
        None => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RequestIds;
    use keyward_model::CallerKind;
    use serde_json::{Value, json};
    use std::time::Duration;
    use uuid::Uuid;

    const OUTCOME: Outcome = Outcome {
        status: 200,
        duration: Duration::from_micros(1234),
        request_bytes: 5,
        response_bytes: 77,
        complete: true,
        forwarded: true,
    };

    fn written(
        path: &str,
        host: &str,
        decided: &Decided<'_>,
        reason: Option<&'static str>,
    ) -> (String, Value) {
        let now = Timestamp::from_millis(1_763_719_200_007);
        let request_id = RequestIds::of_core([1; 16], 0).next(now);
        let mut line = Line::within(b"left over".to_vec());
        let asked = Asked {
            request_id: &request_id,
            client: &AddressText::of("192.0.2.1".parse().unwrap()),
            method: Some("GET"),
            host: Some(host),
            path: Some(path),
        };
        line.asked(&mut TimeText::default(), now, &asked);
        let name = "orders".parse().unwrap();
        line.decided(decided, Some(("api_018f0000000070008000000000000abc", &name)), 42);
        line.ended(&OUTCOME, reason, None);
        let text = String::from_utf8(line.as_bytes().to_vec()).unwrap();
        let value = serde_json::from_str(&text).unwrap();
        (text, value)
    }

    #[test]
    fn a_record_holds_what_the_contract_names() {
        let id = |n: u128| Uuid::from_u128(0x018f_0000_0000_7000_8000_0000_0000_0000 + n);
        let name = "web shop 订".parse().unwrap();
        let decided = Decided {
            query: Queried::Carried("a=%20&b"),
            stage: Some(Stage::Release),
            caller: Some(CallerId::from_uuid(CallerKind::Application, id(1))),
            caller_name: Some(&name),
            credential: Some(CredentialId::from_uuid(id(2))),
            grant: Some(GrantId::from_uuid(id(3))),
            upstream: Some("http://127.0.0.1:9000"),
        };
        let (text, record) = written("/orders/1", "gw.test", &decided, None);
        assert!(text.ends_with("}\n"));
        assert!(record["request_id"].as_str().is_some_and(|id| id.len() == 36));
        let expected = json!({
            "time": "2025-11-21T10:00:00.007Z",
            "request_id": record["request_id"],
            "client": "192.0.2.1",
            "method": "GET",
            "host": "gw.test",
            "path": "/orders/1",
            "query": "a=%20&b",
            "api": "api_018f0000000070008000000000000abc",
            "api_name": "orders",
            "stage": "RELEASE",
            "caller": "app_018f0000000070008000000000000001",
            "caller_name": "web shop 订",
            "credential": "crd_018f0000000070008000000000000002",
            "grant": "grt_018f0000000070008000000000000003",
            "revision": 42,
            "upstream": "http://127.0.0.1:9000",
            "status": 200,
            "reason": null,
            "plugin": null,
            "request_bytes": 5,
            "response_bytes": 77,
            "complete": true,
            "duration_us": 1234,
        });
        assert_eq!(record, expected);
    }

    #[test]
    fn no_text_starts_a_line_or_a_member_of_its_own() {
        let path = "/a\",\"status\":999}\n{\"forged\":true,\u{1b}[31m\\";
        let (text, record) = written(path, "h\"\r\n", &Decided::default(), Some("grant_missing"));
        assert_eq!(text.matches('\n').count(), 1);
        assert!(!text.contains('\u{1b}'));
        assert_eq!(record["path"], path);
        assert_eq!(record["status"], 200);
        assert_eq!(record["reason"], "grant_missing");
        assert_eq!(record["caller"], Value::Null);
    }

    #[test]
    fn of_a_query_that_was_not_believed_only_names_are_written() {
        let decided =
            Decided { query: Queried::NamesOf("apikey=s3cret&bare-s3cret&x="), ..Decided::default() };
        let (text, record) = written("/", "h", &decided, Some("credential_unknown"));
        assert_eq!(record["query"], "apikey=[hidden]&[hidden]&x=[hidden]");
        assert!(!text.contains("s3cret"));
    }

    #[test]
    fn time_is_written_to_the_millisecond() {
        let mut time = TimeText::default();
        for (millis, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (999, "1970-01-01T00:00:00.999Z"),
            (1_763_719_200_120, "2025-11-21T10:00:00.120Z"),
            (1_763_719_200_121, "2025-11-21T10:00:00.121Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            let mut out = Vec::new();
            time.push(&mut out, Timestamp::from_millis(millis));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
