//! The forms of texts in descriptions and answers, as JSON schemas: what the readers of [`crate::read`] take.
//!
//! Each is a type that no value has; fields name it by `#[schemars(with = "…")]`.

use std::borrow::Cow;
use std::marker::PhantomData;

use keyward_model::{
    CredentialKind, Finding as ModelFinding, HmacAlgorithm, SignatureScheme, Stage as ModelStage,
};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};

macro_rules! forms {
    ($(#[doc = $about:literal] $name:ident = $schema:tt;)*) => {$(
        #[doc = $about]
        pub(crate) struct $name;

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!($schema);
                schema.insert("description".to_owned(), $about.trim().into());
                schema
            }
        }
    )*};
}

forms! {
    /// The name of an object: letters and digits of any script, and `_ - . :` and blanks within.
    Name = {"type": "string", "minLength": 1, "maxLength": 128,
        "pattern": r"^[\p{L}\p{N}_.:-]([\p{L}\p{N}_.: -]*[\p{L}\p{N}_.:-])?$", "examples": ["orders"]};
    /// The id of an object: a prefix that names the noun, and 32 hexadecimal digits.
    Id = {"type": "string", "pattern": "^[a-z]+_[0-9a-f]{32}$", "examples": ["app_018f0000000070008000000000000abc"]};
    /// The id of an application.
    ApplicationId = {"type": "string", "pattern": "^app_[0-9a-f]{32}$", "examples": ["app_018f0000000070008000000000000abc"]};
    /// The id of a consumer.
    ConsumerId = {"type": "string", "pattern": "^con_[0-9a-f]{32}$", "examples": ["con_018f0000000070008000000000000abc"]};
    /// The object's own last revision, for `If-Match`.
    Etag = {"type": "string", "pattern": "^[0-9]+$"};
    /// A point in time, RFC 3339.
    Moment = {"type": "string", "format": "date-time", "examples": ["2027-01-01T00:00:00Z"]};
    /// A day (UTC).
    Day = {"type": "string", "format": "date", "examples": ["2027-01-31"]};
    /// For people; no control characters other than line feed and tab.
    Prose = {"type": "string", "maxLength": 4096, "pattern": r"^[^\x00-\x08\x0B-\x1F\x7F-\x9F]*$"};
    /// A short text without control characters.
    Word = {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": r"^[^\x00-\x08\x0B-\x1F\x7F-\x9F]*$"};
    /// The value of a tag.
    TagValue = {"type": "string", "maxLength": 256, "pattern": r"^[^\x00-\x08\x0B-\x1F\x7F-\x9F]*$"};
    /// What fits into a header: one line, no blanks at its ends.
    Extension = {"type": "string", "maxLength": 512, "pattern": r"^[^\x00-\x1F\x7F-\x9F]*$"};
    /// An AppKey, unique over all accounts.
    AppKey = {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,128}$", "examples": ["203753385"]};
    /// An AppSecret: visible ASCII. `$ref{name}` refers to a secret, `$$` is a dollar sign.
    AppSecret = {"type": "string", "minLength": 1, "maxLength": 512, "pattern": "^[!-~]+$"};
    /// An API key or AppCode: visible ASCII, 16 characters or more. `$ref{name}` refers to a secret, `$$` is a dollar sign.
    OpaqueValue = {"type": "string", "maxLength": 8192,
        "pattern": r"^([!-~]{16,}|[!-~]*\$ref\{[A-Za-z0-9_]{1,64}\}[!-~]*)$", "examples": ["$ref{partner_key}"]};
    /// The value of a header field: visible ASCII with blanks within. `$ref{name}` refers to a secret, `$$` is a dollar sign.
    HeaderSecret = {"type": "string", "minLength": 1, "maxLength": 16384, "pattern": "^[!-~]([ -~]*[!-~])?$"};
    /// A key set (RFC 7517) as JSON text, or `$ref{name}` of a secret that holds one, or one HS256 key. `$$` is a dollar sign.
    KeySet = {"type": "string", "minLength": 2};
    /// The name of a secret.
    SecretName = {"type": "string", "pattern": "^[A-Za-z0-9_]{1,64}$", "examples": ["orders_key"]};
    /// The value of a secret. `$$` is a dollar sign.
    SecretValue = {"type": "string", "minLength": 1, "maxLength": 65536, "writeOnly": true};
    /// A host to which a secret may be sent, also with `*.` before it or a port behind.
    DestinationHost = {"type": "string", "minLength": 1, "maxLength": 261, "pattern": r"^(\*\.)?[A-Za-z0-9_.\[\]:-]+$", "examples": ["api.example.com"]};
    /// The name of an environment variable.
    VariableName = {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,255}$", "examples": ["ORDERS_KEY"]};
    /// What a plugin does: a built-in, or a custom one by its name.
    PluginName = {"type": "string", "minLength": 1, "maxLength": 128,
        "pattern": r"^[\p{L}\p{N}_.:-]([\p{L}\p{N}_.: -]*[\p{L}\p{N}_.:-])?$", "examples": ["key-auth"]};
    /// Bytes, as base64 with its padding.
    Base64 = {"type": "string", "maxLength": 11_184_812, "contentEncoding": "base64", "writeOnly": true};
    /// A SHA-256: 64 lower-case hexadecimal digits.
    Sha256 = {"type": "string", "pattern": "^[0-9a-f]{64}$"};
    /// What becomes of a call where a module fails.
    OnFailure = {"type": "string", "enum": ["refuse", "skip"]};
    /// What refers to a secret.
    ReferrerNoun = {"type": "string", "enum": ["application", "consumer", "service", "plugin"]};
    /// The name of a header field; those that the transport or the gateway owns are refused.
    HeaderName = {"type": "string", "pattern": r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}$", "examples": ["x-api-key"]};
    /// The name of a query parameter or cookie.
    ParameterName = {"type": "string", "pattern": "^[A-Za-z0-9_.-]{1,128}$"};
    /// A host without port: a name, `*.` and a name, or an IP address.
    Host = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^(\*\.)?[A-Za-z0-9_.\[\]:-]+$", "examples": ["api.example.com"]};
    /// A path that begins with `/`.
    Path = {"type": "string", "minLength": 1, "pattern": "^/", "examples": ["/orders"]};
    /// A path in which `{name}` stands for one segment.
    PathTemplate = {"type": "string", "minLength": 1, "pattern": "^/", "examples": ["/{id}"]};
    /// An HTTP method.
    HttpMethod = {"type": "string", "pattern": "^[A-Z-]{1,24}$", "examples": ["GET"]};
    /// A network, or one address.
    Network = {"type": "string", "pattern": "^[0-9A-Fa-f.:]+(/[0-9]{1,3})?$", "examples": ["10.0.0.0/8"]};
    /// `http://HOST[:PORT][/PATH]`.
    EndpointUrl = {"type": "string", "pattern": "^http://[!-~]+$", "examples": ["http://127.0.0.1:9000"]};
    /// Where a key set is fetched from: `https://HOST[:PORT][/PATH]`, or `http`.
    KeySetUrl = {"type": "string", "maxLength": 2048, "pattern": "^https?://[!-~]+$", "examples": ["https://idp.example/jwks.json"]};
    /// The issuer of an OpenID provider: `https://HOST[:PORT][/PATH]`, or `http` on this very machine.
    IssuerUrl = {"type": "string", "maxLength": 1024, "pattern": "^https?://[!-~]+$", "examples": ["https://idp.example/realms/staff"]};
    /// What precedes a token.
    Prefix = {"type": "string", "maxLength": 64, "pattern": "^[ -~]*$"};
    /// What is published.
    Kind = {"type": "string", "enum": ["rest"]};
    /// What a service speaks.
    ServiceKind = {"type": "string", "enum": ["http"]};
    /// How strictly a signature is read.
    Mode = {"type": "string", "enum": ["compatible", "strict"]};
    /// Where AppCodes are looked for.
    AppCodePlace = {"type": "string", "enum": ["header", "query"]};
    /// Where tokens stand.
    TokenPlace = {"type": "string", "enum": ["header", "query", "cookie"]};
    /// What a credential is.
    CredentialType = {"type": "string", "enum": ["key_pair", "app_code", "api_key", "jwt"]};
    /// Where a value came from.
    Origin = {"type": "string", "enum": ["generated", "custom", "reference"]};
    /// Where now lies in a grant's validity, or that it was revoked.
    GrantState = {"type": "string", "enum": ["not_yet", "in_effect", "expired", "revoked"]};
    /// What a review finds.
    Finding = {"type": "string", "enum": ModelFinding::WORDS};
    /// What a review finds it about.
    ReviewNoun = {"type": "string", "enum": ["grant", "credential", "application", "consumer", "api"]};
    /// What a caller is.
    CallerNoun = {"type": "string", "enum": ["application", "consumer"]};
    /// What was decided.
    Decision = {"type": "string", "enum": ["allow", "deny"]};
    /// `API keys in Authorization: Bearer …`.
    Bearer = {"type": "string", "enum": ["bearer"]};
    /// What of the call is handed on.
    ParameterOf = {"type": "string", "enum": ["CaAppId", "CaAppKey", "CaAppExtInfo", "CaAppExtendInfo", "CaStage", "CaRequestId",
        "CaClientIp", "CaDomain", "CaApiName", "CaHttpSchema", "CaClientUa", "CaRequestHandleTime"]};
    /// A password: 12 to 256 characters.
    Password = {"type": "string", "minLength": 12, "maxLength": 256, "writeOnly": true};
    /// A password, right or wrong.
    AnyPassword = {"type": "string", "writeOnly": true};
    /// What an operator may do.
    RoleName = {"type": "string", "enum": keyward_model::Role::ALL.map(keyward_model::Role::as_str)};
    /// Who calls.
    ActorKind = {"type": "string", "enum": ["operator", "local_token"]};
    /// What came of an action for an object.
    Touched = {"type": "string", "enum": ["created", "changed", "deleted", "revealed", "refused"]};
    /// An environment of an API.
    Stage = {"type": "string", "enum": ModelStage::ALL.map(ModelStage::as_str)};
    /// A kind of credential; `anyone` lets everybody call.
    Admitted = {"type": "string", "enum": CredentialKind::ALL.map(CredentialKind::as_str)};
    /// How requests are signed.
    Scheme = {"type": "string", "enum": SignatureScheme::ALL.map(SignatureScheme::as_str)};
    /// How a signature is computed.
    Algorithm = {"type": "string", "enum": HmacAlgorithm::ALL.map(HmacAlgorithm::as_str)};
}

/// The configuration of a plugin.
pub(crate) struct PluginConfiguration;

/// The configuration of a plugin `rate-limit`, beside the other fields.
pub(crate) struct LimitConfiguration;

/// A JSON Schema.
pub(crate) struct JsonSchemaDocument;

/// A list of one to `MOST` items, none of them twice.
pub(crate) struct Many<T, const MOST: usize>(PhantomData<T>);

impl<T: JsonSchema, const MOST: usize> JsonSchema for Many<T, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Many{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = <Vec<T>>::json_schema(generator);
        schema.insert("minItems".to_owned(), 1.into());
        if MOST < usize::MAX {
            schema.insert("maxItems".to_owned(), MOST.into());
        }
        schema
    }
}

/// Written as a `Brief` or a `Full`; shown as a `Full`.
pub(crate) struct Either<Brief, Full>(PhantomData<(Brief, Full)>);

impl<Brief: JsonSchema, Full: JsonSchema> JsonSchema for Either<Brief, Full> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", Brief::schema_name(), Full::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<Full>();
        if generator.contract().is_serialize() {
            return full;
        }
        let brief = generator.subschema_for::<Brief>();
        json_schema!({"anyOf": [full, brief]})
    }
}

/// Tags: names and values.
pub(crate) struct Tags;

impl JsonSchema for Tags {
    fn schema_name() -> Cow<'static, str> {
        "Tags".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "maxProperties": 64,
            "propertyNames": {"minLength": 1, "maxLength": 128, "pattern": r"^[^\x00-\x1F\x7F-\x9F]*$"},
            "additionalProperties": generator.subschema_for::<TagValue>(),
        })
    }
}

/// What each stage is bound to.
pub(crate) struct Stages;

impl JsonSchema for Stages {
    fn schema_name() -> Cow<'static, str> {
        "Stages".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let binding = generator.subschema_for::<crate::StageBinding>();
        let stages: serde_json::Map<_, _> =
            ModelStage::ALL.iter().map(|stage| (stage.to_string(), binding.clone().to_value())).collect();
        json_schema!({"type": "object", "properties": stages})
    }
}

/// A mapping with exactly one of these fields.
pub(crate) fn one_of(fields: &[(&str, Schema)]) -> Schema {
    alternatives(fields, &[], None)
}

/// A mapping with exactly one of these fields; `more` goes with the first few alone.
pub(crate) fn one_of_with(first: &[(&str, Schema)], rest: &[(&str, Schema)], more: (&str, Schema)) -> Schema {
    alternatives(first, rest, Some(more))
}

/// `null` is as good as absent, so the fields of other alternatives may be that.
fn alternatives(first: &[(&str, Schema)], rest: &[(&str, Schema)], more: Option<(&str, Schema)>) -> Schema {
    let all: Vec<_> = first.iter().chain(rest).collect();
    let alternatives: Vec<_> = all
        .iter()
        .enumerate()
        .map(|(place, (chosen, schema))| {
            let mut properties: serde_json::Map<_, _> = all
                .iter()
                .map(|(name, _)| ((*name).to_owned(), serde_json::json!({"type": "null"})))
                .collect();
            properties.insert((*chosen).to_owned(), schema.clone().to_value());
            if let Some((name, schema)) = &more {
                let goes = if place < first.len() {
                    schema.clone().to_value()
                } else {
                    serde_json::json!({"type": "null"})
                };
                properties.insert((*name).to_owned(), goes);
            }
            json_schema!({"type": "object", "properties": properties, "required": [chosen]})
        })
        .collect();
    json_schema!({"oneOf": alternatives})
}

/// Defaults that the schemas name.
pub(crate) fn yes() -> bool {
    true
}
