//! Groups: several callers of one account under one name.

use keyward_model::{CallerKind, GroupSpec, MemberSpec};
use serde::{Deserialize, Serialize};

use crate::read::{Item, Shape, flag, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// A group, as a world file and the admin API describe it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its account.
    pub account: String,
    /// Its name, unique in the account.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// The grants of a disabled group permit nothing.
    pub enabled: bool,
    /// Who belongs to it.
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
