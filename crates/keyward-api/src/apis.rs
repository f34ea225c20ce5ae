//! APIs: published interfaces.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use keyward_model::owned::folded;
use keyward_model::{
    Admits, ApiKind, ApiSettings, ApiSpec, AppCodePlaces, BasePath, CredentialKind, HmacAlgorithm, Name,
    ParameterPlace, SignatureMode, SignaturePolicy, SignatureScheme, Stage, StageSpec, SystemParameter,
};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::forms as form;
use crate::operations::{self, OperationName};
use crate::read::{Item, Shape, flag, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// An API, as a world file and the admin API describe it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Api {
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
    /// A disabled API answers to nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// What is published: `rest`.
    #[schemars(default = "rest", with = "form::Kind")]
    pub kind: String,
    /// Names of the gateways it is published to.
    #[schemars(default = "default_gateways", with = "Vec<form::Name>")]
    pub gateways: Vec<String>,
    /// The hosts it answers to; empty: any host.
    #[schemars(default, with = "Vec<form::Host>")]
    pub hosts: Vec<String>,
    /// Where it begins.
    #[schemars(default = "slash", with = "form::Path")]
    pub base_path: String,
    /// Is the base path removed towards the service?
    #[schemars(default)]
    pub strip_base_path: bool,
    /// The kinds of credential it admits; `anyone` lets everybody call.
    #[schemars(with = "form::Many<form::Admitted, { usize::MAX }>")]
    pub admits: Vec<String>,
    /// Its operations; empty: every method and path below the base path.
    #[schemars(default)]
    pub operations: Vec<OperationName>,
    /// What each stage is bound to.
    #[schemars(default, with = "form::Stages")]
    pub stages: BTreeMap<String, StageBinding>,
    /// How signatures are judged.
    #[schemars(default = "signature")]
    pub signature: Signature,
    /// Where AppCodes are looked for: `header`, `query`.
    #[schemars(default = "header", with = "Vec<form::AppCodePlace>")]
    pub app_code_in: Vec<String>,
    /// Are AppCodes refused over plain HTTP (loopback excepted)?
    #[schemars(default = "form::yes")]
    pub app_code_requires_tls: bool,
    /// May a digest-covered body above the holding limit stream while it is judged?
    #[schemars(default)]
    pub stream_before_digest: bool,
    /// The longest time since a node knew its configuration to be the newest, in seconds; absent: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub max_staleness_s: Option<u32>,
    /// Networks that callers may come from; empty: any.
    #[schemars(default, with = "Vec<form::Network>")]
    pub allowed_addresses: Vec<String>,
    /// What is handed to the service about the call.
    #[schemars(default)]
    pub system_parameters: Vec<Parameter>,
}

/// What a stage is bound to.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct StageBinding {
    /// Name of the service, in the API's account.
    #[schemars(with = "form::Name")]
    pub service: String,
    /// A path prefix before the base path that selects this stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Path>")]
    pub path_prefix: Option<String>,
    /// A host that selects this stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Host>")]
    pub host: Option<String>,
}

/// How signatures are judged.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Signature {
    /// The schemes admitted.
    #[schemars(default = "schemes", with = "Vec<form::Scheme>")]
    pub schemes: Vec<String>,
    /// The algorithms admitted.
    #[schemars(default = "algorithms", with = "Vec<form::Algorithm>")]
    pub algorithms: Vec<String>,
    /// `compatible` or `strict`.
    #[schemars(default = "compatible", with = "form::Mode")]
    pub mode: String,
    /// Largest distance of a timestamp from now, either side, in seconds.
    #[schemars(default = "window_s", range(min = 1, max = 86_400))]
    pub window_s: u32,
    /// Must there be a signed nonce?
    #[schemars(default)]
    pub require_nonce: bool,
    /// Must there be a signed timestamp?
    #[schemars(default)]
    pub require_timestamp: bool,
    /// Must a body be covered by the signature?
    #[schemars(default)]
    pub require_body_digest: bool,
}

/// One thing about the call that is handed to the service.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Parameter {
    /// What: `CaAppId`, `CaStage`, ….
    #[schemars(with = "form::ParameterOf")]
    pub name: String,
    /// Where to.
    pub to: ParameterTarget,
}

/// Where a system parameter is put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterTarget {
    /// This header field.
    Header(String),
    /// This query parameter.
    Query(String),
}

impl JsonSchema for ParameterTarget {
    fn schema_name() -> Cow<'static, str> {
        "ParameterTarget".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        form::one_of(&[
            ("header", generator.subschema_for::<form::HeaderName>()),
            ("query", generator.subschema_for::<form::ParameterName>()),
        ])
    }
}

fn rest() -> String {
    ApiKind::Rest.as_str().to_owned()
}

fn default_gateways() -> Vec<String> {
    vec![text::DEFAULT.to_owned()]
}

fn slash() -> String {
    "/".to_owned()
}

fn header() -> Vec<String> {
    vec!["header".to_owned()]
}

fn signature() -> Signature {
    (&SignaturePolicy::default()).into()
}

fn schemes() -> Vec<String> {
    signature().schemes
}

fn algorithms() -> Vec<String> {
    signature().algorithms
}

fn compatible() -> String {
    signature().mode
}

fn window_s() -> u32 {
    signature().window_s
}

const SHAPE: Shape = Shape {
    noun: "an api",
    allowed: &[
        "account",
        "name",
        "description",
        "enabled",
        "kind",
        "gateways",
        "hosts",
        "base_path",
        "strip_base_path",
        "admits",
        "operations",
        "stages",
        "signature",
        "app_code_in",
        "app_code_requires_tls",
        "stream_before_digest",
        "max_staleness_s",
        "allowed_addresses",
        "system_parameters",
    ],
    later: &["protocols", "models", "mcp", "agent"],
};

const STAGE: Shape = Shape { noun: "a stage", allowed: &["service", "path_prefix", "host"], later: &[] };

const SIGNATURE: Shape = Shape {
    noun: "the signature of an api",
    allowed: &[
        "schemes",
        "algorithms",
        "mode",
        "window_s",
        "require_nonce",
        "require_timestamp",
        "require_body_digest",
    ],
    later: &[],
};

const PARAMETER: Shape = Shape { noun: "a system parameter", allowed: &["name", "to"], later: &[] };

const TARGET: Shape =
    Shape { noun: "the place of a system parameter", allowed: &["header", "query"], later: &[] };

pub(crate) fn read(item: &Item<'_>) -> Option<ApiSpec> {
    let fields = item.fields(&SHAPE)?;
    let account = text::account(&fields);
    let name = fields.required("name", parse);
    let gateways = fields
        .optional("gateways", |item| item.list(parse::<Name>))
        .and_then(|named| named.or_else(|| text::default_name().map(|name| vec![name])));
    let stages = fields.or("stages", BTreeMap::new(), read_stages);
    let settings = read_settings(&fields);
    Some(ApiSpec {
        account: account?,
        name: name?,
        gateways: gateways?,
        stages: stages?,
        settings: settings?,
    })
}

fn read_settings(fields: &crate::read::Fields<'_>) -> Option<ApiSettings> {
    let kind = fields.or("kind", ApiKind::Rest, |item| {
        item.choice(&[("rest", ApiKind::Rest)], &["model", "mcp", "agent"])
    });
    let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
    let enabled = fields.or("enabled", true, flag);
    let hosts = fields.or("hosts", Vec::new(), |item| item.list(parse));
    let base_path = fields.optional("base_path", parse);
    let strip_base_path = fields.or("strip_base_path", false, flag);
    let admits = fields.required("admits", read_admits);
    let operations = fields.or("operations", Vec::new(), |item| item.list(operations::read));
    let signature = fields.or("signature", SignaturePolicy::default(), read_signature);
    let header_alone = AppCodePlaces { header: true, query: false };
    let app_code_in = fields.or("app_code_in", header_alone, read_app_code_places);
    let app_code_requires_tls = fields.or("app_code_requires_tls", true, flag);
    let stream_before_digest = fields.or("stream_before_digest", false, flag);
    let max_staleness_s = fields.optional("max_staleness_s", |item| item.number(1..=86_400));
    let allowed_addresses = fields.or("allowed_addresses", Vec::new(), |item| item.list(text::network));
    let system_parameters = fields.or("system_parameters", Vec::new(), read_parameters);
    Some(ApiSettings {
        kind: kind?,
        description: description?,
        enabled: enabled?,
        hosts: hosts?,
        base_path: base_path?.or_else(root)?,
        strip_base_path: strip_base_path?,
        admits: admits?,
        operations: operations?,
        signature: signature?,
        app_code_in: app_code_in?,
        app_code_requires_tls: app_code_requires_tls?,
        stream_before_digest: stream_before_digest?,
        max_staleness_s: max_staleness_s?,
        allowed_addresses: allowed_addresses?,
        system_parameters: system_parameters?,
    })
}

fn root() -> Option<BasePath> {
    "/".parse().ok()
}

/// Reads the kinds as they are written: a kind that is named twice is a mistake, not a set.
fn read_admits(item: &Item<'_>) -> Option<Admits> {
    let kinds = distinct(item, item.list(parse::<CredentialKind>)?)?;
    match Admits::of(kinds) {
        Ok(admits) => Some(admits),
        Err(error) => item.wrong(error),
    }
}

fn distinct<T: PartialEq>(item: &Item<'_>, values: Vec<T>) -> Option<Vec<T>> {
    let repeated =
        values.iter().enumerate().any(|(at, value)| values.iter().take(at).any(|other| other == value));
    if repeated { item.wrong("names something twice; leave one out") } else { Some(values) }
}

fn read_stages(item: &Item<'_>) -> Option<BTreeMap<Stage, StageSpec>> {
    let stages: Vec<Option<Option<(Stage, StageSpec)>>> = item
        .entries()?
        .into_iter()
        .map(|(name, node)| item.under(name, node, |item| read_stage(name, item)))
        .collect();
    let stages: Option<Vec<_>> = stages.into_iter().collect();
    Some(stages?.into_iter().flatten().collect())
}

/// What this stage is bound to; nothing where it is left out.
fn read_stage(name: &str, item: &Item<'_>) -> Option<Option<(Stage, StageSpec)>> {
    let stage = match name.parse::<Stage>() {
        Ok(stage) => Some(stage),
        Err(error) => item.wrong(error),
    };
    if item.is_absent() {
        return stage.map(|_| None);
    }
    let binding = read_binding(item);
    Some(Some((stage?, binding?)))
}

pub(crate) fn read_binding(item: &Item<'_>) -> Option<StageSpec> {
    let fields = item.fields(&STAGE)?;
    let service = fields.required("service", parse);
    let path_prefix = fields.optional("path_prefix", read_prefix);
    let host = fields.optional("host", parse);
    Some(StageSpec { service: service?, path_prefix: path_prefix?, host: host? })
}

fn read_prefix(item: &Item<'_>) -> Option<BasePath> {
    let prefix: BasePath = parse(item)?;
    if prefix.as_str().is_empty() {
        return item.wrong("a prefix must not be `/`: it could not be told from no prefix");
    }
    Some(prefix)
}

fn read_signature(item: &Item<'_>) -> Option<SignaturePolicy> {
    let fields = item.fields(&SIGNATURE)?;
    let default = SignaturePolicy::default();
    let schemes =
        fields.or("schemes", default.schemes, |item| distinct(item, item.list(parse::<SignatureScheme>)?));
    let algorithms = fields
        .or("algorithms", default.algorithms, |item| distinct(item, item.list(parse::<HmacAlgorithm>)?));
    let mode = fields.or("mode", default.mode, |item| {
        item.choice(&[("compatible", SignatureMode::Compatible), ("strict", SignatureMode::Strict)], &[])
    });
    let window_s = fields.or("window_s", default.window_s, |item| item.number(1..=86_400));
    let require_nonce = fields.or("require_nonce", default.require_nonce, flag);
    let require_timestamp = fields.or("require_timestamp", default.require_timestamp, flag);
    let require_body_digest = fields.or("require_body_digest", default.require_body_digest, flag);
    Some(SignaturePolicy {
        schemes: schemes?,
        algorithms: algorithms?,
        mode: mode?,
        window_s: window_s?,
        require_nonce: require_nonce?,
        require_timestamp: require_timestamp?,
        require_body_digest: require_body_digest?,
    })
}

fn read_app_code_places(item: &Item<'_>) -> Option<AppCodePlaces> {
    let places = item.list(|item| item.choice(&[("header", true), ("query", false)], &[]))?;
    Some(AppCodePlaces { header: places.contains(&true), query: places.contains(&false) })
}

/// Reads parameters, each with a place of its own: a service that finds two values in one cannot tell them apart.
fn read_parameters(item: &Item<'_>) -> Option<Vec<SystemParameter>> {
    let parameters = item.list(read_parameter)?;
    let mut places = BTreeSet::new();
    let distinct = parameters.iter().all(|parameter| {
        places.insert(match &parameter.place {
            ParameterPlace::Header(name) => ("header", folded(name.as_str())),
            ParameterPlace::Query(name) => ("query", name.clone()),
        })
    });
    if distinct {
        Some(parameters)
    } else {
        item.wrong(
            "hands two parameters over in one place; give each a header or a query parameter of its own",
        )
    }
}

fn read_parameter(item: &Item<'_>) -> Option<SystemParameter> {
    let fields = item.fields(&PARAMETER)?;
    let name = fields.required("name", parse);
    let place = fields.required("to", read_target);
    Some(SystemParameter { name: name?, place: place? })
}

fn read_target(item: &Item<'_>) -> Option<ParameterPlace> {
    let fields = item.fields(&TARGET)?;
    let header = fields.optional("header", text::free_header)?;
    let query = fields.optional("query", text::parameter_name)?;
    match (header, query) {
        (Some(header), None) => Some(ParameterPlace::Header(header)),
        (None, Some(query)) => Some(ParameterPlace::Query(query)),
        _ => item.wrong("must name either a header or a query parameter"),
    }
}

impl From<&ApiSpec> for Api {
    fn from(spec: &ApiSpec) -> Self {
        let settings = &spec.settings;
        let places = [("header", settings.app_code_in.header), ("query", settings.app_code_in.query)];
        Self {
            account: spec.account.to_string(),
            name: spec.name.to_string(),
            description: settings.description.clone(),
            enabled: settings.enabled,
            kind: settings.kind.as_str().to_owned(),
            gateways: strings(&spec.gateways),
            hosts: strings(&settings.hosts),
            base_path: settings.base_path.to_string(),
            strip_base_path: settings.strip_base_path,
            admits: settings.admits.iter().map(|kind| kind.as_str().to_owned()).collect(),
            operations: settings.operations.iter().map(OperationName::from).collect(),
            stages: spec.stages.iter().map(|(stage, spec)| (stage.to_string(), spec.into())).collect(),
            signature: (&settings.signature).into(),
            app_code_in: places.iter().filter(|(_, on)| *on).map(|(name, _)| (*name).to_owned()).collect(),
            app_code_requires_tls: settings.app_code_requires_tls,
            stream_before_digest: settings.stream_before_digest,
            max_staleness_s: settings.max_staleness_s,
            allowed_addresses: strings(&settings.allowed_addresses),
            system_parameters: settings.system_parameters.iter().map(Parameter::from).collect(),
        }
    }
}

impl From<&StageSpec> for StageBinding {
    fn from(spec: &StageSpec) -> Self {
        Self {
            service: spec.service.to_string(),
            path_prefix: spec.path_prefix.as_ref().map(ToString::to_string),
            host: spec.host.as_ref().map(ToString::to_string),
        }
    }
}

impl From<&SignaturePolicy> for Signature {
    fn from(policy: &SignaturePolicy) -> Self {
        Self {
            schemes: strings(&policy.schemes),
            algorithms: policy.algorithms.iter().map(|algorithm| algorithm.as_str().to_owned()).collect(),
            mode: match policy.mode {
                SignatureMode::Compatible => "compatible".to_owned(),
                SignatureMode::Strict => "strict".to_owned(),
            },
            window_s: policy.window_s,
            require_nonce: policy.require_nonce,
            require_timestamp: policy.require_timestamp,
            require_body_digest: policy.require_body_digest,
        }
    }
}

impl From<&SystemParameter> for Parameter {
    fn from(parameter: &SystemParameter) -> Self {
        Self {
            name: parameter.name.as_str().to_owned(),
            to: match &parameter.place {
                ParameterPlace::Header(name) => ParameterTarget::Header(name.to_string()),
                ParameterPlace::Query(name) => ParameterTarget::Query(name.to_string()),
            },
        }
    }
}

fn strings<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
