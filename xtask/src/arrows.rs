//! Which of our crates may depend on which. `ARCHITECTURE.md` draws the same picture.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Crate, and what it may depend on. A crate that is not listed may not exist.
const ALLOWED: &[(&str, &[&str])] = &[
    ("keyward-model", &[]),
    ("keyward-access", &["keyward-model"]),
    ("keyward-store", &["keyward-model"]),
    ("keyward-api", &["keyward-model"]),
    ("keyward-http", &[]),
    ("keyward-wasm", &[]),
    ("keyward-gateway", &["keyward-access", "keyward-model", "keyward-http"]),
    ("keyward-control", &["keyward-store", "keyward-access", "keyward-model"]),
    ("keyward-admin", &["keyward-control", "keyward-api", "keyward-model"]),
    ("keyward", &[ANY]),
    ("keyward-testkit", &[ANY]),
    ("keyward-bench", &[]),
    ("xtask", &[]),
];

/// May depend on all of ours, but for the test kit.
const ANY: &str = "*";

/// Names from the outside that may not stand in a crate's dependencies: the heart does no I/O.
const BANNED: &[(&str, &[&str])] = &[
    ("keyward-model", &["tokio", "sqlx", "axum", "reqwest", "rustix", "socket2", "libc"]),
    ("keyward-access", &["tokio", "sqlx", "axum", "reqwest", "rustix", "socket2", "libc", "arc-swap"]),
    ("keyward-gateway", &["sqlx", "axum", "reqwest"]),
    ("keyward-http", &["sqlx", "axum", "reqwest", "hyper"]),
    ("keyward-wasm", &["sqlx", "axum", "reqwest", "hyper", "wasmtime-wasi", "rustix", "socket2", "libc"]),
];

/// Every arrow that is drawn and may not be.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo metadata could not be run: {error}"))?;
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo metadata is not JSON: {error}"))?;
    let packages =
        metadata.get("packages").and_then(Value::as_array).ok_or("cargo metadata names no packages")?;
    Ok(packages.iter().flat_map(wrong_arrows).collect())
}

fn wrong_arrows(package: &Value) -> Vec<String> {
    let name = text(package, "name");
    let Some((_, allowed)) = ALLOWED.iter().find(|(ours, _)| *ours == name) else {
        return vec![format!(
            "crate `{name}` is not in the list of crates; add it to xtask/src/arrows.rs on purpose"
        )];
    };
    let banned = BANNED.iter().find(|(ours, _)| *ours == name).map_or(&[][..], |(_, names)| names);
    let dependencies = package.get("dependencies").and_then(Value::as_array).cloned().unwrap_or_default();
    dependencies
        .iter()
        .filter(|dependency| text(dependency, "kind") != "dev")
        .filter_map(|dependency| {
            let to = text(dependency, "name");
            let ours = ALLOWED.iter().any(|(crate_name, _)| *crate_name == to);
            let may = allowed.contains(&to) || (allowed.contains(&ANY) && to != "keyward-testkit");
            let wrong = (ours && !may) || banned.contains(&to);
            wrong.then(|| {
                format!("crate `{name}` may not depend on `{to}`; see ARCHITECTURE.md, section Crates")
            })
        })
        .collect()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, on: &str, kind: Option<&str>) -> Value {
        json!({"name": name, "dependencies": [{"name": on, "kind": kind}]})
    }

    #[test]
    fn an_arrow_that_is_not_allowed_is_told() {
        assert_eq!(wrong_arrows(&package("keyward-gateway", "keyward-store", None)).len(), 1);
        assert_eq!(wrong_arrows(&package("keyward-access", "tokio", None)).len(), 1);
        assert_eq!(wrong_arrows(&package("keyward", "keyward-testkit", None)).len(), 1);
        assert_eq!(wrong_arrows(&package("keyward-surprise", "serde", None)).len(), 1);
    }

    #[test]
    fn allowed_arrows_and_test_arrows_pass() {
        assert!(wrong_arrows(&package("keyward-gateway", "keyward-http", None)).is_empty());
        assert!(wrong_arrows(&package("keyward-model", "keyward-store", Some("dev"))).is_empty());
        assert!(wrong_arrows(&package("keyward", "keyward-control", None)).is_empty());
    }
}
