//! Where functions may send requests: nowhere, unless their manifest says so, and never into our own network.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::Platform;

/// A server that answers every request with its first line; answers with its port.
async fn server() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let line = String::from_utf8(head).unwrap().lines().next().unwrap().to_owned();
            let answer = format!("HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{line}", line.len());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

fn allowing(origins: &[String]) -> String {
    format!("[outbound]\nallow = {origins:?}\n")
}

async fn fetched(platform: &Platform, url: &str) -> (u16, String) {
    let answer = platform.get(&format!("/outbound/?url={url}")).await;
    (answer.status.as_u16(), answer.text().to_owned())
}

#[tokio::test]
async fn nothing_is_reached_that_the_manifest_does_not_name() {
    let platform = Platform::builder().arg("--outbound-allow-private").start().await;
    let port = server().await;
    let own = format!("http://127.0.0.1:{port}/x");
    platform.deploy("outbound").await;
    let (status, text) = fetched(&platform, &own).await;
    assert!(status == 500 && text.contains("HttpRequestDenied"), "{status} {text}");

    platform.deploy_with("outbound", &allowing(&[format!("http://127.0.0.1:{}", port ^ 1)])).await;
    let elsewhere = [own.clone(), own.replace("http:", "https:"), format!("http://localhost:{port}/")];
    for url in elsewhere {
        let (status, text) = fetched(&platform, &url).await;
        assert!(status == 500 && text.contains("HttpRequestDenied"), "{url}: {status} {text}");
    }
}

#[tokio::test]
async fn an_allowed_origin_is_reached() {
    let platform = Platform::builder().arg("--outbound-allow-private").start().await;
    let port = server().await;
    platform.deploy_with("outbound", &allowing(&[format!("http://127.0.0.1:{port}")])).await;
    let (status, text) = fetched(&platform, &format!("http://127.0.0.1:{port}/a/b?c=d")).await;
    assert_eq!((status, text.as_str()), (202, "GET /a/b?c=d HTTP/1.1"));
    assert_eq!(platform.invocations("outbound", 1).await[0]["outbound_requests"], 1);
}

#[tokio::test]
async fn private_addresses_are_never_reached_by_any_name() {
    let platform = Platform::start().await;
    let port = server().await;
    let control = platform.process().run().control.clone();
    let mut origins: Vec<_> = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "127.1", "0.0.0.0", "10.0.0.1"]
        .iter()
        .map(|host| format!("http://{host}:{port}"))
        .collect();
    origins.push("http://169.254.169.254".to_owned());
    origins.push(control.clone());
    platform.deploy_with("outbound", &allowing(&origins)).await;
    for origin in &origins {
        let (status, text) = fetched(&platform, &format!("{origin}/")).await;
        let refused = text.contains("DestinationIpProhibited") || text.contains("HttpRequestDenied");
        assert!(status == 500 && refused, "{origin}: {status} {text}");
    }
}
