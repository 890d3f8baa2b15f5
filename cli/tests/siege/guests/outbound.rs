//! Requests to other hosts: cases 21 to 27 and 35, but for 24.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::case::{Answered, By, Case, arm};
use crate::harness::{Platform, Server};

/// For the attacks that need another host: it is this one.
const PRIVATE: &[&str] = &["--outbound-allow-private"];

pub(super) fn cases() -> Vec<Case> {
    let guest = By::Guest;
    vec![
        guest.attacks_own(21, "10,000 requests to another host", PRIVATE, |platform| Box::pin(flood(platform))),
        guest.attacks_own(22, "an upload of 10 GB", PRIVATE, |platform| Box::pin(upload(platform))),
        guest.attacks(23, "private addresses, in all spellings", |server| Box::pin(private_addresses(server))),
        guest.attacks_own(25, "a redirect to where it may not go", PRIVATE, |platform| Box::pin(redirect(platform))),
        guest
            .attacks_own(26, "our own address and control port", PRIVATE, |platform| Box::pin(own_addresses(platform))),
        guest.attacks_own(27, "a TLS handshake that stalls", PRIVATE, |platform| Box::pin(stalled_tls(platform))),
        guest.attacks_own(35, "a function that calls itself", PRIVATE, |platform| Box::pin(calls_itself(platform))),
    ]
}

/// A manifest that allows these origins.
pub(super) fn allowing(origins: &[&str]) -> String {
    format!("[limits]\ncpu = \"30s\"\ntimeout = \"1m\"\n[outbound]\nallow = {origins:?}\n")
}

/// A host that answers every request in the same way; answers with its origin, and counts connections.
pub(super) async fn host(head: String) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicU64::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Relaxed);
            let head = head.clone();
            tokio::spawn(async move {
                let mut read = Vec::new();
                while !read.ends_with(b"\r\n\r\n") && stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {}
                // Whoever asked may have gone.
                let _ = stream.write_all(head.as_bytes()).await;
            });
        }
    });
    (origin, connections)
}

/// A host that answers `202`.
pub(super) async fn answering() -> String {
    host("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()).await.0
}

async fn flood(platform: &Platform) -> Answered {
    let (origin, connections) = host("HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let authority = origin.strip_prefix("http://").unwrap();
    let name = arm(platform, "outbound-flood", &allowing(&[&origin])).await;
    // More than it may hold, then as many as it may, of which few may be open at once.
    platform.get(&format!("/{name}/?10000&{authority}")).await.expect_problem(502, "host-limit", "function");
    let answer = platform.get(&format!("/{name}/?400&{authority}")).await.expect(200);
    let refused = answer.text().lines().filter(|line| line.contains("ConnectionLimitReached")).count();
    let reached = connections.load(Relaxed);
    assert!(refused > 0 && (1..=1000).contains(&reached), "{reached} connections: {answer}");
    Ok(format!("10,000: 502 host-limit; 400: {refused} refused; {reached} connections in all"))
}

/// A host that takes whatever is sent to it, and never answers; counts the bytes.
async fn swallowing() -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let bytes = Arc::new(AtomicU64::new(0));
    let counted = bytes.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                let mut scrap = vec![0; 64 << 10];
                while let Ok(count @ 1..) = stream.read(&mut scrap).await {
                    counted.fetch_add(count as u64, Relaxed);
                }
            });
        }
    });
    (origin, bytes)
}

async fn upload(platform: &Platform) -> Answered {
    let (origin, bytes) = swallowing().await;
    let authority = origin.strip_prefix("http://").unwrap();
    let name = arm(platform, "outbound-upload", &allowing(&[&origin])).await;
    let answer = platform.get(&format!("/{name}/?{authority}")).await.expect(200);
    let sent = bytes.load(Relaxed);
    assert!(sent < 2 << 30, "{} MiB were sent: {answer}", sent >> 20);
    assert!(answer.text().contains("HttpRequestBodySize"), "{answer}");
    Ok(format!("cut after {} MiB: {}", sent >> 20, answer.text().trim_end()))
}

/// Fetches by the guest `outbound`; it must be told that it may not.
async fn denied(server: &Server, name: &str, url: &str) {
    let answer = server.get(&format!("/{name}/?follow&url={url}")).await;
    let text = answer.text();
    let told = text.contains("DestinationIpProhibited") || text.contains("HttpRequestDenied");
    assert!(answer.status == 500 && told, "{url}: {answer}");
}

/// Spellings of addresses that are nobody's business. Some are no addresses to us, and no names either.
const ADDRESSES: [&str; 16] = [
    "127.0.0.1",
    "127.1",
    "0.0.0.0",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "100.64.0.1",
    "169.254.169.254",
    "[::1]",
    "[::ffff:7f00:1]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "[fe80::1]",
];

async fn private_addresses(server: &Server) -> Answered {
    let origins = ADDRESSES.map(|address| format!("http://{address}:8080"));
    let mut tried = 0;
    for origin in &origins {
        // A manifest that cannot name it is as good a refusal.
        let manifest = allowing(&[origin]);
        let name = crate::case::armed("outbound");
        let deployed = server.deploy_with("outbound", &manifest).named(&name).answer().await;
        if deployed.status == 400 {
            deployed.expect_problem(400, "invalid-manifest", "platform");
            continue;
        }
        assert!(deployed.status.is_success(), "{deployed}");
        denied(server, &name, origin).await;
        tried += 1;
    }
    let name = arm(server, "outbound", &allowing(&["http://localhost:8080"])).await;
    for origin in ["http://localhost:8080", "http://LOCALHOST.:8080"] {
        denied(server, &name, origin).await;
    }
    Ok(format!("{tried} of {} denied when called, the rest as an origin; and localhost", ADDRESSES.len()))
}

async fn redirect(platform: &Platform) -> Answered {
    let (elsewhere, reached) = host("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    for location in [format!("{elsewhere}/secret"), "http://169.254.169.254/latest/".to_owned()] {
        let head = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let (origin, redirected) = host(head).await;
        let name = arm(platform, "outbound", &allowing(&[&origin])).await;
        denied(platform, &name, &format!("{origin}/")).await;
        assert_eq!(redirected.load(Relaxed), 1);
    }
    assert_eq!(reached.load(Relaxed), 0);
    Ok("the second step is denied like a first one".to_owned())
}

async fn own_addresses(platform: &Platform) -> Answered {
    let port = platform.control_url().rsplit_once(':').unwrap().1;
    let hosts = ["127.0.0.1", "localhost", "127.0.0.2", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]"];
    let origins = hosts.map(|host| format!("http://{host}:{port}"));
    let name = arm(platform, "outbound", &allowing(&origins.each_ref().map(String::as_str))).await;
    for origin in &origins {
        denied(platform, &name, &format!("{origin}/healthz")).await;
    }
    Ok("the control port is denied in 6 spellings, although the manifest names them and private addresses are allowed"
        .to_owned())
}

async fn stalled_tls(platform: &Platform) -> Answered {
    let (origin, _) = swallowing().await;
    let https = origin.replace("http:", "https:");
    let manifest = allowing(&[&https]).replace("\"1m\"", "\"2s\"");
    let name = arm(platform, "outbound", &manifest).await;
    let began = Instant::now();
    platform.get(&format!("/{name}/?url={https}/")).await.expect_problem(504, "timeout", "function");
    platform.idle(Duration::from_secs(20)).await;
    Ok(format!("504 timeout after {:.1} s, and the slot is free", began.elapsed().as_secs_f64()))
}

async fn calls_itself(platform: &Platform) -> Answered {
    const TIMES: usize = 50;
    let name = arm(platform, "outbound", &allowing(&[platform.data()])).await;
    let once_more = format!("{}/{name}/?url=", platform.data());
    let answer = platform.get(&format!("/{name}/?url={}{}/", once_more.repeat(TIMES), platform.data())).await;
    assert!(answer.status == 508 && answer.text().contains("loop-detected"), "{answer}");
    platform.idle(Duration::from_secs(20)).await;
    let list = platform.api(reqwest::Method::GET, &format!("/functions/{name}/invocations")).await.expect(200).json();
    let depth = list["invocations"].as_array().unwrap().len();
    assert!(depth < TIMES, "it came to its end");
    Ok(format!("508 loop-detected at a depth of {depth}"))
}
