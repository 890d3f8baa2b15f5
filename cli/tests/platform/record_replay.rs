//! Calls that are recorded on a server, and run once more by another process, offline.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use reqwest::Method;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::harness::{PATIENCE, Platform, binary, eventually, guest};

/// A server that answers so many milliseconds after a request, each time with something else; answers with its address.
async fn slow_server(delay_ms: u64) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        for number in 0_u64.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut request = Vec::new();
                // Each of them is sent with a body that ends so.
                while !request.ends_with(b"!\r\n0\r\n\r\n") {
                    let Ok(byte) = stream.read_u8().await else { return };
                    request.push(byte);
                }
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
                let body = format!("answer {number}");
                let head = format!(
                    "HTTP/1.1 202 Accepted\r\nconnection: close\r\nset-cookie: id=of-theirs\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                // The function may have been ended before.
                let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
            });
        }
    });
    address
}

async fn moody(address: &str) -> Platform {
    let platform = Platform::builder().arg("--outbound-allow-private").start().await;
    let manifest =
        format!("[outbound]\nallow = [\"http://{address}\"]\n[env]\nGREETING = \"hi\"\nAPI_KEY = \"of-the-house\"\n");
    platform.deploy_with("moody", &manifest).await;
    platform
}

/// `wasmway record`, which goes on until it has what it wants or is told to stop.
struct Recording {
    child: Child,
    folder: PathBuf,
}

impl Recording {
    async fn start(platform: &Platform, function: &str, arguments: &[&str]) -> Self {
        let folder = platform.scratch().join("captures");
        let mut command = binary();
        command
            .arg("--data-dir")
            .arg(platform.folder())
            .args(["record", function, "--to"])
            .arg(&folder)
            .args(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        eventually("the recording to begin", PATIENCE, async || {
            let path = format!("/functions/{function}/recording");
            let recording = platform.api(Method::GET, &path).await;
            (recording.status == 200 && recording.json()["progress"] == "recording").then_some(())
        })
        .await;
        Self { child, folder }
    }

    /// Waits for its end, which must be a good one; answers with its captures in order.
    async fn done(self) -> Vec<PathBuf> {
        let Self { child, folder } = self;
        let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let is_capture = |line: &&str| line.starts_with(folder.to_str().unwrap());
        printed.lines().filter(is_capture).map(|line| line.split("  ").next().unwrap().into()).collect()
    }
}

fn read(capture: &Path) -> Value {
    serde_json::from_slice(&fs::read(capture).unwrap()).unwrap()
}

/// `wasmway replay`, where no platform and no network is.
fn replay(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    offline(binary().env("HOME", home.path()).arg("replay").args(arguments))
}

fn offline(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap()
}

fn replayed(arguments: &[&str]) -> (i32, Value) {
    let output = replay(&[arguments, &["-o", "json"]].concat());
    let told = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (output.status.code().unwrap(), told)
}

async fn call(platform: &Platform, address: &str) -> u16 {
    let call = platform.post(&format!("/moody/?http://{address}/mood"), "how are you!");
    call.header("authorization", "Bearer of-somebody").await.status.as_u16()
}

#[tokio::test]
async fn a_call_that_fails_is_run_once_more_and_fails_the_same() {
    let address = slow_server(70).await;
    let mut platform = moody(&address).await;
    let recording = Recording::start(&platform, "moody", &["--failing", "--next", "2"]).await;
    let mut failed = 0;
    while failed < 2 {
        failed += u32::from(call(&platform, &address).await == 502);
    }
    let captures = recording.done().await;
    assert_eq!(captures.len(), 2, "{captures:?}");
    assert_eq!(fs::metadata(&captures[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(platform.terminate().await.success());

    // The very component, which lies beside the captures; neither the platform nor the server is asked for anything.
    for capture in &captures {
        let path = capture.to_str().unwrap();
        let (code, told) = replayed(&[path]);
        let recorded = read(capture);
        assert_eq!((code, &told["same"], &told["inputs"]), (0, &true.into(), &json!([])), "{told:#}");
        let end = &told["replayed"]["end"];
        assert_eq!((&end["status"], &end["outcome"]), (&502.into(), &"trap".into()), "{told:#}");
        assert_eq!(end["error"], recorded["end"]["error"]);
        assert!(end["error"].as_str().unwrap().contains("wasm `unreachable` instruction executed"), "{end}");
        // Which of its words, numbers and times it got is on its standard output, and the same each time.
        let said = told["replayed"]["output"][0][1].as_str().unwrap();
        assert!(said.contains("202 \"answer ") && said.contains("GREETING=hi"), "{said}");
        assert_eq!(replayed(&[path]).1["replayed"]["output"], told["replayed"]["output"]);
    }

    // Another build, which answers where the recorded one trapped.
    let fixed = platform.scratch().join("fixed.wasm");
    fs::write(&fixed, guest("moody-fixed")).unwrap();
    let arguments = [captures[0].to_str().unwrap(), fixed.to_str().unwrap()];
    let (code, told) = replayed(&arguments);
    assert_eq!((code, &told["same"], &told["inputs"]), (1, &false.into(), &json!([])), "{told:#}");
    let fields: Vec<_> =
        told["differences"].as_array().unwrap().iter().map(|it| it["field"].as_str().unwrap()).collect();
    assert_eq!(fields, ["status", "outcome", "error", "headers", "body"], "{told:#}");
    assert_eq!(told["replayed"]["end"]["status"], 200);
    let text = replay(&arguments);
    assert_eq!(text.status.code(), Some(1));
    let text = String::from_utf8(text.stdout).unwrap();
    for part in ["another component", "502", "trap", "differs", "body, replayed", "rolled ", "it differs"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}

#[tokio::test]
async fn a_call_that_goes_well_is_answered_with_the_same_words() {
    let address = slow_server(30).await;
    let platform = moody(&address).await;
    let recording = Recording::start(&platform, "moody", &["--next", "12"]).await;
    let mut answers = Vec::new();
    for _ in 0..12 {
        let sent = platform.post(&format!("/moody/?http://{address}/mood"), "how are you!").await;
        answers.push(sent);
    }
    let captures = recording.done().await;
    assert_eq!(captures.len(), 12, "{captures:?}");
    assert!(answers.iter().any(|answer| answer.status == 200), "all of 12 failed");
    for (capture, answer) in captures.iter().zip(&answers) {
        let (code, told) = replayed(&[capture.to_str().unwrap(), "--env", "API_KEY=of-the-house"]);
        assert_eq!((code, &told["same"]), (0, &true.into()), "{told:#}");
        if answer.status == 200 {
            // Numbers, clocks, waits and the answer of another; only what is a secret is not in the capture.
            let recorded = read(capture)["response"]["body"]["data"].as_str().unwrap().to_owned();
            assert_eq!(recorded, answer.text());
            assert_eq!(told["replayed"]["response"]["body"]["data"], answer.text());
        }
    }
}

#[tokio::test]
async fn sleeps_take_no_time_and_limits_hold_all_the_same() {
    let platform = Platform::start().await;
    platform.deploy_with("sleep", "[limits]\ntimeout = \"4s\"\n").await;
    let recording = Recording::start(&platform, "sleep", &["--next", "2"]).await;
    platform.get("/sleep/3000").await.expect(200);
    platform.get("/sleep/60000").await.expect_problem(504, "timeout", "function");
    let captures = recording.done().await;
    for (capture, outcome) in captures.iter().zip(["ok", "timeout"]) {
        let (code, told) = replayed(&[capture.to_str().unwrap()]);
        let end = &told["replayed"]["end"];
        assert_eq!((code, &end["outcome"]), (0, &outcome.into()), "{told:#}");
        assert!(end["wall_us"].as_u64().unwrap() < 2_000_000, "it slept: {end}");
    }
    assert_eq!(captures.len(), 2);
}

#[tokio::test]
async fn what_the_recorded_call_did_not_get_is_named() {
    let address = slow_server(1).await;
    let platform = moody(&address).await;
    let recording = Recording::start(&platform, "moody", &[]).await;
    call(&platform, &address).await;
    let capture = recording.done().await.remove(0);
    let path = capture.to_str().unwrap().to_owned();
    let changed = |change: fn(&mut Value)| {
        let mut capture = read(Path::new(&path));
        change(&mut capture);
        let file = platform.scratch().join("captures/changed.json");
        fs::write(&file, capture.to_string()).unwrap();
        replayed(&[file.to_str().unwrap()])
    };
    let inputs = |(code, told): &(i32, Value)| -> String {
        assert_eq!(*code, 1, "{told:#}");
        let inputs: Vec<_> = told["inputs"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        inputs.join("\n")
    };
    let elsewhere = changed(|capture| capture["outbound"][0]["request"]["uri"] = "http://elsewhere/mood".into());
    let named = inputs(&elsewhere);
    assert!(named.contains("/mood is not in the capture, which has POST http://elsewhere/mood here"), "{named}");
    assert!(named.contains("outbound request 1 is not sent: POST http://elsewhere/mood"), "{named}");
    let without = changed(|capture| {
        capture["clocks"] = json!({ "wall_ns": [], "monotonic_ns": [] });
        capture["random"]["secure"] = "".into();
    });
    let named = inputs(&without);
    for what in ["the wall clock is read", "the monotonic clock is read", "random numbers are taken"] {
        assert!(named.contains(what), "{named}");
    }
    let other = changed(|capture| capture["outbound"][0]["request"]["body"]["data"] = "how were you!".into());
    assert!(inputs(&other).contains("outbound request 1 has another body"), "{other:?}");
    let cut = changed(|capture| {
        capture["request"]["body"]["data"] = "how".into();
        capture["request"]["body"]["pieces"] = json!([[3, 0]]);
    });
    assert!(inputs(&cut).contains("the request's body is read further than was recorded"), "{cut:?}");
}

#[tokio::test]
async fn a_replay_that_cannot_be_run_says_why_and_ends_with_2() {
    let home = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = home.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let refused = |arguments: &[&str]| {
        let output = replay(arguments);
        assert!(output.status.code() == Some(2) && output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused(&["nowhere.json"]).contains("cannot read nowhere.json"));
    assert!(refused(&[&file("none", "{}")]).contains("is no capture: it names no format"));
    let other = refused(&[&file("other", r#"{"format":"wasmway-capture/9"}"#)]);
    assert!(other.contains("wasmway-capture/9; this is for wasmway-capture/1"), "{other}");
    assert!(refused(&[&file("text", "hello")]).contains("is no capture"));
    assert!(refused(&[]).contains("CAPTURE"), "wrong usage");

    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let recording = Recording::start(&platform, "hello", &[]).await;
    platform.get("/hello/").await.expect(200);
    let capture = recording.done().await.remove(0);
    let path = capture.to_str().unwrap();
    let bad = refused(&[path, &file("bad.wasm", "no component")]);
    assert!(bad.contains("the component cannot run"), "{bad}");
    let newer = home.path().join("p3.wasm");
    fs::write(&newer, guest("hello-p3")).unwrap();
    assert!(refused(&[path, newer.to_str().unwrap()]).contains("only those for WASI 0.2 can be replayed"));
    // Away from the component that lies beside it, the platform is asked, and then there is none.
    let moved = file("moved.json", &fs::read_to_string(&capture).unwrap());
    let (control, token) = (platform.control_url(), platform.token());
    assert_eq!(replayed(&[&moved, "--server", control, "--token", &token]).0, 0);
    assert!(refused(&[&moved]).contains("name one as the second argument"));
}
