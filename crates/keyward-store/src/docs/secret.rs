//! A secret's document: all but its values, which are sealed beside it.

use std::collections::BTreeSet;

use keyward_model::{Destination, HeldBy, Name};
use serde::{Deserialize, Serialize};

#[derive(Default, Serialize, Deserialize)]
struct Doc {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    held: Option<Held>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    destinations: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    use_by: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    read_by: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Held {
    Env(String),
    File(String),
    Vault { path: String, field: String },
}

/// What a secret's document holds.
pub(crate) struct SecretDoc {
    pub(crate) held: Option<HeldBy>,
    pub(crate) destinations: Option<Vec<Destination>>,
    pub(crate) use_by: Option<BTreeSet<Name>>,
    pub(crate) read_by: Option<BTreeSet<Name>>,
}

pub(crate) fn write(doc: &SecretDoc) -> String {
    let names = |names: &BTreeSet<Name>| names.iter().map(ToString::to_string).collect();
    super::write(&Doc {
        held: doc.held.as_ref().map(|held| match held {
            HeldBy::Env(name) => Held::Env(name.to_string()),
            HeldBy::File(path) => Held::File(path.to_string()),
            HeldBy::Vault { path, field } => Held::Vault { path: path.to_string(), field: field.to_string() },
        }),
        destinations: doc.destinations.as_ref().map(|all| all.iter().map(ToString::to_string).collect()),
        use_by: doc.use_by.as_ref().map(names),
        read_by: doc.read_by.as_ref().map(names),
    })
}

pub(crate) fn read(text: &str) -> Result<SecretDoc, String> {
    let doc: Doc = super::read(text)?;
    let names = |names: Option<Vec<String>>| -> Result<Option<BTreeSet<Name>>, String> {
        names.map(|names| names.iter().map(|name| super::parse(name)).collect()).transpose()
    };
    Ok(SecretDoc {
        held: doc.held.map(|held| match held {
            Held::Env(name) => HeldBy::Env(name.into()),
            Held::File(path) => HeldBy::File(path.into()),
            Held::Vault { path, field } => HeldBy::Vault { path: path.into(), field: field.into() },
        }),
        destinations: doc
            .destinations
            .map(|all| all.iter().map(|one| super::parse(one)).collect::<Result<_, _>>())
            .transpose()?,
        use_by: names(doc.use_by)?,
        read_by: names(doc.read_by)?,
    })
}
