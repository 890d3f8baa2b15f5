//! What an operator and a developer see of it.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::{PATIENCE, Platform, eventually};

/// A platform on which functions have been called, well and not so well.
async fn with_calls() -> Platform {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    platform.deploy("hello-p3").namespace("shop").await;
    platform.deploy("trap").await;
    platform.deploy("echo").await;
    for _ in 0..3 {
        platform.get("/hello/").await.expect(200);
    }
    platform.get("/hello-p3.shop/").await.expect(200);
    platform.get("/trap/").await.expect(502);
    platform.post("/echo/", "12345").await.expect(200);
    platform.get("/nothing/").await.expect(404);
    for (name, count) in [("hello", 3), ("trap", 1), ("echo", 1)] {
        platform.invocations(name, count).await;
    }
    platform.idle(PATIENCE).await;
    platform
}

#[tokio::test]
async fn the_metrics_of_the_contract_count_what_happened() {
    let platform = with_calls().await;
    let metrics = platform.metrics().await;
    for (name, kind) in [
        ("wasmway_invocations_total", "counter"),
        ("wasmway_invocation_duration_seconds", "histogram"),
        ("wasmway_invocation_cpu_seconds", "histogram"),
        ("wasmway_invocation_memory_bytes", "histogram"),
        ("wasmway_invocation_queue_seconds", "histogram"),
        ("wasmway_outbound_requests_total", "counter"),
        ("wasmway_cold_starts_total", "counter"),
        ("wasmway_instances", "gauge"),
        ("wasmway_rejected_total", "counter"),
        ("wasmway_request_bytes_total", "counter"),
        ("wasmway_response_bytes_total", "counter"),
        ("wasmway_pool_slots", "gauge"),
        ("wasmway_pool_slots_used", "gauge"),
        ("wasmway_programs_loaded", "gauge"),
        ("wasmway_program_loads_total", "counter"),
        ("wasmway_compile_duration_seconds", "histogram"),
        ("wasmway_deploys_total", "counter"),
        ("wasmway_http_connections", "gauge"),
        ("wasmway_build_info", "gauge"),
        ("wasmway_throttled_total", "counter"),
        ("wasmway_ready", "gauge"),
        ("wasmway_dependency_up", "gauge"),
        ("wasmway_disk_free_bytes", "gauge"),
        ("wasmway_disk_size_bytes", "gauge"),
        ("wasmway_functions", "gauge"),
        ("wasmway_registry_revision", "gauge"),
        ("wasmway_served_revision", "gauge"),
        ("wasmway_runtime_workers", "gauge"),
        ("wasmway_runtime_tasks", "gauge"),
        ("wasmway_runtime_queue_tasks", "gauge"),
        ("wasmway_runtime_busy_seconds_total", "counter"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_cpu_seconds_total", "counter"),
        ("process_open_fds", "gauge"),
    ] {
        assert!(metrics.describes(name, kind), "no {kind} {name} in\n{}", metrics.text());
    }
    let of = |name, function, outcome| {
        let labels = [("namespace", "default"), ("function", function), ("outcome", outcome)];
        metrics.value(name, if outcome.is_empty() { &labels[..2] } else { &labels })
    };
    assert_eq!(of("wasmway_invocations_total", "hello", "ok"), 3.0);
    assert_eq!(of("wasmway_invocations_total", "trap", "trap"), 1.0);
    assert_eq!(of("wasmway_invocations_total", "trap", "ok"), 0.0);
    assert_eq!(of("wasmway_invocation_duration_seconds_count", "hello", ""), 3.0);
    assert_eq!(of("wasmway_invocation_cpu_seconds_count", "hello", ""), 3.0);
    assert!(of("wasmway_invocation_cpu_seconds_sum", "hello", "") > 0.0);
    assert_eq!(of("wasmway_invocation_queue_seconds_count", "hello", ""), 3.0);
    assert!(of("wasmway_invocation_memory_bytes_sum", "hello", "") > 3.0 * 1024.0 * 1024.0);
    assert_eq!(of("wasmway_request_bytes_total", "echo", ""), 5.0);
    assert_eq!(of("wasmway_response_bytes_total", "echo", ""), 5.0);
    assert_eq!(metrics.value("wasmway_invocations_total", &[("namespace", "shop"), ("outcome", "ok")]), 1.0);
    assert_eq!(metrics.value("wasmway_rejected_total", &[("reason", "unknown-function")]), 1.0);
    assert_eq!(metrics.value("wasmway_deploys_total", &[("result", "created")]), 4.0);
    assert_eq!(metrics.value("wasmway_compile_duration_seconds_count", &[]), 4.0);
    assert_eq!(metrics.value("wasmway_ready", &[]), 1.0);
    assert_eq!(metrics.value("wasmway_dependency_up", &[("dependency", "database")]), 1.0);
    assert_eq!(metrics.value("wasmway_functions", &[]), 4.0);
    assert_eq!(metrics.value("wasmway_served_revision", &[]), metrics.value("wasmway_registry_revision", &[]));
    assert!(metrics.value("wasmway_disk_free_bytes", &[]) < metrics.value("wasmway_disk_size_bytes", &[]));
    assert!(metrics.value("wasmway_runtime_busy_seconds_total", &[]) > 0.0);
    assert_eq!(metrics.value("wasmway_pool_slots", &[("engine", "0.2")]), 1000.0);
    assert_eq!(metrics.value("wasmway_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);
}

#[tokio::test]
async fn promtool_finds_nothing_to_say_about_the_metrics() {
    let platform = with_calls().await;
    let metrics = platform.metrics().await;
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed: `cargo xtask toolchain` installs Prometheus");
    promtool.stdin.take().unwrap().write_all(metrics.text().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn it_says_that_it_lives_and_is_ready() {
    let platform = Platform::start().await;
    for path in ["/livez", "/healthz", "/metrics"] {
        let answer = platform.control(Method::GET, path).await.expect(200);
        assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{answer}");
    }
    platform.deploy("hello").await;
    let ready = platform.control(Method::GET, "/readyz").await.expect(200).json();
    assert_eq!(ready["status"], "ready");
    let checks = ready["checks"].as_array().unwrap();
    for (name, needed) in [("drain", true), ("catalog", true), ("database", false), ("store", false), ("disk", false)] {
        let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {ready}"));
        assert_eq!((&check["ok"], &check["needed"]), (&true.into(), &needed.into()), "{check}");
    }
    assert!(checks.iter().any(|check| check["detail"] == "1 functions are served"), "{ready}");
    // They are the control plane's: on the data plane these are names of functions.
    platform.get("/healthz").await.expect_problem(404, "unknown-function", "platform");
}

#[tokio::test]
async fn the_log_of_a_function_has_what_it_printed() {
    let platform = Platform::start().await;
    platform.deploy("hello-std").await;
    platform.deploy_with("hello-std", "debug = true\n").await;
    platform.get("/hello-std/").header("x-request-id", "first").await.expect(200);
    platform.get("/hello-std/").header("x-request-id", "second").await.expect(200);
    platform.invocations("hello-std", 2).await;
    let lines = platform.logs("hello-std").await;
    assert_eq!(lines.len(), 4, "{lines:?}");
    for id in ["first", "second"] {
        for (stream, message) in [("stdout", "hello stdout"), ("stderr", "hello stderr")] {
            let is_it = |line: &&Value| line["request_id"] == id && line["stream"] == stream;
            let line = lines.iter().find(is_it).unwrap_or_else(|| panic!("no {stream} of {id} in {lines:?}"));
            assert_eq!(line["message"], message);
            assert_eq!((&line["namespace"], &line["function"]), (&"default".into(), &"hello-std".into()));
            assert_eq!(line["version"], 2);
            line["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        }
    }
    let tail = platform.api(Method::GET, "/functions/hello-std/logs?tail=1").await.expect(200);
    assert_eq!(tail.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(tail.text().lines().count(), 1);
    assert_eq!(serde_json::from_str::<Value>(tail.text()).unwrap(), lines[3]);
}

#[tokio::test]
async fn a_log_that_is_followed_goes_on() {
    let platform = Platform::start().await;
    platform.deploy("hello-std").await;
    platform.get("/hello-std/").header("x-request-id", "before").await.expect(200);
    platform.invocations("hello-std", 1).await;
    let followed = platform.api(Method::GET, "/functions/hello-std/logs?follow=true&tail=1").head().await.unwrap();
    let mut pieces = followed.bytes_stream();
    let mut text = String::new();
    let mut read_to = async |id: &str, count: usize| {
        while text.matches(&format!("\"request_id\":\"{id}\"")).count() < count {
            let piece = timeout(PATIENCE, pieces.next()).await.expect("a line in time").expect("the log goes on");
            text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    };
    read_to("before", 1).await;
    for id in ["after", "later"] {
        platform.get("/hello-std/").header("x-request-id", id).await.expect(200);
        read_to(id, 2).await;
    }
    assert_eq!(text.lines().count(), 5, "{text}");
}

#[tokio::test]
async fn every_call_leaves_a_record_of_what_it_used() {
    let platform = Platform::start().await;
    platform.deploy("echo").await;
    platform.post("/echo/a/b?secret=1", "12345").header("x-request-id", "mine").await.expect(200);
    platform.invocations("echo", 1).await;
    platform.get("/echo/").await.expect(200);
    let records = platform.invocations("echo", 2).await;
    assert_eq!((&records[0]["method"], &records[1]["method"]), (&"GET".into(), &"POST".into()), "newest first");
    let record = &records[1];
    for (field, value) in [
        ("request_id", "mine".into()),
        ("namespace", "default".into()),
        ("function", "echo".into()),
        ("version", 1.into()),
        ("path", "/a/b".into()),
        ("status", 200.into()),
        ("outcome", "ok".into()),
        ("bytes_in", 5.into()),
        ("bytes_out", 5.into()),
    ] {
        assert_eq!(record[field], Value::clone(&value), "{field} in {record}");
    }
    assert!(record["cpu_us"].as_u64().unwrap() > 0, "{record}");
    assert!(record["wall_us"].as_u64().unwrap() > 0, "{record}");
    assert!(record["memory_bytes"].as_u64().unwrap() > 1 << 20, "{record}");
    assert!(record["queued_us"].as_u64().unwrap() <= record["wall_us"].as_u64().unwrap(), "{record}");
    assert!(record["error"].is_null(), "{record}");
    record["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
}

#[tokio::test]
async fn the_processs_own_log_has_a_line_for_each_call() {
    let platform = Platform::start().await;
    platform.deploy("hello-std").await;
    platform.get("/hello-std/x?secret=1").header("x-request-id", "mine").await.expect(200);
    let line = eventually("the access line", Duration::from_secs(20), async || {
        platform.journal().into_iter().find(|line| line["target"] == "wasmway::access" && line["request_id"] == "mine")
    })
    .await;
    assert_eq!((&line["function"], &line["path"]), (&"hello-std".into(), &"/x".into()), "{line}");
    assert_eq!((&line["status"], &line["outcome"]), (&200.into(), &"ok".into()), "{line}");
    for used in ["cpu_us", "wall_us", "memory_bytes"] {
        assert!(line[used].as_u64().unwrap() > 0, "{line}");
    }
    assert!(line["queued_us"].is_u64(), "{line}");
    for none in ["bytes_in", "outbound_requests"] {
        assert_eq!(line[none], 0, "{line}");
    }
    let printed =
        platform.journal().into_iter().find(|line| line["message"] == "hello stdout").expect("what it printed");
    assert_eq!((&printed["target"], &printed["stream"]), (&"wasmway::function".into(), &"stdout".into()));
    let log = platform.process().log();
    assert!(!log.contains("secret=1"), "a query may hold secrets");
    assert!(!log.contains(&platform.token()), "the token is in the log");
    assert!(log.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "not all of it is JSON: {log}");
}
