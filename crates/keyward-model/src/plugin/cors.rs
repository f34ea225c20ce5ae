//! `cors`: pages of other origins (the Fetch standard).

use super::given::{Given, HEADER};
use super::json::ConfigError;
use super::shape::{Format, Member, Need, Shape};
use crate::Method;

/// Which pages may call, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// The origins.
    pub origins: Vec<CorsOrigin>,
    /// The methods.
    pub methods: Vec<Method>,
    /// The request fields.
    pub headers: NameList,
    /// The fields of answers that pages may read.
    pub expose: NameList,
    /// May calls carry cookies and the like?
    pub credentials: bool,
    /// How long browsers may remember the answer, in seconds.
    pub max_age_s: u32,
}

/// An origin whose pages may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CorsOrigin {
    /// Any.
    Any,
    /// This one: `https://app.example.com`, in lower case.
    Exact(Box<str>),
    /// Every name below this host: scheme with `://`, and what follows the `*`.
    Below {
        /// `https://`.
        scheme: Box<str>,
        /// `.example.com`, with the port if there is one.
        suffix: Box<str>,
    },
}

/// Names, or all there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameList {
    /// Every name.
    All,
    /// These, in lower case.
    These(Vec<Box<str>>),
}

const ORIGIN: Format = Format {
    what: "an origin: write it like https://app.example.com, https://*.example.com or *",
    pattern: r"^(\*|https?://(\*\.)?[^*/?#@\s]+|[a-z][a-z0-9+.-]*://[^*/?#@\s]+)$",
    exact: false,
    holds: |text| origin(text).is_some(),
};

fn origin(text: &str) -> Option<CorsOrigin> {
    if text == "*" {
        return Some(CorsOrigin::Any);
    }
    let lower = text.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://")?;
    let letter = |b: u8| b.is_ascii_alphanumeric() || b"+.-".contains(&b);
    let sound = scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.bytes().all(letter);
    let host_of = |authority: &str| {
        let (host, port) = crate::service::split_port(authority)?;
        let port_ok = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
        let host_ok = matches!(host.parse(), Ok(crate::HostPattern::Exact(_)));
        (port_ok && host_ok).then_some(())
    };
    match authority.strip_prefix('*') {
        Some(suffix) => {
            let web = matches!(scheme, "http" | "https");
            host_of(suffix.strip_prefix('.')?).filter(|()| sound && web)?;
            Some(CorsOrigin::Below { scheme: format!("{scheme}://").into(), suffix: suffix.into() })
        }
        None => host_of(authority).filter(|()| sound).map(|()| CorsOrigin::Exact(lower.as_str().into())),
    }
}

const METHOD: Format = Format {
    what: "a method: write it like GET",
    pattern: "^[A-Z-]{1,24}$",
    exact: true,
    holds: |text| text.parse::<Method>().is_ok(),
};

const NAMES: Shape = Shape::List { of: &Shape::format(256, HEADER), least: 0, most: 64 };

impl Cors {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        Member {
            name: "origins",
            shape: Shape::List { of: &Shape::format(300, ORIGIN), least: 1, most: 100 },
            need: Need::Required,
            help: "The origins whose pages may call; https://*.example.com for every name below, * for any.",
        },
        Member {
            name: "methods",
            shape: Shape::List { of: &Shape::format(24, METHOD), least: 1, most: 20 },
            need: Need::Default(r#"["GET","HEAD","POST","PUT","PATCH","DELETE"]"#),
            help: "The methods that they may use.",
        },
        Member {
            name: "headers",
            shape: NAMES,
            need: Need::Default(r#"["*"]"#),
            help: "The request fields that they may set; * alone for every one that is asked for.",
        },
        Member {
            name: "expose_headers",
            shape: NAMES,
            need: Need::Default("[]"),
            help: "The fields of answers that they may read; * alone for every one, where `credentials` is false.",
        },
        Member {
            name: "credentials",
            shape: Shape::Flag,
            need: Need::Default("false"),
            help: "May calls carry cookies and the like? Not together with the origin *.",
        },
        Member {
            name: "max_age_s",
            shape: Shape::Whole { least: 0, most: 86_400 },
            need: Need::Default("600"),
            help: "How long browsers may remember the answer, in seconds.",
        },
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let origins: Vec<CorsOrigin> =
            given.texts("origins").iter().filter_map(|text| origin(text)).collect();
        let (headers, expose) = (names(given, "headers")?, names(given, "expose_headers")?);
        let credentials = given.flag("credentials");
        if credentials && origins.contains(&CorsOrigin::Any) {
            let text = "must not be true together with the origin `*`: any page could then act for its visitor; list the origins";
            return Err(ConfigError::rule("credentials", text));
        }
        if credentials && expose == NameList::All {
            let text = "`*` means nothing together with `credentials`: list the fields";
            return Err(ConfigError::rule("expose_headers", text));
        }
        let (methods, max_age_s) = (given.parsed("methods"), given.whole("max_age_s"));
        Ok(Self { origins, methods, headers, expose, credentials, max_age_s })
    }
}

fn names(given: Given<'_>, name: &str) -> Result<NameList, ConfigError> {
    let names: Vec<Box<str>> =
        given.texts(name).iter().map(|text| text.to_ascii_lowercase().into()).collect();
    match (names.iter().any(|name| **name == *"*"), names.len()) {
        (true, 1) => Ok(NameList::All),
        (true, _) => Err(ConfigError::rule(name, "`*` stands for every name: write it alone")),
        (false, _) => Ok(NameList::These(names)),
    }
}
