//! Instances of WASI 0.3 that serve several requests: what is kept, what is not, and when there is a new one.

use crate::harness::{PATIENCE, Platform, Wire, guest};

const THREE: &str = "[instances]\nreuse = 3\n";

/// Calls it one after the other: with the bill of a call, its instance is there for the next one.
struct Caller<'a> {
    platform: &'a Platform,
    calls: usize,
}

impl<'a> Caller<'a> {
    fn of(platform: &'a Platform) -> Self {
        Self { platform, calls: 0 }
    }

    async fn call(&mut self, path: &str, status: u16) -> String {
        let answer = self.platform.get(&format!("/tally-p3{path}")).await.expect(status);
        self.calls += 1;
        self.platform.invocations("tally-p3", self.calls).await;
        answer.text().to_owned()
    }

    /// Answers with how many requests the instance has had.
    async fn count(&mut self, path: &str) -> u32 {
        self.call(path, 200).await.trim_end().parse().unwrap()
    }

    async fn counts<const N: usize>(&mut self) -> [u32; N] {
        let mut counts = [0; N];
        for it in &mut counts {
            *it = self.count("/").await;
        }
        counts
    }
}

#[tokio::test]
async fn every_request_has_an_instance_of_its_own_unless_the_function_asks_for_less() {
    let platform = Platform::start().await;
    let mut calls = Caller::of(&platform);
    platform.deploy("tally-p3").await;
    assert_eq!(calls.counts().await, [1, 1, 1]);
    platform.deploy_with("tally-p3", THREE).await;
    assert_eq!(calls.counts().await, [1, 2, 3, 1, 2, 3, 1]);
    assert!(platform.wasmway(&["show", "tally-p3"]).1.contains("reuse = 3"));
    // Another version does not get what belongs to this one.
    platform.deploy_with("tally-p3", "[instances]\nreuse = 4\n").await;
    assert_eq!(calls.counts().await, [1, 2]);
    platform.idle(PATIENCE).await;
    assert_eq!(calls.counts().await, [1, 2], "an instance does not wait for ever");
}

#[tokio::test]
async fn what_a_request_is_told_and_charged_is_its_own() {
    let platform = Platform::start().await;
    let mut calls = Caller::of(&platform);
    platform.deploy_with("tally-p3", THREE).await;
    assert_eq!(calls.counts().await, [1, 2, 3]);
    let ended = platform.invocations("tally-p3", 3).await;
    let logs = platform.logs("tally-p3").await;
    // The newest is the first.
    for (number, ended) in (1..=3).rev().zip(&ended) {
        assert_eq!((&ended["outcome"], &ended["status"], &ended["bytes_out"]), (&"ok".into(), &200.into(), &2.into()));
        for used in ["cpu_us", "memory_bytes"] {
            assert!(ended[used].as_u64().unwrap() > 0, "{used} of {ended}");
        }
        let own: Vec<_> = logs.iter().filter(|line| line["request_id"] == ended["request_id"]).collect();
        assert_eq!(own.len(), 1, "{logs:?}");
        assert_eq!(own[0]["message"], format!("request {number} of its instance"));
    }
}

#[tokio::test]
async fn an_instance_that_failed_or_kept_something_is_not_used_again() {
    let platform = Platform::start().await;
    let mut calls = Caller::of(&platform);
    platform.deploy_with("tally-p3", "[limits]\ncpu = \"100ms\"\n[instances]\nreuse = 100\n").await;
    for (path, status) in [("/trap", 502), ("/spin", 504)] {
        assert_eq!(calls.counts().await, [1, 2]);
        calls.call(path, status).await;
    }
    for path in ["/open", "/keep"] {
        assert_eq!(calls.counts().await, [1, 2]);
        assert_eq!(calls.count(path).await, 3, "{path}");
    }
    assert_eq!(calls.counts().await, [1, 2]);
    let outcomes = platform.invocations("tally-p3", calls.calls).await;
    let failed: Vec<_> = outcomes.iter().filter(|it| it["outcome"] != "ok").map(|it| it["outcome"].clone()).collect();
    assert_eq!(failed, ["cpu-limit", "trap"]);
}

#[tokio::test]
async fn an_instance_that_waits_gives_way_to_requests() {
    let platform = Platform::builder().arg("--max-instances=4").start().await;
    let mut calls = Caller::of(&platform);
    platform.deploy_with("tally-p3", THREE).await;
    platform.deploy("echo-p3").await;
    assert_eq!(calls.counts().await, [1, 2]);
    let mut open = Vec::new();
    for _ in 0..4 {
        let mut wire = Wire::connect(&platform).await;
        wire.send("POST /echo-p3/ HTTP/1.1\r\nhost: any\r\ncontent-length: 2\r\n\r\na").await;
        let head = wire.read_to("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        open.push(wire);
    }
    platform.get("/tally-p3/").await.expect(503);
    drop(open);
    platform.idle(PATIENCE).await;
    assert_eq!(calls.counts().await, [1]);
}

#[tokio::test]
async fn instances_of_wasi_02_are_not_used_again() {
    let platform = Platform::start().await;
    let answer = platform.upload("hello", guest("hello")).manifest(THREE).answer().await;
    let detail = answer.expect_problem(422, "limits-refused", "platform");
    assert!(detail.starts_with("instances.reuse: ") && detail.contains("wasi:http/incoming-handler@0.2"), "{detail}");
}
