//! The book's page about the manifest says what is so.

use std::collections::BTreeMap;

use serde_json::Value;
use wasmway_registry::manifest::Manifest;

fn refusal(toml: &str) -> String {
    Manifest::from_toml(toml).unwrap_err().to_string()
}

/// The rows of the table of keys in the book, by key: type, range, default.
fn documented_keys() -> BTreeMap<&'static str, Vec<&'static str>> {
    let page = include_str!("../../../docs/reference/manifest.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    rows.map(|(key, cells)| (key, cells.split('|').map(str::trim).collect())).collect()
}

/// The keys of a manifest as it is written out, those of tables behind a dot.
fn keys(table: &Value, prefix: &str) -> Vec<String> {
    let entries = table.as_object().into_iter().flatten();
    let below = |(key, value): (&String, &Value)| {
        let key = format!("{prefix}{key}");
        match value {
            // Its keys are the function's own.
            _ if key == "env" => vec![key],
            Value::Object(_) => keys(value, &format!("{key}.")),
            Value::Array(list) if list.first().is_some_and(Value::is_object) => {
                let below = keys(&list[0], &format!("{key}."));
                [vec![key], below].concat()
            }
            _ => vec![key],
        }
    };
    entries.flat_map(below).collect()
}

#[test]
fn the_book_has_every_key() {
    // Lists of tables show their keys when there is one.
    let written = serde_json::to_value(Manifest::from_toml("[[routes]]").unwrap()).unwrap();
    let mut keys = keys(&written, "");
    keys.sort();
    assert_eq!(documented_keys().into_keys().collect::<Vec<_>>(), keys);
}

#[test]
fn the_book_has_the_range_and_the_default_of_every_limit() {
    let defaults = serde_json::to_value(Manifest::default()).unwrap();
    for (key, cells) in documented_keys().into_iter().filter(|(key, _)| key.starts_with("limits.")) {
        let [kind, range, default, ..] = cells[..] else { panic!("{key}: {cells:?}") };
        let is = &defaults["limits"][key.trim_start_matches("limits.")];
        assert_eq!(is.as_str().map_or_else(|| is.to_string(), str::to_owned), default, "{key}");
        let (least, most) = range.split_once(" to ").unwrap();
        let (below, above) = match kind {
            "size" => ("0B", "999TiB"),
            "time" => ("0s", "999h"),
            _ => ("0", "4000000000"),
        };
        let with = |value: &str| match kind {
            "number" => format!("{key} = {value}"),
            _ => format!("{key} = {value:?}"),
        };
        for value in [least, most] {
            assert!(Manifest::from_toml(&with(value)).is_ok(), "{key}: {value}");
        }
        assert!(refusal(&with(above)).contains(&format!("({most})")), "{key}");
        // Of a range that begins at nothing, nothing lies below.
        if least != below {
            assert!(refusal(&with(below)).contains(&format!("({least})")), "{key}");
        }
    }
}
