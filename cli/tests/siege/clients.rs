//! Clients that attack: cases 52 to 61.

use std::time::{Duration, Instant};

use futures::future::join_all;
use tokio::time::timeout;

use crate::case::{Answered, By, Case, arm, armed};
use crate::harness::{PATIENCE, Platform, Server, Wire, eventually};

pub(crate) fn cases() -> Vec<Case> {
    let client = By::Client;
    let hasty = &["--header-timeout=1s"];
    vec![
        client.attacks_own(52, "headers that drip (slowloris)", hasty, |platform| Box::pin(slow_headers(platform))),
        client.attacks_own(53, "a body that drips", hasty, |platform| Box::pin(slow_body(platform))),
        client.attacks(54, "1 MB of headers", |server| Box::pin(large_headers(server))),
        client.attacks(55, "a chunk that is none", |server| Box::pin(bad_chunk(server))),
        client.attacks(56, "Content-Length and Transfer-Encoding", |server| Box::pin(two_lengths(server))),
        client.attacks(57, "HTTP/2 rapid reset", |server| Box::pin(rapid_reset(server))),
        client.attacks(58, "clients that leave", |server| Box::pin(leaving(server))),
        client.attacks_own(59, "more idle connections than there may be", &["--max-connections=100"], |platform| {
            Box::pin(idle_connections(platform))
        }),
        client.attacks(60, "a request without a host", |server| Box::pin(no_host(server))),
        client.attacks(61, "5,000 requests at once on one connection", |server| Box::pin(pipelining(server))),
    ]
}

async fn text_to_end(wire: &mut Wire) -> String {
    String::from_utf8_lossy(&wire.read_to_end().await).into_owned()
}

/// Sends `piece` every 100 ms until the other end answers or closes; answers with what it says, and after how long.
async fn drip(mut wire: Wire, head: &str, piece: &str) -> (String, Duration) {
    let began = Instant::now();
    wire.send(head).await;
    while wire.sends(piece).await && !wire.has_answer().await {
        assert!(began.elapsed() < PATIENCE, "it is waited for without end");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    (text_to_end(&mut wire).await, began.elapsed())
}

async fn slow_headers(platform: &Platform) -> Answered {
    let head = "GET /siege-hello/ HTTP/1.1\r\nhost: any\r\nx-slow: ";
    let drips = (0..50).map(async |_| drip(Wire::connect(platform).await, head, "x").await);
    let ended = join_all(drips).await;
    assert!(ended.iter().all(|(answer, _)| !answer.starts_with("HTTP/1.1 200")), "one was served");
    let longest = ended.iter().map(|(_, took)| *took).max().unwrap_or_default();
    assert!(longest < Duration::from_secs(15), "{longest:?}");
    Ok(format!("50 of them closed within {:.1} s, where 1 s is allowed", longest.as_secs_f64()))
}

async fn slow_body(platform: &Platform) -> Answered {
    let name = arm(platform, "count-body", "[limits]\ntimeout = \"10m\"\n").await;
    let head = format!("POST /{name}/ HTTP/1.1\r\nhost: any\r\ncontent-length: 1000000\r\n\r\n");
    let (answer, took) = drip(Wire::connect(platform).await, &head, "xxxxxxxxxx").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("\"body-too-slow\""), "{answer}");
    platform.idle(PATIENCE).await;
    Ok(format!("408 body-too-slow after {:.1} s", took.as_secs_f64()))
}

async fn large_headers(server: &Server) -> Answered {
    let padding = "x".repeat(1 << 20);
    let many = "x-padding: 0123456789abcdef\r\n".repeat((1 << 20) / 29);
    for header in [format!("x-padding: {padding}\r\n"), many] {
        let mut wire = Wire::connect(server).await;
        wire.send_what_is_taken(format!("GET /siege-hello/ HTTP/1.1\r\nhost: any\r\n{header}\r\n")).await;
        let answer = text_to_end(&mut wire).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    Ok("431, for one large header and for many".to_owned())
}

async fn bad_chunk(server: &Server) -> Answered {
    let name = arm(server, "count-body", "").await;
    let mut said = Vec::new();
    for chunk in ["zz\r\nxx\r\n0\r\n\r\n", "ffffffffffffffffff\r\nx\r\n", "-1\r\nx\r\n", "2\r\nxxyy0\r\n\r\n"] {
        let mut wire = Wire::connect(server).await;
        wire.send(format!("POST /{name}/ HTTP/1.1\r\nhost: any\r\ntransfer-encoding: chunked\r\n\r\n{chunk}")).await;
        wire.send_what_is_taken("GET /siege-hello/ HTTP/1.1\r\nhost: any\r\n\r\n").await;
        let answer = text_to_end(&mut wire).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunk:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{chunk:?}: a request was smuggled: {answer}");
        said.push(&chunk[..1]);
    }
    Ok(format!("{} times 400, and the connection is closed", said.len()))
}

/// The standard leaves a choice with both headers: to refuse, or to take the chunks alone and close the connection
/// (RFC 9112, 6.1). Either way nothing hides behind the body.
async fn two_lengths(server: &Server) -> Answered {
    let name = arm(server, "count-body", "").await;
    let smuggled = "0\r\n\r\nGET /siege-hello/ HTTP/1.1\r\nhost: any\r\n\r\n";
    let mut said = Vec::new();
    for lengths in [
        "content-length: 6\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 6\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
    ] {
        let mut wire = Wire::connect(server).await;
        wire.send(format!("POST /{name}/ HTTP/1.1\r\nhost: any\r\n{lengths}\r\n{smuggled}")).await;
        let answer = text_to_end(&mut wire).await;
        let both = lengths.contains("content-length: 6\r\n") && lengths.contains("chunked\r\n");
        let chunks_alone = both && answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nconnection: close\r\n");
        assert!(answer.starts_with("HTTP/1.1 400 ") || chunks_alone, "{lengths:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths:?}: a request was smuggled: {answer}");
        said.push(answer["HTTP/1.1 ".len()..][..3].to_owned());
    }
    Ok(format!("{}, and the connection is closed", said.join(", ")))
}

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// `GET path`, in the compressed form that needs no table.
fn get_headers(path: &str) -> Vec<u8> {
    let text = |index: u8, text: &str| [&[index, text.len() as u8], text.as_bytes()].concat();
    [&[0x82, 0x86][..], &text(0x04, path), &text(0x01, "any")].concat()
}

/// The types of the frames in what was read.
fn frame_kinds(mut read: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = read {
        kinds.push(*kind);
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        read = rest.get(length..).unwrap_or_default();
    }
    kinds
}

async fn rapid_reset(server: &Server) -> Answered {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const GOAWAY: u8 = 7;
    const STREAMS: u32 = 20_000;
    let name = arm(server, "sleep", "[limits]\ntimeout = \"1m\"\n").await;
    let headers = get_headers(&format!("/{name}/60000"));
    let mut wire = Wire::connect(server).await;
    wire.send([&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()).await;
    let pairs = (0..STREAMS).flat_map(|number| {
        let stream = number * 2 + 1;
        [frame(HEADERS, 5, stream, &headers), frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    });
    wire.send_what_is_taken(pairs.collect::<Vec<u8>>()).await;
    let kinds = frame_kinds(&wire.read_to_end().await);
    assert!(kinds.contains(&GOAWAY), "no GOAWAY among {} frames", kinds.len());
    server.idle(PATIENCE).await;
    let ran = server.api(reqwest::Method::GET, &format!("/functions/{name}/invocations")).await.expect(200).json();
    let ran = ran["invocations"].as_array().unwrap().len();
    Ok(format!("GOAWAY and closed, after {ran} requests had been begun; every slot is free"))
}

async fn leaving(server: &Server) -> Answered {
    let mut slowest = Duration::ZERO;
    let body = "[limits]\ntimeout = \"10m\"\ncpu = \"5m\"\nresponse_body = \"16GiB\"\n";
    for (guest, path) in [("sleep", "600000"), ("loop", ""), ("endless-body", "")] {
        let name = armed(&format!("left-{guest}"));
        server.deploy_with(guest, body).named(&name).await;
        let path = format!("/{name}/{path}");
        for calls in 1..=3 {
            let mut wire = Wire::connect(server).await;
            wire.send(format!("GET {path} HTTP/1.1\r\nhost: any\r\n\r\n")).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            drop(wire);
            let left = Instant::now();
            let list = format!("/functions/{name}/invocations");
            eventually("the guest to be cancelled", PATIENCE, async || {
                let list = server.api(reqwest::Method::GET, &list).await.expect(200).json();
                let cancelled = |ended: &&serde_json::Value| ended["outcome"] == "cancelled";
                let count = list["invocations"].as_array().unwrap().iter().filter(cancelled).count();
                (count >= calls).then_some(())
            })
            .await;
            slowest = slowest.max(left.elapsed());
        }
    }
    // It is 100 ms on a quiet machine; this is one on which much else happens.
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    Ok(format!("9 guests cancelled (asleep, spinning, writing), the slowest after {} ms", slowest.as_millis()))
}

/// Connections that say nothing. Past those that are accepted, and those that the kernel holds for later, none are made.
pub(crate) async fn many_connections(server: &Server, count: usize) -> Vec<Wire> {
    let connect = || timeout(Duration::from_secs(1), Wire::connect(server));
    join_all((0..count).map(|_| connect())).await.into_iter().filter_map(Result::ok).collect()
}

async fn idle_connections(platform: &Platform) -> Answered {
    // The neighbour has the connection that it came with.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let wires = many_connections(platform, 1000).await;
    let mut most = 0.0_f64;
    for _ in 0..20 {
        let open = platform.metrics().await.value("wasmway_http_connections", &[("plane", "data")]);
        most = most.max(open);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!((50.0..=100.0).contains(&most), "{most} connections at once");
    drop(wires);
    let asked = Instant::now();
    platform.get(&format!("/{}/", armed("hello"))).await.expect(200);
    Ok(format!(
        "{most} of 1,000 open at once; a new client is served {} ms after they left",
        asked.elapsed().as_millis()
    ))
}

async fn no_host(server: &Server) -> Answered {
    for head in ["GET /siege-hello/ HTTP/1.1\r\n\r\n", "GET /siege-hello/ HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"] {
        let mut wire = Wire::connect(server).await;
        wire.send(head).await;
        let answer = wire.read_to("\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
    }
    Ok("400, for none and for two".to_owned())
}

async fn pipelining(server: &Server) -> Answered {
    const REQUESTS: usize = 5000;
    let mut wire = Wire::connect(server).await;
    let one = "GET /siege-hello/ HTTP/1.1\r\nhost: any\r\n\r\n";
    let last = "GET /siege-hello/ HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n";
    wire.send(format!("{}{last}", one.repeat(REQUESTS - 1))).await;
    // They are not read yet: what was answered has to wait somewhere.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let answers = text_to_end(&mut wire).await;
    let count = answers.matches("Hello from Wasmway!").count();
    assert_eq!(count, REQUESTS, "{} bytes", answers.len());
    Ok(format!("{count} answers, one after the other"))
}
