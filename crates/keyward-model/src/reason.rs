//! Why a request was refused: one ordered list.
//!
//! The order of this enum is the order in which checks are made, the order of the table test, and the order
//! of the manual. Codes are never renumbered or reused.

use std::fmt;
use std::str::FromStr;

use crate::ParseError;

macro_rules! reasons {
    ($(#[doc = $doc:literal] $name:ident = $code:literal, $status:literal, $advice:literal;)*) => {
        /// The one reason of a denial, in order of precedence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DenyReason {
            $(#[doc = $doc] $name,)*
        }

        impl DenyReason {
            /// Every reason, in order.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code by which logs, metrics, explain and the manual name it.
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that follows from it, and from it alone.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What it means, in one sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $doc,)* }
            }

            /// What to do about it.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

reasons! {
    /// The message is not well-formed, or its path is ambiguous.
    RequestMalformed = "request_malformed", 400,
        "Send well-formed HTTP with one unambiguous path: no `//`, dot segments, or encoded slashes.";
    /// No API answers to this host and path (or it is not published to this gateway and stage).
    ApiNotFound = "api_not_found", 404,
        "Check host, base path, stage and gateway with `keyward api list`; an API also hides from addresses outside its `allowed_addresses`.";
    /// The path is an operation of the API, but not with this method.
    MethodNotAllowed = "method_not_allowed", 405,
        "Use a method that `Allow` lists, or add the operation to the API.";
    /// The stage is unknown, or two parts of the request name different ones.
    StageInvalid = "stage_invalid", 400,
        "Send `X-Ca-Stage: RELEASE`, `PRE` or `TEST`, and name the stage in one place only.";
    /// Nothing was presented, and the API does not admit anyone.
    CredentialMissing = "credential_missing", 401,
        "Present a credential of a kind that the API admits; `WWW-Authenticate` names them.";
    /// More than one credential was presented.
    CredentialAmbiguous = "credential_ambiguous", 400,
        "Present exactly one credential.";
    /// A credential could not be read.
    CredentialMalformed = "credential_malformed", 400,
        "The hint says what could not be read.";
    /// Only credentials of kinds that the API does not admit were presented.
    CredentialNotAdmitted = "credential_not_admitted", 401,
        "Present another kind of credential, or add this kind to the API's `admits`.";
    /// The signature's algorithm or scheme is not among those that the API lists.
    AlgorithmNotAdmitted = "algorithm_not_admitted", 401,
        "Sign with an algorithm and scheme that the API lists, or list this one.";
    /// Nobody has this credential.
    CredentialUnknown = "credential_unknown", 401,
        "Check the key; the access log tells whether it was unknown or did not match.";
    /// A header that must be signed is not.
    RequiredHeaderNotSigned = "required_header_not_signed", 401,
        "Add the header that the hint names to the signed headers.";
    /// The signature does not match.
    ProofMismatch = "proof_mismatch", 401,
        "Compare your string to sign with the one in `X-Ca-Error-Message`; the hint names the cause where it can be told.";
    /// The body does not match its digest.
    DigestMismatch = "digest_mismatch", 400,
        "Send the digest of the body that you send.";
    /// The timestamp lies outside of the window, or the JWT's time has passed or not come.
    ProofExpired = "proof_expired", 401,
        "Set the clock; the hint tells by how much it is off. For a JWT, get a fresh one.";
    /// The API requires a nonce, and there is none that counts.
    NonceMissing = "nonce_missing", 401,
        "Send a signed nonce and timestamp.";
    /// The nonce was used before.
    NonceReplayed = "nonce_replayed", 401,
        "Sign every attempt anew, with a nonce of its own.";
    /// Nonces cannot be remembered now, so none is believed.
    ReplayMemoryUnavailable = "replay_memory_unavailable", 503,
        "Try again later; if it stays, look at the node's log and data folder.";
    /// The credential is disabled.
    CredentialDisabled = "credential_disabled", 401,
        "Enable the credential, or use another of the caller's.";
    /// The credential's own validity is over.
    CredentialExpired = "credential_expired", 401,
        "Use a newer credential of the caller, or extend this one.";
    /// The caller is disabled.
    CallerDisabled = "caller_disabled", 403,
        "Enable the application or consumer.";
    /// The caller's account is disabled.
    AccountDisabled = "account_disabled", 403,
        "Enable the caller's account.";
    /// No grant lets this caller call this API.
    GrantMissing = "grant_missing", 403,
        "Grant the API to the caller or to a group of it.";
    /// There is a grant, for other gateways.
    GrantOtherGateway = "grant_other_gateway", 403,
        "Call at a gateway of the grant, or grant for this one.";
    /// There is a grant, for other stages.
    GrantOtherStage = "grant_other_stage", 403,
        "Call a stage of the grant, or grant this one.";
    /// There is a grant, not yet valid.
    GrantNotYetValid = "grant_not_yet_valid", 403,
        "Wait, or grant from an earlier time.";
    /// There was a grant; it has expired.
    GrantExpired = "grant_expired", 403,
        "Grant anew.";
    /// There was a grant; it was revoked.
    GrantRevoked = "grant_revoked", 403,
        "Grant anew; revoked is final.";
    /// There is a grant, for other operations.
    OperationNotGranted = "operation_not_granted", 403,
        "Grant the operation.";
    /// A limit is exceeded.
    LimitExceeded = "limit_exceeded", 429,
        "Wait as long as `Retry-After` says.";
    /// A secret or key set that is referred to cannot be had now.
    SecretUnresolvable = "secret_unresolvable", 503,
        "The owner must look at the secret, or at where the key set is fetched from.";
    /// This node's configuration is older than the request or the API allows.
    SnapshotStale = "snapshot_stale", 503,
        "Try again, or ask another node.";
    /// The service gave no answer.
    UpstreamUnavailable = "upstream_unavailable", 502,
        "The owner must look at the service.";
    /// A plugin refuses the call.
    PluginRefused = "plugin_refused", 403,
        "The hint says what the plugin minds; the access log names the plugin. Its configuration may set another status.";
    /// A plugin cannot do what it is for.
    PluginFailed = "plugin_failed", 503,
        "The owner must look at the plugin that the access log names.";
}

impl fmt::Display for DenyReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for DenyReason {
    type Err = ParseError;

    fn from_str(code: &str) -> Result<Self, ParseError> {
        Self::ALL
            .iter()
            .copied()
            .find(|reason| reason.code() == code)
            .ok_or_else(|| ParseError::new(format!("`{}` is not a reason code", code.escape_debug())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_codes_are_distinct() {
        assert!(DenyReason::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        let codes: std::collections::BTreeSet<_> = DenyReason::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes.len(), DenyReason::ALL.len());
        assert_eq!(DenyReason::ALL.len(), 34);
    }
}
