use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmway_registry::{Function, RegistryError};

use crate::harness::{TestRegistry, deploy, parse};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_deployments_have_one_order_and_none_is_lost() {
    const DEPLOYS: u32 = 40;
    let registry = TestRegistry::new().await;
    let deploys: Vec<_> = (0..DEPLOYS)
        .map(|i| {
            let registry = registry.registry.clone();
            tokio::spawn(async move { deploy(&registry, "hello", &format!("component {i}"), "").await })
        })
        .collect();
    let mut acknowledged = Vec::new();
    for deploy in deploys {
        let deployed = deploy.await.unwrap().unwrap();
        assert!(deployed.created);
        acknowledged.push(deployed.function.active);
    }

    let numbers: BTreeSet<u32> = acknowledged.iter().map(|v| v.version.get()).collect();
    assert_eq!(numbers, (1..=DEPLOYS).collect());
    let (namespace, name) = parse("hello");
    for expected in acknowledged {
        let mut found = registry.registry.version(&namespace, &name, expected.version).await.unwrap().unwrap();
        assert!(registry.registry.artifacts().verify(&found.digest).await.unwrap());
        found.active = true;
        assert_eq!(found, expected);
    }
    let active = registry.function("hello").await.unwrap().active;
    assert_eq!(active.version.get(), DEPLOYS, "the last to take its turn");
    assert_eq!(registry.revision().await, u64::from(DEPLOYS));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_deployments_of_the_same_content_make_one_version() {
    let registry = TestRegistry::new().await;
    let deploys: Vec<_> = (0..16)
        .map(|_| {
            let registry = registry.registry.clone();
            tokio::spawn(async move { deploy(&registry, "hello", "one", "").await.unwrap().created })
        })
        .collect();
    let mut created = 0;
    for deploy in deploys {
        created += u32::from(deploy.await.unwrap());
    }
    assert_eq!(created, 1);
    assert_eq!(registry.versions("hello").await, Some((vec![1], 1)));
    assert_eq!(registry.revision().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_contended_route_is_won_once() {
    let registry = TestRegistry::new().await;
    let deploys: Vec<_> = (0..16)
        .map(|i| {
            let registry = registry.registry.clone();
            tokio::spawn(
                async move { deploy(&registry, &format!("f{i}"), "one", "[[routes]]\npath = \"/shop\"").await },
            )
        })
        .collect();
    let mut winners = 0;
    for deploy in deploys {
        match deploy.await.unwrap() {
            Ok(_) => winners += 1,
            Err(RegistryError::RouteConflict { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!(winners, 1);
    assert_eq!(registry.registry.changes(0).await.unwrap().functions.len(), 1);
}

/// One writer makes change after change; each snapshot must be the state after some whole number of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_snapshot_is_one_moment() {
    let registry = TestRegistry::new().await;
    let done = Arc::new(AtomicBool::new(false));
    let watchers: Vec<_> = (0..3)
        .map(|_| {
            let (registry, done) = (registry.registry.clone(), done.clone());
            tokio::spawn(async move {
                let mut last = 0;
                while !done.load(Ordering::Acquire) {
                    let snapshot = registry.changes(0).await.unwrap();
                    assert!(snapshot.revision >= last, "time goes forward");
                    last = snapshot.revision;
                    assert_eq!(state(&snapshot.functions), expected_state(last), "revision {last}");
                }
            })
        })
        .collect();

    for step in 0..60 {
        let function = ["a", "b"][step % 2];
        registry.deploy(function, &format!("component {step}"), "").await;
    }
    done.store(true, Ordering::Release);
    for watcher in watchers {
        watcher.await.unwrap();
    }
    assert_eq!(registry.revision().await, 60);
}

fn state(functions: &[Function]) -> BTreeMap<&str, u32> {
    functions.iter().map(|f| (f.name.as_str(), f.active.version.get())).collect()
}

/// After `revision` deployments to `a` and `b` in turn.
fn expected_state(revision: u64) -> BTreeMap<&'static str, u32> {
    let versions = u32::try_from(revision).unwrap();
    [("a", versions.div_ceil(2)), ("b", versions / 2)].into_iter().filter(|(_, version)| *version > 0).collect()
}

#[tokio::test]
async fn a_deployment_that_is_given_up_is_whole_or_not_there() {
    let registry = TestRegistry::new().await;
    for i in 0..30 {
        let component = format!("component {i}");
        let deploy = deploy(&registry.registry, "hello", &component, "");
        // Cut at ever later moments; what is dropped mid-transaction must be rolled back and let the next one in.
        let patience = std::time::Duration::from_micros(i * 400);
        let _ = tokio::time::timeout(patience, deploy).await;
    }
    let last = registry.deploy("hello", "the last", "").await.function.active;
    let (versions, active) = registry.versions("hello").await.unwrap();
    assert_eq!(active, last.version.get());
    assert_eq!(versions, (1..=active).rev().collect::<Vec<_>>());
    assert_eq!(registry.revision().await, u64::from(active));
}
