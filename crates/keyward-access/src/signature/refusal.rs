//! Refusals in the vendors' own words, which their clients read.
//!
//! An unknown AppKey and a signature that does not match get the same words: both are made from what the caller sent
//! alone. A hint may say more only if it rests on an HMAC that matched, or on the request alone.

use std::borrow::Cow;

use keyward_model::{DenyReason, HmacAlgorithm, SignaturePolicy, Timestamp};

use super::fields::Known;
use super::mac::Canonical;
use super::presented::{Family, Time, TimeSource};
use crate::{Denial, Dialect};

/// Longest text that is echoed, in bytes: clients bound their heads, some at 16 KiB in all.
const ECHO_MAX: usize = 4096;
/// Longest value that is quoted in a hint, in characters.
const SHOWN_MAX: usize = 64;
const HINT_SAME_TEXT: &str =
    "if your client signed this very text, then its AppSecret is not the one of this AppKey";
const HINT_TENCENT: &str = "sign header lines, method, Accept, Content-Type, Content-MD5 and path as they are sent, with the secret of \
                            this id";

fn refusal(
    family: Family,
    reason: DenyReason,
    message: impl Into<Box<str>>,
    hint: impl Into<Cow<'static, str>>,
) -> Denial {
    Denial {
        dialect: family.dialect(),
        message: Some(message.into()),
        hint: Some(hint.into()),
        ..Denial::new(reason)
    }
}

/// What was presented cannot be read.
pub(super) fn malformed(
    family: Family,
    message: impl Into<Box<str>>,
    hint: impl Into<Cow<'static, str>>,
) -> Denial {
    refusal(family, DenyReason::CredentialMalformed, message, hint)
}

/// Both vendors' signatures were presented at once.
pub(super) fn ambiguous() -> Denial {
    Denial::new(DenyReason::CredentialAmbiguous)
        .with_hint("sign with `X-Ca-Signature` or with `Authorization: hmac`, not with both")
}

/// The algorithm is none, or not one that the API lists.
pub(super) fn algorithm(
    family: Family,
    named: Result<HmacAlgorithm, &[u8]>,
    policy: &SignaturePolicy,
) -> Denial {
    let written = |algorithm: HmacAlgorithm| match family {
        Family::Alibaba => algorithm.as_str(),
        Family::Tencent => algorithm.tencent_name(),
    };
    let name = match named {
        Ok(known) => written(known).to_owned(),
        Err(unknown) => shown(unknown),
    };
    let admitted: Vec<_> = policy.algorithms.iter().map(|algorithm| written(*algorithm)).collect();
    let admitted = admitted.join(", ");
    let hint = match named {
        Ok(known) => format!(
            "this API admits {admitted}: sign with that, or list {} under the API's `signature.algorithms`",
            known.as_str()
        ),
        Err(_) => format!("this API admits {admitted}, spelled so: sign with that"),
    };
    let message = match family {
        Family::Alibaba => format!("Invalid Signature, X-Ca-Signature-Method `{name}` is not supported"),
        Family::Tencent => format!("HMAC algorithm {name} not supported."),
    };
    refusal(family, DenyReason::AlgorithmNotAdmitted, message, hint)
}

/// The API does not admit the scheme.
pub(super) fn scheme(family: Family, policy: &SignaturePolicy) -> Denial {
    let admitted: Vec<_> = policy.schemes.iter().map(|scheme| scheme.as_str()).collect();
    let hint = format!(
        "this API admits the schemes {}: sign by one of them, or list yours under the API's `signature.schemes`",
        admitted.join(", ")
    );
    let message = match family {
        Family::Alibaba => "Unauthorized",
        Family::Tencent => "HMAC apikey is invalid for API.",
    };
    refusal(family, DenyReason::AlgorithmNotAdmitted, message, hint)
}

/// A header field that must be sent and signed was not.
pub(super) fn not_signed(family: Family, field: Known) -> Denial {
    let (message, list) = match family {
        Family::Alibaba => (format!("{} is required", spelled(field)), "name it in `X-Ca-Signature-Headers`"),
        Family::Tencent => (
            format!(
                "HMAC signature cannot be verified, a valid {} header is required for HMAC Authentication.",
                field.name()
            ),
            "name it in `headers` of `Authorization`",
        ),
    };
    let hint = format!("`{}` must be sent and signed: {list}", spelled(field));
    refusal(family, DenyReason::RequiredHeaderNotSigned, message, hint)
}

/// The signature does not match, or nobody has the AppKey: the two look the same.
pub(super) fn mismatch(
    family: Family,
    known: bool,
    text: &impl Canonical,
    cause: Option<Cow<'static, str>>,
) -> Denial {
    let reason = if known { DenyReason::ProofMismatch } else { DenyReason::CredentialUnknown };
    match family {
        Family::Alibaba => {
            let message = format!("Invalid Signature, Server StringToSign:`{}`", echoed(text));
            refusal(family, reason, message, cause.unwrap_or(Cow::Borrowed(HINT_SAME_TEXT)))
        }
        Family::Tencent => {
            let hint = cause.unwrap_or(Cow::Borrowed(HINT_TENCENT));
            refusal(family, reason, "HMAC signature does not match.", hint)
        }
    }
}

/// No signature was sent, or an empty one.
pub(super) fn no_signature(family: Family, known: bool) -> Denial {
    let reason = if known { DenyReason::ProofMismatch } else { DenyReason::CredentialUnknown };
    let (message, hint) = match family {
        Family::Alibaba => ("Empty Signature", "send the signature in `X-Ca-Signature`"),
        Family::Tencent => ("HMAC id or signature missing.", "send the signature in `signature`"),
    };
    refusal(family, reason, message, hint)
}

/// The body is not the one whose digest was signed, or has none where one must be.
pub(super) fn digest(family: Family, hint: &'static str) -> Denial {
    let message = match family {
        Family::Alibaba => "Invalid Content-MD5",
        Family::Tencent => "HMAC signature cannot be verified, a valid content-md5 header is required.",
    };
    refusal(family, DenyReason::DigestMismatch, message, hint)
}

/// The time that was signed lies too far from now.
pub(super) fn expired(family: Family, time: Time, now: Timestamp, window_s: u32) -> Denial {
    let difference_ms = now.as_millis().saturating_sub(time.at.as_millis());
    let seconds = difference_ms.unsigned_abs().div_ceil(1000);
    let side = if difference_ms > 0 { "behind" } else { "ahead of" };
    let (message, field) = match time.source {
        TimeSource::CaTimestamp { .. } => ("Timestamp Expired", "X-Ca-Timestamp"),
        TimeSource::XDate | TimeSource::Date => (
            "HMAC signature cannot be verified, the x-date header is out of date for HMAC Authentication.",
            if time.source == TimeSource::XDate { "X-Date" } else { "Date" },
        ),
    };
    let hint = format!(
        "`{field}` is {seconds} s {side} this server, whose time is {now} ({} ms): at most {window_s} s are allowed, \
         so set the clock or sign anew",
        now.as_millis()
    );
    refusal(family, DenyReason::ProofExpired, message, hint)
}

/// The API requires a nonce, and there is none that counts.
pub(super) fn nonce_missing(family: Family) -> Denial {
    let (message, hint) = match family {
        Family::Alibaba => (
            "X-Ca-Nonce is required",
            "send a fresh `X-Ca-Nonce` and an `X-Ca-Timestamp`, and name both in `X-Ca-Signature-Headers`",
        ),
        Family::Tencent => (
            "HMAC signature cannot be verified, a valid x-apigw-nonce header is required for HMAC Authentication.",
            "send a fresh `X-Apigw-Nonce`, and name it and `x-date` in `headers` of `Authorization`",
        ),
    };
    refusal(family, DenyReason::NonceMissing, message, hint)
}

/// The vendor's words for a refusal that is decided elsewhere, after the signature held or because there was none.
///
/// `None` where the vendor has no words of its own for the reason.
pub fn vendor_message(dialect: Dialect, reason: DenyReason) -> Option<&'static str> {
    use DenyReason as R;
    match dialect {
        Dialect::Plain => None,
        Dialect::Alibaba => Some(match reason {
            R::ApiNotFound => "API Not Found",
            R::MethodNotAllowed => "Invalid HttpMethod",
            R::StageInvalid => "Invalid Stage",
            R::CredentialMissing => {
                "Need authorization, `X-Ca-Key` or `Authorization: APPCODE ...` is required"
            }
            R::NonceReplayed => "Nonce Used",
            R::CredentialDisabled | R::CredentialExpired => "Invalid AppKey",
            R::GrantExpired => "App authorization expired",
            R::LimitExceeded => "Throttled by APP Flow Control",
            R::PluginRefused => "Plugin Authorization Needed",
            R::PluginFailed | R::SecretUnresolvable | R::SnapshotStale | R::ReplayMemoryUnavailable => {
                "Service Unavailable"
            }
            R::UpstreamUnavailable => "Failed To Invoke Backend Service",
            R::CallerDisabled
            | R::AccountDisabled
            | R::GrantMissing
            | R::GrantOtherGateway
            | R::GrantOtherStage
            | R::GrantNotYetValid
            | R::GrantRevoked
            | R::OperationNotGranted => "Unauthorized",
            _ => return None,
        }),
        Dialect::Tencent => Some(match reason {
            R::CredentialMissing => {
                "HMAC signature cannot be verified, a validate authorization header is required"
            }
            R::CredentialDisabled | R::CredentialExpired | R::CallerDisabled | R::AccountDisabled => {
                "HMAC signature cannot be verified."
            }
            R::GrantMissing
            | R::GrantOtherGateway
            | R::GrantOtherStage
            | R::GrantNotYetValid
            | R::GrantExpired
            | R::GrantRevoked
            | R::OperationNotGranted => "HMAC apikey is invalid for API.",
            R::NonceReplayed => "HMAC signature cannot be verified, the x-apigw-nonce header has been used.",
            R::LimitExceeded => "API rate limit exceeded",
            _ => return None,
        }),
    }
}

/// What to do about a nonce that was used before.
pub const HINT_NONCE_REPLAYED: &str =
    "a nonce is good for one request: sign again with a fresh one, also to retry";

/// The name as the vendors write it.
fn spelled(field: Known) -> String {
    let capitalise = |word: &str| match word.split_at_checked(1) {
        Some((first, rest)) => first.to_ascii_uppercase() + rest,
        None => String::new(),
    };
    field.name().split('-').map(capitalise).collect::<Vec<_>>().join("-").replace("Md5", "MD5")
}

/// A value from the request, fit to be quoted in a hint.
pub(super) fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let mut shown: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

/// A text to be signed in the form in which the vendor echoes it: `#` for a new line, other control characters escaped, and
/// cut where it is too long for a header field.
fn echoed(text: &impl Canonical) -> String {
    let mut bytes = Vec::with_capacity(512);
    text.write(&mut bytes);
    let mut echo = String::with_capacity(bytes.len().min(ECHO_MAX));
    for character in String::from_utf8_lossy(&bytes).chars() {
        if echo.len() >= ECHO_MAX {
            echo.push('…');
            break;
        }
        match character {
            '\n' => echo.push('#'),
            control if control.is_control() => echo.extend(control.escape_default()),
            other => echo.push(other),
        }
    }
    echo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_has_no_control_characters_and_an_end() {
        let text = "GET\n\na:\r\tb\u{7f}\u{85}\n/中".as_bytes();
        assert_eq!(echoed(&Echo(text)), "GET##a:\\r\\tb\\u{7f}\\u{85}#/中");
        let long = vec![b'x'; ECHO_MAX * 2];
        assert!(echoed(&Echo(&long)).len() <= ECHO_MAX + '…'.len_utf8());
        assert!(echoed(&Echo(&[0xff, b'\n'])).ends_with('#'));
    }

    struct Echo<'t>(&'t [u8]);

    impl Canonical for Echo<'_> {
        fn write(&self, to: &mut impl super::super::mac::Sink) {
            to.put(self.0);
        }
    }

    #[test]
    fn names_are_spelled_as_the_vendors_do() {
        assert_eq!(spelled(Known::CaStage), "X-Ca-Stage");
        assert_eq!(spelled(Known::ContentMd5), "Content-MD5");
    }
}
