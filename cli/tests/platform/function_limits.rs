//! Functions that fail or attack: each gets the answer of the contract, and a neighbour never notices.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::Request;

use crate::harness::{Neighbour, Platform, Wire, body_of, http2};

const MIB: u64 = 1 << 20;

/// How a call of a misbehaving guest ends.
struct Case {
    guest: &'static str,
    path: &'static str,
    limits: &'static str,
    status: u16,
    code: &'static str,
    outcome: &'static str,
}

const CASES: &[Case] = &[
    Case { guest: "loop", path: "/", limits: "cpu = \"200ms\"", status: 504, code: "cpu-limit", outcome: "cpu-limit" },
    Case {
        guest: "start-loop",
        path: "/",
        limits: "cpu = \"200ms\"",
        status: 504,
        code: "cpu-limit",
        outcome: "cpu-limit",
    },
    Case { guest: "recurse", path: "/", limits: "", status: 502, code: "function-trapped", outcome: "trap" },
    Case {
        guest: "memory",
        path: "/",
        limits: "memory = \"32MiB\"\ncpu = \"30s\"",
        status: 502,
        code: "memory-limit",
        outcome: "memory-limit",
    },
    Case { guest: "trap", path: "/", limits: "", status: 502, code: "function-trapped", outcome: "trap" },
    Case { guest: "set-then-trap", path: "/", limits: "", status: 502, code: "function-trapped", outcome: "trap" },
    Case { guest: "no-response", path: "/", limits: "", status: 502, code: "no-response", outcome: "no-response" },
    Case {
        guest: "sleep",
        path: "/600000",
        limits: "timeout = \"300ms\"",
        status: 504,
        code: "timeout",
        outcome: "timeout",
    },
    Case {
        guest: "handles",
        path: "/",
        limits: "cpu = \"30s\"",
        status: 502,
        code: "host-limit",
        outcome: "host-limit",
    },
    Case { guest: "big-headers", path: "/", limits: "", status: 502, code: "function-trapped", outcome: "trap" },
    Case {
        guest: "hello",
        path: "/",
        limits: "response_body = \"10B\"",
        status: 502,
        code: "response-too-large",
        outcome: "response-too-large",
    },
];

#[tokio::test]
async fn every_failure_has_its_answer_while_a_neighbour_is_served() {
    let platform = Platform::start().await;
    let neighbour = Neighbour::watch(&platform).await;
    for case in CASES {
        let name = format!("bad-{}", case.guest);
        platform.deploy_with(case.guest, &format!("[limits]\n{}\n", case.limits)).named(&name).await;
        let answer = platform.get(&format!("/{name}{}", case.path)).await;
        let detail = answer.expect_problem(case.status, case.code, "function");
        assert!(!detail.contains("wasm"), "a stranger is told what is inside: {detail}");
        let ended = &platform.invocations(&name, 1).await[0];
        assert_eq!((&ended["outcome"], &ended["status"]), (&case.outcome.into(), &case.status.into()), "{ended}");
        let metrics = platform.metrics().await;
        let labels = [("namespace", "default"), ("function", name.as_str()), ("outcome", case.outcome)];
        assert_eq!(metrics.value("wasmway_invocations_total", &labels), 1.0, "{name}");
    }
    neighbour.was_served().await;
    platform.idle(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn the_budget_of_cpu_time_is_kept_to() {
    let platform = Platform::start().await;
    let neighbour = Neighbour::watch(&platform).await;
    platform.deploy_with("loop", "[limits]\ncpu = \"300ms\"\ntimeout = \"2m\"\n").await;
    let loops = (0..8).map(|_| async { platform.get("/loop/").await.expect_problem(504, "cpu-limit", "function") });
    futures::future::join_all(loops).await;
    for ended in platform.invocations("loop", 8).await {
        let used = Duration::from_micros(ended["cpu_us"].as_u64().unwrap());
        assert!((Duration::from_millis(300)..Duration::from_millis(500)).contains(&used), "{ended}");
    }
    neighbour.was_served().await;
}

#[tokio::test]
async fn a_memory_bomb_gets_what_its_limit_gives_and_no_more() {
    let platform = Platform::start().await;
    platform.deploy_with("memory", "[limits]\nmemory = \"48MiB\"\ncpu = \"30s\"\n").await;
    platform.deploy("hello").await;
    platform.get("/hello/").await.expect(200);
    let before = platform.process().memory();
    for _ in 0..5 {
        platform.get("/memory/").await.expect_problem(502, "memory-limit", "function");
    }
    let after = platform.process().memory();
    assert!(after < before + 48 * MIB, "memory went from {before} to {after} bytes");
    for ended in platform.invocations("memory", 5).await {
        let most = ended["memory_bytes"].as_u64().unwrap();
        assert!((40 * MIB..=48 * MIB).contains(&most), "{ended}");
    }
}

#[tokio::test]
async fn a_trap_is_explained_to_the_developer_and_to_nobody_else() {
    let platform = Platform::start().await;
    platform.deploy("trap").await;
    let detail = platform.get("/trap/").await.expect_problem(502, "function-trapped", "function");
    assert!(!detail.contains("unreachable"), "{detail}");
    let ended = &platform.invocations("trap", 1).await[0];
    let error = ended["error"].as_str().unwrap();
    for part in ["unreachable", "fall_through_the_floor", "trap/src/lib.rs:"] {
        assert!(error.contains(part), "no {part} in {error}");
    }
    let logged = platform.logs("trap").await;
    assert!(logged.iter().any(|line| line["stream"] == "platform" && line["message"] == error), "{logged:?}");

    platform.deploy_with("trap", "debug = true\n").await;
    let detail = platform.get("/trap/").await.expect_problem(502, "function-trapped", "function");
    assert!(detail.contains("unreachable") && detail.contains("fall_through_the_floor"), "{detail}");
}

#[tokio::test]
async fn a_body_that_is_cut_never_looks_whole() {
    let platform = Platform::start().await;
    platform.deploy("trap-mid-body").await;
    platform.deploy_with("endless-body", "[limits]\nresponse_body = \"1MiB\"\ncpu = \"30s\"\n").await;
    platform.deploy("wrong-length").await;
    for name in ["trap-mid-body", "endless-body", "wrong-length"] {
        let answer = platform.get(&format!("/{name}/")).attempt().await;
        platform.invocations(name, 1).await;
        // Either nothing was sent yet, and the failure is told, or the body breaks off.
        if let Ok(answer) = answer {
            assert_eq!((name, answer.status.as_u16()), ("wrong-length", 502), "{answer}");
            assert_eq!(answer.json()["source"], "function", "{answer}");
        }
        let mut wire = Wire::connect(&platform).await;
        wire.send(format!("GET /{name}/ HTTP/1.1\r\nhost: any\r\nconnection: close\r\n\r\n")).await;
        let read = wire.read_to_end().await;
        assert!(!read.ends_with(b"\r\n0\r\n\r\n"), "{name}: the chunked body ends well");
        assert!(read.len() < (3 * MIB / 2) as usize, "{name}: {} bytes", read.len());
    }
    let outcome = async |name: &str| platform.invocations(name, 2).await[0]["outcome"].as_str().unwrap().to_owned();
    assert_eq!(outcome("trap-mid-body").await, "trap");
    assert_eq!(outcome("endless-body").await, "response-too-large");
    assert_eq!(outcome("wrong-length").await, "no-response");
    platform.idle(Duration::from_secs(20)).await;
}

#[tokio::test]
async fn a_cut_body_resets_its_http2_stream_and_no_other() {
    let platform = Platform::start().await;
    platform.deploy("trap-mid-body").await;
    platform.deploy("hello").await;
    let mut connection = http2(&platform).await;
    let get = |path: &str| Request::get(format!("http://any{path}")).body(body_of("")).unwrap();
    let answer = connection.send_request(get("/trap-mid-body/")).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.into_body().collect().await.is_err(), "the body came to a good end");
    assert_eq!(connection.send_request(get("/hello/")).await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_was_answered_before_spinning_reaches_the_client() {
    let platform = Platform::start().await;
    platform.deploy_with("respond-then-spin", "[limits]\ncpu = \"400ms\"\n").await;
    platform.get("/respond-then-spin/").await.expect(200).expect_text("answered, and now spinning\n");
    platform.idle(Duration::from_secs(30)).await;
    assert_eq!(platform.invocations("respond-then-spin", 1).await[0]["outcome"], "cpu-limit");
}

#[tokio::test]
async fn a_flood_of_output_is_cut_and_the_function_goes_on() {
    let platform = Platform::start().await;
    let neighbour = Neighbour::watch(&platform).await;
    platform.deploy_with("log-flood", "[limits]\ncpu = \"2m\"\ntimeout = \"5m\"\n").await;
    let before = platform.process().memory();
    let answer = platform.get("/log-flood/").timeout(Duration::from_secs(300)).await.expect(200);
    let written: u64 = answer.text().strip_prefix("wrote ").unwrap().strip_suffix(" bytes\n").unwrap().parse().unwrap();
    assert!(written >= 1 << 30, "{answer}");
    platform.invocations("log-flood", 1).await;
    let lines = platform.logs("log-flood").await;
    let kept: usize = lines.iter().map(|line| line["message"].as_str().unwrap().len()).sum();
    assert!(kept < 64 << 10, "{kept} bytes of output were kept");
    assert!(
        lines.iter().any(|line| line["message"].as_str().unwrap().ends_with("bytes left out]")),
        "no cut is marked"
    );
    let grown = platform.process().memory().saturating_sub(before);
    assert!(grown < 64 * MIB, "memory grew by {grown} bytes");
    neighbour.was_served().await;
}

#[tokio::test]
async fn the_neighbours_of_the_benchmarks_do_what_their_paths_say() {
    let platform = Platform::start().await;
    platform.deploy_with("neighbours", "[limits]\ncpu = \"200ms\"\n").await;
    platform.get("/neighbours/hello").await.expect(200).expect_text("hello\n");
    platform.get("/neighbours/loop").await.expect_problem(504, "cpu-limit", "function");
    platform.post("/neighbours/echo", vec![b'x'; 1 << 20]).await.expect(200).expect_text(&"x".repeat(1 << 20));
    platform.deploy_with("neighbours", "[limits]\ncpu = \"1m\"\ntimeout = \"2m\"\n").await;
    platform.get("/neighbours/churn").await.expect(200);
    let most = platform.invocations("neighbours", 4).await[0]["memory_bytes"].as_u64().unwrap();
    assert!((96 * MIB..128 * MIB).contains(&most), "it had {most} bytes");
}
