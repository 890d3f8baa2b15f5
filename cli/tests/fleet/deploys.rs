//! What is deployed at any registry is served by every gateway.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use crate::harness::{Platform, eventually, guest};
use crate::members::{Fleet, answers, ready};

const HELLO: &str = "Hello from Wasmway!\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_is_served_everywhere_and_a_delete_ends_it_everywhere() {
    let fleet = Fleet::start(2, 3).await;
    fleet.registries[0].deploy("hello").answer().await.expect(201);
    fleet.registries[1].deploy("inspect").answer().await.expect(201);
    for gateway in &fleet.gateways {
        answers(gateway, "/hello/", HELLO).await;
        eventually("inspect to be served", Duration::from_secs(20), async || {
            (gateway.get("/inspect/").await.status == 200).then_some(())
        })
        .await;
    }
    fleet.settled().await;
    let list = fleet.nodes().await;
    let names: Vec<&str> =
        list["nodes"].as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["gateway-0", "gateway-1", "gateway-2"]);

    fleet.registries[1].api(Method::DELETE, "/functions/hello").await.expect(204);
    for gateway in &fleet.gateways {
        eventually("hello to be gone", Duration::from_secs(20), async || {
            (gateway.get("/hello/").await.status == 404).then_some(())
        })
        .await;
    }
}

/// A new version takes over when it is ready to run, and no request meanwhile fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_takes_over_without_a_failed_request() {
    let fleet = Fleet::start(1, 1).await;
    let (registry, gateway) = (&fleet.registries[0], &fleet.gateways[0]);
    registry.upload("shop", guest("hello")).answer().await.expect(201);
    answers(gateway, "/shop/", HELLO).await;
    registry.upload("shop", guest("hello-std")).answer().await.expect(201);
    let end = Instant::now() + Duration::from_secs(20);
    let mut before = 0;
    loop {
        let answer = gateway.get("/shop/").await;
        assert_eq!(answer.status, 200);
        if answer.text() != HELLO {
            break;
        }
        before += 1;
        assert!(Instant::now() < end, "the new version does not take over");
    }
    assert!(before > 0 || gateway.get("/shop/").await.status == 200);
    registry.api(Method::POST, "/functions/shop/rollback").await.expect(200);
    answers(gateway, "/shop/", HELLO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_waits_until_every_gateway_serves_it() {
    let fleet = Fleet::start(1, 2).await;
    let component = fleet.registries[0].scratch().join("hello.wasm");
    std::fs::write(&component, guest("hello")).unwrap();
    let said = wasmway(&fleet.registries[0], &["deploy", component.to_str().unwrap(), "--wait"]);
    assert!(said.contains("deployed hello v1") && said.contains("on 2 nodes"), "{said}");
    for gateway in &fleet.gateways {
        gateway.get("/hello/").await.expect(200).expect_text(HELLO);
    }
    let said = wasmway(&fleet.registries[0], &["nodes"]);
    assert!(said.contains("gateway-0") && said.contains("gateway-1") && said.contains("up to date"), "{said}");
}

/// What a command prints that goes well.
fn wasmway(registry: &Platform, arguments: &[&str]) -> String {
    let (done, said) = registry.wasmway(arguments);
    assert!(done, "{said}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_starts_late_serves_everything_before_it_is_ready() {
    let fleet = Fleet::start(1, 0).await;
    fleet.registries[0].deploy("hello").answer().await.expect(201);
    let gateway = fleet.gateway(0).start().await;
    ready(&gateway).await;
    gateway.get("/hello/").await.expect(200).expect_text(HELLO);
    // Its own control plane has its logs, for whoever has the nodes' token.
    gateway.control(Method::GET, "/api/v1/functions/hello/invocations").await.expect(401);
    let bearer = format!("Bearer {}", "n".repeat(40));
    gateway
        .control(Method::GET, "/api/v1/functions/hello/invocations")
        .header("authorization", &bearer)
        .await
        .expect(200);
    let logs = fleet.registries[0].api(Method::GET, "/functions/hello/logs").await.expect(501).json();
    assert_eq!(logs["code"], "logs-on-nodes");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_people_have_tokens_of_their_own() {
    let fleet = Fleet::start(1, 0).await;
    let registry = &fleet.registries[0];
    let as_node = format!("Bearer {}", "n".repeat(40));
    registry.control(Method::GET, "/api/v1/functions").header("authorization", &as_node).await.expect(401);
    registry.api(Method::POST, "/nodes/poll").await.expect(401);

    let wrong = registry.scratch().join("wrong.token");
    std::fs::write(&wrong, "w".repeat(40)).unwrap();
    let stranger = Platform::builder()
        .role("gateway")
        .arg(format!("--registry={}", registry.control_url()))
        .arg(format!("--node-token-file={}", wrong.display()));
    let stranger = stranger.start().await;
    eventually("the gateway to say why", Duration::from_secs(20), async || {
        stranger.journal().iter().any(|line| line.to_string().contains("node.token")).then_some(())
    })
    .await;
    let problem = stranger.control(Method::GET, "/readyz").await.expect(503).json();
    assert_eq!(problem["code"], "catching-up");
}

/// Without roles: two processes that do everything, on one database and one store.
#[tokio::test(flavor = "multi_thread")]
async fn whole_platforms_serve_what_is_deployed_at_each_other() {
    let fleet = Fleet::start(0, 0).await;
    let (one, two) = (fleet.registry().role("up").start().await, fleet.registry().role("up").start().await);
    one.deploy("hello").answer().await.expect(201);
    answers(&two, "/hello/", HELLO).await;
    two.upload("hello", guest("hello-std")).answer().await.expect(201);
    eventually("the new version to be served", Duration::from_secs(20), async || {
        let answer = one.get("/hello/").await.expect(200);
        (answer.text() != HELLO).then_some(())
    })
    .await;
    one.api(Method::DELETE, "/functions/hello").await.expect(204);
    eventually("hello to be gone", Duration::from_secs(20), async || {
        (two.get("/hello/").await.status == 404).then_some(())
    })
    .await;
}

/// Sixteen deployers of one function, half of them at each registry process.
#[tokio::test(flavor = "multi_thread")]
async fn deploys_at_two_registries_have_one_order_and_none_is_lost() {
    const DEPLOYERS: usize = 16;
    const EACH: usize = 3;
    let fleet = Fleet::start(2, 0).await;
    let deployer = async |place: usize| {
        let mut versions = Vec::new();
        for round in 0..EACH {
            let manifest = format!("[env]\nMARK = \"{place}-{round}\"");
            let deployed =
                fleet.registries[place % 2].deploy_with("hello", &manifest).answer().await.expect(201).json();
            versions.push(deployed["version"].as_u64().unwrap());
        }
        assert!(versions.is_sorted(), "{versions:?}");
        versions
    };
    let acknowledged = futures::future::join_all((0..DEPLOYERS).map(deployer)).await;
    let acknowledged: std::collections::BTreeSet<u64> = acknowledged.into_iter().flatten().collect();
    assert_eq!(acknowledged, (1..=(DEPLOYERS * EACH) as u64).collect());
    for registry in &fleet.registries {
        let list = registry.api(Method::GET, "/functions/hello/versions").await.expect(200).json();
        assert_eq!(list["versions"].as_array().unwrap().len(), DEPLOYERS * EACH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_with_an_address_of_its_own_has_it_on_gateways_too() {
    let mut fleet = Fleet::start(1, 1).await;
    let saying = |what: &str| format!("preview = true\n[env]\nSAY = \"{what}\"\n");
    fleet.registries[0].deploy_with("inspect", &saying("one")).answer().await.expect(201);
    fleet.registries[0].deploy_with("inspect", &saying("two")).traffic(0).answer().await.expect(201);
    let says = async |gateway: &Platform, path: &str, what: &str| {
        eventually(&format!("{path} to say {what}"), Duration::from_secs(20), async || {
            let answer = gateway.get(path).await;
            (answer.status == 200 && answer.json()["env"]["SAY"] == what).then_some(())
        })
        .await;
    };
    says(&fleet.gateways[0], "/inspect@2/", "two").await;
    says(&fleet.gateways[0], "/inspect/", "one").await;
    // Also after a start without the registry.
    fleet.settled().await;
    fleet.registries[0].kill().await;
    fleet.gateways[0].kill().await;
    fleet.gateways[0].start_again().await;
    says(&fleet.gateways[0], "/inspect@2/", "two").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_shows_what_its_gateways_have_to_do() {
    let fleet = Fleet::start(1, 2).await;
    let registry = &fleet.registries[0];
    registry.deploy("hello").answer().await.expect(201);
    registry.deploy("trap").answer().await.expect(201);
    fleet.settled().await;
    for _ in 0..50 {
        fleet.gateways[0].get("/hello/").await.expect(200);
        fleet.gateways[0].get("/trap/").await.expect(502);
    }
    let (busy, idle) = eventually("the load to be told", Duration::from_secs(20), async || {
        let nodes = fleet.nodes().await["nodes"].clone();
        let load = |of: &dyn Fn(&Value) -> bool| nodes.as_array().unwrap().iter().map(|it| it["load"].clone()).find(of);
        Some((load(&|load| load["failed"] == 0.5)?, load(&|load| load["failed"].is_null())?))
    })
    .await;
    assert!(busy["requests_s"].as_f64().unwrap() > 0.0 && busy["p99_s"].as_f64().unwrap() > 0.0, "{busy}");
    assert!(idle["memory_bytes"].as_f64().unwrap() > 1e6 && idle["slots"].as_u64().unwrap() > 0, "{idle}");
    let table = wasmway(registry, &["nodes"]);
    assert!(table.contains("50.0%") && table.contains("INSTANCES"), "{table}");
}
