//! The reference page of the command line, written from its definition.

use std::fmt::Write as _;

use clap::{Command, CommandFactory as _};

use super::Cli;

/// The page, in Markdown.
pub fn reference() -> String {
    let mut page = String::from(
        "# The command line\n\nWritten by `keyward reference` from the command's own definition; a test keeps it fresh.\n",
    );
    let mut root = Cli::command().term_width(100);
    root.build();
    write(&mut page, &mut root, 2);
    page
}

fn write(page: &mut String, command: &mut Command, level: usize) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ =
        write!(page, "\n{} `{name}`\n\n```text\n{}\n```\n", "#".repeat(level), help.join("\n").trim_end());
    let visible = |command: &&mut Command| !command.is_hide_set() && command.get_name() != "help";
    for inner in command.get_subcommands_mut().filter(visible) {
        write(page, inner, (level + 1).min(4));
    }
}
