//! Who may do what: tokens by role and namespace, and the log of what they did.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Platform, Server, eventually, guest};

/// A token made by the administrator, and the server as its bearer sees it.
async fn bearer(platform: &Platform, new: Value) -> (String, Server) {
    let made = platform.api(Method::POST, "/tokens").body(new.to_string()).await.expect(201).json();
    let secret = made["secret"].as_str().unwrap();
    (made["id"].as_str().unwrap().to_owned(), Server::at(platform.data(), platform.control_url(), secret))
}

#[tokio::test]
async fn a_role_is_good_for_what_it_says() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let (_, viewer) = bearer(&platform, json!({"name": "eyes", "role": "viewer"})).await;
    viewer.api(Method::GET, "/functions/hello").await.expect(200);
    viewer.api(Method::GET, "/functions/hello/logs").await.expect(200);
    let problem = viewer.deploy("echo").answer().await.expect(403).json();
    assert_eq!(problem["code"], "forbidden");
    assert!(problem["detail"].as_str().unwrap().contains("developer"), "{problem}");
    viewer.api(Method::DELETE, "/functions/hello").await.expect(403);

    let (_, developer) = bearer(&platform, json!({"name": "hands", "role": "developer"})).await;
    developer.deploy("echo").answer().await.expect(201);
    developer.api(Method::GET, "/tokens").await.expect(403);
    developer.api(Method::GET, "/audit").await.expect(403);
    developer.api(Method::POST, "/tokens").body(json!({"name": "x", "role": "admin"}).to_string()).await.expect(403);

    let (_, admin) = bearer(&platform, json!({"name": "head", "role": "admin"})).await;
    admin.api(Method::GET, "/audit").await.expect(200);
}

#[tokio::test]
async fn another_namespace_is_not_there() {
    let platform = Platform::start().await;
    platform.deploy("hello").await;
    let shop = json!({"name": "the shop", "role": "developer", "namespace": "shop"});
    let (_, shop) = bearer(&platform, shop).await;
    shop.upload("cart", guest("hello")).namespace("shop").answer().await.expect(201);
    shop.api(Method::GET, "/functions?namespace=shop").await.expect(200);
    for (method, path) in [
        (Method::GET, "/functions"),
        (Method::GET, "/functions/hello"),
        (Method::GET, "/functions/hello?namespace=default"),
        (Method::DELETE, "/functions/hello?namespace=default"),
        (Method::GET, "/functions/hello?namespace=default&namespace=shop"),
    ] {
        let problem = shop.api(method, path).await.expect(404).json();
        assert_eq!(problem["code"], "unknown-function", "{path}");
    }
    // Whichever of two is meant: not the other.
    shop.api(Method::DELETE, "/functions/hello?namespace=shop&namespace=default").await.expect(400);
    platform.api(Method::GET, "/functions/hello").await.expect(200);
}

#[tokio::test]
async fn a_token_that_is_revoked_or_has_expired_is_wrong() {
    let platform = Platform::start().await;
    let (id, revoked) = bearer(&platform, json!({"name": "gone soon", "role": "viewer"})).await;
    revoked.api(Method::GET, "/functions").await.expect(200);
    platform.api(Method::DELETE, &format!("/tokens/{id}")).await.expect(204);
    assert_eq!(revoked.api(Method::GET, "/functions").await.expect(401).json()["code"], "unauthorized");
    assert_eq!(
        platform.api(Method::DELETE, &format!("/tokens/{id}")).await.expect(404).json()["code"],
        "unknown-token"
    );

    let (_, short) = bearer(&platform, json!({"name": "short", "role": "viewer", "expires_in_s": 1})).await;
    tokio::time::sleep(std::time::Duration::from_millis(1200)).await;
    let problem = short.api(Method::GET, "/functions").await.expect(401).json();
    assert_eq!(problem["code"], "token-expired");
    assert!(problem["detail"].as_str().unwrap().contains("\"short\""), "{problem}");
    let list = platform.api(Method::GET, "/tokens").await.expect(200).text().to_owned();
    assert!(list.contains("short") && !list.contains("wwt_"), "{list}");
    for bad in [json!({}), json!({"name": "x", "role": "king"}), json!({"name": " ", "role": "viewer"})] {
        platform.api(Method::POST, "/tokens").body(bad.to_string()).await.expect(400);
    }
}

#[tokio::test]
async fn the_log_says_who_did_what() {
    let platform = Platform::start().await;
    let (_, developer) = bearer(&platform, json!({"name": "ann", "role": "developer"})).await;
    developer.upload("hello", guest("hello")).answer().await.expect(201);
    developer.upload("hello", guest("hello-std")).traffic(10).answer().await.expect(201);
    let rolled_back = developer.api(Method::POST, "/functions/hello/rollback").header("x-request-id", "the-rollback");
    rolled_back.await.expect(200);

    let page = platform.api(Method::GET, "/audit?limit=3").await.expect(200).json();
    let entries = page["entries"].as_array().unwrap();
    let shown: Vec<_> = entries
        .iter()
        .map(|it| format!("{} {} {} {} -> {}", it["author"], it["action"], it["subject"], it["before"], it["after"]))
        .collect();
    assert_eq!(
        shown,
        [
            r#""ann" "rollback" "default/hello" "v1=90 v2=10" -> "v1""#,
            r#""ann" "deploy" "default/hello" "v1" -> "v1=90 v2=10, v2 deployed""#,
            r#""ann" "deploy" "default/hello" null -> "v1""#,
        ]
    );
    assert_eq!((&entries[0]["request_id"], &entries[0]["address"]), (&json!("the-rollback"), &json!("127.0.0.1")));
    let rest = platform.api(Method::GET, &format!("/audit?before={}", page["next"])).await.expect(200).json();
    assert_eq!(rest["entries"][0]["action"], "token-create");
    assert_eq!(rest["next"], Value::Null);
}

#[tokio::test]
async fn the_command_line_makes_lists_and_ends_tokens() {
    let platform = Platform::start().await;
    let wasmway = |arguments: &[&str]| {
        let (done, said) = platform.wasmway(arguments);
        assert!(done, "{said}");
        said
    };
    let secret = wasmway(&["token", "create", "CI", "--role", "developer", "--only", "shop", "--expires", "1h"]);
    assert!(secret.starts_with("wwt_") && secret.ends_with('\n'), "{secret}");
    let list = wasmway(&["token", "list"]);
    assert!(list.contains("CI") && list.contains("shop") && !list.contains("wwt_"), "{list}");
    let id = list.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(wasmway(&["token", "revoke", &id]).contains(&id));
    let log = wasmway(&["audit"]);
    assert!(log.contains("token-revoke") && log.contains("token-create") && log.contains(&id), "{log}");
}

#[tokio::test]
async fn a_quota_is_kept_to_and_says_so() {
    let platform = Platform::start().await;
    let quota = json!({"functions": 1, "memory": "64MiB"});
    platform.api(Method::PUT, "/namespaces/shop/quota").body(quota.to_string()).await.expect(204);
    let small = "[limits]\nmemory = \"64MiB\"";
    platform.deploy_with("hello", small).namespace("shop").answer().await.expect(201);
    let problem = platform.deploy_with("echo", small).namespace("shop").answer().await.expect(403).json();
    assert_eq!(problem["code"], "quota-exceeded");
    assert!(problem["detail"].as_str().unwrap().contains("1 function;"), "{problem}");
    platform.deploy("hello").namespace("shop").answer().await.expect(403);
    let list = platform.api(Method::GET, "/namespaces").await.expect(200).json();
    assert_eq!(
        list["namespaces"][0]["quota"],
        json!({"functions": 1, "component_bytes": null, "memory": "64MiB",
        "concurrency": null, "requests_per_second": null, "cpu_weight": null})
    );
    for bad in [r#"{"function": 1}"#, r#"{"memory": "64"}"#, "1", r#"{"cpu_weight": 0}"#, r#"{"concurrency": -1}"#] {
        platform.api(Method::PUT, "/namespaces/shop/quota").body(bad).await.expect(400);
    }
    platform.api(Method::PUT, "/namespaces/Shop/quota").body("{}").await.expect(400);
    let (_, developer) = bearer(&platform, json!({"name": "x", "role": "developer"})).await;
    developer.api(Method::PUT, "/namespaces/shop/quota").body("{}").await.expect(403);
}

#[tokio::test]
async fn calls_of_a_namespace_are_bounded_together() {
    let platform = Platform::start().await;
    let set = async |quota: Value| {
        platform.api(Method::PUT, "/namespaces/shop/quota").body(quota.to_string()).await.expect(204);
    };
    platform.deploy("hello").namespace("shop").answer().await.expect(201);
    platform.deploy("sleep").namespace("shop").answer().await.expect(201);
    platform.deploy("hello").await;
    set(json!({"concurrency": 2})).await;
    let sleep = async || platform.get("/sleep.shop/5000").await;
    let (first, second, ()) = tokio::join!(sleep(), sleep(), async {
        eventually("two calls", Duration::from_secs(30), async || {
            (platform.metrics().await.value("wasmway_instances", &[("engine", "0.2")]) == 2.0).then_some(())
        })
        .await;
        let busy = platform.get("/hello.shop/").await;
        busy.expect_problem(429, "namespace-busy", "platform");
        assert_eq!(busy.header("retry-after"), Some("1"));
        platform.get("/hello/").await.expect(200);
        // At once, and for functions that are there already.
        set(json!({"concurrency": 3})).await;
        platform.get("/hello.shop/").await.expect(200);
    });
    first.expect(200);
    second.expect(200);

    set(json!({"requests_per_second": 1})).await;
    platform.get("/hello.shop/").await.expect(200);
    platform.get("/hello.shop/").await.expect_problem(429, "rate-exceeded", "platform");
    platform.get("/hello/").await.expect(200);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    platform.get("/hello.shop/").await.expect(200);
    let rejected = |reason| [("reason", reason)];
    let metrics = platform.metrics().await;
    assert_eq!(metrics.value("wasmway_rejected_total", &rejected("namespace-busy")), 1.0);
    assert_eq!(metrics.value("wasmway_rejected_total", &rejected("rate-exceeded")), 1.0);

    // Nothing is forgotten by a restart, and with no quota nothing is bounded.
    let mut platform = platform;
    platform.terminate().await;
    platform.start_again().await;
    platform.get("/hello.shop/").await.expect(200);
    platform.get("/hello.shop/").await.expect_problem(429, "rate-exceeded", "platform");
    platform.api(Method::PUT, "/namespaces/shop/quota").body("{}").await.expect(204);
    for _ in 0..5 {
        platform.get("/hello.shop/").await.expect(200);
    }
}
