//! `docs/cli.md` is what the command's own definition says. `KEYWARD_BLESS=1` writes it anew.

#![allow(missing_docs, reason = "tests")]

use std::path::PathBuf;

#[test]
fn the_page_of_the_command_line_is_fresh() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md");
    let expected = keyward::cli::reference();
    if std::env::var_os("KEYWARD_BLESS").is_some() {
        std::fs::write(&path, &expected).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == expected,
        "docs/cli.md is not what the command says; run this test with KEYWARD_BLESS=1 and commit it"
    );
}
