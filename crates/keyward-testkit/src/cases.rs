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
    let mut all = refused_all(gateway, [raw.to_vec()]).await;
    all.pop().expect("an answer")
}

/// [`refused`] for each of these.
///
/// # Panics
/// If one of them is not.
pub async fn refused_all(
    gateway: &Gateway,
    messages: impl IntoIterator<Item = Vec<u8>>,
) -> Vec<(Answer, String)> {
    let mut answers = Vec::new();
    for raw in messages {
        let what = String::from_utf8_lossy(raw.get(..300).unwrap_or(&raw)).into_owned();
        let answer = refusal(gateway, &raw).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        answers.push((what, answer));
    }
    let Some((_, last)) = answers.last() else { return Vec::new() };
    // Records are written in the order of the answers, on a gateway of one core.
    gateway.record_of(last).await;
    let log = gateway.log_lines(1).await;
    answers
        .into_iter()
        .map(|(what, answer)| {
            let reason = recorded_reason(&log, &answer).unwrap_or_else(|error| panic!("{what}: {error}"));
            (answer, reason)
        })
        .collect()
}

async fn refusal(gateway: &Gateway, raw: &[u8]) -> Result<Answer, String> {
    let hits = gateway.upstream().hits();
    let mut connection = Connection::open(gateway.address()).await.map_err(|error| error.to_string())?;
    // A refusal may come, and the connection end, before everything was sent.
    let _ = connection.send(raw).await;
    let _ = connection.half_close().await;
    let answer = connection.answer(raw.starts_with(b"HEAD ")).await.map_err(|error| error.to_string())?;
    if answer.status < 400 || gateway.upstream().hits() != hits {
        return Err(format!("it was let through: {answer:?}"));
    }
    let shown = format!("{:?} {}", answer.headers, answer.text());
    match SECRETS.iter().find(|secret| shown.contains(**secret)) {
        Some(secret) => Err(format!("the answer shows {secret}: {shown}")),
        None => Ok(answer),
    }
}

fn recorded_reason(log: &[String], answer: &Answer) -> Result<String, String> {
    let id = answer.header("x-ca-request-id").ok_or("no request id")?;
    let written: Vec<&String> = log.iter().filter(|line| line.contains(id)).collect();
    let [line] = written.as_slice() else { return Err(format!("{} records: {written:?}", written.len())) };
    if let Some(secret) = SECRETS.iter().find(|secret| line.contains(**secret)) {
        return Err(format!("the record shows {secret}: {line}"));
    }
    let record: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let reason =
        record.get("reason").and_then(Value::as_str).ok_or_else(|| format!("no reason in {line}"))?;
    Ok(reason.to_owned())
}
