//! `cors`: pages of other origins (the Fetch standard). A browser's question beforehand is answered here, before anybody
//! is asked who they are: it carries no credential. What is not allowed gets an answer without the fields that allow.

use keyward_http::{Field, Head, Response};
use keyward_model::{Cors, CorsOrigin, NameList};

use super::draft::push_field;
use super::{Act, Call, Verdict};

#[derive(Debug)]
pub(crate) struct CorsAct {
    config: Cors,
    /// `GET, POST`.
    methods: String,
}

/// A browser's question beforehand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preflight<'a> {
    pub(crate) origin: &'a str,
    /// The method that the page wants to use.
    pub(crate) method: &'a str,
    headers: &'a str,
}

impl<'a> Preflight<'a> {
    /// The question that this is, if it is one.
    pub(crate) fn of(head: &Head<'a>) -> Option<Self> {
        if head.method != "OPTIONS" {
            return None;
        }
        let value = |name: &str| one(head.fields, name);
        let headers = value("access-control-request-headers").unwrap_or_default();
        Some(Self { origin: value("origin")?, method: value("access-control-request-method")?, headers })
    }
}

/// The value of the only field of this name.
fn one<'a>(fields: &[Field<'a>], name: &str) -> Option<&'a str> {
    let mut values = fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name));
    let value = values.next().filter(|_| values.next().is_none())?;
    std::str::from_utf8(value.value).ok()
}

impl CorsAct {
    pub(super) fn new(config: &Cors) -> Self {
        let methods: Vec<&str> = config.methods.iter().map(|method| method.as_str()).collect();
        Self { config: config.clone(), methods: methods.join(", ") }
    }

    /// What is answered to a question beforehand.
    pub(super) fn preflight(&self, asked: &Preflight<'_>) -> Response {
        let mut fields = Vec::with_capacity(256);
        let allowed = self.allow_origin(asked.origin, &mut fields);
        let simple = matches!(asked.method, "GET" | "HEAD" | "POST");
        let method = simple || self.config.methods.iter().any(|method| method.as_str() == asked.method);
        if allowed && method && self.allows_headers(asked.headers) {
            push_field(&mut fields, "Access-Control-Allow-Methods", self.methods.as_bytes());
            if !asked.headers.is_empty() {
                push_field(&mut fields, "Access-Control-Allow-Headers", asked.headers.as_bytes());
            }
            let max_age = self.config.max_age_s.to_string();
            push_field(&mut fields, "Access-Control-Max-Age", max_age.as_bytes());
        } else {
            fields.clear();
        }
        let vary = b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        push_field(&mut fields, "Vary", vary);
        Response { status: 204, fields, ..Response::default() }
    }

    /// Appends the fields that let this origin read the answer, if it may.
    fn allow_origin(&self, origin: &str, fields: &mut Vec<u8>) -> bool {
        let any = self.config.origins.contains(&CorsOrigin::Any);
        if !any && !self.config.origins.iter().any(|allowed| allows(allowed, origin)) {
            return false;
        }
        let value = if any && !self.config.credentials { "*" } else { origin };
        push_field(fields, "Access-Control-Allow-Origin", value.as_bytes());
        if self.config.credentials {
            push_field(fields, "Access-Control-Allow-Credentials", b"true");
        }
        true
    }

    fn allows_headers(&self, asked: &str) -> bool {
        let names = asked.split(',').map(str::trim).filter(|name| !name.is_empty());
        let token =
            |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b));
        match &self.config.headers {
            NameList::All => names.into_iter().all(token),
            NameList::These(allowed) => {
                names.into_iter().all(|name| allowed.iter().any(|other| other.eq_ignore_ascii_case(name)))
            }
        }
    }
}

fn allows(allowed: &CorsOrigin, origin: &str) -> bool {
    match allowed {
        CorsOrigin::Any => true,
        CorsOrigin::Exact(exact) => exact.eq_ignore_ascii_case(origin),
        CorsOrigin::Below { scheme, suffix } => {
            let rest = origin.len().checked_sub(suffix.len()).and_then(|at| origin.split_at_checked(at));
            rest.is_some_and(|(before, end)| {
                let (start, name) = before.split_at_checked(scheme.len()).unwrap_or_default();
                let label = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
                end.eq_ignore_ascii_case(suffix)
                    && start.eq_ignore_ascii_case(scheme)
                    && !name.is_empty()
                    && name.bytes().all(label)
            })
        }
    }
}

impl Act for CorsAct {
    fn request(&self, call: &mut Call<'_>) -> Verdict {
        call.owned.push("access-control-");
        push_field(call.added, "Vary", b"Origin");
        let Some(origin) = one(call.head.fields, "origin") else { return Verdict::Pass };
        if self.allow_origin(origin, call.added) {
            let expose = match &self.config.expose {
                NameList::All => "*".to_owned(),
                NameList::These(names) => names.join(", "),
            };
            if !expose.is_empty() {
                push_field(call.added, "Access-Control-Expose-Headers", expose.as_bytes());
            }
        }
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keyward_model::{BuiltIn, BuiltInConfig, PluginConfig, PluginKind};

    fn act(config: &str) -> CorsAct {
        let kind = PluginKind::BuiltIn(BuiltIn::Cors);
        match PluginConfig::parse(&kind, config).unwrap().read(BuiltIn::Cors).unwrap() {
            BuiltInConfig::Cors(config) => CorsAct::new(&config),
            _ => panic!("another kind"),
        }
    }

    fn answered(act: &CorsAct, origin: &str, method: &str, headers: &str) -> String {
        let response = act.preflight(&Preflight { origin, method, headers });
        assert_eq!((response.status, response.body.len()), (204, 0));
        String::from_utf8(response.fields).unwrap()
    }

    const VARY: &str = "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers\r\n";

    #[test]
    fn what_is_allowed_is_told_and_nothing_else() {
        let act = act(
            r#"{"origins":["https://app.example.com"],"methods":["PUT"],"headers":["x-a"],"credentials":true,"max_age_s":5}"#,
        );
        let told = answered(&act, "https://app.example.com", "PUT", "X-A");
        assert_eq!(
            told,
            format!(
                "Access-Control-Allow-Origin: https://app.example.com\r\nAccess-Control-Allow-Credentials: true\r\n\
                 Access-Control-Allow-Methods: PUT\r\nAccess-Control-Allow-Headers: X-A\r\nAccess-Control-Max-Age: 5\r\n{VARY}"
            )
        );
        for (origin, method, headers) in [
            ("https://evil.example", "PUT", "x-a"),
            ("https://app.example.com.evil.example", "PUT", "x-a"),
            ("http://app.example.com", "PUT", "x-a"),
            ("null", "PUT", "x-a"),
            ("https://app.example.com", "DELETE", "x-a"),
            ("https://app.example.com", "PUT", "x-a, x-b"),
        ] {
            assert_eq!(answered(&act, origin, method, headers), VARY, "{origin} {method} {headers}");
        }
    }

    #[test]
    fn names_below_a_host_are_names_and_no_more() {
        let act = act(r#"{"origins":["https://*.example.com"]}"#);
        let allowed = |origin: &str| answered(&act, origin, "GET", "").contains("Allow-Origin");
        assert!(allowed("https://a.example.com") && allowed("https://a.b.EXAMPLE.com"));
        for origin in [
            "https://example.com",
            "https://.example.com",
            "http://a.example.com",
            "https://a.example.com:8443",
            "https://evil.com/.example.com",
            "https://evil.com#.example.com",
            "https://aexample.com",
        ] {
            assert!(!allowed(origin), "{origin}");
        }
    }

    #[test]
    fn any_origin_is_told_as_such() {
        let act = act(r#"{"origins":["*"]}"#);
        assert!(
            answered(&act, "https://x.example", "GET", "").starts_with("Access-Control-Allow-Origin: *\r\n")
        );
    }
}
