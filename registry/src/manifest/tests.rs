use std::fmt::Write as _;
use std::time::Duration;

use super::*;
use crate::manifest::{ByteSize, RouteRule};

const FULL: &str = r#"
name = "hello"
debug = true
server_timing = true
[build]
command = "cargo build --release --target wasm32-wasip2"
component = "target/wasm32-wasip2/release/hello.wasm"
[limits]
memory = "64MiB"
cpu = "50ms"
timeout = "1m30s"
cpu_weight = 200
concurrency = 100
request_body = "16MiB"
response_body = "64MiB"
[env]
GREETING = "hi"
[outbound]
allow = ["https://api.example.com", "https://*.example.org:8443"]
[[routes]]
host = "Example.com"
path = "/api/"
[[routes]]
path = "/shop"
"#;

/// The error that `toml` gets: its field and its whole text.
fn refusal(toml: &str) -> (Option<String>, String) {
    let error = Manifest::from_toml(toml).unwrap_err();
    (error.field().map(str::to_owned), error.to_string())
}

#[test]
fn an_empty_manifest_has_the_defaults() {
    let manifest = Manifest::from_toml("").unwrap();
    assert_eq!(manifest, Manifest::default());
    assert_eq!(manifest.limits.memory, ByteSize::mib(128));
    assert_eq!(manifest.limits.cpu, Duration::from_secs(1));
    assert_eq!(manifest.limits.timeout, Duration::from_secs(30));
    assert_eq!(manifest.limits.concurrency, 256);
    assert!(manifest.outbound.allow.is_empty() && !manifest.debug);
}

#[test]
fn a_full_manifest_is_read() {
    let manifest = Manifest::from_toml(FULL).unwrap();
    assert_eq!(manifest.name.as_ref().unwrap().as_str(), "hello");
    assert_eq!(manifest.limits.memory, ByteSize::mib(64));
    assert_eq!(manifest.limits.cpu, Duration::from_millis(50));
    assert_eq!(manifest.limits.timeout, Duration::from_secs(90));
    assert_eq!(manifest.env["GREETING"], "hi");
    assert_eq!(manifest.outbound.allow.len(), 2);
    assert_eq!(manifest.routes[0], RouteRule::new(Some("example.com"), "/api").unwrap());
    assert_eq!(manifest.routes[1].host(), None);
    assert!(manifest.debug && manifest.server_timing);
    assert_eq!(manifest.limits.cpu_weight, 200);
}

#[test]
fn json_has_the_human_forms_and_reads_back() {
    let manifest = Manifest::from_toml(FULL).unwrap();
    let json = serde_json::to_value(&manifest).unwrap();
    assert_eq!(json["limits"]["memory"], "64MiB");
    assert_eq!(json["limits"]["cpu"], "50ms");
    assert_eq!(json["limits"]["timeout"], "1m30s");
    assert_eq!(json["outbound"]["allow"][1], "https://*.example.org:8443");
    assert_eq!(serde_json::from_value::<Manifest>(json).unwrap(), manifest);
}

#[test]
fn json_of_a_newer_version_is_read_around_what_is_unknown() {
    let json = r#"{"limits":{"memory":"64GiB","gpu":"1"},"traffic":{},"routes":[{"host":null,"path":"/a","x":1}]}"#;
    let manifest: Manifest = serde_json::from_str(json).unwrap();
    assert_eq!(manifest.limits.memory, ByteSize::gib(64));
    assert_eq!(manifest.routes[0].path(), "/a");
    assert_eq!(manifest.limits.concurrency, 256);
}

#[test]
fn a_value_out_of_range_is_refused_with_field_limit_and_fix() {
    for (toml, message) in [
        (
            "[limits]\nmemory = \"9GiB\"",
            "limits.memory: \"9GiB\" is over the largest memory a function may ask for (4GiB); lower it",
        ),
        (
            "[limits]\nmemory = \"64KiB\"",
            "limits.memory: \"64KiB\" is under the smallest memory a function may ask for (1MiB); raise it",
        ),
        (
            "[limits]\ncpu = \"6m\"",
            "limits.cpu: \"6m\" is over the largest CPU time a request may ask for (5m); lower it",
        ),
        (
            "[limits]\ntimeout = \"10us\"",
            "limits.timeout: \"10us\" is under the smallest wall-clock time a request may ask for (1ms); raise it",
        ),
        (
            "[limits]\ncpu_weight = 0",
            "limits.cpu_weight: 0 is under the smallest weight a function may ask for (1); raise it",
        ),
        (
            "[limits]\nconcurrency = 0",
            "limits.concurrency: 0 is under the smallest number of requests at once a function may ask for (1); raise it",
        ),
        (
            "[instances]\nreuse = 0",
            "instances.reuse: 0 is under the smallest number of requests for one instance a function may ask for (1); raise it",
        ),
        (
            "[limits]\nresponse_body = \"17GiB\"",
            "limits.response_body: \"17GiB\" is over the largest body an answer may ask for (16GiB); lower it",
        ),
    ] {
        let (field, text) = refusal(toml);
        assert_eq!(text, message);
        assert_eq!(field.as_deref(), message.split(':').next());
    }
}

#[test]
fn an_unknown_field_is_refused_with_the_fields_there_are() {
    for (toml, message) in [
        (
            "[limits]\nmemroy = \"64MiB\"",
            "limits.memroy: there is no such field; remove it, or use one of \
             concurrency, cpu, cpu_weight, memory, request_body, response_body, timeout",
        ),
        (
            "naem = \"x\"",
            "naem: there is no such field; remove it, or use one of \
             build, debug, env, instances, limits, name, outbound, preview, routes, server_timing",
        ),
        (
            "\"\" = 1",
            "\"\": there is no such field; remove it, or use one of \
             build, debug, env, instances, limits, name, outbound, preview, routes, server_timing",
        ),
        ("[build]\n\"a.b\" = 1", "build.\"a.b\": there is no such field; remove it, or use one of command, component"),
        (
            "[[routes]]\npath = \"/a\"\n[[routes]]\npath = \"/b\"\nhots = \"x\"",
            "routes[1].hots: there is no such field; remove it, or use one of host, path",
        ),
    ] {
        assert_eq!(refusal(toml).1, message);
    }
}

#[test]
fn a_value_of_the_wrong_form_is_refused_with_field_line_and_form() {
    for (toml, field, parts) in [
        ("[limits]\n\nmemory = 64", "limits.memory", ["(line 3)", "in quotes"]),
        ("[limits]\nmemory = \"64\"", "limits.memory", ["\"64\" is not a size", "\"64MiB\""]),
        ("[limits]\ncpu = 50", "limits.cpu", ["expected a string", "\"50ms\""]),
        ("[limits]\ncpu = \"50\"", "limits.cpu", ["is not a length of time", "\"50ms\""]),
        ("[limits]\nconcurrency = -1", "limits.concurrency", ["-1", "whole number"]),
        ("name = \"Hello\"", "name", ["cannot name a function", "lower-case"]),
        (
            "[outbound]\nallow = [\"https://a.com\", \"a.com\"]",
            "outbound.allow[1]",
            ["is not an origin", "https://api.example.com"],
        ),
        ("[[routes]]\npath = \"api\"", "routes[0]", ["is not a path prefix", "\"/api\""]),
        ("[env]\nA = 1", "env.A", ["expected a string", "(line 2)"]),
    ] {
        let (at, text) = refusal(toml);
        assert_eq!(at.as_deref(), Some(field), "{text}");
        for part in parts {
            assert!(text.contains(part), "{text:?} lacks {part:?}");
        }
    }
}

#[test]
fn a_text_that_is_no_toml_names_the_line() {
    let (field, text) = refusal("name = \"a\"\n[limits\n");
    assert_eq!(field, None);
    assert!(text.contains("(line 2)"), "{text}");
}

#[test]
fn lists_have_an_end() {
    let list = |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let env = |count| format!("[env]\n{}", list(count, |i| format!("V{i} = \"\"\n")));
    let routes = |count| list(count, |i| format!("[[routes]]\npath = \"/{i}\"\n"));
    let origins = |count| {
        let mut text = "[outbound]\nallow = [".to_owned();
        for i in 0..count {
            write!(text, "\"https://h{i}.com\",").unwrap();
        }
        text + "]"
    };
    for (good, bad, field) in
        [(env(128), env(129), "env"), (routes(32), routes(33), "routes"), (origins(64), origins(65), "outbound.allow")]
    {
        Manifest::from_toml(&good).unwrap();
        assert_eq!(refusal(&bad).0.as_deref(), Some(field));
    }
    let long = format!("[env]\nA = \"{}\"", "x".repeat(64 << 10));
    assert!(refusal(&long).1.contains("65537 bytes"));
}

#[test]
fn what_cannot_be_an_environment_is_refused() {
    for toml in ["[env]\n\"A=B\" = \"\"", "[env]\n\"\" = \"\"", "[env]\nA = \"\\u0000\""] {
        assert!(refusal(toml).1.starts_with("env."), "{toml}");
    }
}

#[test]
fn the_same_route_twice_is_refused() {
    let (field, text) = refusal("[[routes]]\npath = \"/a\"\n[[routes]]\npath = \"/a/\"");
    assert_eq!(field.as_deref(), Some("routes[1]"));
    assert_eq!(text, "routes[1]: */a is also routes[0]; remove one");
}
