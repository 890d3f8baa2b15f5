//! One call: what the function sees of it, and what the client gets back.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Request, Version};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Platform, Wire, WireBody, body_of, http1, http2};

/// A header as `inspect` saw it.
fn header<'a>(seen: &'a Value, name: &str) -> Option<&'a str> {
    let headers = seen["headers"].as_array().unwrap();
    headers.iter().find(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap())
}

#[tokio::test]
async fn the_function_sees_method_headers_and_how_it_was_called() {
    let platform = Platform::start().await;
    platform.deploy("inspect").await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"] {
        let method: Method = method.parse().unwrap();
        let seen = platform.call(method.clone(), "/inspect/").await.expect(200).json();
        assert_eq!(seen["method"], method.as_str());
    }
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let call = platform.get("/inspect/x").header("traceparent", traceparent).header("x-own", "one, two");
    let seen = call.header("accept", "text/plain").await.expect(200).json();
    assert_eq!(header(&seen, "traceparent"), Some(traceparent));
    assert_eq!(header(&seen, "x-own"), Some("one, two"));
    assert_eq!(header(&seen, "accept"), Some("text/plain"));
    assert_eq!(header(&seen, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&seen, "x-forwarded-host"), Some(platform.data_address()));
    assert_eq!(header(&seen, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&seen, "x-forwarded-prefix"), Some("/inspect"));
    assert_eq!((&seen["scheme"], &seen["authority"]), (&json!("http"), &json!(platform.data_address())));
}

#[tokio::test]
async fn what_a_client_says_about_its_way_here_is_not_believed() {
    let platform = Platform::start().await;
    platform.deploy("inspect").await;
    let call = platform.get("/inspect/").header("x-forwarded-for", "192.0.2.1").header("x-forwarded-proto", "https");
    let seen = call.header("x-forwarded-host", "bank.example").header("forwarded", "for=192.0.2.1").await.json();
    assert_eq!(header(&seen, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&seen, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&seen, "x-forwarded-host"), Some(platform.data_address()));
    assert_eq!(header(&seen, "forwarded"), None);
}

#[tokio::test]
async fn every_request_has_an_id_which_the_client_may_choose() {
    let platform = Platform::start().await;
    platform.deploy("inspect").await;
    let answer = platform.get("/inspect/").header("x-request-id", "order-66").await.expect(200);
    assert_eq!(answer.header("x-request-id"), Some("order-66"));
    assert_eq!(header(&answer.json(), "x-request-id"), Some("order-66"));

    let first = platform.get("/inspect/").await.expect(200);
    let second = platform.get("/inspect/").await.expect(200);
    let id = first.header("x-request-id").expect("an id is made");
    assert_eq!(header(&first.json(), "x-request-id"), Some(id));
    assert_ne!(second.header("x-request-id"), Some(id));

    // One that could forge a line of a log is replaced.
    let answer = platform.get("/inspect/").header("x-request-id", "a b\"c").await.expect(200);
    assert_ne!(answer.header("x-request-id"), Some("a b\"c"));
    let refused = platform.get("/nothing/").header("x-request-id", "order-67").await;
    refused.expect_problem(404, "unknown-function", "platform");
    assert_eq!(refused.header("x-request-id"), Some("order-67"));
}

#[tokio::test]
async fn the_environment_is_the_manifests_and_nothing_else() {
    let platform = Platform::start().await;
    platform.deploy("inspect").await;
    assert_eq!(platform.get("/inspect/").await.expect(200).json()["env"], json!({}));
    platform.deploy_with("inspect", "[env]\nGREETING = \"hi\"\nEMPTY = \"\"\n").await;
    let seen = platform.get("/inspect/").await.expect(200).json();
    assert_eq!(seen["env"], json!({"GREETING": "hi", "EMPTY": ""}));
}

#[tokio::test]
async fn head_has_no_body_and_leaves_the_connection_usable() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let mut connection = http1(&platform).await;
    for (method, length) in [("HEAD", 0), ("GET", 20), ("HEAD", 0), ("GET", 20)] {
        let request = Request::builder().method(method).uri("/hello/").header("host", "any").body(body_of("")).unwrap();
        connection.ready().await.unwrap();
        let answer = connection.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body.len(), length, "{method}");
    }
    platform.idle(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn http2_is_spoken_without_being_asked_for() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    platform.deploy("echo").await;
    let connection = http2(&platform).await;
    let many = (0..50).map(|number| {
        let mut connection = connection.clone();
        async move {
            let text = format!("number {number}");
            let request = Request::post("http://any/echo/").body(body_of(text.clone())).unwrap();
            let answer = connection.send_request(request).await.unwrap();
            assert_eq!((answer.status().as_u16(), answer.version()), (200, Version::HTTP_2));
            assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), text);
        }
    });
    futures::future::join_all(many).await;
    let request = Request::get("http://any/nothing/").body(body_of("")).unwrap();
    assert_eq!(connection.clone().send_request(request).await.unwrap().status(), 404);
}

/// Calls `trailers` with a trailer and expects it back.
fn with_trailer(request: hyper::http::request::Builder) -> Request<WireBody> {
    let trailers = HeaderMap::from_iter([("x-checksum".parse().unwrap(), HeaderValue::from_static("abc"))]);
    let frames = [Ok(Frame::data(Bytes::from_static(b"content"))), Ok(Frame::trailers(trailers))];
    request.body(BodyExt::boxed(StreamBody::new(stream::iter(frames)))).unwrap()
}

async fn expect_trailer(answer: hyper::Response<hyper::body::Incoming>) {
    assert_eq!(answer.status(), 200);
    let body = answer.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().and_then(|trailers| trailers.get("x-checksum")), Some(&HeaderValue::from_static("abc")));
    assert_eq!(body.to_bytes(), "content");
}

#[tokio::test]
async fn trailers_pass_through_both_ways() {
    let platform = Platform::start().await;
    platform.deploy("trailers").await;
    let request = with_trailer(Request::post("http://any/trailers/").header("te", "trailers"));
    expect_trailer(http2(&platform).await.send_request(request).await.unwrap()).await;

    let request = Request::post("/trailers/").header("host", "any").header("te", "trailers");
    let request = with_trailer(request.header("trailer", "x-checksum").header("transfer-encoding", "chunked"));
    expect_trailer(http1(&platform).await.send_request(request).await.unwrap()).await;
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_does_not_stall() {
    let platform = Platform::start().await;
    platform.deploy("echo").await;
    platform.deploy("unread-body").await;
    let head = |name: &str| {
        format!(
            "POST /{name}/ HTTP/1.1\r\nhost: any\r\nexpect: 100-continue\r\ncontent-length: 5\r\nconnection: close\r\n\r\n"
        )
    };
    // Well below every timeout of the platform's own.
    let soon = Duration::from_secs(5);

    let mut wire = Wire::connect(&platform).await;
    wire.send(head("echo")).await;
    let go_on = timeout(soon, wire.read_to("\r\n\r\n")).await.expect("100 Continue in time");
    assert!(go_on.starts_with("HTTP/1.1 100 "), "{go_on}");
    wire.send("hello").await;
    let answer = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("hello"), "{answer}");

    // A function that does not read keeps nobody waiting either.
    let mut wire = Wire::connect(&platform).await;
    wire.send(head("unread-body")).await;
    let answer = timeout(soon, wire.read_to("not read\n")).await.expect("an answer in time");
    assert!(answer.contains("HTTP/1.1 200 "), "{answer}");
}

/// As a client sends that has nowhere to go.
async fn send_slowly(wire: &mut Wire, bytes: &[u8]) {
    for byte in bytes {
        wire.send([*byte]).await;
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

#[tokio::test]
async fn protocols_are_told_apart_by_their_first_bytes_however_they_come() {
    let platform = Platform::start().await;
    platform.deploy("inspect").await;
    // It begins as HTTP/2 does.
    let mut wire = Wire::connect(&platform).await;
    send_slowly(&mut wire, b"PRINT /inspect/ HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n").await;
    let answer = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"method\":\"PRINT\""), "{answer}");
    let mut wire = Wire::connect(&platform).await;
    // The preface, and an empty SETTINGS frame.
    send_slowly(&mut wire, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await;
    // The server's own SETTINGS, and that it has taken ours.
    let acknowledged = wire.read_to("\x00\x00\x00\x04\x01\x00\x00\x00\x00").await;
    assert!(!acknowledged.contains("HTTP/1"), "{acknowledged:?}");
}

#[tokio::test]
async fn what_benchmarks_call_does_some_work() {
    let platform = Platform::start().await;
    platform.deploy("json").await;
    platform.deploy("hash").await;
    let order = json!({ "for": "a@example.com", "items": [{ "name": "x", "cents": 250, "count": 3 }, { "name": "y", "cents": 1, "count": 1 }] });
    let invoice = platform.post("/json/", order.to_string()).await.expect(200).json();
    let lines = json!([{ "name": "x", "cost": 750 }, { "name": "y", "cost": 1 }]);
    assert_eq!(invoice, json!({ "for": "a@example.com", "lines": lines, "total": 751 }));
    platform.post("/json/", "{").await.expect(400);
    // `head -c 1048576 /dev/zero | sha256sum`
    let megabyte = "30e14955ebf1352266dc2ff8067e68104607e750abb9d3b36582b8af909fcb58";
    platform.get("/hash/").await.expect(200).expect_text(megabyte);
}
