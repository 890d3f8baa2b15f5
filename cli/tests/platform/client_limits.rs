//! What clients may take, and what happens when they go.

use std::time::Duration;

use crate::harness::{Platform, Wire, body_of, eventually, http2};

/// Waits until `count` instances of WASI 0.2 are alive.
async fn running(platform: &Platform, count: f64) {
    eventually(&format!("{count} instances"), Duration::from_secs(30), async || {
        (platform.metrics().await.value("wasmway_instances", &[("engine", "0.2")]) == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_function_has_as_many_requests_at_once_as_it_asked_for() {
    let platform = Platform::start().await;
    platform.deploy_with("sleep", "[limits]\nconcurrency = 2\ntimeout = \"2m\"\n").await;
    platform.deploy("hello").await;
    let sleep = async |ms: u32| platform.get(&format!("/sleep/{ms}")).await;
    let (first, second, ()) = tokio::join!(sleep(5000), sleep(5000), async {
        running(&platform, 2.0).await;
        let busy = sleep(0).await;
        busy.expect_problem(429, "function-busy", "platform");
        assert_eq!(busy.header("retry-after"), Some("1"));
        platform.get("/hello/").await.expect(200);
    });
    first.expect(200).expect_text("slept 5000 ms\n");
    second.expect(200).expect_text("slept 5000 ms\n");
    sleep(0).await.expect(200);
    assert_eq!(platform.metrics().await.value("wasmway_rejected_total", &[("reason", "function-busy")]), 1.0);
}

#[tokio::test]
async fn a_full_node_says_so() {
    for setting in ["--max-requests=1", "--max-instances=1"] {
        let platform = Platform::builder().arg(setting).start().await;
        platform.deploy("sleep").await;
        platform.deploy("hello").await;
        let (slept, ()) = tokio::join!(async { platform.get("/sleep/5000").await }, async {
            running(&platform, 1.0).await;
            let busy = platform.get("/hello/").await;
            busy.expect_problem(503, "node-busy", "platform");
            assert_eq!(busy.header("retry-after"), Some("1"));
        });
        slept.expect(200);
        platform.idle(Duration::from_secs(20)).await;
        platform.get("/hello/").await.expect(200);
        assert_eq!(platform.metrics().await.value("wasmway_rejected_total", &[("reason", "node-busy")]), 1.0);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_guest() {
    let platform = Platform::start().await;
    platform.deploy_with("sleep", "[limits]\ntimeout = \"10m\"\n").await;
    platform
        .deploy_with("endless-body", "[limits]\ntimeout = \"10m\"\ncpu = \"5m\"\nresponse_body = \"16GiB\"\n")
        .await;

    // Before the answer.
    let mut wire = Wire::connect(&platform).await;
    wire.send("GET /sleep/600000 HTTP/1.1\r\nhost: any\r\n\r\n").await;
    running(&platform, 1.0).await;
    drop(wire);
    running(&platform, 0.0).await;
    assert_eq!(platform.invocations("sleep", 1).await[0]["outcome"], "cancelled");

    // In the middle of it.
    let mut wire = Wire::connect(&platform).await;
    wire.send("GET /endless-body/ HTTP/1.1\r\nhost: any\r\n\r\n").await;
    wire.read_to("xxxx").await;
    running(&platform, 1.0).await;
    drop(wire);
    running(&platform, 0.0).await;
    assert_eq!(platform.invocations("endless-body", 1).await[0]["outcome"], "cancelled");

    // Before the answer, with a body that the guest does not read: nobody is reading from the connection.
    let mut wire = Wire::connect(&platform).await;
    wire.send("POST /sleep/600000 HTTP/1.1\r\nhost: any\r\ncontent-length: 1000000\r\n\r\nthe first of it").await;
    running(&platform, 1.0).await;
    drop(wire);
    running(&platform, 0.0).await;
    let ended = &platform.invocations("sleep", 2).await[0];
    assert_eq!((&ended["outcome"], &ended["bytes_in"]), (&"cancelled".into(), &0.into()), "{ended}");

    // The same in the middle of the answer.
    platform.deploy_with("pause", "[limits]\ntimeout = \"10m\"\n").await;
    let mut wire = Wire::connect(&platform).await;
    wire.send("POST /pause/600000 HTTP/1.1\r\nhost: any\r\ncontent-length: 1000000\r\n\r\nthe first of it").await;
    running(&platform, 1.0).await;
    wire.read_to("first").await;
    drop(wire);
    running(&platform, 0.0).await;
    assert_eq!(platform.invocations("pause", 1).await[0]["outcome"], "cancelled");

    // With one stream of an HTTP/2 connection that stays.
    let mut connection = http2(&platform).await;
    let request = hyper::Request::get("http://any/sleep/600000").body(body_of("")).unwrap();
    let sleeping = tokio::spawn(connection.send_request(request));
    running(&platform, 1.0).await;
    sleeping.abort();
    running(&platform, 0.0).await;
    assert!(connection.is_ready(), "the connection goes on");
}

#[tokio::test]
async fn a_client_that_closes_only_its_own_side_is_told_why_it_gets_no_answer() {
    let platform = Platform::start().await;
    platform.deploy_with("sleep", "[limits]\ntimeout = \"10m\"\n").await;
    let mut wire = Wire::connect(&platform).await;
    // More than is read before somebody asks for it, and little enough for the kernel to take it: behind what it does
    // not take, the end is not seen.
    let body = "x".repeat(40_000);
    wire.send(format!("POST /sleep/600000 HTTP/1.1\r\nhost: any\r\ncontent-length: 40000\r\n\r\n{body}")).await;
    running(&platform, 1.0).await;
    wire.close_this_side().await;
    let answer = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("closed from your side"), "{answer}");
    assert_eq!(platform.invocations("sleep", 1).await[0]["outcome"], "cancelled");
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let head = |bytes: usize| {
        let padding = "x".repeat(bytes);
        format!("GET /hello/ HTTP/1.1\r\nhost: any\r\nconnection: close\r\nx-padding: {padding}\r\n\r\n")
    };
    let mut wire = Wire::connect(&platform).await;
    wire.send(head(48 << 10)).await;
    let answer = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");

    // What is only a little too large is read, and the client is told what is wrong.
    let mut wire = Wire::connect(&platform).await;
    wire.send(head(65 << 10)).await;
    let answer = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains("--max-header-bytes"), "{answer}");
    assert!(answer.contains("x-request-id: ") && answer.contains("\"request_id\":"), "{answer}");

    let mut wire = Wire::connect(&platform).await;
    wire.send_what_is_taken(head(1 << 20)).await;
    let answer = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    platform.get("/hello/").await.expect(200);
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_let_go() {
    let platform = Platform::builder().arg("--header-timeout=300ms").arg("--body-idle-timeout=300ms").start().await;
    platform.deploy("echo").await;
    for begun in ["", "GET /echo/ HTT", "GET /echo/ HTTP/1.1\r\nhost: any\r\nx-slow: "] {
        let mut wire = Wire::connect(&platform).await;
        wire.send(begun).await;
        let read = wire.read_to_end().await;
        assert!(!read.starts_with(b"HTTP/1.1 200"), "{begun:?}: {}", String::from_utf8_lossy(&read));
    }
    // A body that stands still.
    let mut wire = Wire::connect(&platform).await;
    wire.send("POST /echo/ HTTP/1.1\r\nhost: any\r\ncontent-length: 100\r\n\r\nsome").await;
    let read = wire.read_to_end().await;
    assert!(!read.ends_with(b"\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&read));
    platform.idle(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let platform = Platform::start().await;
    platform.deploy("echo").await;
    for request in [
        "GET /echo/\r\n\r\n",
        "GET /echo/ HTTP/1.1\r\nhost: any\r\nbad header\r\n\r\n",
        "GET /ec\0ho/ HTTP/1.1\r\nhost: any\r\n\r\n",
        "POST /echo/ HTTP/1.1\r\nhost: any\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
    ] {
        let mut wire = Wire::connect(&platform).await;
        wire.send(request).await;
        let answer = String::from_utf8(wire.read_to_end().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{request:?}: {answer}");
    }
    // Both lengths at once must not let a second request hide in the first.
    let mut wire = Wire::connect(&platform).await;
    wire.send(
        "POST /echo/ HTTP/1.1\r\nhost: any\r\ncontent-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n\
         GET /echo/smuggled HTTP/1.1\r\nhost: any\r\n\r\n",
    )
    .await;
    let answers = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answers.matches("HTTP/1.1 200 ").count() <= 1, "{answers}");
    // A chunk whose size is none.
    let mut wire = Wire::connect(&platform).await;
    wire.send("POST /echo/ HTTP/1.1\r\nhost: any\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nxx\r\n").await;
    let answer = wire.read_to_end().await;
    assert!(!answer.ends_with(b"\r\n0\r\n\r\n"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn clients_that_send_one_byte_and_no_more_cost_next_to_nothing() {
    let platform = Platform::start().await;
    let mut wires = Vec::new();
    for _ in 0..500 {
        let mut wire = Wire::connect(&platform).await;
        // HTTP/2 begins so, and POST does.
        wire.send("P").await;
        wires.push(wire);
    }
    let before = platform.process().cpu();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = platform.process().cpu() - before;
    assert!(used < Duration::from_millis(500), "{used:?} of CPU time for nothing");
}
