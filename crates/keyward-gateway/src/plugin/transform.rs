//! `transform`: changes of what goes to the service, and of what comes back.
//!
//! Of a request first what is mapped, then each part: what is removed, renamed, set, added. JSON bodies alone are changed;
//! one that should be changed and is none is refused.

use std::sync::Arc;

use keyward_access::PluginEntry;
use keyward_model::{
    BodyChange, Mapping, NamedValue, PartChange, RequestChange, SecretText, StrictJson, Timestamp, Transform,
    ValuePlace,
};
use serde_json::Value;

use super::draft::{remove, set, value};
use super::{Act, AnswerCall, Call, Draft, Needs, Refusal, Verdict};
use crate::query::Query;
use crate::text::push_query_value;

#[derive(Debug)]
pub(super) struct TransformAct {
    config: Transform,
    entry: Arc<PluginEntry>,
}

/// Why something could not be changed.
type Fault = &'static str;

const NOT_JSON: Fault = "the body is not JSON, so that it cannot be changed as it should";
const NO_PLACE: Fault = "the body has no place for what should be put there";
const NO_VALUE: Fault = "a secret that belongs there has no value";

impl TransformAct {
    pub(super) fn new(config: &Transform, entry: &Arc<PluginEntry>) -> Self {
        Self { config: config.clone(), entry: Arc::clone(entry) }
    }

    fn value_of(&self, text: &SecretText, now: Timestamp) -> Result<Vec<u8>, Fault> {
        let value = self.entry.value_of(text, now).ok_or(NO_VALUE)?.expose_secret();
        // What a secret holds may be anything; what could end its field is not sent.
        let sound = value.bytes().all(|byte| byte >= 0x20 && byte != 0x7f);
        sound.then(|| value.as_bytes().to_vec()).ok_or(NO_VALUE)
    }

    fn change_fields(
        &self,
        fields: &mut Vec<(Box<str>, Vec<u8>)>,
        change: &PartChange,
        now: Timestamp,
    ) -> Result<(), Fault> {
        change.remove.iter().for_each(|name| remove(fields, name));
        for rename in &change.rename {
            if value(fields, &rename.from).is_none() {
                continue;
            }
            if !rename.from.eq_ignore_ascii_case(&rename.to) {
                remove(fields, &rename.to);
            }
            for (name, _) in fields.iter_mut().filter(|(name, _)| name.eq_ignore_ascii_case(&rename.from)) {
                *name = rename.to.clone();
            }
        }
        for NamedValue { name, value } in &change.set {
            set(fields, name, self.value_of(value, now)?);
        }
        for NamedValue { name, value } in &change.add {
            fields.push((name.clone(), self.value_of(value, now)?));
        }
        Ok(())
    }

    fn change_query(
        &self,
        query: &mut Option<String>,
        change: &PartChange,
        now: Timestamp,
    ) -> Result<(), Fault> {
        if *change == PartChange::default() {
            return Ok(());
        }
        let mut pieces = pieces_of(query.as_deref());
        let named = |piece: &String, name: &str| Query(piece).parameters().any(|one| one.is_named(name));
        pieces.retain(|piece| !change.remove.iter().any(|name| named(piece, name)));
        for rename in &change.rename {
            if !pieces.iter().any(|piece| named(piece, &rename.from)) {
                continue;
            }
            pieces.retain(|piece| named(piece, &rename.from) || !named(piece, &rename.to));
            for piece in pieces.iter_mut().filter(|piece| named(piece, &rename.from)) {
                let rest = piece.split_once('=').map(|(_, value)| format!("={value}")).unwrap_or_default();
                *piece = escaped(rename.to.as_bytes()) + &rest;
            }
        }
        for NamedValue { name, value } in &change.set {
            pieces.retain(|piece| !named(piece, name));
            pieces.push(format!("{}={}", escaped(name.as_bytes()), escaped(&self.value_of(value, now)?)));
        }
        for NamedValue { name, value } in &change.add {
            pieces.push(format!("{}={}", escaped(name.as_bytes()), escaped(&self.value_of(value, now)?)));
        }
        *query = (!pieces.is_empty()).then(|| pieces.join("&"));
        Ok(())
    }

    fn change_request(&self, draft: &mut Draft, body: Option<Vec<u8>>, now: Timestamp) -> Result<(), Fault> {
        let change = &self.config.request;
        let mut json = match body {
            Some(body) => Some(parse(&body)?),
            None => None,
        };
        for mapping in &change.map {
            map(draft, json.as_mut(), mapping)?;
        }
        self.change_fields(&mut draft.fields, &change.headers, now)?;
        self.change_query(&mut draft.query, &change.query, now)?;
        if let Some(mut json) = json {
            change_body(&mut json, &change.body)?;
            draft.body = Some(json.to_string().into_bytes());
            // What was said about the body that came is not true of this one.
            for name in ["content-md5", "digest", "content-digest", "repr-digest"] {
                remove(&mut draft.fields, name);
            }
        }
        Ok(())
    }
}

impl Act for TransformAct {
    fn needs(&self) -> Needs {
        Needs {
            draft: self.config.request != RequestChange::default(),
            answers: self.config.response != Default::default(),
            answer_bodies: self.config.changes_answer_bodies(),
        }
    }

    fn request(&self, call: &mut Call<'_>) -> Verdict {
        if self.config.request == RequestChange::default() {
            return Verdict::Pass;
        }
        let body = match self.config.changes_request_bodies() {
            false => None,
            true => match call.body(self.config.body_bytes as usize) {
                Ok(body) => Some(body.to_vec()),
                Err(verdict) => return verdict,
            },
        };
        let Some(draft) = call.draft.as_deref_mut() else { return Verdict::Pass };
        match self.change_request(draft, body, call.now) {
            Ok(()) => Verdict::Pass,
            Err(fault @ (NOT_JSON | NO_PLACE)) => Verdict::Refuse(Refusal::refused(400, fault)),
            Err(fault) => Verdict::Refuse(Refusal::failed(fault)),
        }
    }

    fn answer(&self, answer: &mut AnswerCall<'_>) -> Verdict {
        let change = &self.config.response;
        let changes_body = answer.has_body && self.config.changes_answer_bodies();
        if changes_body && answer.draft.body.is_none() {
            return Verdict::Body(self.config.body_bytes as usize);
        }
        let mut changed = self.change_fields(&mut answer.draft.fields, &change.headers, answer.now);
        if let (Ok(()), true, Some(body)) = (changed, changes_body, answer.draft.body.as_deref()) {
            changed = parse(body).and_then(|mut json| {
                change_body(&mut json, &change.body)?;
                answer.draft.body = Some(json.to_string().into_bytes());
                answer.draft.body_changed = true;
                ["etag", "content-md5", "digest", "content-digest", "repr-digest"]
                    .iter()
                    .for_each(|name| remove(&mut answer.draft.fields, name));
                Ok(())
            });
        }
        match changed {
            Ok(()) => Verdict::Pass,
            Err(_) => Verdict::Refuse(Refusal::failed("the answer cannot be changed as it should")),
        }
    }
}

fn parse(body: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(body).map_err(|_| NOT_JSON)?;
    let text = if text.is_empty() { "{}" } else { text };
    StrictJson::parse(text).map(|json| json.value().clone()).map_err(|_| NOT_JSON)
}

fn map(draft: &mut Draft, json: Option<&mut Value>, mapping: &Mapping) -> Result<(), Fault> {
    let found: Option<Value> = match &mapping.from {
        ValuePlace::Header(name) => {
            let value = value(&draft.fields, name);
            value.map(|value| Value::String(String::from_utf8_lossy(value).into_owned()))
        }
        ValuePlace::Query(name) => {
            let pieces = pieces_of(draft.query.as_deref());
            let piece = pieces.iter().find(|piece| Query(piece).parameters().any(|one| one.is_named(name)));
            let value = piece.map(|piece| piece.split_once('=').map_or("", |(_, value)| value));
            value.map(|value| Value::String(crate::query::decoded_text(value)))
        }
        ValuePlace::Body(pointer) => json.as_ref().and_then(|json| json.pointer(pointer)).cloned(),
    };
    let Some(found) = found else { return Ok(()) };
    let text = || match &found {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match (&mapping.to, json) {
        (ValuePlace::Header(name), _) => {
            let text = text();
            if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
                return Err(NO_PLACE);
            }
            set(&mut draft.fields, name, text.trim().as_bytes().to_vec());
        }
        (ValuePlace::Query(name), _) => {
            let mut pieces = pieces_of(draft.query.as_deref());
            pieces.retain(|piece| !Query(piece).parameters().any(|one| one.is_named(name)));
            pieces.push(format!("{}={}", escaped(name.as_bytes()), escaped(text().as_bytes())));
            draft.query = Some(pieces.join("&"));
        }
        (ValuePlace::Body(pointer), Some(json)) => put(json, pointer, found)?,
        (ValuePlace::Body(_), None) => {}
    }
    Ok(())
}

fn change_body(json: &mut Value, change: &BodyChange) -> Result<(), Fault> {
    for pointer in &change.remove {
        take(json, pointer);
    }
    for rename in &change.rename {
        if let Some(value) = take(json, &rename.from) {
            put(json, &rename.to, value)?;
        }
    }
    change.set.iter().try_for_each(|field| put(json, &field.pointer, field.value.clone()))
}

fn unescaped(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// Takes out what stands there.
fn take(json: &mut Value, pointer: &str) -> Option<Value> {
    let (parent, last) = pointer.rsplit_once('/')?;
    match json.pointer_mut(parent)? {
        Value::Object(members) => members.remove(&unescaped(last)),
        Value::Array(values) => {
            let at: usize = last.parse().ok()?;
            (at < values.len()).then(|| values.remove(at))
        }
        _ => None,
    }
}

/// Puts something there. Objects on the way are made; elements of lists are replaced, and `-` adds one.
fn put(json: &mut Value, pointer: &str, value: Value) -> Result<(), Fault> {
    let mut at = json;
    let mut parts = pointer.split('/').skip(1).map(unescaped).peekable();
    while let Some(part) = parts.next() {
        let is_last = parts.peek().is_none();
        at = match at {
            Value::Object(members) => {
                if is_last {
                    members.insert(part, value);
                    return Ok(());
                }
                members.entry(part).or_insert_with(|| Value::Object(Default::default()))
            }
            Value::Array(values) => {
                if is_last && part == "-" {
                    values.push(value);
                    return Ok(());
                }
                let slot = part.parse::<usize>().ok().and_then(|place| values.get_mut(place));
                let slot = slot.ok_or(NO_PLACE)?;
                if is_last {
                    *slot = value;
                    return Ok(());
                }
                slot
            }
            _ => return Err(NO_PLACE),
        };
    }
    Ok(())
}

fn pieces_of(query: Option<&str>) -> Vec<String> {
    query.into_iter().flat_map(|query| query.split('&')).map(str::to_owned).collect()
}

fn escaped(text: &[u8]) -> String {
    let mut out = Vec::with_capacity(text.len());
    push_query_value(&mut out, text);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_of_a_body_are_put_and_taken() {
        let mut body = json!({"a": {"b": 1, "c": [1, 2]}, "d": "x"});
        assert_eq!(take(&mut body, "/a/b"), Some(json!(1)));
        assert_eq!(take(&mut body, "/a/c/0"), Some(json!(1)));
        assert_eq!(take(&mut body, "/nothing/here"), None);
        put(&mut body, "/e/f~1g", json!(true)).unwrap();
        put(&mut body, "/a/c/-", json!(3)).unwrap();
        put(&mut body, "/a/c/0", json!(9)).unwrap();
        assert_eq!(body, json!({"a": {"c": [9, 3]}, "d": "x", "e": {"f/g": true}}));
        assert_eq!(put(&mut body, "/d/x", json!(1)), Err(NO_PLACE));
        assert_eq!(put(&mut body, "/a/c/7", json!(1)), Err(NO_PLACE));
    }

    #[test]
    fn a_body_that_is_empty_is_an_empty_object() {
        assert_eq!(parse(b""), Ok(json!({})));
        assert_eq!(parse(b"{\"a\":1,\"a\":2}"), Err(NOT_JSON));
        assert_eq!(parse(b"\xff"), Err(NOT_JSON));
    }
}
