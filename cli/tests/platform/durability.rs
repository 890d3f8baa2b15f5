//! What was acknowledged is there again after any end.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Platform, Wire, binary, guest};

/// Everything that the control API shows, without the addresses, which are others at each start.
pub(super) async fn all(platform: &Platform) -> Value {
    let mut shown = Vec::new();
    for namespace in ["default", "shop"] {
        let query = format!("namespace={namespace}");
        let list = platform.api(Method::GET, &format!("/functions?{query}")).await.expect(200).json();
        for mut function in list["functions"].as_array().unwrap().clone() {
            let path = format!("/functions/{}/versions?{query}", function["name"].as_str().unwrap());
            function.as_object_mut().unwrap().remove("url");
            shown.push(function);
            shown.push(platform.api(Method::GET, &path).await.expect(200).json());
        }
    }
    Value::Array(shown)
}

/// A platform with a history: versions, a rollback, two namespaces, a route, a deleted function.
pub(super) async fn with_history() -> Platform {
    let platform = Platform::start().await;
    platform.upload("it", guest("hello")).await;
    platform.upload("it", guest("inspect")).manifest("[env]\nV = \"2\"\n").await;
    platform.upload("it", guest("echo")).await;
    platform.api(Method::POST, "/functions/it/rollback").await.expect(200);
    platform.upload("it", guest("hello")).namespace("shop").await;
    platform.deploy_with("hello-p3", "[[routes]]\nhost = \"p3.example.com\"\n").await;
    platform.deploy("trap").await;
    platform.api(Method::DELETE, "/functions/trap").await.expect(204);
    platform
}

pub(super) async fn answers_as_before(platform: &Platform, before: &Value) {
    assert_eq!(&all(platform).await, before);
    assert_eq!(platform.get("/it/").await.expect(200).json()["env"]["V"], "2");
    platform.get("/it.shop/").await.expect(200).expect_text("Hello from Wasmway!\n");
    platform.get("/").header("host", "p3.example.com").await.expect(200).expect_text("Hello from WASI 0.3!\n");
    platform.get("/trap/").await.expect_problem(404, "unknown-function", "platform");
    let component = platform.api(Method::GET, "/functions/it/versions/3/component").await.expect(200);
    assert!(component.body == guest("echo"), "version 3 is not what was uploaded");
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let mut platform = with_history().await;
    let before = all(&platform).await;
    let token = platform.token();
    let ended = platform.terminate().await;
    assert_eq!(ended.code(), Some(0));
    platform.start_again().await;
    answers_as_before(&platform, &before).await;
    assert_eq!(platform.token(), token);
    // Numbers go on where they were.
    let deployed = platform.upload("it", guest("unread-body")).answer().await.expect(201).json();
    assert_eq!(deployed["version"], 4);
}

#[tokio::test]
async fn a_process_that_is_killed_loses_nothing_that_it_acknowledged() {
    let mut platform = with_history().await;
    let before = all(&platform).await;
    for round in 1..=5 {
        platform.kill().await;
        platform.start_again().await;
        answers_as_before(&platform, &before).await;
        // Killed at once after the answer.
        let name = format!("late-{round}");
        platform.deploy("hello").named(&name).await;
        platform.kill().await;
        platform.start_again().await;
        platform.get(&format!("/{name}/")).await.expect(200).expect_text("Hello from Wasmway!\n");
        platform.api(Method::DELETE, &format!("/functions/{name}")).await.expect(204);
    }
}

#[tokio::test]
async fn a_deploy_that_is_cut_off_leaves_nothing() {
    let mut platform = Platform::start().await;
    platform.deploy("hello").await;
    let component = guest("inspect");
    for part in [0, 10, component.len() / 2, component.len() - 1] {
        let token = platform.token();
        let mut wire = Wire::connect_control(&platform).await;
        let length = component.len();
        wire.send(format!(
            "PUT /api/v1/functions/late HTTP/1.1\r\nhost: any\r\nauthorization: Bearer {token}\r\n\
             content-type: application/wasm\r\ncontent-length: {length}\r\n\r\n"
        ))
        .await;
        wire.send(&component[..part]).await;
        platform.kill().await;
        platform.start_again().await;
        platform.api(Method::GET, "/functions/late").await.expect_problem(404, "unknown-function", "platform");
        platform.get("/hello/").await.expect(200);
        let incoming = platform.folder().join("artifacts/incoming");
        assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0, "a leftover of an upload");
    }
    let deployed = platform.upload("late", component).answer().await.expect(201).json();
    assert_eq!(deployed["version"], 1);
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_data_directory_is_private_and_says_what_runs_in_it() {
    let mut platform = Platform::start().await;
    let folder = platform.folder();
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join("admin.token")), 0o600);
    assert_eq!(mode(&folder.join("code")), 0o700);
    let run: Value = serde_json::from_slice(&std::fs::read(folder.join("run.json")).unwrap()).unwrap();
    let (data, control) = (run["data"].as_str().unwrap(), run["control"].as_str().unwrap());
    assert_ne!(data, control);
    let printed = platform.process().printed();
    assert_eq!(printed, format!("data plane   {data}\ncontrol plane {control}\n"));
    platform.terminate().await;
    assert!(!folder.join("run.json").exists(), "it says that something runs");
}

#[tokio::test]
async fn two_processes_do_not_share_a_data_directory() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let output = binary()
        .args(["up", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0", "--data-dir"])
        .arg(platform.folder())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("another process uses the data directory"), "{error}");
    platform.get("/hello/").await.expect(200);
    assert_eq!(platform.function("hello").await["version"], 1);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let platform = Platform::start().await;
    let address = platform.data_address();
    let output = binary()
        .args(["up", "--listen", address, "--control", "127.0.0.1:0", "--data-dir"])
        .arg(platform.scratch().join("other"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains(&format!("--listen {address} cannot be bound")), "{error}");
}
