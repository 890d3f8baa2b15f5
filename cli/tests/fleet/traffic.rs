//! Requests split over versions, as the gateways of a fleet do it.

use reqwest::Method;
use serde_json::json;

use crate::harness::guest;
use crate::members::Fleet;

const HELLO: &str = "Hello from Wasmway!\n";

/// Requests of 400 that the first version answers.
async fn of_the_first(fleet: &Fleet) -> usize {
    let mut first = 0;
    for _ in 0..400 {
        first += usize::from(fleet.gateways[0].get("/shop/").await.expect(200).text() == HELLO);
    }
    first
}

#[tokio::test(flavor = "multi_thread")]
async fn each_version_gets_its_share_and_a_client_the_same_one() {
    let fleet = Fleet::start(1, 2).await;
    let registry = &fleet.registries[0];
    registry.upload("shop", guest("hello")).answer().await.expect(201);
    let canary = registry.upload("shop", guest("hello-std")).traffic(25).answer().await.expect(201).json();
    assert_eq!((&canary["version"], &canary["deployed_version"]), (&json!(1), &json!(2)));
    assert_eq!(canary["traffic"]["weights"], json!({"1": 75, "2": 25}));
    fleet.settled().await;
    let first = of_the_first(&fleet).await;
    // Of 400 three quarters are 300; five standard deviations are 43.
    assert!((257..=343).contains(&first), "{first}");

    let split = json!({"weights": {"1": 50, "2": 50}, "sticky": "cookie:client"});
    registry.api(Method::PUT, "/functions/shop/traffic").body(split.to_string()).await.expect(200);
    fleet.settled().await;
    let mut seen = std::collections::HashSet::new();
    for client in 0..20 {
        let cookie = format!("theme=dark; client=c{client}");
        let ask = async |gateway: usize| {
            fleet.gateways[gateway].get("/shop/").header("cookie", &cookie).await.expect(200).text().to_owned()
        };
        let first = ask(0).await;
        for gateway in [0, 1, 1, 0] {
            assert_eq!(ask(gateway).await, first, "client {client} on gateway {gateway}");
        }
        seen.insert(first);
    }
    assert_eq!(seen.len(), 2, "twenty clients are not all given the same version");

    let all = json!({"weights": {"2": 1}});
    let promoted = registry.api(Method::PUT, "/functions/shop/traffic").body(all.to_string()).await.expect(200).json();
    assert_eq!((&promoted["version"], &promoted["traffic"]), (&json!(2), &json!(null)));
    fleet.settled().await;
    assert_eq!(of_the_first(&fleet).await, 0);
    registry.api(Method::POST, "/functions/shop/rollback").await.expect(200);
    fleet.settled().await;
    assert_eq!(of_the_first(&fleet).await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_split_is_refused_by_name() {
    let fleet = Fleet::start(1, 0).await;
    let registry = &fleet.registries[0];
    registry.upload("shop", guest("hello")).answer().await.expect(201);
    let put = |body: serde_json::Value| registry.api(Method::PUT, "/functions/shop/traffic").body(body.to_string());
    for (body, word) in [
        (json!({}), "weights"),
        (json!({"weights": {}}), "weight above 0"),
        (json!({"weights": {"one": 1}}), "weights"),
        (json!({"weights": {"1": 1}, "sticky": "ip"}), "header:NAME"),
        (json!({"weights": {"1": 1}, "stickiness": "x"}), "stickiness"),
    ] {
        let problem = put(body.clone()).await.expect(400).json();
        assert_eq!(problem["code"], "bad-traffic");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{body}: {problem}");
    }
    assert_eq!(put(json!({"weights": {"1": 1, "7": 1}})).await.expect(404).json()["code"], "unknown-version");
    let unknown = registry.api(Method::PUT, "/functions/nobody/traffic").body(json!({"weights": {"1": 1}}).to_string());
    assert_eq!(unknown.await.expect(404).json()["code"], "unknown-function");
    registry.upload("shop", guest("hello")).traffic(101).answer().await.expect(400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_fails_on_trial_is_taken_back_by_itself() {
    let fleet = Fleet::start(1, 2).await;
    let registry = &fleet.registries[0];
    registry.upload("shop", guest("hello")).answer().await.expect(201);
    registry.upload("shop", guest("trap")).traffic(0).answer().await.expect(201);
    registry.upload("shop", guest("hello-std")).traffic(0).answer().await.expect(201);
    let trial = json!({"requests": 20, "errors": 10.0});
    // The third one does no harm.
    let split = json!({"weights": {"1": 50, "2": 25, "3": 25}, "trial": trial});
    registry.api(Method::PUT, "/functions/shop/traffic").body(split.to_string()).await.expect(200);
    fleet.settled().await;
    let mut failed = 0;
    let taken_back = async {
        loop {
            for gateway in &fleet.gateways {
                failed += usize::from(gateway.get("/shop/").await.status == 502);
            }
            let function = registry.function("shop").await;
            if function["traffic"]["weights"] == json!({"1": 50, "3": 25}) {
                return;
            }
        }
    };
    tokio::time::timeout(crate::harness::PATIENCE, taken_back).await.expect("it is taken back");
    assert!(failed >= 20, "{failed} requests failed before");
    fleet.settled().await;
    for _ in 0..100 {
        fleet.gateways[0].get("/shop/").await.expect(200);
    }
    let log = registry.api(Method::GET, "/audit?limit=1").await.expect(200).json();
    let entry = &log["entries"][0];
    assert_eq!((&entry["action"], &entry["before"]), (&json!("take-back"), &json!("v1=50 v2=25 v3=25 on trial")));
    assert!(entry["author"].as_str().unwrap().starts_with("trial on gateway-"), "{entry}");
    assert!(entry["after"].as_str().unwrap().contains("since v2: 100.0% of its"), "{entry}");
}
