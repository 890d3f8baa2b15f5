//! Which lines of a log are wanted, and in which form.

use std::time::Duration;

use futures::StreamExt;
use reqwest::Method;
use serde_json::Value;
use tokio::time::timeout;

use crate::cli_session::Developer;
use crate::harness::{PATIENCE, Platform, eventually};

/// A platform whose `hello-std` has printed two lines in each of two calls, `early` and `late`, and failed in both.
async fn with_lines() -> Platform {
    let platform = Platform::start().await;
    platform.deploy_with("hello-std", "[limits]\nresponse_body = \"5B\"\n").await;
    for id in ["early", "late"] {
        platform.get("/hello-std/").header("x-request-id", id).await.expect(502);
    }
    let all = async || Some(platform.logs("hello-std").await).filter(|lines| lines.len() == 6);
    eventually("every line", Duration::from_secs(20), all).await;
    platform
}

/// The lines that a query gets.
async fn lines(platform: &Platform, query: &str) -> Vec<Value> {
    let answer = platform.api(Method::GET, &format!("/functions/hello-std/logs?{query}")).await.expect(200);
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn lines_are_wanted_by_level_call_and_time() {
    let platform = with_lines().await;
    let all = lines(&platform, "").await;
    for (stream, level) in [("stdout", "info"), ("stderr", "warn"), ("platform", "error")] {
        let of_it: Vec<_> = all.iter().filter(|line| line["stream"] == stream).collect();
        assert_eq!(of_it.len(), 2, "{all:?}");
        assert!(of_it.iter().all(|line| line["level"] == level), "{of_it:?}");
    }
    for line in &all {
        assert!(line["node"].as_str().is_some_and(|node| !node.is_empty()), "{line}");
        assert!(line["time"].is_string() && line["version"] == 1 && line["request_id"].is_string(), "{line}");
    }
    assert_eq!(lines(&platform, "level=warn").await.len(), 4);
    assert_eq!(lines(&platform, "level=error").await.len(), 2);
    let of_late = lines(&platform, "request=late").await;
    assert!(of_late.len() == 3 && of_late.iter().all(|line| line["request_id"] == "late"), "{of_late:?}");
    assert_eq!(lines(&platform, "request=late&level=error").await.len(), 1);
    assert_eq!(lines(&platform, "level=warn&tail=1").await[0]["request_id"], "late", "the latest of those");
    let third = all[3]["time"].as_str().unwrap();
    assert_eq!(lines(&platform, &format!("since={third}")).await, all[3..]);
    assert_eq!(lines(&platform, "since=1h").await.len(), 6);
    assert!(lines(&platform, "since=0s").await.is_empty());

    for (query, said) in [("since=yesterday", "10m"), ("level=loud", "`info`, `warn`, `error`"), ("tail=-1", "tail")] {
        let answer = platform.api(Method::GET, &format!("/functions/hello-std/logs?{query}")).await;
        let detail = answer.expect_problem(400, "bad-request", "platform");
        let field = query.split('=').next().unwrap();
        assert!(detail.contains(said) && detail.contains(field), "{query}: {detail}");
    }
}

#[tokio::test]
async fn the_command_asks_for_what_is_wanted() {
    let platform = with_lines().await;
    let developer = Developer(&platform);
    let said = developer.does(&["logs", "hello-std", "--level", "error", "--since", "10m"]).await;
    assert_eq!(said.lines().count(), 2, "{said}");
    for (line, id) in said.lines().zip(["early", "late"]) {
        assert!(line.contains(&format!("  error  v1  {id}  the response body is larger than")), "{line}");
    }
    let said = developer.does(&["logs", "hello-std", "--request", "early", "-o", "json"]).await;
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() == 3 && lines.iter().all(|line| line["request_id"] == "early"), "{said}");
    assert!(developer.is_refused(&["logs", "hello-std", "--since", "soon"]).await.contains("since: \"soon\""));
}

#[tokio::test]
async fn a_reader_of_events_goes_on_where_it_was() {
    let platform = with_lines().await;
    let path = "/functions/hello-std/logs?level=warn";
    let events = async |seen: Option<&str>| {
        let call = platform.api(Method::GET, path).header("accept", "text/event-stream");
        let call = if let Some(seen) = seen { call.header("last-event-id", seen) } else { call };
        let response = call.head().await.unwrap();
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        response.bytes_stream()
    };
    // Reads so many events: their ids and data.
    let read = async |stream: &mut (dyn futures::Stream<Item = reqwest::Result<bytes::Bytes>> + Unpin),
                      count: usize| {
        let mut text = String::new();
        while text.matches("\n\n").count() < count {
            let piece = timeout(PATIENCE, stream.next()).await.expect("an event in time").expect("it goes on");
            text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        let events = text.split_terminator("\n\n").map(|event| {
            let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
            (field("id:"), serde_json::from_str::<Value>(&field("data:")).unwrap())
        });
        events.collect::<Vec<_>>()
    };
    let mut stream = events(None).await;
    let first = read(&mut stream, 4).await;
    assert!(first.iter().all(|(id, line)| line["time"] == id.as_str() && line["level"] != "info"), "{first:?}");
    // Without being told to, it follows.
    platform.get("/hello-std/").header("x-request-id", "new").await.expect(502);
    let next = read(&mut stream, 2).await;
    assert!(next.iter().all(|(_, line)| line["request_id"] == "new"), "{next:?}");
    // It comes back, and has seen the second.
    let again = read(&mut events(Some(&first[1].0)).await, 4).await;
    assert_eq!(again[..2], first[2..]);
    assert_eq!(again[2..], next);
}
