//! The attack catalogue: `spec/attack-cases.json`. Tests are named by the ids of its cases.

use serde_json::Value;

use crate::client::{Answer, Connection};
use crate::fixture::SECRETS;
use crate::gateway::Gateway;
use crate::scenario::spec_folder;

/// The bytes of a case, with `{{…}}` replaced. The text is a latin-1 view of them.
///
/// # Errors
/// A case that is not there, has no bytes, or keeps a placeholder that was not given.
pub fn raw(id: &str, values: &[(&str, &str)]) -> Result<Vec<u8>, String> {
    let text = std::fs::read_to_string(spec_folder().join("attack-cases.json"))
        .map_err(|error| error.to_string())?;
    let cases: Vec<Value> = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let case = cases.iter().find(|case| case.get("id").and_then(Value::as_str) == Some(id));
    let raw = case.and_then(|case| case.get("raw")).and_then(Value::as_str);
    let mut raw = raw.ok_or_else(|| format!("case {id} has no bytes"))?.to_owned();
    for (name, value) in values {
        raw = raw.replace(&format!("{{{{{name}}}}}"), value);
    }
    if raw.contains("{{") {
        return Err(format!("case {id} keeps a placeholder: {raw:?}"));
    }
    raw.chars().map(|c| u8::try_from(u32::from(c)).map_err(|_| format!("case {id} is not latin-1"))).collect()
}

/// Sends these bytes on a connection of their own, and checks what holds of every refusal (the catalogue's global
/// oracle): the service saw nothing, the answer has a request id and no secret, and there is exactly one access
/// record, which names the reason. Gives the answer and the reason.
///
/// # Panics
/// If one of that does not hold.
pub async fn refused(gateway: &Gateway, raw: &[u8]) -> (Answer, String) {
    let what = String::from_utf8_lossy(raw.get(..300).unwrap_or(raw)).into_owned();
    let hits = gateway.upstream().hits();
    let mut connection = Connection::open(gateway.address()).await.expect("a connection");
    // A refusal may come, and the connection end, before everything was sent.
    let _ = connection.send(raw).await;
    let _ = connection.half_close().await;
    let to_head = raw.starts_with(b"HEAD ");
    let answer = match connection.answer(to_head).await {
        Ok(answer) => answer,
        Err(error) => panic!("{what}: {error}"),
    };
    assert!(answer.status >= 400, "{what}: {answer:?}");
    assert_eq!(gateway.upstream().hits(), hits, "{what}: the service saw it");
    let shown = format!("{:?} {}", answer.headers, answer.text());
    let record = gateway.record_of(&answer).await;
    let id = answer.header("x-ca-request-id").unwrap_or_default().to_owned();
    let written =
        gateway.log_lines(1).await.into_iter().filter(|line| line.contains(&id)).collect::<Vec<_>>();
    assert_eq!(written.len(), 1, "{what}: {written:?}");
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{what}: the answer shows a secret: {shown}");
        assert!(!written.concat().contains(secret), "{what}: the record shows a secret: {written:?}");
    }
    let reason = record.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned();
    assert!(!reason.is_empty(), "{what}: no reason in {record}");
    (answer, reason)
}
