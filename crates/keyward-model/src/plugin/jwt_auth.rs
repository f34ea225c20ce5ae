//! `jwt-auth`: tokens, verified by keys of the plugin's own.

use super::given::{Given, HEADER, check_settable, element};
use super::json::ConfigError;
use super::shape::{Member, Need, Shape};
use crate::SecretText;
use crate::{ClaimToHeader, JwkSet, JwtSettings, TokenPlace};

/// Which tokens open the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtAuth {
    /// The key set (RFC 7517), as JSON, or a reference to a secret that holds one.
    pub jwks: SecretText,
    /// What a token's claims must be, beside what the settings say: name and exact value.
    pub claims: Vec<(Box<str>, Box<str>)>,
    /// How tokens are read and what they must say.
    pub settings: JwtSettings,
}

const CLAIM: Shape = Shape::text(1, 128);

impl JwtAuth {
    pub(super) const SHAPE: Shape = Shape::Object(&[
        Member {
            name: "jwks",
            shape: Shape::Secret { most: JwkSet::LENGTH_MAX },
            need: Need::Required,
            help: "The key set (RFC 7517) as a text of JSON, or a reference to a secret that holds it.",
        },
        Member {
            name: "claims",
            shape: Shape::Map { of: &Shape::text(0, 1_024), names: super::shape::Format::ANY, most: 16 },
            need: Need::Default("{}"),
            help: "Claims that a token must have, and their exact values, which are texts.",
        },
        Member {
            name: "issuer",
            shape: Shape::text(1, 1_024),
            need: Need::Optional,
            help: "What `iss` must be; absent: anything.",
        },
        Member {
            name: "audiences",
            shape: Shape::List { of: &Shape::text(1, 1_024), least: 0, most: 16 },
            need: Need::Default("[]"),
            help: "One of these must be in `aud`; none: anything.",
        },
        Member {
            name: "clock_skew_s",
            shape: Shape::Whole { least: 0, most: 3_600 },
            need: Need::Default("60"),
            help: "Tolerance on times, in seconds.",
        },
        Member {
            name: "require_exp",
            shape: Shape::Flag,
            need: Need::Default("true"),
            help: "Must there be an `exp`?",
        },
        Member {
            name: "claims_to_headers",
            shape: Shape::List {
                of: &Shape::Object(&[
                    Member { name: "claim", shape: CLAIM, need: Need::Required, help: "The claim's name." },
                    Member {
                        name: "header",
                        shape: Shape::format(256, HEADER),
                        need: Need::Required,
                        help: "The field it goes to.",
                    },
                ]),
                least: 0,
                most: 16,
            },
            need: Need::Default("[]"),
            help: "Claims that are handed to the service.",
        },
        Member {
            name: "token",
            shape: Shape::Object(&[
                Member {
                    name: "in",
                    shape: Shape::OneOf(&["header", "query", "cookie"]),
                    need: Need::Default("\"header\""),
                    help: "In a header field, a query parameter or a cookie.",
                },
                Member {
                    name: "name",
                    shape: Shape::format(256, HEADER),
                    need: Need::Default("\"Authorization\""),
                    help: "Its name.",
                },
                Member {
                    name: "prefix",
                    shape: Shape::text(0, 64),
                    need: Need::Default("\"Bearer \""),
                    help: "What precedes the token.",
                },
            ]),
            need: Need::Default("{}"),
            help: "Where the token stands.",
        },
        Member {
            name: "forward",
            shape: Shape::Flag,
            need: Need::Default("false"),
            help: "Does the token go on to the service?",
        },
    ]);

    pub(super) fn read(given: Given<'_>) -> Result<Self, ConfigError> {
        let jwks = given.secret("jwks");
        if let Some(literal) = jwks.plain() {
            JwkSet::parse(literal.expose_secret())
                .map_err(|error| ConfigError::rule("jwks", error.to_string()))?;
        }
        let claims = given.value("claims").as_object().into_iter().flatten();
        let read = Self {
            jwks,
            claims: claims
                .filter_map(|(name, value)| Some((name.as_str().into(), value.as_str()?.into())))
                .collect(),
            settings: JwtSettings {
                issuer: given.text_if("issuer"),
                audiences: given.texts("audiences"),
                clock_skew_s: given.whole("clock_skew_s"),
                require_exp: given.flag("require_exp"),
                claims_to_headers: given.list("claims_to_headers").filter_map(claim_to_header).collect(),
                token: place(given.object("token")),
                forward: given.flag("forward"),
                remote: None,
            },
        };
        for (at, claim) in read.settings.claims_to_headers.iter().enumerate() {
            check_settable(&element("", "claims_to_headers", at), claim.header.as_str())?;
        }
        if let TokenPlace::Header { name, .. } = &read.settings.token
            && name.is_reserved()
        {
            let text = format!("`{name}` is a reserved header: keep tokens in another");
            return Err(ConfigError::rule("token.name", text));
        }
        Ok(read)
    }
}

fn claim_to_header(given: Given<'_>) -> Option<ClaimToHeader> {
    Some(ClaimToHeader { claim: given.text("claim").into(), header: given.text("header").parse().ok()? })
}

fn place(given: Given<'_>) -> TokenPlace {
    let (name, prefix) = (given.text("name"), given.text("prefix").into());
    match given.text("in") {
        "query" => TokenPlace::Query { name: name.into(), prefix },
        "cookie" => TokenPlace::Cookie { name: name.into(), prefix },
        _ => match name.parse() {
            Ok(name) => TokenPlace::Header { name, prefix },
            Err(_) => TokenPlace::default(),
        },
    }
}
