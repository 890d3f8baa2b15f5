//! Requests to other hosts: cases 21 to 27 and 35.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

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
        guest.attacks(24, "names that lead to private addresses", |server| Box::pin(private_names(server))),
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
async fn host(head: String) -> (String, Arc<AtomicU64>) {
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
    let name = arm(platform, "outbound-storm", &allowing(&[&origin])).await;
    let answer = platform.get(&format!("/{name}/?url={origin}")).await.expect(200);
    let reached = connections.load(Relaxed);
    assert!((1..=1000).contains(&reached), "{reached} connections: {answer}");
    Ok(format!("{}; {reached} connections", answer.text().trim_end()))
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
    let name = arm(platform, "upload-flood", &allowing(&[&origin])).await;
    let answer = platform.get(&format!("/{name}/?url={origin}")).await;
    let sent = bytes.load(Relaxed);
    assert!(sent < 2 << 30, "{} MiB were sent: {answer}", sent >> 20);
    assert!(matches!(answer.status.as_u16(), 200 | 502), "{answer}");
    Ok(format!("{}, cut after {} MiB", answer.status.as_u16(), sent >> 20))
}

/// Fetches by the guest `outbound`; it must be told that it may not.
async fn denied(server: &Server, name: &str, wish: &str, url: &str) {
    let answer = server.get(&format!("/{name}/?{wish}url={url}")).await;
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
        denied(server, &name, "", origin).await;
        tried += 1;
    }
    Ok(format!("{tried} of {} denied when called, the rest as an origin", ADDRESSES.len()))
}

async fn private_names(server: &Server) -> Answered {
    let origins = ["http://localhost:8080", "http://LOCALHOST.:8080"];
    let name = arm(server, "outbound", &allowing(&origins[..1])).await;
    for origin in origins {
        denied(server, &name, "", origin).await;
    }
    Ok("denied by the address that the name was resolved to, and only that is connected to".to_owned())
}

async fn redirect(platform: &Platform) -> Answered {
    let (elsewhere, reached) = host("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    for location in [format!("{elsewhere}/secret"), "http://169.254.169.254/latest/".to_owned()] {
        let head = format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let (origin, redirected) = host(head).await;
        let name = arm(platform, "outbound", &allowing(&[&origin])).await;
        denied(platform, &name, "follow&", &format!("{origin}/")).await;
        assert_eq!(redirected.load(Relaxed), 1);
    }
    assert_eq!(reached.load(Relaxed), 0);
    Ok("the second step is denied like a first one".to_owned())
}

async fn own_addresses(platform: &Platform) -> Answered {
    let control = platform.control_url().to_owned();
    let by_name = control.replace("127.0.0.1", "localhost");
    let origins = [control.as_str(), by_name.as_str()];
    let name = arm(platform, "outbound", &allowing(&origins)).await;
    for origin in origins {
        denied(platform, &name, "", &format!("{origin}/healthz")).await;
    }
    Ok("denied, although the manifest names them and private addresses are allowed".to_owned())
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

/// Passes connections on to `address`, as a proxy in front of us does; answers with its own address, and counts.
async fn relay(address: String) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let own = listener.local_addr().unwrap().to_string();
    let connections = Arc::new(AtomicU64::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut from, _)) = listener.accept().await {
            counted.fetch_add(1, Relaxed);
            let address = address.clone();
            tokio::spawn(async move {
                let Ok(mut to) = TcpStream::connect(&address).await else { return };
                // Either end may break it.
                let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
            });
        }
    });
    (own, connections)
}

async fn calls_itself(platform: &Platform) -> Answered {
    let (via, connections) = relay(platform.data_address().to_owned()).await;
    let name = arm(platform, "calls-itself", &allowing(&[&format!("http://{via}")])).await;
    let answer = platform.get(&format!("/{name}/?via={via}")).await;
    let depth = connections.load(Relaxed);
    assert!(answer.status == 508 && answer.text().contains("loop-detected"), "at a depth of {depth}: {answer}");
    assert!(depth < 100, "a depth of {depth}");
    // And the others were not let down by it.
    platform.idle(Duration::from_secs(20)).await;
    Ok(format!("508 loop-detected at a depth of {depth}"))
}
