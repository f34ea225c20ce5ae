//! What commands print: tables for people, JSON and YAML for scripts.

use std::io::{self, IsTerminal as _, Write as _};

use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::{Failure, Outcome};

/// In what form a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Table,
    /// For scripts: what the admin API answered.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Writes to standard output. A reader that has gone away is no failure.
pub(crate) fn print(text: &str) -> Outcome {
    let mut out = io::stdout().lock();
    let newline = if text.ends_with('\n') || text.is_empty() { "" } else { "\n" };
    match write!(out, "{text}{newline}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a line to standard error. There is nowhere to say that this failed.
pub(crate) fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes an error to standard error.
pub(crate) fn complain(text: &str) {
    note(&format!("keyward: {text}"));
}

/// Writes a value in this form; `table` makes the one for people.
pub(crate) fn show<T: Serialize>(format: Format, value: &T, table: impl FnOnce(&T) -> String) -> Outcome {
    let text = match format {
        Format::Table => table(value),
        Format::Json => serde_json::to_string_pretty(value).map_err(Failure::new)?,
        Format::Yaml => serde_saphyr::to_string(value).map_err(Failure::new)?,
    };
    print(&text)
}

/// A table with these headings. On a terminal it is fitted to its width.
pub(crate) fn table<const N: usize>(
    headings: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headings.map(str::to_uppercase));
    if io::stdout().is_terminal() {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    for row in rows {
        table.add_row(row);
    }
    trimmed(&table)
}

/// Lines without the blanks that a table without borders leaves at their ends.
fn trimmed(table: &Table) -> String {
    let lines = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// An object as a list of its fields: the same as YAML, which people read well.
pub(crate) fn fields<T: Serialize>(value: &T) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}

/// The same without some of its fields.
pub(crate) fn fields_but<T: Serialize>(value: &T, left_out: &[&str]) -> String {
    let text = fields(value);
    let mut keep = true;
    let kept = text.lines().filter(|line| {
        // What does not begin a field belongs to the one above.
        if !line.starts_with([' ', '-']) {
            keep = !line.split_once(':').is_some_and(|(name, _)| left_out.contains(&name));
        }
        keep
    });
    kept.collect::<Vec<_>>().join("\n")
}

/// `yes` or `no`.
pub(crate) fn yes(flag: bool) -> String {
    if flag { "yes" } else { "no" }.to_owned()
}

/// What a list shows where there is nothing.
pub(crate) fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}
