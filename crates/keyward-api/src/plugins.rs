//! Plugins: what is done to calls.

use std::borrow::Cow;

use keyward_model::{
    BuiltIn, Name, Operation, PluginConfig, PluginKind, PluginOn, PluginPhase, PluginSettings, PluginSpec,
};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::forms as form;
use crate::noun::Described;
use crate::operations::{self, OperationName};
use crate::read::{Fields, Item, Shape, flag, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// A plugin, as a world file and the admin API describe it.
#[derive(Clone, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Plugin {
    /// Its account: that of the API it is bound to.
    #[schemars(default = "text::default_account", with = "form::Name")]
    pub account: String,
    /// What it does: a built-in, or a custom one by its name.
    #[schemars(with = "form::PluginName")]
    pub plugin: String,
    /// What it is bound to.
    pub on: PluginTarget,
    /// Lower ones go first among those that are bound to the same; of equal ones, the older.
    #[serde(default)]
    #[schemars(default, range(min = -1_000_000, max = 1_000_000))]
    pub order: i32,
    /// A disabled plugin does nothing; one that authenticates admits nobody.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
    /// How it does it, as its kind has it. `$ref{name}` refers to a secret where one belongs. Where a secret is written out, `$stored{…}` stands for it when it is shown; given back, it keeps the secret.
    #[serde(default)]
    #[schemars(default, with = "form::PluginConfiguration")]
    pub config: Value,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("plugin", &self.plugin).field("on", &self.on).finish_non_exhaustive()
    }
}

/// What a plugin is bound to: a gateway, an API, or one operation of an API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginTarget {
    /// Name of a gateway; account `default` alone binds plugins to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Name of an API of the plugin's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<String>,
    /// One of its operations, as the API declares it; absent: all of its calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationName>,
}

impl JsonSchema for PluginTarget {
    fn schema_name() -> Cow<'static, str> {
        "PluginTarget".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<form::Name>();
        let operation = generator.subschema_for::<OperationName>();
        form::one_of_with(&[("api", name.clone())], &[("gateway", name)], ("operation", operation))
    }
}

/// A built-in plugin, and what its configuration looks like.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct PluginKindView {
    /// Its name.
    #[schemars(with = "form::PluginName")]
    pub name: String,
    /// What it does, in one sentence.
    pub about: String,
    /// When it acts: `authentication`, `replay`, `limit`, `request` or `outbound`, in this order.
    pub phase: String,
    /// The JSON Schema (draft 2020-12) of its configuration. What is a secret there is marked `"secret": true`.
    #[schemars(with = "form::JsonSchemaDocument")]
    pub schema: Value,
}

impl From<BuiltIn> for PluginKindView {
    fn from(kind: BuiltIn) -> Self {
        let phase = match kind.phase() {
            PluginPhase::Authentication => "authentication",
            PluginPhase::Replay => "replay",
            PluginPhase::Limit => "limit",
            PluginPhase::Request => "request",
            PluginPhase::Outbound => "outbound",
        };
        Self {
            name: kind.as_str().to_owned(),
            about: kind.help().to_owned(),
            phase: phase.to_owned(),
            schema: kind.schema(),
        }
    }
}

/// A plugin `rate-limit` in the short form of a world file.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Limit {
    /// Its account: that of the API it is bound to.
    #[schemars(default = "text::default_account", with = "form::Name")]
    pub account: String,
    /// What it is bound to.
    pub on: PluginTarget,
    /// Lower ones go first among those that are bound to the same; of equal ones, the older.
    #[serde(default)]
    #[schemars(default, range(min = -1_000_000, max = 1_000_000))]
    pub order: i32,
    /// A disabled limit limits nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
    /// What the plugin is told: `by`, `requests`, `per`, `concurrency`, `shared`, `when_away`, `headers`.
    #[serde(flatten)]
    #[schemars(with = "form::LimitConfiguration")]
    pub config: Map<String, Value>,
}

/// A plugin that a world file describes as a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LimitSpec(pub(crate) PluginSpec);

impl Described for LimitSpec {
    type Dto = Limit;
    const LEAST: &'static str = r#"{"on":{"api":"a"},"concurrency":1}"#;

    fn describe(&self) -> Limit {
        self.into()
    }

    fn read(item: &Item<'_>) -> Option<Self> {
        read_limit(item)
    }
}

const SHAPE: Shape = Shape {
    noun: "a plugin",
    allowed: &["account", "plugin", "on", "order", "enabled", "description", "config"],
    later: &[],
};

const LIMIT: Shape = Shape {
    noun: "a limit",
    allowed: &[
        "account",
        "on",
        "order",
        "enabled",
        "description",
        "by",
        "requests",
        "per",
        "concurrency",
        "shared",
        "when_away",
        "headers",
    ],
    later: &[],
};

/// The members of a limit that are its configuration.
const LIMIT_CONFIG: [&str; 7] = ["by", "requests", "per", "concurrency", "shared", "when_away", "headers"];

const TARGET: Shape =
    Shape { noun: "what a plugin is bound to", allowed: &["gateway", "api", "operation"], later: &[] };

const ORDER_MAX: i64 = 1_000_000;

pub(crate) fn read(item: &Item<'_>) -> Option<PluginSpec> {
    let fields = item.fields(&SHAPE)?;
    let kind: Option<PluginKind> = fields.required("plugin", parse);
    let common = Common::read(&fields);
    let kind = kind?;
    let config = match fields.has("config") {
        true => fields.required("config", |item| read_config(item, &kind)),
        false => configuration(&fields.item, &kind, "config", &Value::Object(Map::new())),
    };
    Some(common?.plugin(kind, config?))
}

pub(crate) fn read_limit(item: &Item<'_>) -> Option<LimitSpec> {
    let fields = item.fields(&LIMIT)?;
    let kind = PluginKind::BuiltIn(BuiltIn::RateLimit);
    let common = Common::read(&fields);
    let mut members = Some(Map::new());
    for name in LIMIT_CONFIG {
        let shape = BuiltIn::RateLimit.shape().member(name);
        match fields.optional(name, |item| item.json(shape, false)) {
            Some(Some(value)) => {
                if let Some(members) = &mut members {
                    members.insert(name.to_owned(), value);
                }
            }
            Some(None) => {}
            None => members = None,
        }
    }
    let config = configuration(item, &kind, "", &Value::Object(members?));
    Some(LimitSpec(common?.plugin(kind, config?)))
}

/// What plugins and limits have in common.
struct Common {
    account: Name,
    on: PluginOn<Name, Name>,
    order: i32,
    enabled: bool,
    description: String,
}

impl Common {
    fn read(fields: &Fields<'_>) -> Option<Self> {
        let account = text::account(fields);
        let on = fields.required("on", read_target);
        let order = fields.or("order", 0, |item| item.integer(-ORDER_MAX..=ORDER_MAX));
        let enabled = fields.or("enabled", true, flag);
        let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
        Some(Self {
            account: account?,
            on: on?,
            order: i32::try_from(order?).unwrap_or_default(),
            enabled: enabled?,
            description: description?,
        })
    }

    fn plugin(self, kind: PluginKind, config: PluginConfig) -> PluginSpec {
        let Self { account, on, order, enabled, description } = self;
        PluginSpec { account, on, settings: PluginSettings { kind, order, enabled, description, config } }
    }
}

fn read_target(item: &Item<'_>) -> Option<PluginOn<Name, Name>> {
    let fields = item.fields(&TARGET)?;
    match (fields.has("gateway"), fields.has("api")) {
        (true, false) if fields.has("operation") => {
            fields.wrong("operation", "`operation` goes with `api`; leave it out")
        }
        (true, false) => fields.required("gateway", parse).map(PluginOn::Gateway),
        (false, true) => {
            let api = fields.required("api", parse);
            match fields.optional("operation", read_operation)? {
                Some(operation) => Some(PluginOn::Operation(api?, operation)),
                None => api.map(PluginOn::Api),
            }
        }
        _ => item.wrong("must name one of gateway and api; with api also an operation of it"),
    }
}

/// A mapping, or `METHOD /path`.
fn read_operation(item: &Item<'_>) -> Option<Operation> {
    if !item.is_text() {
        return operations::read(item);
    }
    let text = item.text()?;
    let read = text.split_once(' ').map(|(method, path)| (method.parse(), path.parse()));
    match read {
        Some((Ok(method), Ok(path))) => Some(Operation { method: Some(method), path }),
        _ => item.wrong("must be an operation: `GET /path`, or a mapping of method and path"),
    }
}

/// Any JSON; its texts as the kind has them.
fn read_config(item: &Item<'_>, kind: &PluginKind) -> Option<PluginConfig> {
    let value = match kind {
        PluginKind::BuiltIn(built_in) => item.json(built_in.shape(), false),
        PluginKind::Custom(_) => item.json(&keyward_model::Shape::Any, true),
    };
    configuration(item, kind, "", &value?)
}

/// What is wrong with it is told at its own place, which is below this one of the item.
fn configuration(item: &Item<'_>, kind: &PluginKind, below: &str, value: &Value) -> Option<PluginConfig> {
    match PluginConfig::parse(kind, &value.to_string()) {
        Ok(config) => Some(config),
        Err(error) => {
            let path = [below, &*error.path].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
            item.wrong_below(&path.join("."), error.text)
        }
    }
}

impl From<&PluginSpec> for Plugin {
    fn from(spec: &PluginSpec) -> Self {
        let settings = &spec.settings;
        Self {
            account: spec.account.to_string(),
            plugin: settings.kind.to_string(),
            on: PluginTarget::from(&spec.on),
            order: settings.order,
            enabled: settings.enabled,
            description: settings.description.clone(),
            config: settings.config.json().value().clone(),
        }
    }
}

impl From<&LimitSpec> for Limit {
    fn from(LimitSpec(spec): &LimitSpec) -> Self {
        let Plugin { account, on, order, enabled, description, config, .. } = Plugin::from(spec);
        let config = match config {
            Value::Object(members) => members,
            _ => Map::new(),
        };
        Self { account, on, order, enabled, description, config }
    }
}

impl From<&PluginOn<Name, Name>> for PluginTarget {
    fn from(on: &PluginOn<Name, Name>) -> Self {
        let (gateway, operation) = match on {
            PluginOn::Gateway(name) => (Some(name.to_string()), None),
            PluginOn::Api(_) => (None, None),
            PluginOn::Operation(_, operation) => (None, Some(OperationName::from(operation))),
        };
        Self { gateway, api: on.api().map(ToString::to_string), operation }
    }
}

impl JsonSchema for form::PluginConfiguration {
    fn schema_name() -> Cow<'static, str> {
        "PluginConfiguration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "object",
            "description": "How a plugin does what it does; `GET /v1/plugin-kinds` has the schema of each built-in.",
        })
    }
}

impl JsonSchema for form::LimitConfiguration {
    fn schema_name() -> Cow<'static, str> {
        "LimitConfiguration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let schema = BuiltIn::RateLimit.schema();
        let properties = schema.get("properties").cloned().unwrap_or_default();
        json_schema!({"type": "object", "properties": properties})
    }
}

impl JsonSchema for form::JsonSchemaDocument {
    fn schema_name() -> Cow<'static, str> {
        "JsonSchemaDocument".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "object", "description": "A JSON Schema."})
    }
}
