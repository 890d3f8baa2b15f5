//! Recording calls: who may, what is taken down and what is not, and how much.

use std::process::Stdio;
use std::time::Duration;

use reqwest::Method;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::harness::{Answer, PATIENCE, Platform, Server, binary, eventually};

const RECORDING: &str = "/functions/echo/recording";

async fn begin(server: &Server, wanted: Value) -> Answer {
    server.api(Method::POST, RECORDING).body(wanted.to_string()).await
}

async fn with_echo() -> Platform {
    let platform = Platform::start().await;
    platform.deploy("echo").await;
    platform
}

/// The captures once there are so many.
async fn captures(platform: &Platform, count: usize) -> Vec<Value> {
    eventually("the captures", PATIENCE, async || {
        let recording = platform.api(Method::GET, RECORDING).await.expect(200).json();
        recording["captures"].as_array().filter(|captures| captures.len() >= count).cloned()
    })
    .await
}

async fn capture(platform: &Platform, number: usize) -> Value {
    platform.api(Method::GET, &format!("{RECORDING}/captures/{number}")).await.expect(200).json()
}

#[tokio::test]
async fn who_may_deploy_may_record_and_the_log_says_who_did() {
    let platform = with_echo().await;
    let bearer = async |role: &str, namespace: &str| {
        let new = json!({"name": format!("{role} of {namespace}"), "role": role, "namespace": namespace});
        let made = platform.api(Method::POST, "/tokens").body(new.to_string()).await.expect(201).json();
        Server::at(platform.data(), platform.control_url(), made["secret"].as_str().unwrap())
    };
    let (viewer, stranger) = (bearer("viewer", "default").await, bearer("developer", "shop").await);
    let developer = bearer("developer", "default").await;
    begin(&viewer, json!({"next": 1})).await.expect_problem(403, "forbidden", "platform");
    begin(&stranger, json!({"next": 1})).await.expect_problem(404, "unknown-function", "platform");
    let wanted = json!({"next": 2, "failing": true, "keep": {"headers": ["Cookie"]}});
    let begun = begin(&developer, wanted).await.expect(201).json();
    assert_eq!((&begun["progress"], &begun["by"]), (&"recording".into(), &"developer of default".into()), "{begun}");
    // What it has captured is no more for everybody to see.
    for below in ["", "/captures/1"] {
        let path = format!("{RECORDING}{below}");
        viewer.api(Method::GET, &path).await.expect_problem(403, "forbidden", "platform");
        stranger.api(Method::GET, &path).await.expect_problem(404, "unknown-function", "platform");
    }
    viewer.api(Method::DELETE, RECORDING).await.expect_problem(403, "forbidden", "platform");
    platform.control(Method::GET, &format!("/api/v1{RECORDING}")).await.expect(401);
    let entry = &platform.api(Method::GET, "/audit?limit=1").await.expect(200).json()["entries"][0];
    assert_eq!((&entry["action"], &entry["subject"]), (&"record".into(), &"default/echo".into()), "{entry}");
    assert_eq!(entry["author"], "developer of default");
    assert_eq!(entry["after"], "the next 2 that fail; keeps headers cookie");
}

#[tokio::test]
async fn what_may_be_a_secret_is_a_placeholder_unless_it_is_to_be_kept() {
    let platform = Platform::start().await;
    let manifest = "[env]\nGREETING = \"hi\"\nDB = \"postgres://me:of-the-db@db/x\"\nAPI_TOKEN = \"of-the-house\"\n";
    platform.deploy_with("echo", manifest).await;
    let call = || {
        let call = platform.post("/echo/x?page=2&access_token=of-the-query", "a body");
        call.header("authorization", "Bearer of-somebody")
            .header("cookie", "a=of-the-cookie")
            .header("x-plain", "plain")
    };
    begin(&platform, json!({"next": 2})).await.expect(201);
    for _ in 0..2 {
        call().await.expect(200);
    }
    captures(&platform, 2).await;
    let (first, second) = (capture(&platform, 1).await, capture(&platform, 2).await);
    assert!(!first.to_string().contains("of-"), "{first:#}");
    for shown in ["x?page=2&access_token=redacted-", "\"x-plain\",\"plain\"", "a body", "[\"GREETING\",\"hi\"]"] {
        assert!(first.to_string().contains(shown), "no {shown} in {first:#}");
    }
    let redacted = json!([
        "environment API_TOKEN",
        "environment DB",
        "request header authorization",
        "request header cookie",
        "request query access_token"
    ]);
    assert_eq!(first["redacted"], redacted);
    assert_eq!(first["request"]["uri"], second["request"]["uri"], "the same value, the same placeholder");

    let keep = json!({"headers": ["Authorization"], "query": ["access_token"], "env": ["DB"]});
    begin(&platform, json!({"next": 1, "keep": keep})).await.expect(201);
    call().await.expect(200);
    captures(&platform, 1).await;
    let kept = capture(&platform, 1).await.to_string();
    for shown in ["Bearer of-somebody", "of-the-query", "of-the-db"] {
        assert!(kept.contains(shown), "no {shown} in {kept}");
    }
    assert!(!kept.contains("of-the-cookie") && !kept.contains("of-the-house"), "{kept}");
}

#[tokio::test]
async fn bodies_without_end_are_cut_and_the_capture_says_so() {
    let platform = with_echo().await;
    begin(&platform, json!({"next": 1})).await.expect(201);
    let body: Vec<u8> = (0..5_000_000_u32).map(|number| number as u8).collect();
    let answer = platform.post("/echo/", body.clone()).await.expect(200);
    assert_eq!(answer.body, body, "who calls it notices nothing");
    let summary = &captures(&platform, 1).await[0];
    assert!(summary["bytes"].as_u64().unwrap() < 2_000_000, "{summary}");
    assert_eq!(summary["truncated"], json!(["the request's body", "the response's body"]));
    let capture = capture(&platform, 1).await;
    assert_eq!(capture["request"]["body"]["bytes"], 5_000_000);
    assert_eq!(capture["truncated"], summary["truncated"]);
}

#[tokio::test]
async fn a_recording_takes_what_was_wanted_and_no_more() {
    let platform = with_echo().await;
    for (wanted, part) in [
        (json!({"next": 0}), "next: 0 is not from 1 to 100"),
        (json!({"next": 101}), "next: 101 is not from 1 to 100"),
        (json!({"next": 1, "keep": {"env": vec!["x"; 51]}}), "keep.env: at most 50 names"),
        (json!({"next": 1, "all": true}), "unknown field"),
        (json!("all"), "the body is not"),
    ] {
        let detail = begin(&platform, wanted).await.expect_problem(400, "bad-request", "platform");
        assert!(detail.contains(part), "{detail}");
    }
    platform.api(Method::GET, RECORDING).await.expect_problem(404, "unknown-recording", "platform");
    platform.api(Method::DELETE, RECORDING).await.expect_problem(404, "unknown-recording", "platform");
    begin(&platform, json!({"next": 2})).await.expect(201);
    let detail = begin(&platform, json!({"next": 1})).await.expect_problem(409, "recording-under-way", "platform");
    assert!(detail.contains("by \"admin.token\"") && detail.contains("--stop"), "{detail}");
    for number in 0..5 {
        platform.post("/echo/", format!("{number}")).await.expect(200);
    }
    captures(&platform, 2).await;
    let recording = platform.api(Method::GET, RECORDING).await.expect(200).json();
    assert_eq!((&recording["progress"], recording["captures"].as_array().unwrap().len()), (&"done".into(), 2));
    assert_eq!(capture(&platform, 2).await["request"]["body"]["data"], "1");
    platform.api(Method::GET, &format!("{RECORDING}/captures/3")).await.expect_problem(
        404,
        "unknown-capture",
        "platform",
    );

    // Those that fail alone, of however many.
    platform.deploy("trap").await;
    platform.deploy("hello-p3").await;
    let trap = "/functions/trap/recording";
    platform.api(Method::POST, trap).body(json!({"next": 1, "failing": true}).to_string()).await.expect(201);
    platform.get("/trap/").await.expect(502);
    platform.idle(PATIENCE).await;
    let waited = platform.api(Method::GET, &format!("{trap}?wait=10")).await.expect(200).json();
    assert_eq!((&waited["progress"], &waited["captures"][0]["outcome"]), (&"done".into(), &"trap".into()), "{waited}");
    platform.api(Method::DELETE, trap).await.expect(204);
    platform.api(Method::GET, trap).await.expect_problem(404, "unknown-recording", "platform");
    let newer = platform.api(Method::POST, "/functions/hello-p3/recording").body(json!({"next": 1}).to_string()).await;
    let detail = newer.expect_problem(422, "recording-unsupported", "platform");
    assert!(detail.contains("hello-p3 is written for WASI 0.3"), "{detail}");
}

#[tokio::test]
async fn calls_that_go_well_are_none_that_fail() {
    let platform = with_echo().await;
    begin(&platform, json!({"next": 1, "failing": true})).await.expect(201);
    for _ in 0..3 {
        platform.post("/echo/", "x").await.expect(200);
    }
    platform.idle(PATIENCE).await;
    let recording = platform.api(Method::GET, RECORDING).await.expect(200).json();
    assert_eq!((&recording["progress"], &recording["captures"]), (&"recording".into(), &json!([])), "{recording}");
}

#[tokio::test]
async fn a_node_keeps_so_many_recordings() {
    let platform = Platform::start().await;
    let component = crate::harness::guest("hello");
    for number in 0..17 {
        platform.upload(&format!("f{number}"), component.clone()).await;
        let path = format!("/functions/f{number}/recording");
        let answer = platform.api(Method::POST, &path).body(r#"{"next": 1}"#).await;
        match number {
            16 => drop(answer.expect_problem(429, "too-many-recordings", "platform")),
            _ => drop(answer.expect(201)),
        }
    }
    platform.api(Method::DELETE, "/functions/f3/recording").await.expect(204);
    platform.api(Method::POST, "/functions/f16/recording").body(r#"{"next": 1}"#).await.expect(201);
}

#[tokio::test]
async fn ctrl_c_ends_it_on_the_server_too() {
    let platform = with_echo().await;
    let mut command = binary();
    command.arg("--data-dir").arg(platform.folder()).args(["record", "echo", "--next", "5"]);
    command.current_dir(platform.scratch()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    eventually("the recording to begin", PATIENCE, async || {
        (platform.api(Method::GET, RECORDING).await.status == 200).then_some(())
    })
    .await;
    platform.post("/echo/", "x").await.expect(200);
    captures(&platform, 1).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert!(printed.contains("  POST /  200 ok  ") && printed.lines().count() == 1, "{printed}");
    platform.api(Method::GET, RECORDING).await.expect_problem(404, "unknown-recording", "platform");
}

#[tokio::test]
async fn a_fleets_registries_and_gateways_say_who_records() {
    let registry = Platform::builder().role("registry").start().await;
    let token_file = registry.folder().join("node.token");
    let token = std::fs::read_to_string(&token_file).unwrap();
    let gateway = Platform::builder()
        .role("gateway")
        .arg(format!("--registry={}", registry.control_url()))
        .arg(format!("--node-token-file={}", token_file.display()))
        .with_token(token)
        .start()
        .await;
    for server in [&registry, &gateway] {
        for path in [RECORDING.to_owned(), format!("{RECORDING}/captures/1")] {
            let answer = server.api(Method::GET, &path).await;
            let detail = answer.expect_problem(501, "recording-elsewhere", "platform");
            assert!(detail.contains("start one on the same --database and --artifacts"), "{detail}");
        }
        begin(server, json!({"next": 1})).await.expect_problem(501, "recording-elsewhere", "platform");
    }
}
