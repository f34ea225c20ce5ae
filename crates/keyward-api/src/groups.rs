//! Groups: several callers of one account under one name.

use std::borrow::Cow;

use keyward_model::{CallerKind, GroupSpec, MemberSpec};
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::forms as form;
use crate::read::{Item, Shape, flag, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// A group, as a world file and the admin API describe it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Group {
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
    /// The grants of a disabled group permit nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// Who belongs to it.
    #[schemars(default, with = "Vec<GivenMember>")]
    pub members: Vec<Member>,
}

/// A member of a group, by name, in the group's account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Member {
    /// An application.
    Application(String),
    /// A consumer.
    Consumer(String),
}

/// A member as it may be written: the bare name is a consumer's.
pub(crate) type GivenMember = form::Either<form::Name, Member>;

impl JsonSchema for Member {
    fn schema_name() -> Cow<'static, str> {
        "Member".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<form::Name>();
        form::one_of(&[("application", name.clone()), ("consumer", name)])
    }
}

const SHAPE: Shape =
    Shape { noun: "a group", allowed: &["account", "name", "description", "enabled", "members"], later: &[] };

const MEMBER: Shape = Shape { noun: "a member", allowed: &["application", "consumer"], later: &[] };

pub(crate) fn read(item: &Item<'_>) -> Option<GroupSpec> {
    let fields = item.fields(&SHAPE)?;
    let account = text::account(&fields);
    let name = fields.required("name", parse);
    let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
    let enabled = fields.or("enabled", true, flag);
    let members = fields.or("members", Vec::new(), |item| item.list(read_member));
    Some(GroupSpec {
        account: account?,
        name: name?,
        description: description?,
        enabled: enabled?,
        members: members?,
    })
}

/// `{application: …}`, `{consumer: …}`, or the bare name of a consumer.
pub(crate) fn read_member(item: &Item<'_>) -> Option<MemberSpec> {
    if item.is_text() {
        return Some(MemberSpec { kind: CallerKind::Consumer, name: parse(item)? });
    }
    let fields = item.fields(&MEMBER)?;
    let application = fields.optional("application", parse)?;
    let consumer = fields.optional("consumer", parse)?;
    match (application, consumer) {
        (Some(name), None) => Some(MemberSpec { kind: CallerKind::Application, name }),
        (None, Some(name)) => Some(MemberSpec { kind: CallerKind::Consumer, name }),
        _ => item.wrong("must name either an application or a consumer"),
    }
}

impl From<&GroupSpec> for Group {
    fn from(spec: &GroupSpec) -> Self {
        Self {
            account: spec.account.to_string(),
            name: spec.name.to_string(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            members: spec.members.iter().map(Member::from).collect(),
        }
    }
}

impl From<&MemberSpec> for Member {
    fn from(spec: &MemberSpec) -> Self {
        match spec.kind {
            CallerKind::Application => Self::Application(spec.name.to_string()),
            CallerKind::Consumer => Self::Consumer(spec.name.to_string()),
        }
    }
}
