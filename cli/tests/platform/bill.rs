//! The request's bill: what a request took, told to its client where its function says so.

use http_body_util::BodyExt;
use hyper::Request;
use hyper::header::HeaderMap;

use crate::harness::{Platform, body_of, http1, http2};

const TOLD: &str = "server_timing = true\n";

/// The parts of a `Server-Timing` value, which must be those of the contract in its order.
#[track_caller]
fn parts(headers: &HeaderMap) -> [String; 5] {
    let value = headers.get("server-timing").unwrap_or_else(|| panic!("no server-timing in {headers:?}"));
    let parts: Vec<_> = value.to_str().unwrap().split(", ").map(str::to_owned).collect();
    let parts: [String; 5] = parts.try_into().unwrap();
    for (part, name) in parts.iter().zip(["cpu;dur=", "queue;dur=", "wall;dur=", "memory;desc=\"", "start;desc=\""]) {
        assert!(part.starts_with(name), "{parts:?}");
    }
    parts
}

/// Milliseconds of a part.
fn duration_ms(part: &str) -> f64 {
    part.split_once('=').unwrap().1.parse().unwrap()
}

#[tokio::test]
async fn a_client_is_told_what_its_request_took_where_the_function_says_so() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    assert!(platform.get("/hello/").await.expect(200).header("server-timing").is_none());

    platform.deploy_with("hello", TOLD).await;
    let answer = platform.get("/hello/").await.expect(200);
    let [cpu, queue, wall, memory, start] = parts(&answer.headers);
    assert!(duration_ms(&cpu) > 0.0 && duration_ms(&cpu) <= duration_ms(&wall), "{answer}");
    assert!(duration_ms(&queue) < duration_ms(&wall), "{answer}");
    assert!(memory.ends_with(" MiB\"") && memory != "memory;desc=\"0.0 MiB\"", "{answer}");
    assert_eq!(start, "start;desc=\"warm\"");
    assert!(answer.header("trailer").is_none(), "all of it is in the head: {answer}");

    // The answer to HEAD is the same without its body.
    let answer = platform.call(reqwest::Method::HEAD, "/hello/").await.expect(200);
    parts(&answer.headers);
}

#[tokio::test]
async fn the_totals_of_a_streamed_body_follow_it() {
    let platform = Platform::start().await;
    platform.deploy_with("trailers", TOLD).await;
    let content = vec![b'x'; 1 << 20];
    let over_2 = Request::post("http://any/trailers/").body(body_of(content.clone())).unwrap();
    let over_1 = Request::post("/trailers/").header("host", "any").header("te", "trailers");
    let over_1 = over_1.body(body_of(content.clone())).unwrap();
    for answer in [
        http2(&platform).await.send_request(over_2).await.unwrap(),
        http1(&platform).await.send_request(over_1).await.unwrap(),
    ] {
        assert_eq!(answer.headers()["trailer"], "server-timing");
        let at_head = parts(answer.headers());
        let body = answer.into_body().collect().await.unwrap();
        let at_end = parts(body.trailers().expect("trailers"));
        assert_eq!(body.to_bytes().len(), content.len());
        assert!(duration_ms(&at_end[2]) > duration_ms(&at_head[2]), "{at_head:?} {at_end:?}");
        assert!(duration_ms(&at_end[0]) >= duration_ms(&at_head[0]), "{at_head:?} {at_end:?}");
    }

    // Who takes no trailers is promised none, and gets the body all the same.
    let answer = platform.post("/trailers/", content.clone()).await.expect(200);
    assert!(answer.header("trailer").is_none(), "{answer}");
    parts(&answer.headers);
    assert_eq!(answer.body, content);
}

#[tokio::test]
async fn a_function_keeps_its_own_trailers() {
    let platform = Platform::start().await;
    platform.deploy_with("trailers", TOLD).await;
    let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), "abc".parse().unwrap())]);
    let body = body_of("content").with_trailers(async { Some(Ok(trailers)) }).boxed();
    let request = Request::post("http://any/trailers/").header("te", "trailers").body(body).unwrap();
    let answer = http2(&platform).await.send_request(request).await.unwrap();
    let body = answer.into_body().collect().await.unwrap();
    let trailers = body.trailers().expect("trailers");
    assert_eq!(trailers["x-checksum"], "abc");
    parts(trailers);
}
