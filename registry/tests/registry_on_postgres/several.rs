//! Several registries on one database, and a database that goes away.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use wasmway_registry::{Registry, RegistryError, Stores, migrations};

use crate::harness::{TestRegistry, deploy, parse};
use crate::postgres_server::Postgres;

/// As if in another process: with a folder of its own, and connections of its own.
async fn another(stores: &Stores) -> (tempfile::TempDir, Registry) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), stores).await.unwrap();
    (dir, registry)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn registries_that_start_at_once_migrate_once() {
    let server = Postgres::shared();
    let stores = Stores { database: Some(server.database().parse().unwrap()), bucket: None };
    let starts: Vec<_> = (0..6)
        .map(|_| {
            let stores = stores.clone();
            tokio::spawn(async move { another(&stores).await.1.revision().await.unwrap() })
        })
        .collect();
    for start in starts {
        assert_eq!(start.await.unwrap(), 0);
    }
}

/// Whoever may change the schema does it beforehand; the servers' user may not, and need not.
#[tokio::test]
async fn a_user_who_may_not_change_the_schema_will_do_once_it_is_there() {
    let server = Postgres::shared();
    let owner = server.database();
    let user = owner.replace("user=postgres", "user=wasmway_server");
    assert_ne!(owner, user);
    let nowhere = Path::new("/nonexistent");
    let find = async |url: &str, take| migrations(nowhere, Some(&url.parse().unwrap()), take).await;
    server.psql(&["-c", "CREATE ROLE wasmway_server LOGIN"]);
    let stores = Stores { database: Some(user.parse().unwrap()), bucket: None };
    let dir = tempfile::tempdir().unwrap();
    let refused = Registry::open(dir.path(), &stores).await.unwrap_err();
    assert!(matches!(refused, RegistryError::Migration(_)), "{refused:?}");

    let lacking = find(&user, false).await.unwrap();
    assert!(lacking.len() >= 8 && lacking.iter().all(|step| !step.applied && step.name.is_some()), "{lacking:?}");
    let there = find(&owner, true).await.unwrap();
    assert!(there.iter().all(|step| step.applied), "{there:?}");
    let rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO wasmway_server; \
                  GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO wasmway_server";
    server.psql(&["-d", &owner, "-c", rights]);
    let registry = Registry::open(dir.path(), &stores).await.unwrap();
    deploy(&registry, "hello", "one", "").await.unwrap();
    assert_eq!(registry.revision().await.unwrap(), 1);
    registry.close().await;

    server.psql(&["-d", &owner, "-c", "INSERT INTO _sqlx_migrations VALUES (9999, 'later', now(), TRUE, '', 0)"]);
    let newer = find(&user, true).await.unwrap().pop().unwrap();
    assert_eq!((newer.number, newer.name, newer.applied), (9999, None, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn deploys_through_two_registries_have_one_order_and_none_is_lost() {
    const DEPLOYERS: u32 = 16;
    const EACH: u32 = 5;
    let one = TestRegistry::new().await;
    let (_dir, two) = another(&one.stores).await;
    let deployers: Vec<_> = (0..DEPLOYERS)
        .map(|deployer| {
            let registry = if deployer % 2 == 0 { one.registry.clone() } else { two.clone() };
            tokio::spawn(async move {
                let mut versions = Vec::new();
                for round in 0..EACH {
                    let deployed = deploy(&registry, "hello", &format!("{deployer} {round}"), "").await.unwrap();
                    assert!(deployed.created);
                    versions.push(deployed.version.get());
                }
                assert!(versions.is_sorted(), "{versions:?}");
                versions
            })
        })
        .collect();
    let mut acknowledged = BTreeSet::new();
    for deployer in deployers {
        acknowledged.extend(deployer.await.unwrap());
    }
    assert_eq!(acknowledged, (1..=DEPLOYERS * EACH).collect());
    let (namespace, name) = parse("hello");
    assert!(!one.dir.path().join("registry.db").exists(), "nothing is kept beside the database");
    for registry in [&one.registry, &two] {
        let versions = registry.versions(&namespace, &name).await.unwrap().unwrap();
        assert_eq!(versions.len() as u32, DEPLOYERS * EACH);
        assert_eq!(registry.revision().await.unwrap(), u64::from(DEPLOYERS * EACH));
    }
}

#[tokio::test]
async fn a_database_that_is_away_is_said_to_be_and_comes_back() {
    let server = Postgres::start();
    let stores = Stores { database: Some(server.database().parse().unwrap()), bucket: None };
    let (_dir, registry) = another(&stores).await;
    deploy(&registry, "hello", "one", "").await.unwrap();

    server.stop();
    let begin = Instant::now();
    let error = deploy(&registry, "hello", "two", "").await.unwrap_err();
    assert!(matches!(error, RegistryError::Unavailable(_)), "{error:?}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());

    server.resume();
    assert_eq!(registry.revision().await.unwrap(), 1);
    let deployed = deploy(&registry, "hello", "two", "").await.unwrap();
    assert_eq!(deployed.version.get(), 2);
}

#[test]
fn an_address_is_printed_without_its_password() {
    let stores =
        Stores { database: Some("postgres://wasmway:secret@db.example:5433/functions".parse().unwrap()), bucket: None };
    let shown = format!("{:?} {}", stores, stores.database.as_ref().unwrap());
    assert!(shown.contains("postgres://wasmway@db.example:5433/functions"), "{shown}");
    assert!(!shown.contains("secret"), "{shown}");
}
