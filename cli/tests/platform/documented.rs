//! docs/operating.md says what is so: every metric with its kind and meaning, every setting with its default.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Platform, binary};

/// The cells of the rows of a table whose first cell begins so, by that cell.
fn rows(first: &str) -> BTreeMap<String, Vec<String>> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operating.md")).unwrap();
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
    let mut documented = rows("wasmway_");
    documented.extend(rows("process_"));
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
    let documented = rows("--");
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
