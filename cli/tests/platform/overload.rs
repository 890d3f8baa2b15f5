//! More than there is room for: clients that take their time, and memory that runs short.

use std::time::Duration;

use reqwest::Method;

use crate::harness::{PATIENCE, Platform, Wire, eventually};

/// Sends ten bytes every 100 ms until the other end has had enough, and answers with what it says.
async fn drip(mut wire: Wire, head: &str) -> String {
    wire.send(head).await;
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if !wire.sends("xxxxxxxxxx").await || wire.has_answer().await {
            break;
        }
    }
    String::from_utf8(wire.read_to_end().await).unwrap()
}

#[tokio::test]
async fn a_body_that_drips_is_refused() {
    let platform = Platform::builder().arg("--header-timeout=1s").start().await;
    platform.deploy_with("count-body", "[limits]\ntimeout = \"10m\"\n").await;
    let answer = drip(
        Wire::connect(&platform).await,
        "POST /count-body/ HTTP/1.1\r\nhost: any\r\ncontent-length: 1000000\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"body-too-slow\""), "{answer}");
    let ended = &platform.invocations("count-body", 1).await[0];
    assert_eq!((&ended["outcome"], &ended["status"]), (&"request-too-slow".into(), &408.into()), "{ended}");
    assert!(platform.logs("count-body").await.is_empty(), "the function is not to blame");
    platform.idle(PATIENCE).await;

    // The same for an upload.
    let token = platform.token();
    let head = format!(
        "PUT /api/v1/functions/slow HTTP/1.1\r\nhost: any\r\nauthorization: Bearer {token}\r\ncontent-length: 1000000\r\n\r\n"
    );
    let answer = drip(Wire::connect_control(&platform).await, &head).await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"body-too-slow\""), "{answer}");
    let incoming = platform.folder().join("artifacts/incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0, "a leftover of the upload");
}

#[tokio::test]
async fn a_body_that_stands_still_is_refused() {
    let platform = Platform::builder().arg("--body-idle-timeout=500ms").start().await;
    platform.deploy_with("count-body", "[limits]\ntimeout = \"10m\"\n").await;
    let mut wire = Wire::connect(&platform).await;
    wire.send("POST /count-body/ HTTP/1.1\r\nhost: any\r\ncontent-length: 100\r\n\r\nsome").await;
    let answer = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"body-too-slow\""), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_taken_where_it_may_be_slow() {
    // Either no rate is asked for, or the function has not asked for the body.
    let drips = async |platform: &Platform, path: &str| {
        let mut wire = Wire::connect(platform).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: any\r\nconnection: close\r\ncontent-length: 250\r\n\r\n");
        wire.send(head).await;
        for _ in 0..25 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            wire.send("xxxxxxxxxx").await;
        }
        String::from_utf8(wire.read_to_end().await).unwrap()
    };
    let platform = Platform::builder().arg("--header-timeout=1s").arg("--min-body-rate=0B").start().await;
    platform.deploy("count-body").await;
    let answer = drips(&platform, "/count-body/").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("250\n"), "{answer}");

    let platform = Platform::builder().arg("--header-timeout=1s").start().await;
    platform.deploy("sleep").await;
    let answer = drips(&platform, "/sleep/3000").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("slept 3000 ms\n"), "{answer}");
}

#[tokio::test]
async fn a_node_that_is_short_of_memory_takes_no_new_work() {
    // Every machine that runs this uses more than a hundredth of its memory.
    let mut platform = Platform::builder().arg("--memory-pressure=1").start().await;
    platform.deploy("hello").await;
    let busy = eventually("the pressure to be noticed", PATIENCE, async || {
        let answer = platform.get("/hello/").await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    busy.expect_problem(503, "node-busy", "platform");
    assert_eq!(busy.header("retry-after"), Some("1"));
    let metrics = platform.metrics().await;
    assert_eq!(metrics.value("wasmway_rejected_total", &[("reason", "memory-pressure")]), 1.0);
    let used = metrics.value("wasmway_memory_used_ratio", &[]);
    assert!((0.01..1.0).contains(&used), "{used}");
    // Taking it out of rotation would only bring the load to its neighbours: it answers, and it is ready.
    platform.control(Method::GET, "/readyz").await.expect(200);
    platform.get("/nobody/").await.expect(404);
    assert!(platform.process().log().contains("memory is short"), "the operator is told");

    platform.terminate().await;
    let platform = Platform::builder().arg("--memory-pressure=0").start().await;
    platform.deploy("hello").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    platform.get("/hello/").await.expect(200);
}
