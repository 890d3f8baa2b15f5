//! Where functions may send requests: nowhere, unless their manifest says so, and never into our own network.

use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{Neighbour, PATIENCE, Platform};

/// A server that answers every request with its head; answers with its port.
async fn server() -> u16 {
    answering(|head| format!("HTTP/1.1 202 Accepted\r\ncontent-length: {}\r\n\r\n{head}", head.len())).await
}

/// A server that answers every request as `answer` says, from its head; answers with its port.
async fn answering(answer: impl Fn(&str) -> String + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let answer = answer(&String::from_utf8(head).unwrap());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    port
}

/// A server that takes connections and never says a word.
async fn silent() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn allowing_private() -> Platform {
    Platform::builder().arg("--outbound-allow-private").start().await
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
    let platform = allowing_private().await;
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
    let platform = allowing_private().await;
    let port = server().await;
    platform.deploy_with("outbound", &allowing(&[format!("http://127.0.0.1:{port}")])).await;
    let (status, text) = fetched(&platform, &format!("http://127.0.0.1:{port}/a/b?c=d")).await;
    assert!(status == 202 && text.starts_with("GET /a/b?c=d HTTP/1.1\r\n"), "{status} {text}");
    assert_eq!(platform.invocations("outbound", 1).await[0]["outbound_requests"], 1);
    let metrics = platform.metrics().await;
    assert_eq!(metrics.value("wasmway_outbound_requests_total", &[("function", "outbound")]), 1.0);
}

/// The address of this machine by which it reaches others, where it has one: private or public, it is its own.
fn outward() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent: the kernel only chooses an address.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().unwrap().ip())
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
    origins.extend(outward().map(|ip| format!("http://{ip}:{port}")));
    origins.push(control.clone());
    platform.deploy_with("outbound", &allowing(&origins)).await;
    for origin in &origins {
        let (status, text) = fetched(&platform, &format!("{origin}/")).await;
        let refused = text.contains("DestinationIpProhibited") || text.contains("HttpRequestDenied");
        assert!(status == 500 && refused, "{origin}: {status} {text}");
    }
}

#[tokio::test]
async fn the_control_plane_is_never_reached_even_where_private_addresses_are() {
    let platform = allowing_private().await;
    let port = platform.process().run().control.rsplit_once(':').unwrap().1.to_owned();
    let hosts = ["127.0.0.1", "127.0.0.2", "localhost", "0.0.0.0", "[::1]"];
    let own = outward().map(|ip| ip.to_string());
    let hosts = hosts.into_iter().map(str::to_owned).chain(own);
    let origins: Vec<_> = hosts.map(|host| format!("http://{host}:{port}")).collect();
    // A redirect is followed by the guest, as a request like any other.
    let control = origins[0].clone();
    let redirecting =
        answering(move |_| format!("HTTP/1.1 302 Found\r\nlocation: {control}/metrics\r\ncontent-length: 0\r\n\r\n"))
            .await;
    let redirecting = format!("http://127.0.0.1:{redirecting}");
    platform.deploy_with("outbound", &allowing(&[&origins[..], std::slice::from_ref(&redirecting)].concat())).await;
    for origin in &origins {
        let (status, text) = fetched(&platform, &format!("{origin}/metrics")).await;
        assert!(status == 500 && text.contains("DestinationIpProhibited"), "{origin}: {status} {text}");
    }
    assert_eq!(fetched(&platform, &format!("{redirecting}/")).await.0, 302);
    let answer = platform.get(&format!("/outbound/?follow&url={redirecting}/")).await;
    assert!(answer.status == 500 && answer.text().contains("DestinationIpProhibited"), "{answer}");
}

#[tokio::test]
async fn a_redirect_leads_nowhere_that_the_manifest_does_not_name() {
    let platform = allowing_private().await;
    let port = server().await;
    let elsewhere = format!("HTTP/1.1 307 Moved\r\nlocation: http://127.0.0.1:{port}/\r\ncontent-length: 0\r\n\r\n");
    let redirecting = format!("http://127.0.0.1:{}", answering(move |_| elsewhere.clone()).await);
    platform.deploy_with("outbound", &allowing(std::slice::from_ref(&redirecting))).await;
    let answer = platform.get(&format!("/outbound/?follow&url={redirecting}/")).await;
    assert!(answer.status == 500 && answer.text().contains("HttpRequestDenied"), "{answer}");
}

/// A URL that leads through the function `times` times before it comes to `last`.
fn through_itself(platform: &Platform, times: usize, last: &str) -> String {
    format!("http://{}/outbound/?url=", platform.data_address()).repeat(times) + last
}

#[tokio::test]
async fn a_function_that_calls_itself_is_stopped_after_some_rounds() {
    let platform = allowing_private().await;
    let last = format!("http://127.0.0.1:{}/", server().await);
    let origins = [format!("http://{}", platform.data_address()), last.trim_end_matches('/').to_owned()];
    platform.deploy_with("outbound", &allowing(&origins)).await;

    // Nine times the function, which the last of its requests carries with it, whatever the guest says instead.
    let (status, text) = fetched(&platform, &through_itself(&platform, 8, &format!("{last}?x"))).await;
    assert_eq!((status, text.matches("cdn-loop: wasmway\r\n").count()), (202, 9), "{text}");
    let answer = platform.get(&format!("/outbound/?cdn-loop=forged&url={last}")).header("cdn-loop", "other;x=1").await;
    let said: Vec<_> = answer.text().lines().filter(|line| line.starts_with("cdn-loop")).collect();
    assert_eq!(said, ["cdn-loop: other;x=1", "cdn-loop: wasmway"], "{answer}");

    let (status, text) = fetched(&platform, &through_itself(&platform, 12, &last)).await;
    assert!(status == 508 && text.contains("\"loop-detected\""), "{status} {text}");
    let rejected = platform.metrics().await.value("wasmway_rejected_total", &[("reason", "loop-detected")]);
    assert_eq!(rejected, 1.0);

    // From outside as well: another node of ours may be in the loop.
    let looped =
        || platform.get("/outbound/").header("cdn-loop", "wasmway, other, wasmway;a=b").header("cdn-loop", "x");
    looped().await.expect(400);
    let more = ["wasmway"; 7].join(",");
    looped().header("cdn-loop", &more).await.expect_problem(508, "loop-detected", "platform");
}

#[tokio::test]
async fn a_server_that_stalls_is_left_at_the_guests_timeout() {
    let platform = allowing_private().await;
    let (_silent, port) = silent().await;
    platform
        .deploy_with("outbound", &allowing(&["http", "https"].map(|scheme| format!("{scheme}://127.0.0.1:{port}"))))
        .await;
    for (scheme, error) in [("https", "ConnectionTimeout"), ("http", "ConnectionReadTimeout")] {
        let answer = platform.get(&format!("/outbound/?timeouts=200000000&url={scheme}://127.0.0.1:{port}/")).await;
        assert!(answer.status == 500 && answer.text().contains(error), "{answer}");
    }
    // Without one, the function's own deadline holds also in the middle of a handshake.
    let manifest = allowing(&[format!("https://127.0.0.1:{port}")]) + "[limits]\ntimeout = \"500ms\"\n";
    platform.deploy_with("outbound", &manifest).await;
    let started = Instant::now();
    platform.get(&format!("/outbound/?url=https://127.0.0.1:{port}/")).await.expect_problem(504, "timeout", "function");
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    platform.idle(PATIENCE).await;
}

#[tokio::test]
async fn timeouts_of_nothing_and_of_centuries_are_taken_for_what_is_possible() {
    let platform = allowing_private().await;
    let url = format!("http://127.0.0.1:{}/", server().await);
    platform.deploy_with("outbound", &allowing(&[url.trim_end_matches('/').to_owned()])).await;
    let fetch = |nanos: u64| platform.get(&format!("/outbound/?timeouts={nanos}&url={url}"));
    fetch(u64::MAX).await.expect(202);
    for nanos in [0, 1] {
        let answer = fetch(nanos).await;
        let in_time = answer.status == 202;
        assert!(in_time || (answer.status == 500 && answer.text().contains("Timeout")), "{answer}");
    }
    platform.deploy("hello").await;
    platform.get("/hello/").await.expect(200);
}

#[tokio::test]
async fn a_request_has_so_many_outbound_requests_open_and_no_more() {
    let platform = allowing_private().await;
    let neighbour = Neighbour::watch(&platform).await;
    let (_silent, port) = silent().await;
    let manifest = allowing(&[format!("http://127.0.0.1:{port}")]) + "[limits]\ntimeout = \"5s\"\n";
    platform.deploy_with("outbound-flood", &manifest).await;
    // Nobody answers: what was let out is still open when the last one is tried.
    platform.get(&format!("/outbound-flood/?100&127.0.0.1:{port}")).await.expect_problem(504, "timeout", "function");
    let sent = &platform.invocations("outbound-flood", 1).await[0];
    assert_eq!(sent["outbound_requests"], 100, "{sent}");

    let port = server().await;
    platform.deploy_with("outbound-flood", &allowing(&[format!("http://127.0.0.1:{port}")])).await;
    let answer = platform.get(&format!("/outbound-flood/?100&127.0.0.1:{port}")).await.expect(200);
    let (refused, let_out): (Vec<_>, Vec<_>) =
        answer.text().lines().partition(|line| line.contains("ConnectionLimitReached"));
    assert!(let_out.len() >= 16 && refused.len() + let_out.len() == 100, "{answer}");
    assert!(let_out.iter().all(|line| *line == "Ok(202)"), "{answer}");
    neighbour.was_served().await;
    platform.idle(PATIENCE).await;
}

#[tokio::test]
async fn an_upload_without_end_is_cut_and_takes_no_memory() {
    const LIMIT: u64 = 1 << 30;
    let platform = allowing_private().await;
    let neighbour = Neighbour::watch(&platform).await;
    let (listener, port) = silent().await;
    let received = Arc::new(AtomicU64::new(0));
    let counted = received.clone();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut buffer = vec![0; 1 << 20];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            counted.fetch_add(read as u64, Relaxed);
        }
    });
    let manifest = allowing(&[format!("http://127.0.0.1:{port}")]) + "[limits]\ncpu = \"60s\"\ntimeout = \"110s\"\n";
    platform.deploy_with("outbound-upload", &manifest).await;
    platform.process().forget_memory_peak();
    let before = platform.process().memory();
    let answer = platform.get(&format!("/outbound-upload/?127.0.0.1:{port}")).await.expect(200);
    assert!(answer.text().contains("HttpRequestBodySize(Some(1073741824))"), "{answer}");
    let received = received.load(Relaxed);
    assert!(received > LIMIT / 2 && received < LIMIT + LIMIT / 64, "{received}");
    let peak = platform.process().memory_peak();
    assert!(peak < before + (100 << 20), "{before} bytes before, {peak} at the peak");
    let sent = &platform.invocations("outbound-upload", 1).await[0];
    let bytes = sent["outbound_bytes"].as_u64().unwrap();
    assert!((LIMIT..LIMIT + (1 << 20)).contains(&bytes), "{sent}");
    assert!(sent["cpu_us"].as_u64().unwrap() > 10_000, "sending a gigabyte is work: {sent}");
    neighbour.was_served().await;
}
