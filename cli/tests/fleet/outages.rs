//! What runs goes on running when the database, the object store or the registry is away, and after a restart in that
//! state.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::harness::{Platform, eventually, guest};
use crate::members::{Fleet, answers, ready};

const HELLO: &str = "Hello from Wasmway!\n";

/// A function that is served by every gateway, and written down by each.
async fn serving(registries: usize, gateways: usize) -> Fleet {
    let fleet = Fleet::start(registries, gateways).await;
    fleet.registries[0].deploy("hello").answer().await.expect(201);
    for gateway in &fleet.gateways {
        answers(gateway, "/hello/", HELLO).await;
        eventually("the snapshot to be written", Duration::from_secs(20), async || {
            let snapshot = std::fs::read_to_string(gateway.folder().join("snapshot.json")).ok()?;
            snapshot.contains("hello").then_some(())
        })
        .await;
    }
    fleet
}

/// Waits until a process says of what it depends on that it is there, or away. It is ready either way.
async fn says_of(platform: &Platform, dependency: &str, ok: bool) {
    eventually(&format!("{dependency} to be {ok}"), Duration::from_secs(30), async || {
        let ready = platform.control(Method::GET, "/readyz").await.expect(200).json();
        let check = ready["checks"].as_array()?.iter().find(|check| check["name"] == dependency)?.clone();
        (check["ok"] == ok && check["needed"] == false).then_some(())
    })
    .await;
    let up = platform.metrics().await.value("wasmway_dependency_up", &[("dependency", dependency)]);
    assert_eq!(up, f64::from(u8::from(ok)), "{dependency}");
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_served_while_the_database_is_away() {
    let mut fleet = serving(1, 2).await;
    says_of(&fleet.registries[0], "database", true).await;
    fleet.postgres.stop();
    says_of(&fleet.registries[0], "database", false).await;
    let refused = fleet.registries[0].deploy("inspect").answer().await.expect(503);
    assert_eq!(refused.json()["code"], "registry-unavailable");
    fleet.registries[0].api(Method::GET, "/functions").await.expect(503);
    fleet.gateways[0].kill().await;
    fleet.gateways[0].start_again().await;
    ready(&fleet.gateways[0]).await;
    for gateway in &fleet.gateways {
        gateway.get("/hello/").await.expect(200).expect_text(HELLO);
    }

    fleet.postgres.resume();
    says_of(&fleet.registries[0], "database", true).await;
    fleet.registries[0].deploy("inspect").answer().await.expect(201);
    fleet.settled().await;
    for gateway in &fleet.gateways {
        let metrics = gateway.metrics().await;
        let revision = fleet.nodes().await["revision"].as_f64().unwrap();
        assert_eq!(metrics.value("wasmway_served_revision", &[]), revision);
        assert_eq!(metrics.value("wasmway_pending_functions", &[]), 0.0);
    }
    for gateway in &fleet.gateways {
        gateway.get("/inspect/").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_served_while_every_registry_is_away() {
    let mut fleet = serving(1, 2).await;
    fleet.registries[0].deploy("inspect").namespace("shop").answer().await.expect(201);
    let suspended = json!({"concurrency": 0}).to_string();
    fleet.registries[0].api(Method::PUT, "/namespaces/shop/quota").body(suspended).await.expect(204);
    fleet.settled().await;
    fleet.registries[0].kill().await;
    fleet.gateways[1].terminate().await;
    fleet.gateways[1].start_again().await;
    ready(&fleet.gateways[1]).await;
    for gateway in &fleet.gateways {
        says_of(gateway, "registry", false).await;
        gateway.get("/hello/").await.expect(200).expect_text(HELLO);
        gateway.get("/inspect.shop/").await.expect_problem(429, "namespace-busy", "platform");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_are_served_while_the_object_store_is_away() {
    let mut fleet = serving(1, 1).await;
    // A folder that became a file is as broken as a store can be, also for a registry that runs as root.
    let (store, aside) = (fleet.store(), fleet.store().with_extension("aside"));
    std::fs::rename(&store, &aside).unwrap();
    std::fs::write(&store, "").unwrap();
    let refused = fleet.registries[0].upload("other", guest("inspect")).answer().await.expect(503);
    assert_eq!(refused.json()["code"], "registry-unavailable");
    fleet.gateways[0].kill().await;
    fleet.gateways[0].start_again().await;
    fleet.gateways[0].get("/hello/").await.expect(200).expect_text(HELLO);

    std::fs::remove_file(&store).unwrap();
    std::fs::rename(&aside, &store).unwrap();
    fleet.registries[0].upload("other", guest("inspect")).answer().await.expect(201);
    fleet.settled().await;
    fleet.gateways[0].get("/other/").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_was_set_back_is_followed() {
    let mut fleet = serving(1, 1).await;
    fleet.registries[0].deploy("inspect").answer().await.expect(201);
    fleet.settled().await;
    let dump = fleet.postgres.dump(&fleet.database);
    fleet.registries[0].deploy("echo").answer().await.expect(201);
    fleet.registries[0].api(Method::DELETE, "/functions/hello").await.expect(204);
    fleet.settled().await;
    fleet.gateways[0].get("/echo/").await.expect(200);

    fleet.registries[0].terminate().await;
    fleet.postgres.restore(&fleet.database, &dump);
    fleet.registries[0].start_again().await;
    answers(&fleet.gateways[0], "/hello/", HELLO).await;
    eventually("echo to be gone", Duration::from_secs(20), async || {
        (fleet.gateways[0].get("/echo/").await.status == 404).then_some(())
    })
    .await;
    fleet.gateways[0].get("/inspect/").await.expect(200);
}

/// What could not be served when it was deployed is not forgotten by a restart.
#[tokio::test(flavor = "multi_thread")]
async fn what_failed_on_a_gateway_is_tried_again_after_its_restart() {
    let mut fleet = serving(1, 1).await;
    let component = guest("inspect");
    let digest = fleet.registries[0].upload("inspect", component.clone()).answer().await.expect(201).json();
    fleet.settled().await;
    fleet.registries[0].api(Method::DELETE, "/functions/inspect").await.expect(204);
    fleet.settled().await;
    fleet.gateways[0].terminate().await;
    // Everything that the gateway could make it of.
    let hex = digest["digest"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let copy = |folder: std::path::PathBuf| folder.join("artifacts/sha256").join(&hex[..2]).join(&hex);
    std::fs::remove_file(copy(fleet.gateways[0].folder())).unwrap();
    fleet.registries[0].upload("inspect", component.clone()).answer().await.expect(201);
    std::fs::remove_file(copy(fleet.registries[0].folder())).unwrap();
    std::fs::remove_file(fleet.store().join("sha256").join(&hex)).unwrap();
    fleet.gateways[0].start_again().await;
    eventually("the gateway to say what fails", Duration::from_secs(20), async || {
        let list = fleet.nodes().await;
        list["nodes"][0]["failing"].to_string().contains("default/inspect").then_some(())
    })
    .await;
    assert_eq!(fleet.gateways[0].metrics().await.value("wasmway_failing_functions", &[]), 1.0);
    fleet.registries[0].deploy("echo").answer().await.expect(201);
    eventually("the snapshot to be written", Duration::from_secs(20), async || {
        let snapshot = std::fs::read_to_string(fleet.gateways[0].folder().join("snapshot.json")).ok()?;
        snapshot.contains("\"echo\"").then_some(())
    })
    .await;

    fleet.gateways[0].kill().await;
    fleet.registries[0].upload("inspect", component).answer().await.expect(200);
    fleet.gateways[0].start_again().await;
    eventually("inspect to be served", Duration::from_secs(20), async || {
        (fleet.gateways[0].get("/inspect/").await.status == 200).then_some(())
    })
    .await;
}
