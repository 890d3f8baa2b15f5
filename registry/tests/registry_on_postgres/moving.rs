//! A registry that moves: from SQLite to Postgres, and back.

use jiff::Timestamp;
use wasmway_registry::manifest::ByteSize;
use wasmway_registry::{Copied, NewToken, Quota, Registry, RegistryError, Role, Stores};

use crate::harness::{TestRegistry, author, parse};

/// Everything that can be asked of a registry, in words.
async fn told(registry: &Registry) -> Vec<String> {
    let changes = registry.changes(0).await.unwrap();
    let mut told = vec![format!("{changes:?}"), format!("{:?}", registry.tokens().await.unwrap())];
    told.push(format!("{:?}", registry.audit(None, 1000).await.unwrap()));
    told.push(format!("{:?}", registry.namespaces().await.unwrap()));
    for function in ["default/hello", "default/split", "default/gone"] {
        let (namespace, name) = parse(function);
        told.push(format!("{:?}", registry.versions(&namespace, &name).await.unwrap()));
    }
    told
}

/// A registry on SQLite with some of everything.
async fn furnished() -> TestRegistry {
    let dir = tempfile::tempdir().unwrap();
    let stores = Stores::default();
    let registry = Registry::open(dir.path(), &stores).await.unwrap();
    let registry = TestRegistry { registry, dir, stores, server: crate::postgres_server::Postgres::shared() };
    registry.deploy("default/hello", "first", "[[routes]]\nhost = \"hello.example\"").await;
    registry.deploy("default/hello", "second", "").await;
    registry.rollback("default/hello", None).await.unwrap();
    registry.deploy("default/split", "one", "").await;
    registry.deploy("default/split", "two", "[env]\nSAY = \"it's \\\"two\\\"\"").await;
    registry.split_sticky("default/split", &[(1, 90), (2, 10)], Some("cookie:s".parse().unwrap())).await.unwrap();
    registry.deploy("default/gone", "gone", "").await;
    assert!(registry.delete("default/gone").await);
    let token = NewToken { name: "CI".to_owned(), role: Role::Developer, namespace: None, lifetime: None };
    registry.registry.create_token(&token, &author()).await.unwrap();
    let quota = Quota {
        functions: Some(7),
        component_bytes: Some(ByteSize::mib(3)),
        requests_per_second: Some(9),
        ..Quota::default()
    };
    registry.registry.set_quota(&"shop".parse().unwrap(), &quota, &author()).await.unwrap();
    registry
}

#[tokio::test]
async fn everything_moves_to_postgres_and_back() {
    let began = Timestamp::now();
    let from = furnished().await;
    let before = told(&from.registry).await;
    let postgres = TestRegistry::new().await;
    let copied = from.registry.copy_to(&postgres.registry).await.unwrap();
    assert_eq!(copied, Copied { functions: 3, versions: 4, artifacts: 4, bytes: 5 + 6 + 3 + 3 });
    assert_eq!(told(&postgres.registry).await, before);

    let dir = tempfile::tempdir().unwrap();
    let back = Registry::open(dir.path(), &Stores::default()).await.unwrap();
    assert_eq!(postgres.registry.copy_to(&back).await.unwrap(), copied);
    assert_eq!(told(&back).await, before);

    // Both go on where the first was: with the next revision, the next version, the next number in the audit log.
    for registry in [&postgres.registry, &back] {
        let revision = registry.changes(0).await.unwrap().revision;
        let deployed = crate::harness::deploy(registry, "default/gone", "anew", "").await.unwrap();
        assert_eq!((deployed.function.active.version.get(), deployed.function.revision), (2, revision + 1));
        let deployed = crate::harness::deploy(registry, "default/other", "other", "").await.unwrap();
        assert!(deployed.function.created_at >= began);
        let latest = registry.audit(None, 2).await.unwrap();
        assert_eq!((latest[0].id, latest[0].subject.as_str()), (latest[1].id + 1, "default/other"));
        let (namespace, name) = parse("default/hello");
        let hello = registry.function(&namespace, &name).await.unwrap().unwrap();
        assert!(registry.artifacts().verify(&hello.active.digest).await.unwrap());
    }
}

#[tokio::test]
async fn nothing_is_copied_beside_what_is_there() {
    let (from, to) = (furnished().await, TestRegistry::new().await);
    to.deploy("default/mine", "mine", "").await;
    let before = told(&to.registry).await;
    let error = from.registry.copy_to(&to.registry).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotEmpty), "{error}");
    assert_eq!(told(&to.registry).await, before);
}
