//! What commands print on standard output.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use clap::ValueEnum;
use comfy_table::{Table, presets};
use indicatif::{HumanBytes, HumanDuration};
use jiff::Timestamp;
use serde::Serialize;

use crate::failure::Failure;

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Text,
    /// The control API's own answer.
    Json,
}

/// Prints one line.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    writeln!(io::stdout().lock(), "{text}").map_err(not_written)
}

/// Prints a JSON document, indented.
pub(crate) fn json(document: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(document).map_err(anyhow::Error::new)?;
    line(text)
}

/// Prints bytes as they are, at once.
pub(crate) fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(not_written)
}

/// Prints columns under their headers.
pub(crate) fn table(headers: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Result<(), Failure> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(headers).add_rows(rows);
    line(without_padding(&mut table))
}

/// Prints a name and a value a line.
pub(crate) fn fields(fields: impl IntoIterator<Item = (&'static str, String)>) -> Result<(), Failure> {
    line(rows(fields))
}

/// A name and a value a line.
pub(crate) fn rows(fields: impl IntoIterator<Item = (impl Into<String>, String)>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(fields.into_iter().map(|(name, value)| vec![name.into(), value]));
    without_padding(&mut table)
}

fn without_padding(table: &mut Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A size in binary units, `2.61 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    HumanBytes(bytes).to_string()
}

/// A length of time in the unit that suits it, `1.25ms`.
pub(crate) fn time(us: u64) -> String {
    if us == 0 { "0".to_owned() } else { format!("{:.2?}", Duration::from_micros(us)) }
}

/// How long ago that was, `3 minutes ago`.
pub(crate) fn ago(time: Timestamp) -> String {
    // A server whose clock is ahead makes a negative age; that is "now" as well.
    let age = Duration::try_from(Timestamp::now().duration_since(time)).unwrap_or_default();
    if age < Duration::from_secs(1) {
        return "now".to_owned();
    }
    format!("{} ago", HumanDuration(age))
}

fn not_written(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        Failure::OutputClosed
    } else {
        Failure::Other(anyhow::Error::new(error).context("cannot write to standard output"))
    }
}
