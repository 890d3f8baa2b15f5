//! Versions of a function: counted, kept, gone back to.

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Platform, guest};

const HELLO: &str = "Hello from Wasmway!\n";

/// The version that answers, by the environment that `inspect` was given.
async fn answering(platform: &Platform) -> String {
    platform.get("/inspect/").await.expect(200).json()["env"]["V"].as_str().unwrap().to_owned()
}

fn manifest(version: &str) -> String {
    format!("[env]\nV = \"{version}\"\n")
}

async fn rollback(platform: &Platform, body: &str) -> Value {
    platform.api(Method::POST, "/functions/inspect/rollback").body(body.to_owned()).await.expect(200).json()
}

#[tokio::test]
async fn the_same_content_is_the_same_version() {
    let platform = Platform::start().await;
    let created = platform.deploy("hello").answer().await.expect(201).json();
    let same = platform.deploy("hello").answer().await.expect(200).json();
    assert_eq!((&created["version"], &same["version"]), (&json!(1), &json!(1)));
    assert_eq!(created["digest"], same["digest"]);

    // Another manifest or another component is another version.
    let second = platform.deploy_with("hello", "[limits]\ncpu = \"2s\"\n").answer().await.expect(201).json();
    let third = platform.upload("hello", guest("inspect")).answer().await.expect(201).json();
    assert_eq!((&second["version"], &third["version"]), (&json!(2), &json!(3)));
    platform.get("/hello/").await.expect(200).json();

    // What was deployed before is served again, under its old number.
    let again = platform.deploy("hello").answer().await.expect(200).json();
    assert_eq!(again["version"], 1);
    platform.get("/hello/").await.expect(200).expect_text(HELLO);
}

#[tokio::test]
async fn an_earlier_version_can_be_made_the_active_one() {
    let platform = Platform::start().await;
    for version in ["1", "2", "3"] {
        platform.deploy_with("inspect", &manifest(version)).await;
        assert_eq!(answering(&platform).await, version);
    }
    assert_eq!(rollback(&platform, "").await["version"], 2, "the one that was active before");
    assert_eq!(answering(&platform).await, "2");
    assert_eq!(rollback(&platform, "{\"version\": 1}").await["version"], 1);
    assert_eq!(answering(&platform).await, "1");
    assert_eq!(rollback(&platform, "{\"version\": 3}").await["version"], 3);
    assert_eq!(answering(&platform).await, "3");

    let refused = async |body: &'static str| platform.api(Method::POST, "/functions/inspect/rollback").body(body).await;
    let detail = refused("{\"version\": 9}").await.expect_problem(404, "unknown-version", "platform");
    assert!(detail.contains('9') && detail.contains("inspect"), "{detail}");
    for body in ["{\"version\": 0}", "{\"version\": -1}", "{\"to\": 1}", "{", "[]"] {
        refused(body).await.expect_problem(400, "bad-request", "platform");
    }
    assert_eq!(answering(&platform).await, "3");
}

#[tokio::test]
async fn the_only_version_has_nothing_before_it() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let refused = platform.api(Method::POST, "/functions/hello/rollback").await;
    refused.expect_problem(409, "no-previous-version", "platform");
    let refused = platform.api(Method::POST, "/functions/nothing/rollback").await;
    refused.expect_problem(404, "unknown-function", "platform");
}

#[tokio::test]
async fn versions_are_listed_newest_first_and_can_be_downloaded() {
    let platform = Platform::start().await;
    let contents = [guest("hello"), guest("inspect")];
    for content in &contents {
        platform.upload("it", content.clone()).await;
    }
    rollback_it(&platform).await;
    let list = platform.api(Method::GET, "/functions/it/versions").await.expect(200).json();
    let listed = list["versions"].as_array().unwrap();
    let brief: Vec<_> = listed.iter().map(|version| (version["version"].clone(), version["active"].clone())).collect();
    assert_eq!(brief, [(json!(2), json!(false)), (json!(1), json!(true))]);

    for (number, content) in (1..).zip(&contents) {
        let path = format!("/functions/it/versions/{number}");
        let version = platform.api(Method::GET, &path).await.expect(200).json();
        assert_eq!(version, listed[contents.len() - number]);
        assert_eq!(version["size"], content.len());
        let download = platform.api(Method::GET, &format!("{path}/component")).await.expect(200);
        assert_eq!(download.header("content-type"), Some("application/wasm"));
        assert!(download.body == content[..], "version {number} is not what was uploaded");
    }
    for path in ["/functions/it/versions/3", "/functions/it/versions/3/component"] {
        platform.api(Method::GET, path).await.expect_problem(404, "unknown-version", "platform");
    }
    for path in ["/functions/it/versions/0", "/functions/it/versions/x"] {
        platform.api(Method::GET, path).await.expect_problem(400, "invalid-name", "platform");
    }
    platform.api(Method::GET, "/functions/no/versions").await.expect_problem(404, "unknown-function", "platform");
}

async fn rollback_it(platform: &Platform) {
    platform.api(Method::POST, "/functions/it/rollback").await.expect(200);
}

#[tokio::test]
async fn a_deleted_function_is_gone_and_its_numbers_are_not_used_again() {
    let platform = Platform::start().await;
    for version in ["1", "2"] {
        platform.deploy_with("inspect", &manifest(version)).await;
    }
    platform.api(Method::DELETE, "/functions/inspect").await.expect(204).expect_text("");
    platform.get("/inspect/").await.expect_problem(404, "unknown-function", "platform");
    for (method, below) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::GET, "/versions"),
        (Method::GET, "/logs"),
        (Method::GET, "/invocations"),
    ] {
        let refused = platform.api(method, &format!("/functions/inspect{below}")).await;
        let detail = refused.expect_problem(404, "unknown-function", "platform");
        assert!(detail.contains("default/inspect"), "{detail}");
    }

    let again = platform.deploy_with("inspect", &manifest("2")).answer().await.expect(201).json();
    assert_eq!(again["version"], 3);
    assert_eq!(answering(&platform).await, "2");
    let list = platform.api(Method::GET, "/functions/inspect/versions").await.expect(200).json();
    assert_eq!(list["versions"].as_array().unwrap().len(), 1, "{list}");
}

#[tokio::test]
async fn a_component_is_compiled_once_in_a_namespace() {
    let platform = Platform::start().await;
    let compilations = async || platform.metrics().await.value("wasmway_compile_duration_seconds_count", &[]);
    platform.deploy("hello").await;
    platform.upload("hello", guest("hello")).named("again").answer().await.expect(201);
    assert_eq!(compilations().await, 1.0);
    platform.get("/again/").await.expect(200).expect_text("Hello from Wasmway!\n");
    // Whether a stranger has deployed it shows nowhere, not even in the time that it takes.
    platform.upload("hello", guest("hello")).namespace("shop").answer().await.expect(201);
    assert_eq!(compilations().await, 2.0);
}
