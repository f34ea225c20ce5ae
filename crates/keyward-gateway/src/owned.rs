//! Which field names of a request never reach a service as they came.
//!
//! Names are compared as a service may read them: without case, and with `_` and `.` taken for `-`, because CGI-like
//! frameworks fold them. A field that is Keyward's under any of these readings is taken out.

/// A name, folded for good.
pub(crate) fn folded(name: &str) -> Box<str> {
    name.bytes().map(|byte| char::from(fold(byte))).collect()
}

/// Is it `name` with a letter in another case, or with `_` or `.` for `-`? `folded` is a name that was folded.
pub(crate) fn reads_as(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && starts_as(name.as_bytes(), folded.as_bytes())
}

/// May a service read it as another name than the one it is?
pub(crate) fn is_aliased(name: &str) -> bool {
    name.bytes().any(|byte| matches!(byte, b'_' | b'.'))
}

const fn fold(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        other => other.to_ascii_lowercase(),
    }
}

fn starts_as(name: &[u8], folded: &[u8]) -> bool {
    name.len() >= folded.len() && name.iter().zip(folded).all(|(&byte, &other)| fold(byte) == other)
}

/// Is a field of this name never carried to a service, whichever API is called?
///
/// Length and first letter tell nearly every name from these.
pub(crate) fn is_owned(name: &str) -> bool {
    let bytes = name.as_bytes();
    let Some(&first) = bytes.first() else { return false };
    match fold(first) {
        b'x' => starts_as(bytes, b"x-") && (is_identity(bytes) || is_forwarding(bytes)),
        first => {
            let is_same = |other: &&str| other.len() == name.len() && reads_as(name, other);
            names_beginning(first).iter().any(|other| is_same(other))
        }
    }
}

/// The other names: about this connection or this message's framing (also where the transport need not know them), where
/// a call came from, the vendor's names of what Keyward tells services about a call (`CaAppId` and its like), and
/// `Proxy`, which CGI hands on as `HTTP_PROXY`.
const fn names_beginning(first: u8) -> &'static [&'static str] {
    match first {
        b'c' => &[
            "connection",
            "content-length",
            "client-ip",
            "cf-connecting-ip",
            "caappid",
            "caappkey",
            "caappextinfo",
            "caappextendinfo",
            "castage",
            "carequestid",
            "caclientip",
            "cadomain",
            "caapiname",
            "cahttpschema",
            "caclientua",
            "carequesthandletime",
        ],
        b'e' => &["expect"],
        b'f' => &["forwarded", "fastly-client-ip"],
        b'h' => &["host", "http2-settings"],
        b'k' => &["keep-alive"],
        b'p' => &["proxy", "proxy-connection", "proxy-authorization", "proxy-authenticate"],
        b't' => &["te", "trailer", "transfer-encoding", "true-client-ip"],
        b'u' => &["upgrade"],
        _ => &[],
    }
}

/// Says who calls: only Keyward may say that, and only once.
fn is_identity(name: &[u8]) -> bool {
    begins_with_one_of(
        name,
        &[
            b"x-keyward-",
            b"x-consumer-",
            b"x-credential-",
            b"x-anonymous-consumer",
            b"x-authenticated-",
            b"x-mse-consumer",
            b"x-ca-",
            b"x-ssl-client-",
            b"x-hi-original-auth",
        ],
    )
}

/// Says where a call came from, or asks a service to take it for another: rebuilt from the socket, or left out.
fn is_forwarding(name: &[u8]) -> bool {
    begins_with_one_of(
        name,
        &[
            b"x-forwarded-",
            b"x-original-",
            b"x-rewrite-",
            b"x-middleware-",
            b"x-envoy-",
            b"x-http-method",
            b"x-method-override",
        ],
    ) || [&b"x-real-ip"[..], b"x-client-ip", b"x-cluster-client-ip", b"x-forwarded", b"x-host"]
        .iter()
        .any(|other| name.len() == other.len() && starts_as(name, other))
}

/// All of these names begin with `x-`, so that the letter behind it tells most of them from `name`.
fn begins_with_one_of(name: &[u8], prefixes: &[&[u8]]) -> bool {
    let third = name.get(2).map(|&byte| fold(byte));
    prefixes.iter().any(|prefix| prefix.get(2).copied() == third && starts_as(name, prefix))
}

/// Is a field of a service's answer in Keyward's name, so that it may not come from a service?
pub(crate) fn is_ours_in_answers(name: &str) -> bool {
    let name = name.as_bytes();
    matches!(name.first(), Some(b'x' | b'X'))
        && [&b"x-ca-request-id"[..], b"x-ca-error-", b"x-keyward-"].iter().any(|ours| starts_as(name, ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_fields_go_in_every_spelling() {
        for name in [
            "X-Keyward-Caller-Id",
            "x_keyward_caller_id",
            "X.Keyward.Account",
            "X-KEYWARD-anything",
            "X-Consumer-ID",
            "X_Consumer.Id",
            "X-Mse-Consumer",
            "X-Ca-Key",
            "X_Ca_Signature",
            "X-SSL-Client-DN",
            "CaAppId",
            "CaAppExtInfo",
            "CAAPPEXTENDINFO",
            "X-Authenticated-Scope",
            "X-Credential-Identifier",
            "x_anonymous.consumer",
            "X-Hi-Original-Auth",
            "CaAppKey",
            "castage",
            "CaRequestId",
            "CaClientIp",
            "CaDomain",
            "CaApiName",
            "CaHttpSchema",
            "CaClientUa",
            "CaRequestHandleTime",
        ] {
            assert!(is_owned(name), "{name}");
        }
    }

    #[test]
    fn forwarding_and_framing_fields_go() {
        for name in [
            "X-Forwarded-For",
            "x_forwarded_for",
            "Forwarded",
            "X-Real-IP",
            "X-Original-URL",
            "X-Rewrite-URL",
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "X-Middleware-Subrequest",
            "Transfer_Encoding",
            "Content.Length",
            "TE",
            "Upgrade",
            "Proxy-Authorization",
            "Proxy",
            "Client_IP",
            "Host",
            "Connection",
            "Keep_Alive",
            "Proxy.Connection",
            "Proxy-Authenticate",
            "Trailer",
            "Expect",
            "HTTP2-Settings",
            "True-Client-IP",
            "CF-Connecting-IP",
            "Fastly_Client_IP",
            "X-Client-IP",
            "X-Cluster-Client-IP",
            "X-Forwarded",
            "X_Host",
            "X-Envoy-External-Address",
        ] {
            assert!(is_owned(name), "{name}");
        }
    }

    #[test]
    fn everything_else_stays() {
        for name in [
            "Accept",
            "Content-Type",
            "User-Agent",
            "X-Request-Id",
            "X-Cache",
            "X-Capability",
            "Cache-Control",
            "Authorization",
            "Cookie",
            "traceparent",
            "x-apigw-nonce",
            "Xkeyward",
            "X",
            "X-",
            "",
            "X-Hosts",
            "Forwarded-For",
            "CaApp",
        ] {
            assert!(!is_owned(name), "{name}");
        }
    }
}
