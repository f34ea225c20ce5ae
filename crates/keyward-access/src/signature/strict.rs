//! What `mode: strict` asks beyond the vendors' rules, so that a signature is of one request and no other.

use keyward_model::{SignatureMode, SignaturePolicy};

use super::parameters::{Doubt, Parameters};
use super::presented::{Family, Positional, Presented};
use super::refusal;
use crate::{Denial, RequestHead};

const NONCE_MIN: usize = 16;
const FORM: &[u8] = b"application/x-www-form-urlencoded";

/// Is the nonce long enough not to be met by chance?
pub(super) fn check_nonce(presented: &Presented<'_>, policy: &SignaturePolicy) -> Result<(), Denial> {
    let short = presented.nonce.is_some_and(|nonce| nonce.value.len() < NONCE_MIN);
    if short && policy.mode == SignatureMode::Strict {
        let message = match presented.family {
            Family::Alibaba => "Invalid X-Ca-Nonce",
            Family::Tencent => "HMAC authorization headers is invalidate.",
        };
        return Err(refusal::malformed(
            presented.family,
            message,
            "this API wants nonces of 16 characters or more, such as a fresh UUID",
        ));
    }
    Ok(())
}

/// Has the signed text one reading only: each parameter once, where it belongs, and without separators within?
pub(super) fn check_parameters(
    presented: &Presented<'_>,
    head: &RequestHead<'_>,
    form: Option<&[u8]>,
    parameters: &Parameters<'_>,
) -> Result<(), Denial> {
    let refuse =
        |hint: &'static str| Err(refusal::malformed(presented.family, "Invalid Param Location", hint));
    match parameters.doubt() {
        Some(Doubt::NoName) => {
            return refuse("this API refuses parameters without a name, which are not signed");
        }
        Some(Doubt::Repeated) => {
            return refuse(
                "this API refuses repeated parameters, of which only one is signed: join the values",
            );
        }
        Some(Doubt::Separator) => {
            return refuse(
                "this API refuses `&`, `=` and new lines in parameters: encode such values, say in base64url",
            );
        }
        None => {}
    }
    // Query and form go into one text, which does not say where a parameter stood.
    let has_query = head.query.is_some_and(|query| !query.is_empty());
    let has_form = form.is_some_and(|form| !form.is_empty());
    let without_body = matches!(head.method, "GET" | "HEAD" | "DELETE" | "OPTIONS");
    if presented.positional.is_form() && !has_form && has_query && !without_body {
        return refuse("this API refuses forms whose parameters stand in the query: send them in the body");
    }
    // Alibaba's text covers the body by its digest as well, which is required here; Tencent's has none for forms.
    if presented.family == Family::Tencent && has_form && (has_query || without_body) {
        return refuse("this API refuses forms with parameters in the query: send all of them in the body");
    }
    Ok(())
}

impl Positional<'_> {
    /// Does the body stand for parameters?
    pub(super) fn is_form(&self) -> bool {
        self.content_type.get(..FORM.len()).is_some_and(|start| start.eq_ignore_ascii_case(FORM))
    }
}
