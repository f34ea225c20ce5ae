//! Habits that a reader would otherwise have to watch over.

use std::path::Path;
use std::process::Command;

/// Longest source file, in lines. The median is far below.
const LINES_MAX: usize = 900;

/// Files that break a habit.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, String> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("git ls-files could not be run: {error}"))?;
    let listing = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(listing
        .split('\0')
        .filter(|path| path.ends_with(".rs"))
        .flat_map(|path| wrong_in(root, path))
        .collect())
}

fn wrong_in(root: &Path, path: &str) -> Vec<String> {
    // A file that was removed but not yet committed is still listed.
    let Ok(text) = std::fs::read_to_string(root.join(path)) else { return Vec::new() };
    let mut wrong = Vec::new();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        wrong.push(format!("{path} has {lines} lines; split it (at most {LINES_MAX})"));
    }
    let entities =
        path.starts_with("crates/keyward-model/") || path.starts_with("crates/keyward-access/src/");
    if entities && text.contains("derive(") && text.contains("Serialize") && text.contains("serde::Serialize")
    {
        wrong.push(format!(
            "{path} makes an entity Serialize; forms that leave the process live in keyward-api"
        ));
    }
    let here = "xtask/src/files.rs";
    let test = path.contains("/tests") || path.contains("testkit");
    for (word, instead, everywhere) in [
        (concat!("#[", "ignore]"), "give the reason: ignore = \"…\"", true),
        (concat!("todo", "!("), "finish it", true),
        (concat!("thread::", "sleep("), "a test waits for the event itself", false),
        (concat!("time::", "sleep("), "a test waits for the event itself", false),
    ] {
        let found = text.lines().enumerate().filter(|(_, line)| line.contains(word) && (everywhere || test));
        for (index, _) in found.filter(|_| path != here) {
            wrong.push(format!("{path}:{}: `{word}`: {instead}", index + 1));
        }
    }
    wrong
}
