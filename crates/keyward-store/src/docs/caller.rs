//! A caller's lists: its tags, and where its API keys may stand.

use std::collections::BTreeMap;

use keyward_model::KeySource;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Source {
    Bearer,
    Header(String),
    Query(String),
}

pub(crate) fn write_sources(sources: &[KeySource]) -> String {
    let docs: Vec<Source> = sources
        .iter()
        .map(|source| match source {
            KeySource::Bearer => Source::Bearer,
            KeySource::Header(name) => Source::Header(name.to_string()),
            KeySource::Query(name) => Source::Query(name.to_string()),
        })
        .collect();
    super::write(&docs)
}

pub(crate) fn read_sources(text: &str) -> Result<Vec<KeySource>, String> {
    super::read::<Vec<Source>>(text)?
        .into_iter()
        .map(|source| {
            Ok(match source {
                Source::Bearer => KeySource::Bearer,
                Source::Header(name) => KeySource::Header(super::parse(&name)?),
                Source::Query(name) => KeySource::Query(name.into()),
            })
        })
        .collect()
}

pub(crate) fn write_tags(tags: &BTreeMap<String, String>) -> String {
    super::write(tags)
}

/// How a tag stands in the text of [`write_tags`], whatever stands around it.
pub(crate) fn tag_needle(name: &str, value: &str) -> String {
    let json = |text: &str| serde_json::Value::from(text).to_string();
    format!("{}:{}", json(name), json(value))
}

pub(crate) fn read_tags(text: &str) -> Result<BTreeMap<String, String>, String> {
    super::read(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_only_where_it_stands() {
        let tags = |pairs: &[(&str, &str)]| {
            write_tags(&pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
        };
        let needle = tag_needle("team", "shop");
        assert!(tags(&[("a", "b"), ("team", "shop")]).contains(&needle));
        for other in [
            tags(&[("team", "shops")]),
            tags(&[("steam", "shop")]),
            tags(&[("a", "team"), ("shop", "b")]),
            tags(&[("a", "\"team\":\"shop\"")]),
        ] {
            assert!(!other.contains(&needle), "{other}");
        }
    }
}
