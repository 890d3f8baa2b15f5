//! Bodies that are larger than what the process may take for them, and bodies that go both ways at once.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;

use crate::harness::{PATIENCE, Platform, Wire};

const MIB: u64 = 1 << 20;

/// What the process may grow by, whatever the size of a body.
const GROWTH: u64 = 64 * MIB;

/// Enough for the slowest machine; a gigabyte is to be counted, not timed.
const LONG: &str = "[limits]\ncpu = \"5m\"\ntimeout = \"30m\"\n";
const LONG_TIMEOUT: Duration = Duration::from_secs(1800);

/// The content of a large body: the same bytes again and again, of a length that no buffer has, so that a piece
/// that is lost or comes twice shows.
struct Pattern(Bytes);

impl Pattern {
    fn new() -> Self {
        Self((0..65_521_u32).map(|number| (number % 251) as u8).collect())
    }

    fn body(&self, length: u64) -> reqwest::Body {
        let (whole, rest) = (length / self.0.len() as u64, (length % self.0.len() as u64) as usize);
        let pieces = stream::iter(0..whole).map({
            let piece = self.0.clone();
            move |_| piece.clone()
        });
        let last = self.0.slice(..rest);
        let pieces = pieces.chain(stream::once(async move { last }));
        reqwest::Body::wrap_stream(pieces.map(Ok::<_, std::io::Error>))
    }

    /// Fails when `piece` is not what stands at `offset`.
    fn check(&self, offset: u64, mut piece: &[u8]) {
        let mut at = (offset % self.0.len() as u64) as usize;
        while !piece.is_empty() {
            let length = piece.len().min(self.0.len() - at);
            assert!(piece[..length] == self.0[at..at + length], "other bytes come back near {offset}");
            piece = &piece[length..];
            at = 0;
        }
    }
}

/// Sends `length` bytes to an echo and compares what comes back; answers with what the process grew by meanwhile.
async fn echoed(platform: &Platform, name: &str, length: u64) -> u64 {
    let pattern = Pattern::new();
    let path = format!("/{name}/");
    platform.post(&path, pattern.body(MIB)).await.expect(200);
    platform.invocations(name, 1).await;
    let before = platform.process().memory();
    platform.process().forget_memory_peak();
    let response = platform.post(&path, pattern.body(length)).timeout(LONG_TIMEOUT).head().await.unwrap();
    assert_eq!(response.status(), 200);
    let mut received = 0;
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.unwrap_or_else(|error| panic!("broke off after {received} bytes: {error:?}"));
        pattern.check(received, &piece);
        received += piece.len() as u64;
    }
    assert_eq!(received, length);
    let ended = &platform.invocations(name, 2).await[0];
    assert_eq!((ended["bytes_in"].as_u64(), ended["bytes_out"].as_u64()), (Some(length), Some(length)), "{ended}");
    platform.process().memory_peak().saturating_sub(before)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gigabyte_is_echoed_in_little_memory() {
    let platform = Platform::start().await;
    platform.deploy_with("echo", LONG).await;
    let grown = echoed(&platform, "echo", 1024 * MIB).await;
    assert!(grown < GROWTH, "memory grew by {grown} bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn wasi_03_echoes_in_little_memory() {
    let platform = Platform::start().await;
    platform.deploy_with("echo-p3", LONG).await;
    let grown = echoed(&platform, "echo-p3", 64 * MIB).await;
    assert!(grown < GROWTH / 2, "memory grew by {grown} bytes");
}

#[tokio::test]
async fn what_was_sent_comes_back_before_the_rest_is_sent() {
    let platform = Platform::start().await;
    for name in ["echo", "echo-p3"] {
        platform.deploy(name).await;
        let (to, from) = mpsc::channel::<Bytes>(1);
        let body = stream::unfold(from, async |mut from| Some((Ok::<_, std::io::Error>(from.recv().await?), from)));
        let call = platform.post(&format!("/{name}/"), reqwest::Body::wrap_stream(body));
        to.send("first".into()).await.unwrap();
        let response = call.head().await.unwrap();
        let mut pieces = response.bytes_stream();
        let mut next = async || timeout(PATIENCE, pieces.next()).await.expect("waits for more").map(Result::unwrap);
        assert_eq!(next().await.unwrap(), "first");
        for text in ["second", "third"] {
            to.send(text.into()).await.unwrap();
            assert_eq!(next().await.unwrap(), text);
        }
        drop(to);
        assert_eq!(next().await, None);
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_back_the_function_and_its_memory() {
    let platform = Platform::start().await;
    let limits = "[limits]\ntimeout = \"4s\"\ncpu = \"4s\"\nresponse_body = \"16GiB\"\n";
    platform.deploy_with("endless-body", limits).await;
    let before = platform.process().memory();
    platform.process().forget_memory_peak();
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut wire = Wire::connect(&platform).await;
        wire.send("GET /endless-body/ HTTP/1.1\r\nhost: any\r\n\r\n").await;
        clients.push(wire);
    }
    for ended in platform.invocations("endless-body", 4).await {
        assert_eq!(ended["outcome"], "timeout", "{ended}");
        let sent = ended["bytes_out"].as_u64().unwrap();
        assert!(sent < 32 * MIB, "{sent} bytes were taken that nobody reads");
    }
    platform.idle(PATIENCE).await;
    let grown = platform.process().memory_peak().saturating_sub(before);
    assert!(grown < GROWTH, "memory grew by {grown} bytes");
    for mut client in clients {
        let read = client.read_to_end().await;
        assert!(!read.ends_with(b"\r\n0\r\n\r\n"), "a body that was cut looks whole");
    }
}

#[tokio::test]
async fn a_function_that_does_not_read_holds_back_the_client() {
    let platform = Platform::start().await;
    platform.deploy_with("sleep", "[limits]\ntimeout = \"1m\"\n").await;
    let before = platform.process().memory();
    let body = Pattern::new().body(512 * MIB);
    // It sleeps and leaves the body alone; the connection takes what fits into its buffers.
    let answer = platform.post("/sleep/2000", body).attempt().await;
    let grown = platform.process().memory().saturating_sub(before);
    assert!(grown < GROWTH, "memory grew by {grown} bytes");
    if let Ok(answer) = answer {
        answer.expect(200).expect_text("slept 2000 ms\n");
    }
    assert_eq!(platform.invocations("sleep", 1).await[0]["bytes_in"], 0);
}

#[tokio::test]
async fn a_file_is_streamed_as_it_is() {
    let platform = Platform::start().await;
    platform.deploy("echo").await;
    let file = platform.scratch().join("file");
    let content: Vec<u8> = Pattern::new().0.repeat(100);
    std::fs::write(&file, &content).unwrap();
    let body = reqwest::Body::wrap_stream(ReaderStream::new(tokio::fs::File::open(&file).await.unwrap()));
    let answer = platform.post("/echo/", body).await.expect(200);
    assert!(answer.body == content, "other bytes come back");
}
