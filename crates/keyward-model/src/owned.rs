//! Which field names of a request never reach a service as they came.
//!
//! Names are compared as a service may read them: without case, and with `_` and `.` taken for `-`, because CGI-like
//! frameworks fold them. A field that is Keyward's under any of these readings is taken out.

/// A name, folded for good.
pub fn folded(name: &str) -> Box<str> {
    name.bytes().map(|byte| char::from(fold(byte))).collect()
}

/// Is it `name` with a letter in another case, or with `_` or `.` for `-`? `folded` is a name that was folded.
pub fn reads_as(name: &str, folded: &str) -> bool {
    name.len() == folded.len() && starts_as(name.as_bytes(), folded.as_bytes())
}

/// May a service read it as another name than the one it is?
pub fn is_aliased(name: &str) -> bool {
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
pub fn is_owned(name: &str) -> bool {
    let bytes = name.as_bytes();
    let Some(&first) = bytes.first() else { return false };
    match fold(first) {
        b'x' if starts_as(bytes, b"x-") => {
            let third = bytes.get(2).map_or(0, |&byte| fold(byte));
            names_beginning_x(third).iter().any(|other| {
                starts_as(bytes, other.as_bytes()) && (other.ends_with('-') || other.len() == name.len())
            })
        }
        first => names_beginning(first).iter().any(|other| reads_as(name, other)),
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

/// What begins with `x-`, by the letter behind it: says who calls, where a call came from, or asks a service to take it
/// for another. Keyward alone says such things, and once. A name that ends in `-` stands for all that begin with it.
const fn names_beginning_x(third: u8) -> &'static [&'static str] {
    match third {
        b'a' => &["x-anonymous-consumer", "x-anonymous-consumer-", "x-authenticated-"],
        b'c' => &["x-ca-", "x-consumer-", "x-credential-", "x-client-ip", "x-cluster-client-ip"],
        b'e' => &["x-envoy-"],
        b'f' => &["x-forwarded", "x-forwarded-"],
        b'h' => &["x-host", "x-http-method", "x-http-method-", "x-hi-original-auth"],
        b'k' => &["x-keyward-"],
        b'm' => &["x-mse-consumer", "x-mse-consumer-", "x-middleware-", "x-method-override"],
        b'o' => &["x-original-"],
        b'r' => &["x-real-ip", "x-rewrite-"],
        b's' => &["x-ssl-client-"],
        _ => &[],
    }
}

/// Is a field of a service's answer in Keyward's name, so that it may not come from a service?
pub fn is_ours_in_answers(name: &str) -> bool {
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
