//! The attack catalogue: `spec/attack-cases.json`. Tests are named by the ids of its cases.

use serde_json::Value;

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
