//! Functions in Rust that are written with the SDK, under the limits and the sandbox of a real platform.

use std::time::{Duration, Instant};

use futures::StreamExt;
use reqwest::Method;

use crate::harness::{PATIENCE, Platform, eventually, guest};

const MANIFEST: &str = "[env]\nGREETING = \"Hi\"\nTIMES = \"2\"\n";

async fn with_everything() -> Platform {
    let platform = Platform::builder().arg("--outbound-allow-private").start().await;
    platform.deploy_with("sdk", MANIFEST).await;
    platform
}

#[tokio::test]
async fn a_small_function_is_small() {
    let platform = Platform::start().await;
    let component = guest("sdk-hello");
    // The standard library that rustup brings along asks for an environment and prints panics, whoever uses it; one that
    // was built for size does neither.
    let has_std_of_rustup = component.windows(20).any(|name| name == b"wasi:cli/environment");
    let (size, limit) = (component.len(), if has_std_of_rustup { 100_000 } else { 60_000 });
    assert!(size < limit, "{size} bytes");
    platform.deploy("sdk-hello").await;
    let answer = platform.get("/sdk-hello/?name=Ada").await.expect(200).expect_text("Hello, Ada!\n");
    assert_eq!(answer.header("content-length"), Some("12"));
    platform.call(Method::HEAD, "/sdk-hello/").await.expect(200).expect_text("");
}

#[tokio::test]
async fn handlers_get_what_they_ask_for() {
    let platform = with_everything().await;
    let answer = platform.post("/sdk/invoice", r#"{"cents": 250, "count": 3}"#).await.expect(200);
    assert_eq!((answer.text(), answer.header("content-type")), (r#"{"total":750}"#, Some("application/json")));
    let answer = platform.post("/sdk/invoice", "{}").await.expect(400);
    assert!(answer.text().contains("missing field `cents`"), "{answer}");
    platform.get("/sdk/users/7/Ada%20L").await.expect(200).expect_text("7 is Ada L\n");
    platform.get("/sdk/users/x/Ada").await.expect(400);
    platform.call(Method::PUT, "/sdk/users/7/Ada").await.expect(405);
    let call = platform.call(Method::PATCH, "/sdk/head?x").header("x-test", "a").header("x-test", "b");
    call.await.expect(202).expect_text("PATCH /head?x true a+b\n");
    platform.get("/sdk/greeting").await.expect(200).expect_text("HiHi");
}

#[tokio::test]
async fn a_setting_that_is_missing_is_named_in_the_log() {
    let platform = Platform::start().await;
    platform.deploy("sdk").await;
    platform.get("/sdk/greeting").await.expect(500).expect_text("Internal Server Error\n");
    let lines = logged(&platform, 1).await;
    assert_eq!(lines[0].0, "warn");
    assert!(lines[0].1.contains("GREETING") && lines[0].1.contains("[env]"), "{lines:?}");
}

#[tokio::test]
async fn lines_of_the_log_have_the_levels_of_the_platform() {
    let platform = with_everything().await;
    platform.get("/sdk/log").await.expect(200);
    let lines = logged(&platform, 3).await;
    let expected = [("info", "by the way"), ("warn", "look here"), ("warn", "error: look here at once")];
    assert_eq!(lines, expected.map(|(level, text)| (level.to_owned(), text.to_owned())));
}

#[tokio::test]
async fn failures_and_panics_leave_their_cause() {
    let platform = with_everything().await;
    platform.get("/sdk/fail").await.expect(500).expect_text("Internal Server Error\n");
    assert_eq!(logged(&platform, 1).await[0].1, "error: invalid digit found in string");
    platform.get("/sdk/panic").await.expect_problem(502, "function-trapped", "function");
    let lines = eventually("the panic's message", PATIENCE, async || {
        let lines = platform.logs("sdk").await;
        lines.iter().any(|line| line["message"].as_str().unwrap().contains("this cannot be")).then_some(lines)
    });
    lines.await;
}

#[tokio::test]
async fn bodies_pass_through_without_being_held() {
    let platform = Platform::start().await;
    platform.deploy_with("sdk", "[limits]\nmemory = \"8MiB\"\n").await;
    let body: Vec<u8> = (0..32_u32 << 20).map(|index| (index / 7) as u8).collect();
    let answer = platform.post("/sdk/echo", body.clone()).await.expect(200);
    assert!(answer.body == body, "{} bytes came back", answer.body.len());
    let answer = platform.post("/sdk/invoice", vec![b' '; 3 << 20]).await.expect(413);
    assert!(answer.text().contains("2097152"), "{answer}");
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let platform = with_everything().await;
    let started = Instant::now();
    let response = platform.get("/sdk/ticks").head().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut chunks = response.bytes_stream();
    let first = chunks.next().await.unwrap().unwrap();
    assert_eq!(first, "id: 0\nevent: tick\ndata: tick\ndata: of 0\n\n");
    let rest: Vec<_> = chunks.map(Result::unwrap).collect().await;
    assert_eq!(rest.len(), 2, "{rest:?}");
    assert!(started.elapsed() > Duration::from_millis(550), "it slept 200 ms thrice, but ended earlier");
    let bill = &platform.invocations("sdk", 1).await[0];
    assert!(bill["cpu_us"].as_u64().unwrap() < 100_000, "waiting is free: {bill}");
}

#[tokio::test]
async fn a_body_that_fails_is_not_taken_for_a_whole_one() {
    let platform = with_everything().await;
    // Cut off where its head was on its way already, else in no need of it.
    if let Ok(answer) = platform.get("/sdk/break-off").attempt().await {
        answer.expect_problem(502, "no-response", "function");
    }
    assert_eq!(logged(&platform, 1).await[0].1, "error: the response breaks off: the disk is full");
}

#[tokio::test]
async fn other_services_are_called_where_the_manifest_allows_it() {
    let platform = with_everything().await;
    let here = platform.data().to_owned();
    let to = |path: &str, inner: &str| format!("/sdk/{path}?url={here}/sdk-hello/{inner}");
    platform.deploy("sdk-hello").await;
    platform.get(&to("fetch", "?name=Ada")).await.expect(500);
    let refused = logged(&platform, 1).await;
    assert!(refused[0].1.contains("[outbound]") && refused[0].1.contains(&here), "{refused:?}");

    platform.deploy_with("sdk", &format!("[outbound]\nallow = [{here:?}]\n")).await;
    platform.get(&to("fetch", "?name=Ada")).await.expect(200).expect_text("Hello, Ada!\n");
    platform.deploy("echo").await;
    let body = vec![b'x'; 1 << 20];
    let relayed = platform.post(&format!("/sdk/relay?url={here}/echo/"), body.clone()).await.expect(200);
    assert!(relayed.body == body, "{} bytes came back", relayed.body.len());
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_failure() {
    let platform = with_everything().await;
    drop(platform.get("/sdk/ticks").head().await.unwrap());
    platform.idle(PATIENCE).await;
    assert!(platform.logs("sdk").await.iter().all(|line| line["stream"] != "stderr"));
}

/// Level and text of the lines that `sdk` has written, once there are so many.
async fn logged(platform: &Platform, count: usize) -> Vec<(String, String)> {
    eventually(&format!("{count} lines"), PATIENCE, async || {
        let lines = platform.logs("sdk").await;
        let text = |line: &serde_json::Value, field: &str| line[field].as_str().unwrap().to_owned();
        (lines.len() >= count).then(|| lines.iter().map(|line| (text(line, "level"), text(line, "message"))).collect())
    })
    .await
}
