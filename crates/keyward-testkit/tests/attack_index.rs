//! Which test stands for which case of the attack catalogue: `spec/attack-index.txt`, held against the sources.
//! `make docs` (KEYWARD_BLESS=1) writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Cases that must have a test at least.
const CASES_MIN: usize = 105;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The ids of the catalogue: `SMUG-002`.
fn catalogue() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("spec/attack-cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    cases.iter().map(|case| case["id"].as_str().unwrap().to_owned()).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of tests in a source: functions, and the lines `name = …` of the macros that make such.
fn names(source: &str) -> impl Iterator<Item = &str> {
    source.lines().filter_map(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("async ").unwrap_or(line);
        let rest = line.strip_prefix("fn ").or_else(|| line.contains(" = \"").then_some(line))?;
        rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()
    })
}

/// The ids that a name holds: `hdr_001_…` and `…_jwk_008`.
fn ids(name: &str, classes: &BTreeSet<String>) -> Vec<String> {
    let words: Vec<&str> = name.split('_').collect();
    let pairs = words.windows(2).filter_map(|pair| {
        let [class, number] = pair else { return None };
        let class = class.to_ascii_uppercase();
        let is_number = number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit());
        (is_number && classes.contains(&class)).then(|| format!("{class}-{number}"))
    });
    pairs.collect()
}

/// The tests' files by the ids that they name.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let classes = catalogue().iter().map(|id| id.split('-').next().unwrap().to_owned()).collect();
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files {
        let source = std::fs::read_to_string(&file).unwrap();
        let place = file.strip_prefix(root()).unwrap().display().to_string();
        if !source.contains("#[test]") && !source.contains("test]") {
            continue;
        }
        for id in names(&source).flat_map(|name| ids(name, &classes)) {
            found.entry(id).or_default().insert(place.clone());
        }
    }
    found
}

#[test]
fn the_index_is_what_the_sources_say() {
    let index: String = tests()
        .iter()
        .map(|(id, files)| format!("{id} {}\n", files.iter().cloned().collect::<Vec<_>>().join(" ")))
        .collect();
    let path = root().join("spec/attack-index.txt");
    if std::env::var_os("KEYWARD_BLESS").is_some() {
        std::fs::write(&path, &index).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
    let (committed, found) = (lines(&committed), lines(&index));
    let lost: Vec<_> = committed.difference(&found).collect();
    let unlisted: Vec<_> = found.difference(&committed).collect();
    assert!(lost.is_empty(), "spec/attack-index.txt lists tests that are not there: {lost:#?}");
    assert!(unlisted.is_empty(), "not in spec/attack-index.txt, run `make docs`: {unlisted:#?}");
}

#[test]
fn enough_cases_have_a_test_and_no_test_names_one_that_is_none() {
    let (catalogue, tests) = (catalogue(), tests());
    let unknown: Vec<_> = tests.iter().filter(|(id, _)| !catalogue.contains(*id)).collect();
    assert!(unknown.is_empty(), "the catalogue has no such case: {unknown:#?}");
    assert!(tests.len() >= CASES_MIN, "only {} cases have a test", tests.len());
}

#[test]
fn every_case_with_bytes_for_this_transport_has_a_test() {
    let text = std::fs::read_to_string(root().join("spec/attack-cases.json")).unwrap();
    let cases: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let tests = tests();
    let missing: Vec<_> = cases
        .iter()
        .filter(|case| case.get("raw").is_some())
        .map(|case| case["id"].as_str().unwrap())
        .filter(|id| !tests.contains_key(*id))
        .collect();
    assert!(missing.is_empty(), "no test fires {missing:?}");
}
