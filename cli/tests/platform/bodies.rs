//! Bodies: how large they may be, and what happens to those that nobody reads.

use bytes::Bytes;
use futures::stream;

use crate::harness::{Platform, Wire};

/// A body of unknown length in pieces of 1 KiB.
fn pieces(count: usize) -> reqwest::Body {
    let pieces = std::iter::repeat_n(Bytes::from_static(&[b'x'; 1024]), count);
    reqwest::Body::wrap_stream(stream::iter(pieces.map(Ok::<_, std::io::Error>)))
}

#[tokio::test]
async fn a_request_body_over_the_limit_is_refused_by_its_length() {
    let platform = Platform::start().await;
    platform.deploy_with("echo", "[limits]\nrequest_body = \"4KiB\"\n").await;
    platform.post("/echo/", vec![b'x'; 4096]).await.expect(200);
    platform.post("/echo/", vec![b'x'; 4097]).await.expect_problem(413, "body-too-large", "platform");

    // Nothing of it is waited for.
    let mut wire = Wire::connect(&platform).await;
    wire.send("POST /echo/ HTTP/1.1\r\nhost: any\r\ncontent-length: 10000000000\r\n\r\n").await;
    let answer = wire.read_to("}").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn a_request_body_that_grows_over_the_limit_is_refused_before_the_answer_and_cut_after_it() {
    let platform = Platform::start().await;
    platform.deploy_with("count-body", "[limits]\nrequest_body = \"4KiB\"\n").await;
    platform.deploy_with("echo", "[limits]\nrequest_body = \"4KiB\"\n").await;
    platform.post("/count-body/", pieces(4)).await.expect(200).expect_text("4096\n");
    platform.invocations("count-body", 1).await;
    let answer = platform.post("/count-body/", pieces(8)).await;
    answer.expect_problem(413, "body-too-large", "platform");
    assert_eq!(platform.invocations("count-body", 2).await[0]["outcome"], "request-too-large");

    // This one answers before it reads: what the client gets must not look like the whole.
    for count in 1..=20 {
        if let Ok(answer) = platform.post("/echo/", pieces(8)).attempt().await {
            answer.expect_problem(413, "body-too-large", "platform");
        }
        assert_eq!(platform.invocations("echo", count).await[0]["outcome"], "request-too-large");
    }
}

#[tokio::test]
async fn a_response_body_over_the_limit_never_arrives_whole() {
    let platform = Platform::start().await;
    platform.deploy_with("echo", "[limits]\nresponse_body = \"64KiB\"\n").await;
    platform.post("/echo/", vec![b'x'; 64 << 10]).await.expect(200);
    platform.invocations("echo", 1).await;
    if let Ok(answer) = platform.post("/echo/", vec![b'x'; (64 << 10) + 1]).attempt().await {
        answer.expect_problem(502, "response-too-large", "function");
    }
    assert_eq!(platform.invocations("echo", 2).await[0]["outcome"], "response-too-large");
}

#[tokio::test]
async fn a_body_that_the_function_does_not_read_is_no_problem() {
    let platform = Platform::start().await;
    platform.deploy("unread-body").await;
    platform.post("/unread-body/", "short").await.expect(200).expect_text("not read\n");
    platform.post("/unread-body/", pieces(4)).await.expect(200).expect_text("not read\n");
    platform.invocations("unread-body", 2).await;

    let mut wire = Wire::connect(&platform).await;
    let long = 64 << 20;
    wire.send(format!("POST /unread-body/ HTTP/1.1\r\nhost: any\r\ncontent-length: {long}\r\n\r\n")).await;
    wire.send_what_is_taken(vec![b'x'; 256 << 10]).await;
    let answer = String::from_utf8(wire.read_to_end().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("not read\n"), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "what is not read ends the connection: {answer}");
    assert_eq!(platform.invocations("unread-body", 3).await[0]["bytes_in"], 0);
}
