//! The vendors' words for our reasons: what their clients read in `X-Ca-Error-Code`, `X-Ca-Error-Message` and `message`.
//!
//! Codes are those of the newer Alibaba table, kept as identifiers only: the digits in them are not our statuses.
//! Texts are the classic ones, which SDKs and people search for.

use keyward_access::Dialect;
use keyward_access::signature::vendor_message;
use keyward_model::DenyReason;

/// A code and a text of a vendor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Words {
    /// `X-Ca-Error-Code`.
    pub(crate) code: &'static str,
    /// `X-Ca-Error-Message`, where the decision brought no more exact one.
    pub(crate) text: &'static str,
}

/// The words of this dialect for this reason.
pub(super) fn words(dialect: Dialect, reason: DenyReason) -> Words {
    let code = code(dialect, reason);
    let text = vendor_message(dialect, reason).unwrap_or_else(|| match dialect {
        Dialect::Plain | Dialect::Alibaba => alibaba_text(dialect, reason),
        Dialect::Tencent => tencent_text(reason),
    });
    Words { code, text }
}

fn code(dialect: Dialect, reason: DenyReason) -> &'static str {
    use DenyReason as R;
    let signed = dialect != Dialect::Plain;
    match reason {
        R::RequestMalformed => "I400RU",
        R::ApiNotFound => "I404NF",
        R::MethodNotAllowed => "I405UM",
        R::StageInvalid => "I400SG",
        R::CredentialMissing | R::CredentialNotAdmitted => "A400MA",
        R::CredentialAmbiguous | R::CredentialMalformed => "I400HD",
        R::AlgorithmNotAdmitted => "A403IS",
        // One face for both, see `public_reason`.
        R::CredentialUnknown | R::ProofMismatch if signed => "A403IS",
        R::CredentialUnknown | R::ProofMismatch => "A403AC",
        R::RequiredHeaderNotSigned => "I400MH",
        R::DigestMismatch => "I400I5",
        R::ProofExpired if signed => "S403TE",
        R::ProofExpired => "A403JE",
        R::NonceMissing => "I400NC",
        R::NonceReplayed => "S403NU",
        R::CredentialDisabled
        | R::CredentialExpired
        | R::CallerDisabled
        | R::AccountDisabled
        | R::GrantMissing
        | R::GrantOtherGateway
        | R::GrantOtherStage
        | R::GrantNotYetValid
        | R::GrantRevoked
        | R::OperationNotGranted => "I403AA",
        R::GrantExpired => "A403EP",
        R::LimitExceeded => "T429PA",
        R::PluginRefused => "A403PR",
        R::PluginFailed | R::ReplayMemoryUnavailable | R::SecretUnresolvable | R::SnapshotStale => "D503BB",
        R::UpstreamUnavailable => "D502FC",
    }
}

fn alibaba_text(dialect: Dialect, reason: DenyReason) -> &'static str {
    use DenyReason as R;
    let signed = dialect != Dialect::Plain;
    match reason {
        R::RequestMalformed => "Invalid Url",
        R::ApiNotFound => "API Not Found",
        R::MethodNotAllowed => "Invalid HttpMethod",
        R::StageInvalid => "Invalid Stage",
        R::CredentialMissing | R::CredentialNotAdmitted => "Need authorization",
        R::CredentialAmbiguous | R::CredentialMalformed => "Invalid Header",
        R::AlgorithmNotAdmitted => "Invalid Signature Method",
        R::CredentialUnknown | R::ProofMismatch if signed => "Invalid Signature",
        R::CredentialUnknown | R::ProofMismatch => "Invalid Credential",
        R::RequiredHeaderNotSigned => "Header is Required",
        R::DigestMismatch => "Invalid Content-MD5",
        R::ProofExpired if signed => "Timestamp Expired",
        R::ProofExpired => "Credential Expired",
        R::NonceMissing => "X-Ca-Nonce is required",
        R::NonceReplayed => "Nonce Used",
        R::CredentialDisabled
        | R::CredentialExpired
        | R::CallerDisabled
        | R::AccountDisabled
        | R::GrantMissing
        | R::GrantOtherGateway
        | R::GrantOtherStage
        | R::GrantNotYetValid
        | R::GrantRevoked
        | R::OperationNotGranted => "Unauthorized",
        R::GrantExpired => "Expiry of Authorization",
        R::LimitExceeded => "Throttled by API Flow Control",
        R::PluginRefused => "Plugin Authorization Needed",
        R::PluginFailed | R::ReplayMemoryUnavailable | R::SecretUnresolvable | R::SnapshotStale => {
            "Service Unavailable"
        }
        R::UpstreamUnavailable => "Failed To Invoke Backend Service",
    }
}

/// Where the vendor has no words of its own.
fn tencent_text(reason: DenyReason) -> &'static str {
    use DenyReason as R;
    match reason {
        R::RequestMalformed | R::CredentialMalformed => "HMAC authorization format error.",
        R::ApiNotFound => "There is no api match uri",
        R::MethodNotAllowed => "There is no api match method",
        R::StageInvalid => "There is no api match env_mapping",
        R::CredentialNotAdmitted => "HMAC apikey is invalid for API.",
        R::CredentialAmbiguous => "HMAC do not support multiple HTTP header.",
        R::AlgorithmNotAdmitted => "HMAC algorithm not supported.",
        R::CredentialUnknown | R::ProofMismatch | R::DigestMismatch => "HMAC signature does not match.",
        R::RequiredHeaderNotSigned => {
            "HMAC signature cannot be verified, a valid x-date header is required for HMAC Authentication."
        }
        R::ProofExpired => {
            "HMAC signature cannot be verified, the x-date header is out of date for HMAC Authentication."
        }
        R::NonceMissing => {
            "HMAC signature cannot be verified, a valid x-apigw-nonce header is required for HMAC Authentication."
        }
        R::UpstreamUnavailable => "Failed To Invoke Backend Service",
        _ => "Service Unavailable",
    }
}
