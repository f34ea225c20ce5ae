//! `request-validation`: what a call must be like.

use std::sync::Arc;

use keyward_access::{CallSchemas, PluginEntry, PluginWork};
use keyward_http::BodyLength;

use super::{Act, Call, Refusal, Verdict, too_large};

#[derive(Debug)]
pub(super) struct RequestValidationAct(pub(super) Arc<PluginEntry>);

impl Act for RequestValidationAct {
    fn request(&self, call: &mut Call<'_>) -> Verdict {
        let PluginWork::Validate(schemas) = self.0.work() else { return Verdict::Pass };
        match check(schemas, call) {
            Ok(()) => Verdict::Pass,
            Err(verdict) => verdict,
        }
    }
}

fn check(schemas: &CallSchemas, call: &Call<'_>) -> Result<(), Verdict> {
    let refuse = |hint: String| Verdict::Refuse(Refusal::refused(schemas.config.status, hint));
    let most = schemas.config.body_bytes as usize;
    let has_body = !matches!(call.head.body, BodyLength::None | BodyLength::Known(0));
    if has_body && !schemas.config.content_types.is_empty() {
        let given = call.head.fields.iter().find(|field| field.name.eq_ignore_ascii_case("content-type"));
        let given = given.and_then(|field| std::str::from_utf8(field.value).ok()).unwrap_or_default();
        let given = given.split(';').next().unwrap_or_default().trim();
        if !schemas.config.content_types.iter().any(|one| one.eq_ignore_ascii_case(given)) {
            return Err(refuse("a body of this content type is not let in".into()));
        }
    }
    if schemas.looks_at_headers() {
        let fields = call.head.fields.iter().map(|field| (field.name, field.value));
        schemas.check_headers(fields).map_err(refuse)?;
    }
    schemas.check_query(call.head.query).map_err(refuse)?;
    match call.head.body {
        BodyLength::Known(length) if length > most as u64 => return Err(Verdict::Refuse(too_large())),
        // How large it is, nobody knows before it is here.
        BodyLength::Chunked => drop(call.body(most)?),
        _ => {}
    }
    if schemas.looks_into_bodies() {
        schemas.check_body(call.body(most)?).map_err(refuse)?;
    }
    Ok(())
}
