//! Repository tasks that need no installed tool: `cargo xtask tidy`.
#![expect(clippy::print_stderr, reason = "a command-line tool speaks to its caller")]

mod arrows;
mod dependencies;
mod files;

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy(),
        _ => {
            eprintln!("usage: cargo xtask tidy");
            ExitCode::from(2)
        }
    }
}

/// Checks what the compiler cannot: the arrows between crates, the list of dependencies, the files.
fn tidy() -> ExitCode {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let checks: [fn(&std::path::Path) -> Result<Vec<String>, String>; 3] =
        [arrows::check, dependencies::check, files::check];
    let mut wrong = Vec::new();
    for check in checks {
        match check(&root) {
            Ok(found) => wrong.extend(found),
            Err(error) => wrong.push(error),
        }
    }
    for line in &wrong {
        eprintln!("tidy: {line}");
    }
    if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
