//! Which field names of a request never reach a service as they came.
//!
//! Names are compared as a service may read them: without case, and with `_` and `.` taken for `-`, because CGI-like
//! frameworks fold them. A field that is Keyward's under any of these readings is taken out.

/// A field name in the form in which names are compared.
#[derive(Debug, Default)]
pub(crate) struct Folded(String);

impl Folded {
    /// Folds another name into the same buffer.
    pub(crate) fn fold(&mut self, name: &str) -> &str {
        self.0.clear();
        self.0.push_str(name);
        self.0.make_ascii_lowercase();
        if name.bytes().fold(false, |has, byte| has | (byte == b'_') | (byte == b'.')) {
            self.0 = self.0.replace(['_', '.'], "-");
        }
        &self.0
    }
}

/// A name, folded for good.
pub(crate) fn folded(name: &str) -> Box<str> {
    Folded::default().fold(name).into()
}

/// Is a field of this folded name never carried to a service, whichever API is called?
pub(crate) fn is_owned(name: &str) -> bool {
    let name = name.as_bytes();
    is_framing(name) || is_identity(name) || is_forwarding(name)
}

/// About this connection or this message's framing, under a name that the transport need not know as such.
fn is_framing(name: &[u8]) -> bool {
    matches!(
        name,
        b"host"
            | b"connection"
            | b"content-length"
            | b"transfer-encoding"
            | b"keep-alive"
            | b"proxy-connection"
            | b"proxy-authorization"
            | b"proxy-authenticate"
            | b"te"
            | b"trailer"
            | b"upgrade"
            | b"expect"
            | b"http2-settings"
    )
}

/// Says who calls: only Keyward may say that, and only once.
fn is_identity(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 9] = [
        b"x-keyward-",
        b"x-consumer-",
        b"x-credential-",
        b"x-anonymous-consumer",
        b"x-authenticated-",
        b"x-mse-consumer",
        b"x-ca-",
        b"x-ssl-client-",
        b"x-hi-original-auth",
    ];
    match name {
        [b'x', b'-', ..] => PREFIXES.iter().any(|prefix| name.starts_with(prefix)),
        [b'c', b'a', ..] => is_system_parameter(name),
        _ => false,
    }
}

/// The vendor's names of what Keyward tells services about a call (`CaAppId` and its like).
fn is_system_parameter(name: &[u8]) -> bool {
    matches!(
        name,
        b"caappid"
            | b"caappkey"
            | b"caappextinfo"
            | b"caappextendinfo"
            | b"castage"
            | b"carequestid"
            | b"caclientip"
            | b"cadomain"
            | b"caapiname"
            | b"cahttpschema"
            | b"caclientua"
            | b"carequesthandletime"
    )
}

/// Says where a call came from, or asks a service to take it for another: rebuilt from the socket, or left out.
fn is_forwarding(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 7] = [
        b"x-forwarded-",
        b"x-original-",
        b"x-rewrite-",
        b"x-middleware-",
        b"x-envoy-",
        b"x-http-method",
        b"x-method-override",
    ];
    match name {
        b"forwarded" | b"true-client-ip" | b"client-ip" | b"cf-connecting-ip" | b"fastly-client-ip" => true,
        // CGI hands it on as `HTTP_PROXY`, which clients inside the service take for their proxy.
        b"proxy" => true,
        [b'x', b'-', ..] => {
            PREFIXES.iter().any(|prefix| name.starts_with(prefix))
                || matches!(
                    name,
                    b"x-real-ip" | b"x-client-ip" | b"x-cluster-client-ip" | b"x-forwarded" | b"x-host"
                )
        }
        _ => false,
    }
}

/// Is a field of a service's answer in Keyward's name, so that it may not come from a service?
pub(crate) fn is_ours_in_answers(name: &str) -> bool {
    name.starts_with("x-")
        && ["x-ca-request-id", "x-ca-error-", "x-keyward-"].iter().any(|ours| name.starts_with(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(name: &str) -> bool {
        is_owned(Folded::default().fold(name))
    }

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
        ] {
            assert!(owned(name), "{name}");
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
        ] {
            assert!(owned(name), "{name}");
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
        ] {
            assert!(!owned(name), "{name}");
        }
    }
}
