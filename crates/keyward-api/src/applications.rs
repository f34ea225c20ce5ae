//! Applications: callers that sign.

use std::collections::BTreeMap;

use keyward_model::{ApplicationSpec, KeyPairSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::credentials::{self, GivenOpaque, KeyPair, Opaque};
use crate::forms as form;
use crate::read::{Fields, Item, Shape, flag, parse};
use crate::text::{self, DESCRIPTION_MAX};

/// An application, as a world file and the admin API describe it.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema, Serialize, Deserialize)]
pub struct Application {
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
    /// A disabled application may call nothing.
    #[schemars(default = "form::yes")]
    pub enabled: bool,
    /// For people and filters.
    #[serde(default)]
    #[schemars(default, with = "form::Tags")]
    pub tags: BTreeMap<String, String>,
    /// Handed to the service as `CaAppExtInfo` where an API declares it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Extension>")]
    pub extension: Option<String>,
    /// The first is the default pair; absent: one is generated, stored ones are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<form::Many<KeyPair, { usize::MAX }>>")]
    pub key_pairs: Option<Vec<KeyPair>>,
    /// Its AppCodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<GivenOpaque>>")]
    pub app_codes: Option<Vec<Opaque>>,
}

const SHAPE: Shape = Shape {
    noun: "an application",
    allowed: &["account", "name", "description", "enabled", "tags", "extension", "key_pairs", "app_codes"],
    later: &[],
};

/// With its first grants beside it.
pub(crate) const NEW: Shape = Shape {
    noun: "an application",
    allowed: &[
        "account",
        "name",
        "description",
        "enabled",
        "tags",
        "extension",
        "key_pairs",
        "app_codes",
        "grants",
    ],
    later: &[],
};

pub(crate) fn read(item: &Item<'_>) -> Option<ApplicationSpec> {
    read_fields(&item.fields(&SHAPE)?)
}

pub(crate) fn read_fields(fields: &Fields<'_>) -> Option<ApplicationSpec> {
    let account = text::account(fields);
    let name = fields.required("name", parse);
    let description = fields.or("description", String::new(), |item| item.prose(DESCRIPTION_MAX));
    let enabled = fields.or("enabled", true, flag);
    let tags = fields.or("tags", BTreeMap::new(), read_tags);
    let extension = fields.optional("extension", read_extension);
    let key_pairs = fields.optional("key_pairs", read_key_pairs);
    let app_codes = fields.or("app_codes", Vec::new(), |item| item.list(credentials::read_opaque));
    Some(ApplicationSpec {
        account: account?,
        name: name?,
        description: description?,
        enabled: enabled?,
        tags: tags?,
        extension: extension?,
        key_pairs: key_pairs?,
        app_codes: app_codes?,
    })
}

fn read_key_pairs(item: &Item<'_>) -> Option<Vec<KeyPairSpec>> {
    let pairs = item.list(credentials::read_key_pair)?;
    if pairs.is_empty() {
        return item.wrong(
            "an application has at least its default pair; leave `key_pairs` out to have one generated",
        );
    }
    Some(pairs)
}

fn read_extension(item: &Item<'_>) -> Option<String> {
    let extension = item.prose(512)?;
    if !text::is_one_line(&extension) {
        return item.wrong("must fit into a header: one line, no blanks at its ends");
    }
    Some(extension)
}

/// Most tags of one caller.
const TAGS_MAX: usize = 64;

pub(crate) fn read_tags(item: &Item<'_>) -> Option<BTreeMap<String, String>> {
    let entries = item.entries()?;
    if entries.len() > TAGS_MAX {
        return item.wrong(format_args!("must be at most {TAGS_MAX} tags"));
    }
    let tag = |(name, node): (&str, _)| {
        item.under(name, node, |item| {
            let value = if item.is_absent() { Some(None) } else { item.prose(256).map(Some) };
            let fits = (1..=128).contains(&name.chars().count()) && !name.chars().any(char::is_control);
            if !fits {
                return item.wrong("the name of a tag has 1 to 128 characters");
            }
            Some(value?.map(|value| (name.to_owned(), value)))
        })
    };
    let tags: Vec<Option<Option<(String, String)>>> = entries.into_iter().map(tag).collect();
    let tags: Option<Vec<_>> = tags.into_iter().collect();
    Some(tags?.into_iter().flatten().collect())
}

impl From<&ApplicationSpec> for Application {
    fn from(spec: &ApplicationSpec) -> Self {
        Self {
            account: spec.account.to_string(),
            name: spec.name.to_string(),
            description: spec.description.clone(),
            enabled: spec.enabled,
            tags: spec.tags.clone(),
            extension: spec.extension.clone(),
            key_pairs: spec.key_pairs.as_ref().map(|pairs| pairs.iter().map(KeyPair::from).collect()),
            app_codes: Some(spec.app_codes.iter().map(Opaque::from).collect()),
        }
    }
}
