//! Applications and consumers together with their first grants; callers of any account.

use keyward_model::{ApplicationSpec, CallerKind, ConsumerSpec, GrantSpec, GranteeSpec, Qualified};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;
use crate::grants::{self, FirstGrant, GrantTerms};
use crate::read::Item;
use crate::{Application, Consumer, Grant, applications, consumers};

/// An application that is being made, and what it may call from the start.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct NewApplication {
    /// The application.
    #[serde(flatten)]
    pub application: Application,
    /// Its first grants, given together with it.
    #[serde(default)]
    #[schemars(default)]
    pub grants: Vec<FirstGrant>,
}

/// A consumer that is being made, and what it may call from the start.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct NewConsumer {
    /// The consumer.
    #[serde(flatten)]
    pub consumer: Consumer,
    /// Its first grants, given together with it.
    #[serde(default)]
    #[schemars(default)]
    pub grants: Vec<FirstGrant>,
}

/// A caller of some account: its id tells whoever has it this much.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct ForeignCaller {
    /// Its id.
    #[schemars(with = "form::Id")]
    pub id: String,
    /// `application` or `consumer`.
    #[schemars(with = "form::CallerNoun")]
    pub noun: String,
    /// Its name.
    #[schemars(with = "form::Name")]
    pub name: String,
}

/// An application and its first grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewApplicationSpec {
    /// The application.
    pub application: ApplicationSpec,
    /// Its first grants.
    pub grants: Vec<GrantSpec>,
}

/// A consumer and its first grants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewConsumerSpec {
    /// The consumer.
    pub consumer: ConsumerSpec,
    /// Its first grants.
    pub grants: Vec<GrantSpec>,
}

pub(crate) fn read_application(item: &Item<'_>) -> Option<NewApplicationSpec> {
    let fields = item.fields(&applications::NEW)?;
    let application = applications::read_fields(&fields);
    let named = |spec: &ApplicationSpec| Qualified { account: spec.account.clone(), name: spec.name.clone() };
    let to = application.as_ref().map(|spec| GranteeSpec::Named(CallerKind::Application, named(spec)));
    let grants = grants::read_first(&fields, to.as_ref());
    Some(NewApplicationSpec { application: application?, grants: grants? })
}

pub(crate) fn read_consumer(item: &Item<'_>) -> Option<NewConsumerSpec> {
    let fields = item.fields(&consumers::NEW)?;
    let consumer = consumers::read_fields(&fields);
    let named = |spec: &ConsumerSpec| Qualified { account: spec.account.clone(), name: spec.name.clone() };
    let to = consumer.as_ref().map(|spec| GranteeSpec::Named(CallerKind::Consumer, named(spec)));
    let grants = grants::read_first(&fields, to.as_ref());
    Some(NewConsumerSpec { consumer: consumer?, grants: grants? })
}

impl From<&NewApplicationSpec> for NewApplication {
    fn from(spec: &NewApplicationSpec) -> Self {
        Self { application: (&spec.application).into(), grants: first(&spec.grants) }
    }
}

impl From<&NewConsumerSpec> for NewConsumer {
    fn from(spec: &NewConsumerSpec) -> Self {
        Self { consumer: (&spec.consumer).into(), grants: first(&spec.grants) }
    }
}

fn first(grants: &[GrantSpec]) -> Vec<FirstGrant> {
    let first = |grant: Grant| FirstGrant {
        account: Some(grant.account),
        api: grant.api,
        terms: GrantTerms {
            stages: grant.stages,
            gateways: grant.gateways,
            operations: grant.operations,
            valid_from: grant.valid_from,
            valid_until: grant.valid_until,
            description: grant.description,
        },
    };
    grants.iter().map(Grant::from).map(first).collect()
}
