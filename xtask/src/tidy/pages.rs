//! The pages of the book: each is in its table of contents, and every link between pages leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use super::{Finding, read};
use crate::layout::files;

/// What leads through the book, in its folder.
const CONTENTS: &str = "SUMMARY.md";

/// Checks the pages in `docs/` of the repository at `root`, and the links of its README.
///
/// # Errors
/// When a page cannot be read.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let docs = root.join("docs");
    let is_page = |path: &PathBuf| path.extension().is_some_and(|it| it == "md");
    let pages: Vec<PathBuf> = files(&docs)?.into_iter().filter(is_page).collect();
    let mut findings = missing_in_contents(&docs, &pages)?;
    for path in pages.iter().chain([&root.join("README.md")]) {
        findings.extend(broken_links(path, &read(path)?)?);
    }
    Ok(findings)
}

/// Pages that the table of contents does not lead to.
fn missing_in_contents(docs: &Path, pages: &[PathBuf]) -> Result<Vec<Finding>> {
    let contents = docs.join(CONTENTS);
    let text = read(&contents)?;
    let listed: BTreeSet<PathBuf> = links(&text).map(|link| docs.join(link.target)).collect();
    let missing = pages.iter().filter(|page| **page != contents && !listed.contains(*page));
    Ok(missing.map(|page| Finding::new(page, 0, format!("docs/{CONTENTS} does not lead to this page"))).collect())
}

/// Links to files and headings that are not there.
fn broken_links(page: &Path, text: &str) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let mut known = BTreeMap::new();
    for Link { target, line } in links(text) {
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let file = if path.is_empty() { page.to_owned() } else { joined(page, path) };
        if !file.exists() {
            findings.push(Finding::new(page, line, format!("the link {target} leads to no file")));
        } else if !anchor.is_empty() && file.extension().is_some_and(|it| it == "md") {
            if !known.contains_key(&file) {
                known.insert(file.clone(), anchors(&read(&file)?));
            }
            if !known[&file].contains(anchor) {
                findings.push(Finding::new(page, line, format!("the link {target} leads to no heading")));
            }
        }
    }
    Ok(findings)
}

/// The file that a relative link of a page leads to, without the steps up.
fn joined(page: &Path, link: &str) -> PathBuf {
    let mut file = page.parent().unwrap_or(page).to_owned();
    for step in Path::new(link).components() {
        match step {
            Component::ParentDir => drop(file.pop()),
            Component::CurDir => {}
            other => file.push(other),
        }
    }
    file
}

/// A link or picture inside the repository.
struct Link {
    target: String,
    /// Counted from 1.
    line: usize,
}

fn links(text: &str) -> impl Iterator<Item = Link> {
    Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter().filter_map(|(event, place)| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) if is_relative(&dest_url) => {
            let line = text[..place.start].matches('\n').count() + 1;
            Some(Link { target: dest_url.into_string(), line })
        }
        _ => None,
    })
}

fn is_relative(target: &str) -> bool {
    !target.contains("://") && !target.starts_with("mailto:")
}

/// The anchors of the headings, as mdBook and GitHub make them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(words) | Event::Code(words) => heading.iter_mut().for_each(|heading| heading.push_str(&words)),
            Event::End(TagEnd::Heading(_)) => {
                let anchor = anchor(&heading.take().unwrap_or_default());
                let times = (1..).map(|time| format!("{anchor}-{time}"));
                // Of two headings with the same words the second has a number behind it.
                let free = std::iter::once(anchor.clone()).chain(times).find(|anchor| !anchors.contains(anchor));
                anchors.extend(free);
            }
            _ => {}
        }
    }
    anchors
}

/// What a heading is called in links.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn found(pages: &[(&str, &str)]) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("docs/how-to")).unwrap();
        for (name, text) in pages {
            fs::write(root.path().join(name), text).unwrap();
        }
        let line = |it: Finding| {
            let path = it.path.strip_prefix(root.path()).unwrap().display();
            format!("{path}:{}: {}", it.line, it.message)
        };
        check(root.path()).unwrap().into_iter().map(line).collect()
    }

    #[test]
    fn a_book_in_order_is_left_alone() {
        let page = "# A page\n\n## `cpu-limit`, and more\n[here](#a-page) [up](../b.md) [out](https://example.com/x)\n\
                    ```sh\n[no](link.md)\n```\n";
        let pages = [
            ("README.md", "[book](docs/how-to/a.md#cpu-limit-and-more) [folder](docs)"),
            ("docs/SUMMARY.md", "- [A](how-to/a.md)\n- [B](b.md)"),
            ("docs/how-to/a.md", page),
            ("docs/b.md", "# B\n## Twice\n## Twice\n[second](#twice-1)"),
        ];
        assert!(found(&pages).is_empty(), "{:?}", found(&pages));
    }

    #[test]
    fn what_leads_nowhere_is_found_with_its_line() {
        let pages = [
            ("README.md", "[gone](docs/gone.md)"),
            ("docs/SUMMARY.md", ""),
            ("docs/how-to/a.md", "# A\n\n| x |\n|---|\n| [b](#b) |\n"),
        ];
        let expected = [
            "docs/how-to/a.md:0: docs/SUMMARY.md does not lead to this page",
            "docs/how-to/a.md:5: the link #b leads to no heading",
            "README.md:1: the link docs/gone.md leads to no file",
        ];
        assert_eq!(found(&pages), expected);
    }
}
