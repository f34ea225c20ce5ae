//! Accounts: the tenants.

use keyward_model::AccountSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::forms as form;
use crate::read::{Item, Shape, flag, parse};
use crate::text::DESCRIPTION_MAX;

/// An account, as a world file and the admin API describe it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Account {
    /// Its name, unique over all accounts.
    #[schemars(with = "form::Name")]
    pub name: String,
    /// For people.
    #[serde(default)]
    #[schemars(default, with = "form::Prose")]
    pub description: String,
    /// A disabled account's callers may call nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// May secrets be shown again?
    #[schemars(default = "form::yes")]
    pub reveal: bool,
    /// The longest validity of a grant that it gives, in seconds; absent: no bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 3_162_240_000_u64))]
    pub grant_validity_max_s: Option<u64>,
}

/// The longest bound on validities: a hundred years, in seconds.
const VALIDITY_MAX_S: u64 = 100 * 366 * 86_400;

const SHAPE: Shape = Shape {
    noun: "an account",
    allowed: &["name", "description", "enabled", "reveal", "grant_validity_max_s"],
    later: &[],
};

pub(crate) fn read(item: &Item<'_>) -> Option<AccountSpec> {
    let fields = item.fields(&SHAPE)?;
    let name = fields.required("name", parse);
    let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
    let enabled = fields.or("enabled", true, flag);
    let reveal = fields.or("reveal", true, flag);
    let max_s = fields.optional("grant_validity_max_s", |item| item.number(1..=VALIDITY_MAX_S));
    Some(AccountSpec {
        name: name?,
        description: description?,
        enabled: enabled?,
        reveal: reveal?,
        grant_validity_max_s: max_s?,
    })
}

impl From<&AccountSpec> for Account {
    fn from(spec: &AccountSpec) -> Self {
        Self {
            name: spec.name.to_string(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            reveal: spec.reveal,
            grant_validity_max_s: spec.grant_validity_max_s,
        }
    }
}
