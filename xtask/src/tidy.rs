//! Habits of this repository that neither compiler nor clippy check.

mod dependencies;
mod names;
mod pages;
mod sources;
mod untested;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::command::step;
use crate::guests;
use crate::layout::{Layout, files};

/// A place that does not keep to a habit.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: PathBuf,
    /// Counted from 1; 0 when it is about the whole file.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

/// Checks the whole repository.
///
/// # Errors
/// When something was found; each place is printed before.
pub(crate) fn check(layout: &Layout) -> Result<()> {
    step("tidy");
    let findings = findings(layout)?;
    for Finding { path, line, message } in &findings {
        let path = path.strip_prefix(&layout.root).unwrap_or(path).display();
        match line {
            0 => println!("{path}: {message}"),
            line => println!("{path}:{line}: {message}"),
        }
    }
    if !findings.is_empty() {
        bail!("{} places to tidy, listed above", findings.len());
    }
    println!("    nothing to tidy");
    Ok(())
}

fn findings(layout: &Layout) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for path in files(&layout.root)? {
        let inside = path.strip_prefix(&layout.root).unwrap_or(&path);
        if path.extension().is_some_and(|it| it == "rs") {
            let text = read(&path)?;
            findings.extend(names::check_path(inside));
            findings.extend(sources::check(inside, &text)?);
        }
    }
    for rule in dependencies::RULES {
        let manifest = layout.root.join(rule.folder).join("Cargo.toml");
        findings.extend(dependencies::check(rule, &manifest, &read(&manifest)?)?);
    }
    findings.extend(pages::check(&layout.root)?);
    let names: Vec<_> = guests::all(layout)?.into_iter().map(|guest| guest.name).collect();
    findings.extend(untested::check(&layout.guests(), &names, &integration_tests(layout)?)?);
    Ok(findings)
}

/// The text of every test that can run guests.
fn integration_tests(layout: &Layout) -> Result<Vec<String>> {
    let mut texts = Vec::new();
    for folder in ["cli/tests", "gateway/tests", "scheduler/tests"] {
        let folder = layout.root.join(folder);
        if folder.is_dir() {
            for path in files(&folder)? {
                if path.extension().is_some_and(|it| it == "rs") {
                    texts.push(read(&path)?);
                }
            }
        }
    }
    Ok(texts)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))
}
