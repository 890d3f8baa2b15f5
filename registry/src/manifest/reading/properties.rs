//! What holds for every text that is given for a manifest.

use proptest::prelude::*;

use super::Manifest;

/// Values of every kind, right for some field and wrong for most.
const VALUES: &[&str] = &[
    "\"64MiB\"",
    "\"50ms\"",
    "\"99999999h\"",
    "\"\"",
    "\"a\\u0000\"",
    "\"é\"",
    "\"https://a.example\"",
    "\"/api\"",
    "true",
    "0",
    "-1",
    "100",
    "99999999999999999999",
    "1.5",
    "nan",
    "1979-05-27",
    "[]",
    "[\"https://*.a.example\"]",
    "[1, \"x\"]",
    "{}",
    "{ path = \"/a\" }",
    "[{ host = \"a b\" }]",
    "",
    "\"",
    "[[",
    "\\",
];
const KEYS: &[&str] = &[
    "name",
    "debug",
    "preview",
    "server_timing",
    "memory",
    "cpu",
    "timeout",
    "cpu_weight",
    "concurrency",
    "instances",
    "reuse",
    "request_body",
    "response_body",
    "allow",
    "host",
    "path",
    "command",
    "component",
    "env",
    "limits",
    "outbound",
    "routes",
    "build",
    "\"\"",
    "\"a.b\"",
    "a.b",
    "limits.memory",
    "x",
];
const TABLES: &[&str] = &[
    "[limits]",
    "[env]",
    "[outbound]",
    "[build]",
    "[[routes]]",
    "[routes]",
    "[[limits]]",
    "[a.b]",
    "[]",
    "# [limits]",
];

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => (prop::sample::select(KEYS), prop::sample::select(VALUES)).prop_map(|(key, value)| format!("{key} = {value}")),
        2 => prop::sample::select(TABLES).prop_map(str::to_owned),
        1 => "[ -~\\n]{0,20}",
    ]
}

/// A text is taken and is in order, or is refused with the field or the line at fault.
fn check(text: &str) -> Result<(), TestCaseError> {
    match Manifest::from_toml(text) {
        Ok(manifest) => {
            prop_assert_eq!(manifest.check(), Ok(()));
            let written = serde_json::to_string(&manifest).unwrap();
            prop_assert_eq!(serde_json::from_str::<Manifest>(&written).unwrap(), manifest);
        }
        Err(error) => {
            let message = error.to_string();
            prop_assert!(
                error.field().is_some_and(|field| !field.is_empty()) || message.contains("(line "),
                "{message}"
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_text_is_taken_or_told_where_it_is_wrong(text in "\\PC{0,200}") {
        check(&text)?;
    }

    #[test]
    fn so_is_every_text_that_looks_like_a_manifest(lines in prop::collection::vec(line(), 0..12)) {
        check(&lines.join("\n"))?;
    }
}
