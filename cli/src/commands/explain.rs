//! `wasmway explain`.

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{self, Format};

/// Say what the code of an error means, why it happens, and what to do
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway explain quota-exceeded\n  wasmway explain")]
pub(crate) struct Explain {
    /// The code, as an error shows it [default: list all of them]
    code: Option<String>,
}

/// The page of the book that has a section for each code.
const PAGE: &str = include_str!("../../../docs/reference/errors.md");

/// What the `type` of a problem document has before its code.
const TYPE_PREFIX: &str = "urn:wasmway:problem:";

/// Codes that are shown in place of one that is not known.
const NEAREST: usize = 3;

/// What the page says of one code.
struct Section {
    code: &'static str,
    text: &'static str,
}

impl Section {
    /// Its first line: status, and whose failure it is.
    fn kind(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default()
    }
}

pub(crate) fn run(arguments: &Explain, format: Format) -> Result<(), Failure> {
    let Some(given) = &arguments.code else { return list(format) };
    let code = given.strip_prefix(TYPE_PREFIX).unwrap_or(given);
    let section = sections().find(|section| section.code == code).ok_or_else(|| unknown(code))?;
    let text = without_links(section.text);
    match format {
        Format::Text => output::line(format_args!("{code}: {text}")),
        Format::Json => output::json(&json!({ "code": code, "explanation": text })),
    }
}

/// Whether there is something to say about a code; a server may know codes that this program does not.
pub(crate) fn knows(code: &str) -> bool {
    sections().any(|section| section.code == code)
}

fn list(format: Format) -> Result<(), Failure> {
    match format {
        Format::Text => {
            let rows = sections().map(|section| vec![section.code.to_owned(), section.kind().to_owned()]);
            output::table(&["CODE", "ANSWERED"], rows)
        }
        Format::Json => output::json(&sections().map(|section| section.code).collect::<Vec<_>>()),
    }
}

fn unknown(code: &str) -> Failure {
    let mut known: Vec<_> = sections().map(|section| section.code).collect();
    known.sort_by(|a, b| strsim::jaro_winkler(b, code).total_cmp(&strsim::jaro_winkler(a, code)));
    let nearest = known[..NEAREST.min(known.len())].join(", ");
    Failure::Usage(format!("there is no code {code:?}; the nearest are {nearest}, and `wasmway explain` lists all"))
}

/// The sections of the page, each of which begins with its code as a heading and ends at the next heading.
fn sections() -> impl Iterator<Item = Section> {
    PAGE.split("\n### `").skip(1).filter_map(|section| {
        let (code, text) = section.split_once("`\n")?;
        let text = text.split("\n## ").next().unwrap_or(text);
        Some(Section { code, text: text.trim() })
    })
}

/// The text of Markdown with each link as its words and the page that it leads to.
fn without_links(markdown: &str) -> String {
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, words, target, after)) = next_link(rest) {
        let page = target.strip_prefix("../").map_or_else(|| format!("reference/{target}"), str::to_owned);
        text.push_str(&format!("{before}{words} (docs/{page})"));
        rest = after;
    }
    text + rest
}

/// What stands before the first link, its words, its target, and what comes after it.
fn next_link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, link) = text.split_once('[')?;
    let (words, target) = link.split_once("](")?;
    let (target, after) = target.split_once(')')?;
    Some((before, words, target, after))
}
