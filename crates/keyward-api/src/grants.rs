//! Grants: who may call what.

use std::borrow::Cow;

use keyward_model::{
    CallerId, CallerKind, GrantSpec, GranteeSpec, Name, Qualified, Stage, StageSet, Validity,
};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::credentials::moment;
use crate::forms as form;
use crate::operations::{self, OperationName};
use crate::read::{Fields, Item, Shape, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// A grant, as a world file and the admin API describe it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Grant {
    /// The API's account.
    #[schemars(default = "text::default_account", with = "form::Name")]
    pub account: String,
    /// Who may call.
    pub to: Grantee,
    /// Name of the API.
    #[schemars(with = "form::Name")]
    pub api: String,
    /// On which stages; absent: every stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Many<form::Stage, { usize::MAX }>>")]
    pub stages: Option<Vec<String>>,
    /// Names of gateways; absent: every gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Many<form::Name, { usize::MAX }>>")]
    pub gateways: Option<Vec<String>>,
    /// Which operations; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Many<OperationName, { usize::MAX }>>")]
    pub operations: Option<Vec<OperationName>>,
    /// First moment in which it holds; absent: no lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_from: Option<String>,
    /// First moment in which it no longer holds; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<String>,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
}

/// Several grants on the same terms: every grantee may call every API, 100 grants at most.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct GrantBatch {
    /// The APIs' account.
    #[schemars(default = "text::default_account", with = "form::Name")]
    pub account: String,
    /// Who may call.
    #[schemars(with = "form::Many<Grantee, BATCH_MAX>")]
    pub to: Vec<Grantee>,
    /// Names of the APIs.
    #[schemars(with = "form::Many<form::Name, BATCH_MAX>")]
    pub apis: Vec<String>,
    /// On which terms.
    #[serde(flatten)]
    pub terms: GrantTerms,
}

/// What a grant says besides who and what.
#[derive(Clone, Debug, Default, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct GrantTerms {
    /// On which stages; absent: every stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Many<form::Stage, { usize::MAX }>>")]
    pub stages: Option<Vec<String>>,
    /// Names of gateways; absent: every gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Many<form::Name, { usize::MAX }>>")]
    pub gateways: Option<Vec<String>>,
    /// Which operations; absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Many<OperationName, { usize::MAX }>>")]
    pub operations: Option<Vec<OperationName>>,
    /// First moment in which it holds; absent: no lower bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_from: Option<String>,
    /// First moment in which it no longer holds; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Moment>")]
    pub valid_until: Option<String>,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
}

/// A grant to what is being made.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct FirstGrant {
    /// The API's account; absent: that of what is being made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Name>")]
    pub account: Option<String>,
    /// Name of the API.
    #[schemars(with = "form::Name")]
    pub api: String,
    /// On which terms.
    #[serde(flatten)]
    pub terms: GrantTerms,
}

/// Grants that were given together, and those that existed already.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct GrantsGiven {
    /// The revision from which they hold.
    pub revision: u64,
    /// Each as it is now.
    pub grants: Vec<crate::Stored<Grant>>,
    /// What is allowed but unwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<crate::Warning>,
    /// With `wait=cluster`: who has applied it, and who has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<crate::Cluster>,
}

/// Grants that are described together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantBatchSpec(pub Vec<GrantSpec>);

/// Most grants that are given together.
const BATCH_MAX: usize = 100;

/// Who a grant is for. Exactly one of the first five is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grantee {
    /// Name of an application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application: Option<String>,
    /// Name of a consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer: Option<String>,
    /// Name of a group of the API's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Id of an application of any account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_id: Option<String>,
    /// Id of a consumer of any account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumer_id: Option<String>,
    /// Account of the application or consumer that is named; absent: the API's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl JsonSchema for Grantee {
    fn schema_name() -> Cow<'static, str> {
        "Grantee".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<form::Name>();
        form::one_of_with(
            &[("application", name.clone()), ("consumer", name.clone())],
            &[
                ("group", name.clone()),
                ("application_id", generator.subschema_for::<form::ApplicationId>()),
                ("consumer_id", generator.subschema_for::<form::ConsumerId>()),
            ],
            ("account", name),
        )
    }
}

const SHAPE: Shape = Shape {
    noun: "a grant",
    allowed: &[
        "account",
        "to",
        "api",
        "stages",
        "gateways",
        "operations",
        "valid_from",
        "valid_until",
        "description",
    ],
    later: &[],
};

const BATCH: Shape = Shape {
    noun: "a batch of grants",
    allowed: &[
        "account",
        "to",
        "apis",
        "stages",
        "gateways",
        "operations",
        "valid_from",
        "valid_until",
        "description",
    ],
    later: &[],
};

const FIRST: Shape = Shape {
    noun: "a first grant",
    allowed: &[
        "account",
        "api",
        "stages",
        "gateways",
        "operations",
        "valid_from",
        "valid_until",
        "description",
    ],
    later: &[],
};

const GRANTEE: Shape = Shape {
    noun: "the grantee",
    allowed: &["application", "consumer", "group", "application_id", "consumer_id", "account"],
    later: &[],
};

pub(crate) fn read(item: &Item<'_>) -> Option<GrantSpec> {
    let fields = item.fields(&SHAPE)?;
    let account = text::account(&fields);
    let to = fields.required("to", |item| read_grantee(item, account.as_ref()));
    let api = fields.required("api", parse);
    let terms = Terms::read(&fields);
    Some(terms?.grant(account?, to?, api?))
}

/// What a grant says besides who and what.
#[derive(Clone)]
struct Terms {
    stages: StageSet,
    gateways: Option<Vec<Name>>,
    operations: Option<Vec<keyward_model::Operation>>,
    validity: Validity,
    description: String,
}

impl Terms {
    fn read(fields: &Fields<'_>) -> Option<Self> {
        let stages = fields.or("stages", StageSet::ALL, read_stages);
        let gateways = fields.optional("gateways", |item| not_empty(item, "gateway", item.list(parse)?));
        let operations =
            fields.optional("operations", |item| not_empty(item, "operation", item.list(operations::read)?));
        let validity = read_validity(fields);
        let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
        Some(Self {
            stages: stages?,
            gateways: gateways?,
            operations: operations?,
            validity: validity?,
            description: description?,
        })
    }

    fn grant(self, account: Name, to: GranteeSpec, api: Name) -> GrantSpec {
        let Self { stages, gateways, operations, validity, description } = self;
        GrantSpec { account, to, api, stages, gateways, operations, validity, description }
    }
}

/// Every grantee may call every API: as one of many, or many of one.
pub(crate) fn read_batch(item: &Item<'_>) -> Option<GrantBatchSpec> {
    let fields = item.fields(&BATCH)?;
    let account = text::account(&fields);
    let to = fields.required("to", |item| {
        some(item, "grantee", item.list(|item| read_grantee(item, account.as_ref()))?)
    });
    let apis = fields.required("apis", |item| some(item, "API", item.list(parse::<Name>)?));
    let terms = Terms::read(&fields);
    let (account, to, apis, terms) = (account?, to?, apis?, terms?);
    if to.len().saturating_mul(apis.len()) > BATCH_MAX {
        return item.wrong(format_args!("makes more than {BATCH_MAX} grants; give them in several requests"));
    }
    let grants = to.iter().flat_map(|to| {
        let (account, terms) = (&account, &terms);
        apis.iter().map(move |api| terms.clone().grant(account.clone(), to.clone(), api.clone()))
    });
    Some(GrantBatchSpec(grants.collect()))
}

/// The first grants of an application or consumer that is being made.
pub(crate) fn read_first(fields: &Fields<'_>, to: Option<&GranteeSpec>) -> Option<Vec<GrantSpec>> {
    let read = |item: &Item<'_>| {
        let fields = item.fields(&FIRST)?;
        let account = match (fields.has("account"), to) {
            (false, Some(GranteeSpec::Named(_, named))) => Some(named.account.clone()),
            _ => text::account(&fields),
        };
        let api = fields.required("api", parse);
        let terms = Terms::read(&fields);
        Some(terms?.grant(account?, to?.clone(), api?))
    };
    fields.or("grants", Vec::new(), |item| item.list(read))
}

fn some<T>(item: &Item<'_>, noun: &str, values: Vec<T>) -> Option<Vec<T>> {
    if values.is_empty() {
        return item.wrong(format_args!("must name at least one {noun}"));
    }
    Some(values)
}

/// An empty list would read as "none" to one person and as "all" to the next.
fn not_empty<T>(item: &Item<'_>, noun: &str, values: Vec<T>) -> Option<Vec<T>> {
    if values.is_empty() {
        return item.wrong(format_args!("must name at least one {noun}; leave it out for every {noun}"));
    }
    Some(values)
}

fn read_stages(item: &Item<'_>) -> Option<StageSet> {
    let stages = not_empty(item, "stage", item.list(parse::<Stage>)?)?;
    Some(StageSet::of(stages))
}

fn read_validity(fields: &Fields<'_>) -> Option<Validity> {
    let from = fields.optional("valid_from", parse);
    let until = fields.optional("valid_until", parse);
    match Validity::new(from?, until?) {
        Ok(validity) => Some(validity),
        Err(error) => fields.wrong("valid_until", error),
    }
}

fn read_grantee(item: &Item<'_>, api_account: Option<&Name>) -> Option<GranteeSpec> {
    let fields = item.fields(&GRANTEE)?;
    let account = fields.optional("account", parse::<Name>)?;
    let named = |kind, name: Option<Name>| {
        let account = account.clone().or_else(|| api_account.cloned());
        Some(GranteeSpec::Named(kind, text::qualified(account, name)?))
    };
    let given = [
        ("application", fields.has("application")),
        ("consumer", fields.has("consumer")),
        ("group", fields.has("group")),
        ("application_id", fields.has("application_id")),
        ("consumer_id", fields.has("consumer_id")),
    ];
    let mut given = given.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
    let (Some(one), None) = (given.next(), given.next()) else {
        return item.wrong("must name one of application, consumer, group, application_id, consumer_id");
    };
    if account.is_some() && !matches!(one, "application" | "consumer") {
        return fields.wrong("account", format_args!("`account` does not go with `{one}`; leave it out"));
    }
    match one {
        "application" => named(CallerKind::Application, fields.required(one, parse)),
        "consumer" => named(CallerKind::Consumer, fields.required(one, parse)),
        "group" => fields.required(one, parse).map(GranteeSpec::Group),
        "application_id" => read_id(&fields, one, CallerKind::Application),
        _ => read_id(&fields, one, CallerKind::Consumer),
    }
}

fn read_id(fields: &Fields<'_>, name: &str, kind: CallerKind) -> Option<GranteeSpec> {
    let id: CallerId = fields.required(name, parse)?;
    if id.kind() != kind {
        return fields.wrong(name, format_args!("`{id}` is not the id of {}", a_kind(kind)));
    }
    Some(GranteeSpec::ById(id))
}

fn a_kind(kind: CallerKind) -> &'static str {
    match kind {
        CallerKind::Application => "an application",
        CallerKind::Consumer => "a consumer",
    }
}

impl From<&GrantBatchSpec> for GrantBatch {
    /// As far as the grants of a batch agree, which they do where they were read from one.
    fn from(GrantBatchSpec(grants): &GrantBatchSpec) -> Self {
        let mut shown = grants.iter().map(Grant::from);
        let first = shown.next();
        let mut to: Vec<Grantee> = Vec::new();
        let mut apis: Vec<String> = Vec::new();
        for grant in first.iter().cloned().chain(shown) {
            if !to.contains(&grant.to) {
                to.push(grant.to);
            }
            if !apis.contains(&grant.api) {
                apis.push(grant.api);
            }
        }
        let account = first.as_ref().map(|grant| grant.account.clone()).unwrap_or_default();
        let terms = first.map_or_else(GrantTerms::default, |grant| GrantTerms {
            stages: grant.stages,
            gateways: grant.gateways,
            operations: grant.operations,
            valid_from: grant.valid_from,
            valid_until: grant.valid_until,
            description: grant.description,
        });
        Self { account, to, apis, terms }
    }
}

impl From<&GrantSpec> for Grant {
    fn from(spec: &GrantSpec) -> Self {
        let stages = || spec.stages.iter().map(|stage| stage.to_string()).collect();
        Self {
            account: spec.account.to_string(),
            to: Grantee::of(&spec.to, &spec.account),
            api: spec.api.to_string(),
            stages: (spec.stages != StageSet::ALL).then(stages),
            gateways: spec.gateways.as_ref().map(|names| names.iter().map(ToString::to_string).collect()),
            operations: spec.operations.as_ref().map(|all| all.iter().map(OperationName::from).collect()),
            valid_from: moment(spec.validity.from),
            valid_until: moment(spec.validity.until),
            description: spec.description.clone(),
        }
    }
}

impl Grantee {
    /// Names the account only where it is another one than the API's.
    fn of(spec: &GranteeSpec, api_account: &Name) -> Self {
        let mut grantee = Self::default();
        match spec {
            GranteeSpec::Named(kind, Qualified { account, name }) => {
                let slot = match kind {
                    CallerKind::Application => &mut grantee.application,
                    CallerKind::Consumer => &mut grantee.consumer,
                };
                *slot = Some(name.to_string());
                grantee.account = (account != api_account).then(|| account.to_string());
            }
            GranteeSpec::ById(id) => match id.kind() {
                CallerKind::Application => grantee.application_id = Some(id.to_string()),
                CallerKind::Consumer => grantee.consumer_id = Some(id.to_string()),
            },
            GranteeSpec::Group(name) => grantee.group = Some(name.to_string()),
        }
        grantee
    }
}
