//! Instances of WASI 0.3 that serve several requests: what is kept, what is not, and when there is a new one. And those of
//! WASI 0.2 that are restored after each: of them nothing is ever kept.

use crate::harness::{PATIENCE, Platform, Wire, eventually, guest};
use futures::StreamExt;

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
    eventually("the instance to be let go of", PATIENCE, async || {
        let resting = platform.metrics().await.value("wasmway_instances_resting", &[("engine", "0.3")]);
        (resting == 0.0).then_some(())
    })
    .await;
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

#[tokio::test]
async fn no_request_finds_anything_of_another() {
    let platform = Platform::start().await;
    platform.deploy("remember").await;
    let first = platform.get("/remember/").await.expect(200).text().to_owned();
    assert!(first.starts_with("found: ; "), "{first}");
    // In whatever way one ends, and whatever it has done, the ones after it find what the first one found.
    for path in ["/", "/leak", "/grow", "/open", "/much", "/trap", "/", "/exit", "/"] {
        for _ in 0..3 {
            let answer = platform.get(&format!("/remember{path}")).await;
            match path {
                "/trap" | "/exit" => answer.expect(502),
                _ => answer.expect(200),
            };
            for _ in 0..2 {
                let next = platform.get("/remember/").await.expect(200).text().to_owned();
                assert_eq!(next, first, "after {path}");
            }
        }
    }
}

#[tokio::test]
async fn many_at_once_find_nothing_of_each_other() {
    let platform = &Platform::start().await;
    platform.deploy("remember").await;
    let first = platform.get("/remember/").await.expect(200).text().to_owned();
    let calls = (0..400).map(|call| {
        let path = ["/remember/", "/remember/leak", "/remember/grow", "/remember/open"][call % 4];
        async move { platform.get(path).await }
    });
    let answers: Vec<_> = futures::stream::iter(calls).buffer_unordered(16).collect().await;
    for answer in answers {
        assert_eq!(answer.expect(200).text(), first);
    }
}

/// Restoring is what makes them fast: a change that lost it would lose no other test.
#[tokio::test]
async fn instances_of_wasi_02_are_restored() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    for _ in 0..20 {
        platform.get("/hello/").await.expect(200);
    }
    let metrics = platform.metrics().await;
    let of = |kind| metrics.value("wasmway_sandboxes_total", &[("engine", "0.2"), ("kind", kind)]);
    let (fresh, restored) = (of("fresh"), of("restored"));
    assert!(restored >= 15.0 && fresh + restored >= 20.0, "fresh {fresh}, restored {restored}");

    let platform = Platform::builder().arg("--fresh-instances").start().await;
    platform.deploy("hello").await;
    for _ in 0..20 {
        platform.get("/hello/").await.expect(200);
    }
    let restored =
        platform.metrics().await.value("wasmway_sandboxes_total", &[("engine", "0.2"), ("kind", "restored")]);
    assert_eq!(restored, 0.0, "who operates it may want it so");
}
