//! The reference page of the command line, made from its definition.

use std::fmt::Write as _;

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use super::Cli;
use super::remote::NODE_OPTIONS;

/// The page, in Markdown.
pub fn reference() -> String {
    let mut root = Cli::command();
    root.build();
    let mut page = String::from(
        "# The command line\n\n<!-- Made from crates/keyward/src/cli by `make docs`. -->\n\n\
         The same words stand in `keyward COMMAND --help`.\n",
    );
    about(&mut page, &root);
    fenced(&mut page, root.get_after_long_help().map(ToString::to_string));
    contents(&mut page, &root);
    node_options(&mut page, &root);
    for command in root.get_subcommands().filter(is_visible) {
        write(&mut page, command, "keyward", 2);
    }
    page
}

fn is_visible(command: &&Command) -> bool {
    !command.is_hide_set() && command.get_name() != "help"
}

fn contents(page: &mut String, root: &Command) {
    page.push_str("\n| command | what it does |\n| --- | --- |\n");
    for command in root.get_subcommands().filter(is_visible) {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        let name = command.get_name();
        let _ = writeln!(page, "| [`{name}`](#keyward-{name}) | {} |", cell(&about));
    }
}

/// The options that nearly every command has are described once.
fn node_options(page: &mut String, root: &Command) {
    page.push_str(
        "\n## Options of every command that calls a node\n\n\
         Every command below but `serve`, `backup`, `restore`, `openapi` and `completion` has these.\n",
    );
    if let Some(command) = root.find_subcommand("export") {
        let mut options = command.get_arguments().filter(|argument| is_of_node(argument)).peekable();
        table(page, &mut options);
    }
}

fn write(page: &mut String, command: &Command, above: &str, level: usize) {
    let name = format!("{above} {}", command.get_name());
    let _ = writeln!(page, "\n{} `{name}`", "#".repeat(level));
    let aliases: Vec<String> = command.get_visible_aliases().map(|alias| format!("`{alias}`")).collect();
    about(page, command);
    if !aliases.is_empty() {
        let _ = writeln!(page, "\nAlso called {}.", aliases.join(", "));
    }
    if !command.has_subcommands() {
        let usage = command.clone().render_usage().to_string();
        fenced(page, Some(usage.trim_start_matches("Usage: ").to_owned()));
    }
    let own = |argument: &&Arg| !argument.is_hide_set() && !is_of_node(argument) && !is_help(argument);
    table(page, &mut command.get_arguments().filter(own).peekable());
    fenced(page, command.get_after_help().map(ToString::to_string));
    for inner in command.get_subcommands().filter(is_visible) {
        write(page, inner, &name, (level + 1).min(4));
    }
}

fn is_of_node(argument: &Arg) -> bool {
    argument.get_help_heading() == Some(NODE_OPTIONS)
}

fn is_help(argument: &Arg) -> bool {
    matches!(
        argument.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
    )
}

fn about(page: &mut String, command: &Command) {
    if let Some(about) = command.get_long_about().or(command.get_about()) {
        let about = about.to_string();
        let stop = if about.ends_with('.') { "" } else { "." };
        let _ = writeln!(page, "\n{about}{stop}");
    }
}

fn fenced(page: &mut String, text: Option<String>) {
    if let Some(text) = text {
        let _ = writeln!(page, "\n```text\n{}\n```", text.trim_end());
    }
}

fn table<'a>(page: &mut String, arguments: &mut std::iter::Peekable<impl Iterator<Item = &'a Arg>>) {
    if arguments.peek().is_some() {
        page.push_str("\n| argument | meaning |\n| --- | --- |\n");
    }
    for argument in arguments {
        let _ = writeln!(page, "| `{}` | {} |", cell(&written(argument)), cell(&meaning(argument)));
    }
}

/// `-o, --output <FORM>`, or `<NAME>` for what stands without an option.
fn written(argument: &Arg) -> String {
    let values: Vec<String> =
        argument.get_value_names().unwrap_or_default().iter().map(|name| format!("<{name}>")).collect();
    let values = if argument.get_action().takes_values() { values.join(" ") } else { String::new() };
    let dashed = [
        argument.get_short().map(|short| format!("-{short}")),
        argument.get_long().map(|long| format!("--{long}")),
    ];
    let names: Vec<String> = dashed.into_iter().flatten().collect();
    format!("{} {values}", names.join(", ")).trim().to_owned()
}

/// What it means, then what else is to be known, a sentence each.
fn meaning(argument: &Arg) -> String {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let mut sentences = vec![help.trim_end_matches('.').to_owned()];
    let values: Vec<String> = argument
        .get_possible_values()
        .iter()
        .filter(|_| argument.get_action().takes_values())
        .map(|value| format!("`{}`", value.get_name()))
        .collect();
    if !values.is_empty() {
        sentences.push(format!("One of {}", values.join(", ")));
    }
    if argument.is_required_set() {
        sentences.push("Required".to_owned());
    }
    if matches!(argument.get_action(), ArgAction::Append) && !help.contains("several times") {
        sentences.push("May be given several times".to_owned());
    }
    let defaults: Vec<String> =
        argument.get_default_values().iter().map(|value| format!("`{}`", value.to_string_lossy())).collect();
    if argument.get_action().takes_values() && !defaults.is_empty() {
        sentences.push(format!("Default: {}", defaults.join(", ")));
    }
    if let Some(variable) = argument.get_env() {
        sentences.push(format!("Also read from `{}`", variable.to_string_lossy()));
    }
    let aliases: Vec<String> = argument
        .get_visible_aliases()
        .unwrap_or_default()
        .iter()
        .map(|alias| format!("`--{alias}`"))
        .collect();
    if !aliases.is_empty() {
        sentences.push(format!("Also written {}", aliases.join(", ")));
    }
    format!("{}.", sentences.join(". "))
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}
