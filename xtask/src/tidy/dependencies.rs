//! Which crate may know which library: the layers of the architecture.

use std::path::Path;

use anyhow::{Context as _, Result};

use super::Finding;

/// What the crate in a folder must not depend on.
pub(super) struct Rule {
    pub(super) folder: &'static str,
    /// First words of crates' names: `wasmtime` also means `wasmtime-wasi`.
    families: &'static [&'static str],
    because: &'static str,
}

pub(super) const RULES: &[Rule] = &[
    Rule {
        folder: "cli",
        families: &["wasmtime", "sqlx"],
        because: "the command line speaks HTTP to the control plane",
    },
    Rule { folder: "gateway", families: &["sqlx"], because: "SQL belongs to the registry" },
    Rule {
        folder: "registry",
        families: &["wasmtime", "axum"],
        because: "the registry neither runs functions nor serves them",
    },
    Rule {
        folder: "scheduler",
        families: &["sqlx", "axum"],
        because: "the scheduler runs functions and knows nothing of where they come from",
    },
    Rule {
        folder: "bench",
        families: &["wasmway", "wasmtime", "sqlx", "axum"],
        because: "benchmarks drive servers from outside, over HTTP",
    },
];

/// Looks through every section of the manifest that brings a dependency into the product.
pub(super) fn check(rule: &Rule, path: &Path, text: &str) -> Result<Vec<Finding>> {
    let manifest: toml::Table = text.parse().with_context(|| format!("reading {}", path.display()))?;
    let mut sections = vec![&manifest];
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        sections.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let dependencies = sections.iter().flat_map(|section| {
        ["dependencies", "build-dependencies"].into_iter().filter_map(|kind| section.get(kind)?.as_table())
    });
    Ok(dependencies
        .flatten()
        .map(|(key, value)| crate_name(key, value))
        .filter(|name| rule.families.iter().any(|family| is_of(name, family)))
        .map(|name| Finding::new(path, 0, format!("may not depend on {name}: {}", rule.because)))
        .collect())
}

/// The crate behind a key of a dependency table, which may rename it.
fn crate_name<'a>(key: &'a str, value: &'a toml::Value) -> &'a str {
    value.get("package").and_then(toml::Value::as_str).unwrap_or(key)
}

fn is_of(name: &str, family: &str) -> bool {
    name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Rule = Rule { folder: "x", families: &["wasmtime"], because: "of a reason" };

    fn findings(manifest: &str) -> Vec<String> {
        let found = check(&RULE, Path::new("Cargo.toml"), manifest).unwrap();
        found.into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_forbidden_crate_is_found_in_every_form() {
        for manifest in [
            "[dependencies]\nwasmtime.workspace = true",
            "[dependencies]\nwasmtime-wasi = \"48\"",
            "[build-dependencies]\nwasmtime = \"48\"",
            "[target.'cfg(unix)'.dependencies]\nwasmtime = \"48\"",
            "[dependencies]\nengine = { package = \"wasmtime\", version = \"48\" }",
        ] {
            assert_eq!(findings(manifest).len(), 1, "{manifest}");
        }
    }

    #[test]
    fn other_crates_are_allowed() {
        assert!(findings("[dependencies]\nwasmtimer = \"1\"\nwasmparser = \"1\"").is_empty());
        assert!(findings("[dev-dependencies]\nwasmtime = \"48\"").is_empty());
    }
}
