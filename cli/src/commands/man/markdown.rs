//! All commands as one page of the book.

use std::fmt::Write;

use clap::{Arg, Command};

/// The heading of the server's settings, which have a table of their own in the book.
const SETTINGS: &str = "Settings";

/// The page about `root`, with a section for each command.
pub(super) fn page(mut root: Command) -> String {
    root.build();
    let mut page = String::from(
        "# Commands\n\nMade by `wasmway man docs/reference --markdown` from what `wasmway --help` says.\n\n## Options of every command\n",
    );
    write_table(&mut page, "option", root.get_arguments().filter(|argument| argument.is_global_set()));
    write_commands(&mut page, &root);
    page
}

fn write_commands(page: &mut String, parent: &Command) {
    for command in parent.get_subcommands().filter(|it| !it.is_hide_set() && it.get_name() != "help") {
        write_command(page, command);
        write_commands(page, command);
    }
}

fn write_command(page: &mut String, command: &Command) {
    let mut named = command.clone();
    let usage = named.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").trim();
    let about = command.get_long_about().or(command.get_about()).map(ToString::to_string).unwrap_or_default();
    let _ = write!(page, "\n## {}\n\n{}\n\n```text\n{usage}\n```\n", command.get_bin_name().unwrap_or_default(), about);
    let own = |argument: &&Arg| {
        let is_shared = argument.is_global_set() || argument.get_help_heading() == Some(SETTINGS);
        !is_shared && !argument.is_hide_set() && !matches!(argument.get_id().as_str(), "help" | "version")
    };
    for (kind, is_positional) in [("argument", true), ("option", false)] {
        write_table(page, kind, command.get_arguments().filter(own).filter(|it| it.is_positional() == is_positional));
    }
    if command.get_arguments().any(|argument| argument.get_help_heading() == Some(SETTINGS)) {
        page.push_str("\nIt also takes the [settings of a server](../operating.md#settings).\n");
    }
    if let Some((_, example)) =
        command.get_after_help().map(ToString::to_string).as_deref().and_then(|it| it.split_once('\n'))
    {
        let lines: Vec<_> = example.lines().map(str::trim_start).collect();
        let _ = write!(page, "\n```sh\n{}\n```\n", lines.join("\n"));
    }
}

/// A row for each argument; nothing where there is none.
fn write_table<'a>(page: &mut String, kind: &str, arguments: impl Iterator<Item = &'a Arg>) {
    let rows: Vec<_> = arguments.map(row).collect();
    if !rows.is_empty() {
        let _ = write!(page, "\n| {kind} | default | meaning |\n|---|---|---|\n{}", rows.concat());
    }
}

fn row(argument: &Arg) -> String {
    let mut name = argument.to_string();
    if let Some(short) = argument.get_short() {
        name = format!("-{short}, {name}");
    }
    let takes_values = argument.get_action().takes_values() && !argument.is_hide_default_value_set();
    let defaults = argument.get_default_values().iter().filter(|_| takes_values);
    let default: String = defaults.map(|value| format!("`{}`", value.to_string_lossy())).collect();
    let mut meaning = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
    let values: Vec<_> = argument.get_possible_values().iter().map(|value| format!("`{}`", value.get_name())).collect();
    if takes_values && !values.is_empty() {
        let _ = write!(meaning, " (one of {})", values.join(", "));
    }
    if let Some(variable) = argument.get_env() {
        let _ = write!(meaning, " (`{}`)", variable.to_string_lossy());
    }
    format!("| `{}` | {default} | {} |\n", cell(&name), cell(meaning.trim()))
}

/// A text in the cell of a table.
fn cell(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}
