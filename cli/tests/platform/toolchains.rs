//! Components of every toolchain answer.

use std::fs;
use std::time::Duration;

use reqwest::Method;

use crate::harness::{Platform, example};

#[tokio::test]
async fn a_minimal_rust_component_answers() {
    let platform = Platform::start().await;
    let function = platform.deploy("hello").await;
    assert!(function["world"].as_str().unwrap().starts_with("wasi:http/incoming-handler@0.2."), "{function}");
    platform.get("/hello/").await.expect(200).expect_text("Hello from Wasmway!\n");
}

#[tokio::test]
async fn a_rust_component_with_the_whole_standard_library_answers() {
    let platform = Platform::start().await;
    platform.deploy_with("hello-std", "[env]\nGREETING = \"Good day\"\n").await;
    let answer = platform.get("/hello-std/").await.expect(200).expect_text("Good day from std\n");
    let seconds: u64 = answer.header("x-unix-time").unwrap().parse().unwrap();
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(now.abs_diff(seconds) < 600, "the function's clock says {seconds}, ours {now}");
}

#[tokio::test]
async fn a_c_component_answers() {
    let platform = Platform::start().await;
    platform.deploy("hello-c").await;
    let answer = platform.get("/hello-c/").await.expect(200);
    assert!(answer.text().starts_with("Hello from C"), "{answer}");
}

#[tokio::test]
async fn components_of_wasi_03_answer() {
    let platform = Platform::start().await;
    let function = platform.deploy("hello-p3").await;
    assert!(function["world"].as_str().unwrap().starts_with("wasi:http/handler@0.3."), "{function}");
    platform.get("/hello-p3/").await.expect(200).expect_text("Hello from WASI 0.3!\n");

    platform.deploy("echo-p3").await;
    let answer = platform.post("/echo-p3/", "back again").header("content-type", "text/x-any").await.expect(200);
    assert_eq!(answer.header("content-type"), Some("text/x-any"));
    answer.expect_text("back again");
    platform.call(Method::HEAD, "/echo-p3/").await.expect(200).expect_text("");
}

/// Deploys an example with its own manifest; it says hello with the name of its language.
async fn greets(platform: &Platform, name: &str, language: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
    let manifest = fs::read_to_string(format!("{folder}/{name}/wasmway.toml")).unwrap();
    let answer = platform.upload(name, example(name)).manifest(&manifest).answer().await;
    assert_eq!(answer.status, 201, "{answer}");
    for _ in 0..3 {
        let answer = platform.get(&format!("/{name}/some/path?x=y")).await.expect(200);
        assert!(answer.text().starts_with(&format!("Hello from {language}!")), "{answer}");
        assert!(answer.text().contains("/some/path"), "{answer}");
    }
}

/// JavaScript and Python bring an engine of more than 10 MB along, which takes the compiler a while: one after the
/// other, in one test.
#[tokio::test]
async fn the_examples_answer() {
    let platform = Platform::builder().arg("--compile-timeout=10m").arg("--compile-cpu=10m").start().await;
    greets(&platform, "hello-rust", "Rust").await;
    greets(&platform, "hello-javascript", "JavaScript").await;
    greets(&platform, "hello-python", "Python").await;
    platform.idle(Duration::from_secs(20)).await;
}
