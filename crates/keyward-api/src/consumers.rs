//! Consumers: callers with API keys or JWT.

use std::borrow::Cow;
use std::collections::BTreeMap;

use keyward_model::{ApiKeySpec, ConsumerSpec, KEY_SOURCES_MAX, KeySource};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};

use crate::applications::read_tags;
use crate::credentials::{self, GivenOpaque, Opaque};
use crate::forms as form;
use crate::jwt::{self, Jwt};
use crate::read::{Fields, Item, Shape, flag, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// A consumer, as a world file and the admin API describe it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Consumer {
    /// Its account.
    #[schemars(default = "text::default_account", with = "form::Name")]
    pub account: String,
    /// Its name, unique in the account.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
    /// A disabled consumer may call nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// For people and filters.
    #[serde(default)]
    #[schemars(default, with = "form::Tags")]
    pub tags: BTreeMap<String, String>,
    /// Its API keys; absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<ApiKey>,
    /// Its JWT; absent: it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<Jwt>,
}

/// A consumer's API keys.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct ApiKey {
    /// Where they may stand in a request, one to three places.
    #[schemars(default = "bearer", with = "form::Many<Source, KEY_SOURCES_MAX>")]
    pub sources: Vec<Source>,
    /// Absent: one is generated, stored ones are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<GivenOpaque>>")]
    pub keys: Option<Vec<Opaque>>,
}

/// Where API keys may stand in a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `Authorization: Bearer …`.
    Bearer,
    /// The whole value of this header field.
    Header(String),
    /// This query parameter.
    Query(String),
}

impl JsonSchema for Source {
    fn schema_name() -> Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let named = form::one_of(&[
            ("header", generator.subschema_for::<form::HeaderName>()),
            ("query", generator.subschema_for::<form::ParameterName>()),
        ]);
        json_schema!({"anyOf": [generator.subschema_for::<form::Bearer>(), named]})
    }
}

fn bearer() -> Vec<Source> {
    vec![Source::Bearer]
}

const SHAPE: Shape = Shape {
    noun: "a consumer",
    allowed: &["account", "name", "description", "enabled", "tags", "api_key", "jwt"],
    later: &[],
};

const API_KEY: Shape = Shape { noun: "the api_key of a consumer", allowed: &["sources", "keys"], later: &[] };

const SOURCE: Shape = Shape { noun: "a source of keys", allowed: &["header", "query"], later: &[] };

/// With its first grants beside it.
pub(crate) const NEW: Shape = Shape {
    noun: "a consumer",
    allowed: &["account", "name", "description", "enabled", "tags", "api_key", "jwt", "grants"],
    later: &[],
};

pub(crate) fn read(item: &Item<'_>) -> Option<ConsumerSpec> {
    read_fields(&item.fields(&SHAPE)?)
}

pub(crate) fn read_fields(fields: &Fields<'_>) -> Option<ConsumerSpec> {
    let account = text::account(fields);
    let name = fields.required("name", parse);
    let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
    let enabled = fields.or("enabled", true, flag);
    let tags = fields.or("tags", BTreeMap::new(), read_tags);
    let api_key = fields.optional("api_key", read_api_key);
    let jwt = fields.optional("jwt", jwt::read);
    Some(ConsumerSpec {
        account: account?,
        name: name?,
        description: description?,
        enabled: enabled?,
        tags: tags?,
        api_key: api_key?,
        jwt: jwt?,
    })
}

fn read_api_key(item: &Item<'_>) -> Option<ApiKeySpec> {
    let fields = item.fields(&API_KEY)?;
    let sources = fields.or("sources", vec![KeySource::Bearer], read_sources);
    let keys = fields.optional("keys", |item| item.list(credentials::read_opaque));
    Some(ApiKeySpec { sources: sources?, keys: keys? })
}

fn read_sources(item: &Item<'_>) -> Option<Vec<KeySource>> {
    let sources = item.list(read_source)?;
    if sources.is_empty() || sources.len() > KEY_SOURCES_MAX {
        return item.wrong(format_args!("must name 1 to {KEY_SOURCES_MAX} sources"));
    }
    let repeated =
        sources.iter().enumerate().any(|(at, source)| sources.iter().take(at).any(|other| other == source));
    if repeated {
        return item.wrong("names a source twice; leave one out");
    }
    Some(sources)
}

/// `bearer`, `{header: …}` or `{query: …}`.
fn read_source(item: &Item<'_>) -> Option<KeySource> {
    if !item.is_map() {
        return item.choice(&[("bearer", ())], &[]).map(|()| KeySource::Bearer);
    }
    let fields = item.fields(&SOURCE)?;
    let header = fields.optional("header", text::free_header)?;
    let query = fields.optional("query", text::parameter_name)?;
    match (header, query) {
        (Some(name), None) => Some(KeySource::Header(name)),
        (None, Some(name)) => Some(KeySource::Query(name)),
        _ => item.wrong("must be bearer, {header: NAME} or {query: NAME}"),
    }
}

impl From<&ConsumerSpec> for Consumer {
    fn from(spec: &ConsumerSpec) -> Self {
        Self {
            account: spec.account.to_string(),
            name: spec.name.to_string(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            tags: spec.tags.clone(),
            api_key: spec.api_key.as_ref().map(ApiKey::from),
            jwt: spec.jwt.as_ref().map(Jwt::from),
        }
    }
}

impl From<&ApiKeySpec> for ApiKey {
    fn from(spec: &ApiKeySpec) -> Self {
        let source = |source: &KeySource| match source {
            KeySource::Bearer => Source::Bearer,
            KeySource::Header(name) => Source::Header(name.to_string()),
            KeySource::Query(name) => Source::Query(name.to_string()),
        };
        Self {
            sources: spec.sources.iter().map(source).collect(),
            keys: spec.keys.as_ref().map(|keys| keys.iter().map(Opaque::from).collect()),
        }
    }
}
