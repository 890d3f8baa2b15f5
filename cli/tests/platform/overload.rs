//! More than there is room for: clients that take their time, memory or file descriptors that run short, guesses at the
//! token.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Request;
use reqwest::Method;

use crate::harness::{PATIENCE, Platform, Wire, body_of, eventually, http1};

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
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("slept 3000 ms\n"), "{answer}");
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

#[tokio::test]
async fn without_a_file_descriptor_left_connections_wait() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let mut kept = http1(&platform).await;
    let mut ask = async || {
        let request = Request::get("/hello/").header("host", "any").body(body_of("")).unwrap();
        kept.ready().await.unwrap();
        let answer = kept.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "Hello from Wasmway!\n");
    };
    ask().await;
    platform.process().may_open(8);
    let mut crowd = Vec::new();
    for _ in 0..40 {
        crowd.push(Wire::connect(&platform).await);
    }
    let mut late = Wire::connect(&platform).await;
    late.send("GET /hello/ HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n").await;
    eventually("it to run out of file descriptors", PATIENCE, async || {
        platform.process().log().contains("no connection can be accepted").then_some(())
    })
    .await;
    let before = platform.process().cpu();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let used = platform.process().cpu() - before;
    assert!(used < Duration::from_millis(600), "{used:?} of CPU time in two seconds of waiting");
    // Who has a connection is served, and who waits for one is when there is room.
    ask().await;
    assert!(!late.has_answer().await);
    drop(crowd);
    let answer = String::from_utf8(late.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("Hello from Wasmway!\n"), "{answer}");
    platform.get("/hello/").await.expect(200);
    let said = platform.process().log().matches("no connection can be accepted").count();
    assert!(said < 10, "said {said} times");
}

#[tokio::test]
async fn whoever_guesses_the_token_is_told_to_stop() {
    let platform = Platform::start().await;
    let with = |token: &str| {
        platform.control(Method::GET, "/api/v1/functions").header("authorization", &format!("Bearer {token}"))
    };
    for guess in 0..20 {
        with(&format!("guess-{guess}")).await.expect_problem(401, "unauthorized", "platform");
    }
    let stopped = with("one-more").await;
    stopped.expect_problem(429, "too-many-attempts", "platform");
    let wait: u64 = stopped.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{stopped}");
    // Nobody can lock the operator out, and a request without a token is no guess.
    with(&platform.token()).await.expect(200);
    platform.control(Method::GET, "/api/v1/functions").await.expect_problem(401, "unauthorized", "platform");
    with("again").await.expect(429);
    let log = platform.process().log();
    assert_eq!(log.matches("20 wrong tokens within a minute").count(), 1, "the operator is told once: {log}");
    assert!(!log.contains("guess-"), "{log}");
}

#[tokio::test]
async fn a_token_in_an_address_opens_nothing_and_is_written_nowhere() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let token = platform.token();
    for query in ["token", "access_token", "authorization"] {
        let answer = platform.control(Method::GET, &format!("/api/v1/functions?{query}={token}")).await;
        answer.expect_problem(401, "unauthorized", "platform");
        assert!(!answer.text().contains(&token), "{answer}");
    }
    let call = platform.get(&format!("/hello/?token={token}")).header("authorization", &format!("Bearer {token}"));
    call.header("x-request-id", "mine").await.expect(200);
    let record = platform.invocations("hello", 1).await.remove(0);
    assert!(!record.to_string().contains(&token), "{record}");
    eventually("the access line", PATIENCE, async || {
        platform.journal().into_iter().find(|line| line["request_id"] == "mine")
    })
    .await;
    let log = platform.process().log();
    assert!(!log.contains(&token), "the token is in the log: {log}");
}
