//! Calls by the command line: their bills, their latencies, their stories.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::cli_session::Developer;
use crate::harness::{Platform, binary};

#[tokio::test]
async fn a_call_comes_with_its_bill() {
    let platform = Platform::start().await;
    platform.deploy("echo").await;
    platform.deploy("trap").await;
    let developer = Developer(&platform);
    let output = developer.run(&["invoke", "echo", "-d", "12345", "--receipt"]).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "12345", "the answer alone");
    let bill = String::from_utf8(output.stderr).unwrap();
    for part in ["outcome", "ok", "wall", "queued", "cpu", "memory", "MiB", "bytes in", "bytes out", "5 B"] {
        assert!(bill.contains(part), "no {part} in {bill}");
    }
    let output = developer.run(&["invoke", "trap", "--receipt", "-o", "json"]).await;
    let bill: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!((&bill["outcome"], &bill["status"]), (&"trap".into(), &502.into()), "{bill}");
    assert!(bill["cpu_us"].as_u64().is_some_and(|us| us > 0), "{bill}");
}

#[tokio::test]
async fn a_body_comes_by_standard_input() {
    let platform = Platform::start().await;
    platform.deploy("echo").await;
    let file = platform.scratch().join("body");
    fs::write(&file, "piped").unwrap();
    for data in ["-", "@-"] {
        let mut command = binary();
        command.arg("--data-dir").arg(platform.folder()).args(["invoke", "echo", "-d", data]);
        command.stdin(Stdio::from(fs::File::open(&file).unwrap()));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "piped", "{data}");
    }
}

#[tokio::test]
async fn many_calls_are_measured() {
    let platform = Platform::start().await;
    platform.deploy("echo").await;
    platform.deploy("sleep").await;
    platform.deploy_with("trap", "[limits]\nconcurrency = 1\n").await;
    let developer = Developer(&platform);
    let call = ["invoke", "echo", "-d", "x", "--repeat", "200", "--concurrency", "4"];
    let measured = developer.gets(&call).await;
    assert_eq!((&measured["calls"], &measured["unanswered"]), (&200.into(), &0.into()), "{measured}");
    assert_eq!(measured["statuses"], serde_json::json!({ "200": 200 }), "{measured}");
    let us = |name: &str| measured["latency_us"][name].as_u64().unwrap();
    assert!(0 < us("p50") && us("p50") <= us("p90") && us("p90") <= us("p99") && us("p99") <= us("max"), "{measured}");
    assert_eq!(platform.invocations("echo", 200).await[0]["bytes_in"], 1);

    let table = developer.does(&["invoke", "trap", "--repeat", "3"]).await;
    for part in ["CALLS", "P50", "P99", "MAX", "PER SECOND", "STATUS", "502"] {
        assert!(table.contains(part), "no {part} in {table}");
    }
    // So many at once, and not one after the other.
    let measured = developer.gets(&["invoke", "sleep", "/500", "--repeat", "8", "--concurrency", "8"]).await;
    assert!(measured["seconds"].as_f64().unwrap() < 3.0, "{measured}");
}

#[tokio::test]
async fn a_request_tells_its_story() {
    let platform = Platform::start().await;
    platform.deploy("trap").await;
    platform.deploy_with("hello-std", "[limits]\nresponse_body = \"5B\"\ncpu = \"700ms\"\n").await;
    let developer = Developer(&platform);
    platform.get("/trap/way/down").header("x-request-id", "a/1").await.expect(502);
    platform.get("/hello-std/").header("x-request-id", "b").await.expect(502);
    platform.invocations("trap", 1).await;
    platform.invocations("hello-std", 1).await;

    let story = developer.does(&["trace", "a/1"]).await;
    for part in ["default/trap v1", "GET /way/down", "502  trap", "timeline", "the request came", "the end: trap"] {
        assert!(story.contains(part), "no {part} in {story}");
    }
    let cause = story.split_once("\ncause\n").unwrap_or_else(|| panic!("no cause in {story}")).1;
    assert!(cause.contains("unreachable") && cause.contains("fall_through_the_floor"), "{story}");

    let story = developer.does(&["trace", "b"]).await;
    for part in ["stdout  hello stdout", "700.00ms", "response body", "5 B", "end of standard error\n  hello stderr"] {
        assert!(story.contains(part), "no {part} in {story}");
    }
    let story = developer.gets(&["trace", "b"]).await;
    assert_eq!((&story["invocation"]["function"], &story["limits"]["cpu"]), (&"hello-std".into(), &"700ms".into()));
    assert!(story["invocation"]["node"].is_string(), "{story}");
    assert_eq!(story["log"].as_array().unwrap().len(), 3, "{story}");
    assert!(developer.is_refused(&["trace", "nobody"]).await.contains("unknown-invocation"));
    assert!(developer.is_refused(&["trace", "b", "-n", "shop"]).await.contains("unknown-invocation"));
}
