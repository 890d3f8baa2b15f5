//! What a person and a program get to read of a measurement.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;

/// A table with numbers at the right; the first `words` columns hold words.
pub(crate) fn table(header: &[&str], words: usize, rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(words) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Whether a goal was met; said in words.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) goal: String,
    pub(crate) seen: String,
    pub(crate) met: bool,
}

/// Prints each goal with what was seen. True when all were met.
pub(crate) fn print_verdicts(verdicts: &[Verdict]) -> bool {
    for Verdict { goal, seen, met } in verdicts {
        println!("{}  {goal}: {seen}", if *met { "MET   " } else { "MISSED" });
    }
    verdicts.iter().all(|verdict| verdict.met)
}

/// Writes everything that was measured.
pub(crate) fn write_json(path: &Path, report: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(report)?;
    fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    println!("all figures: {}", path.display());
    Ok(())
}
