//! Every dependency has its line in `docs/dependencies.md`, and every line its dependency.

use std::collections::BTreeSet;
use std::path::Path;

/// Names that stand in one list and not in the other.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let read =
        |file: &str| std::fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"));
    let named = in_manifest(&read("Cargo.toml")?);
    let explained = in_page(&read("docs/dependencies.md")?);
    let missing = named.difference(&explained).map(|name| {
        format!("`{name}` is a dependency without a line in docs/dependencies.md; say there what it is for")
    });
    let stale = explained.difference(&named).map(|name| {
        format!("docs/dependencies.md explains `{name}`, which is no dependency; remove the line")
    });
    Ok(missing.chain(stale).collect())
}

/// Names in `[workspace.dependencies]`, without our own crates.
fn in_manifest(manifest: &str) -> BTreeSet<String> {
    manifest
        .lines()
        .skip_while(|line| *line != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.trim().to_owned()))
        .filter(|name| !name.starts_with('#') && name != "keyward" && !name.starts_with("keyward-"))
        .collect()
}

/// Names in the first column of the page's table, in backticks.
fn in_page(page: &str) -> BTreeSet<String> {
    page.lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|rest| rest.split_once('`').map(|(name, _)| name.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lists_are_read() {
        let manifest = "[workspace.dependencies]\nkeyward-model = { path = \"x\" }\nserde = \"1\"\n\n[workspace.lints.rust]\nx = 1\n";
        assert_eq!(in_manifest(manifest), BTreeSet::from(["serde".to_owned()]));
        assert_eq!(in_page("| name | why |\n| `serde` | forms |\n"), BTreeSet::from(["serde".to_owned()]));
    }
}
