//! The book says what is so: every metric with its kind and meaning, every setting with its default, every operation of
//! the API, every code of a problem with its status.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Platform, binary};

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The cells of the rows of a page's tables whose first cell begins so, by that cell.
fn rows(page: &str, first: &str) -> BTreeMap<String, Vec<String>> {
    let page = fs::read_to_string(repository().join("docs").join(page)).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.strip_suffix(" |"));
    let rows = rows.filter(|row| row.starts_with(first)).filter_map(|row| row.split_once("` | "));
    rows.map(|(name, rest)| (name.to_owned(), rest.split(" | ").map(|cell| cell.trim().to_owned()).collect())).collect()
}

#[tokio::test]
async fn every_metric_is_in_the_documentation() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    platform.get("/hello/").await.expect(200);
    platform.get("/nothing/").await.expect(404);
    let text = platform.metrics().await.text().to_owned();
    let described = |kind: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(kind)?.split_once(' '));
        lines.map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
    };
    let (helps, kinds) = (described("# HELP "), described("# TYPE "));
    let mut documented = rows("operating.md", "wasmway_");
    documented.extend(rows("operating.md", "process_"));
    // Of a gateway, or with TLS, only.
    for name in
        ["wasmway_pending_functions", "wasmway_failing_functions", "wasmway_certificate_expiry_timestamp_seconds"]
    {
        assert!(documented.remove(name).is_some(), "{name}");
    }
    assert_eq!(documented.keys().collect::<Vec<_>>(), kinds.keys().collect::<Vec<_>>());
    for (name, cells) in documented {
        assert_eq!((&cells[0], &cells[3]), (&kinds[&name], &helps[&name]), "{name}");
        let unit = match name.trim_end_matches("_total") {
            name if name.ends_with("_seconds") => "seconds",
            name if name.ends_with("_bytes") => "bytes",
            name if name.ends_with("_ratio") => "0 to 1",
            _ => "",
        };
        assert_eq!(cells[1], unit, "{name}");
    }
    platform.control(Method::GET, "/livez").await.expect(200).expect_text("ok\n");
}

#[test]
fn every_setting_is_in_the_documentation() {
    let output = binary().args(["config", "show", "-o", "json"]).output().unwrap();
    let settings: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let documented = rows("operating.md", "--");
    let name = |setting: &Value| format!("--{}", setting["name"].as_str().unwrap());
    let mut names: Vec<_> = settings.iter().map(name).collect();
    names.sort_unstable();
    assert_eq!(documented.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
    for setting in &settings {
        let cells = &documented[&name(setting)];
        assert_eq!(setting["help"], cells[1].as_str(), "{setting}");
        // Another on each machine.
        if !matches!(setting["name"].as_str(), Some("data-dir" | "workers")) {
            let default = setting["value"].as_str().map_or_else(String::new, |value| format!("`{value}`"));
            assert_eq!(cells[0], default, "{setting}");
        }
    }
}

#[tokio::test]
async fn every_operation_of_the_api_is_in_the_documentation() {
    let platform = Platform::start().await;
    let description = platform.control(Method::GET, "/openapi.json").await.expect(200).json();
    let mut operations = BTreeMap::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let name = format!("{} {path}", method.to_uppercase());
            operations.insert(name, vec![operation["summary"].as_str().unwrap().to_owned()]);
        }
    }
    assert_eq!(rows("reference/api.md", ""), operations);
}

/// The codes of problems in a source, with the names of their statuses where they stand beside them: a code stands
/// behind a status, or before a title.
fn codes(source: &str) -> Vec<(&str, Option<&str>)> {
    let is_code = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let mut found = Vec::new();
    for (quote, _) in source.match_indices('"') {
        let Some((code, after)) = source[quote + 1..].split_once('"').filter(|(code, _)| is_code(code)) else {
            continue;
        };
        let before = source[..quote].trim_end().strip_suffix(',').and_then(|before| before.rsplit_once("StatusCode::"));
        let status =
            before.map(|(_, name)| name).filter(|name| name.bytes().all(|it| it.is_ascii_uppercase() || it == b'_'));
        let title = after.strip_prefix(',').and_then(|after| after.trim_start().strip_prefix('"'));
        let has_title = title.is_some_and(|title| title.starts_with(|first: char| first.is_ascii_uppercase()));
        if status.is_some() || (has_title && code.contains('-')) {
            found.push((code, status));
        }
    }
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

#[test]
fn every_code_has_a_section_and_every_section_a_code() {
    let page = fs::read_to_string(repository().join("docs/reference/errors.md")).unwrap();
    let mut sections = BTreeMap::new();
    for section in page.split("\n### `").skip(1) {
        let (code, text) = section.split_once("`\n\n").unwrap();
        let text = text.split("\n## ").next().unwrap().trim();
        assert!(text.split("\n\n").count() >= 3, "{code} lacks its status, why it happens, or what to do: {text}");
        // 502 Bad Gateway, of the function. -> BAD_GATEWAY
        sections.insert(code, text[4..].split(',').next().unwrap().to_uppercase().replace(' ', "_"));
    }

    let mut paths = sources(&repository().join("gateway/src"));
    paths.push(repository().join("scheduler/src/component.rs"));
    let texts: Vec<_> = paths.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let found: Vec<_> = texts.iter().flat_map(|text| codes(text)).collect();
    let names: BTreeSet<&str> = found.iter().map(|(code, _)| *code).collect();
    assert!(names.len() > 40, "the codes are found: {names:?}");
    assert_eq!(sections.keys().copied().collect::<BTreeSet<_>>(), names);
    for (code, status) in found {
        assert!(status.is_none_or(|status| status == sections[code]), "{code} is answered {status:?}");
    }

    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let rows = readme.lines().filter(|line| line.starts_with("| 4") || line.starts_with("| 5"));
    let in_readme: BTreeSet<_> =
        rows.flat_map(|row| row.split('|').nth(2).unwrap().split('`').skip(1).step_by(2)).collect();
    assert!(!in_readme.is_empty() && in_readme.is_subset(&names), "{:?}", in_readme.difference(&names));
}

#[test]
fn codes_are_found_wherever_they_stand() {
    let source = r#"
        Problem::platform(
            StatusCode::NOT_FOUND,
            "not-here",
            "Not here",
            detail)
        let (status, code) = (StatusCode::CONFLICT, "timeout");
        Some("drain") => ("going-away", "Going away"),
        ("cpu", "CPU time") text.contains('"') header("x-request-id", "value")
    "#;
    let found = [("not-here", Some("NOT_FOUND")), ("timeout", Some("CONFLICT")), ("going-away", None)];
    assert_eq!(codes(source), found);
}
