use wasmway_registry::{Digest, Manifest, NewVersion, RegistryError};

use crate::harness::{TestRegistry, author, parse, version};

#[tokio::test]
async fn a_first_deployment_creates_version_1() {
    let registry = TestRegistry::new().await;
    let deployed = registry.deploy("hello", "one", "[env]\nA = \"1\"").await;

    assert!(deployed.created);
    let function = deployed.function;
    assert_eq!((function.namespace.as_str(), function.name.as_str()), ("default", "hello"));
    assert_eq!(function.active.version.get(), 1);
    assert_eq!(function.active.digest, Digest::of(b"one"));
    assert_eq!(function.active.size, 3);
    assert_eq!(function.active.world, "wasi:http/incoming-handler@0.2.10");
    assert_eq!(function.active.imports, ["wasi:io/streams@0.2.6"]);
    assert_eq!(function.active.manifest.env["A"], "1");
    assert!(function.active.active);
    assert_eq!(function.created_at, function.deployed_at);
    assert_eq!(registry.function("hello").await, Some(function.clone()));

    let (namespace, name) = parse("hello");
    let record = registry.registry.version(&namespace, &name, version(1)).await.unwrap();
    assert_eq!(record, Some(function.active));
    assert_eq!(registry.registry.version(&namespace, &name, version(2)).await.unwrap(), None);
}

#[tokio::test]
async fn the_same_content_again_is_the_same_version() {
    let registry = TestRegistry::new().await;
    let first = registry.deploy("hello", "one", "").await;
    let revision = registry.revision().await;

    let again = registry.deploy("hello", "one", "").await;
    assert!(!again.created);
    assert_eq!(again.function, first.function);
    assert_eq!(registry.revision().await, revision, "nothing changed");
    // Had it been written down as a deployment, there would be something to go back to.
    registry.deploy("hello", "two", "").await;
    registry.deploy("hello", "two", "").await;
    assert_eq!(registry.rollback("hello", None).await.unwrap().active.version.get(), 1);
}

#[tokio::test]
async fn another_component_or_manifest_is_another_version() {
    let registry = TestRegistry::new().await;
    let first = registry.deploy("hello", "one", "").await.function;
    assert!(registry.deploy("hello", "two", "").await.created);
    let third = registry.deploy("hello", "two", "[limits]\nmemory = \"64MiB\"").await.function;
    assert_eq!(registry.versions("hello").await, Some((vec![3, 2, 1], 3)));
    assert_eq!(third.created_at, first.created_at);
    assert!(third.deployed_at >= first.deployed_at);

    // What differs in writing only does not.
    let same = registry.deploy("hello", "two", "[limits]\nmemory = \"65536KiB\"\ncpu = \"1s\"").await;
    assert!(!same.created);
}

#[tokio::test]
async fn earlier_content_becomes_active_again_without_a_new_version() {
    let registry = TestRegistry::new().await;
    registry.deploy("hello", "one", "").await;
    registry.deploy("hello", "two", "").await;
    let revision = registry.revision().await;

    let back = registry.deploy("hello", "one", "").await;
    assert!(!back.created);
    assert_eq!(registry.versions("hello").await, Some((vec![2, 1], 1)));
    assert_eq!(registry.revision().await, revision + 1);
    assert!(registry.deploy("hello", "three", "").await.created);
    assert_eq!(registry.versions("hello").await, Some((vec![3, 2, 1], 3)));
}

#[tokio::test]
async fn a_version_without_its_artifact_is_refused() {
    let registry = TestRegistry::new().await;
    let (namespace, name) = parse("hello");
    let error = registry
        .registry
        .deploy(
            NewVersion {
                namespace,
                name,
                digest: Digest::of(b"never stored"),
                size: 1,
                world: String::new(),
                imports: Vec::new(),
                manifest: Default::default(),
                traffic: 100,
            },
            &author(),
        )
        .await
        .unwrap_err();
    assert!(matches!(error, RegistryError::ArtifactMissing(_)), "{error:?}");
    assert_eq!(registry.function("hello").await, None);
}

#[tokio::test]
async fn rollback_goes_to_what_was_active_before_and_back() {
    let registry = TestRegistry::new().await;
    for component in ["one", "two", "three"] {
        registry.deploy("hello", component, "").await;
    }
    let active = |function: wasmway_registry::Function| function.active.version.get();
    assert_eq!(active(registry.rollback("hello", None).await.unwrap()), 2);
    assert_eq!(active(registry.rollback("hello", None).await.unwrap()), 3);
    assert_eq!(active(registry.rollback("hello", Some(1)).await.unwrap()), 1);
    assert_eq!(active(registry.rollback("hello", None).await.unwrap()), 3);
    assert_eq!(registry.versions("hello").await, Some((vec![3, 2, 1], 3)));

    let revision = registry.revision().await;
    assert_eq!(active(registry.rollback("hello", Some(3)).await.unwrap()), 3);
    assert_eq!(registry.revision().await, revision, "it was active already");
}

#[tokio::test]
async fn rollback_to_nothing_is_refused() {
    let registry = TestRegistry::new().await;
    let error = registry.rollback("hello", None).await.unwrap_err();
    assert!(matches!(error, RegistryError::FunctionNotFound { .. }), "{error:?}");

    registry.deploy("hello", "one", "").await;
    let error = registry.rollback("hello", None).await.unwrap_err();
    assert!(matches!(error, RegistryError::NoPreviousVersion { .. }), "{error:?}");
    let error = registry.rollback("hello", Some(2)).await.unwrap_err();
    assert_eq!(error.to_string(), "default/hello has no version 2");
}

#[tokio::test]
async fn a_deleted_function_is_gone_and_its_version_numbers_are_never_reused() {
    let registry = TestRegistry::new().await;
    assert!(!registry.delete("hello").await);
    let first = registry.deploy("hello", "one", "").await.function;
    registry.deploy("hello", "two", "").await;
    let revision = registry.revision().await;

    assert!(registry.delete("hello").await);
    assert!(!registry.delete("hello").await);
    assert_eq!(registry.revision().await, revision + 1);
    assert_eq!(registry.function("hello").await, None);
    assert_eq!(registry.versions("hello").await, None);
    assert!(registry.registry.changes(0).await.unwrap().functions.is_empty());
    let error = registry.rollback("hello", Some(1)).await.unwrap_err();
    assert!(matches!(error, RegistryError::FunctionNotFound { .. }), "{error:?}");

    let again = registry.deploy("hello", "one", "").await;
    assert!(again.created);
    assert_eq!(again.function.active.version.get(), 3);
    assert!(again.function.created_at > first.created_at);
    assert_eq!(registry.versions("hello").await, Some((vec![3], 3)));
    let error = registry.rollback("hello", None).await.unwrap_err();
    assert!(matches!(error, RegistryError::NoPreviousVersion { .. }), "{error:?}");
}

#[tokio::test]
async fn functions_are_listed_by_name_page_by_page_in_their_namespace() {
    let registry = TestRegistry::new().await;
    for function in ["b", "a-b", "a", "other/a", "c"] {
        registry.deploy(function, "one", "").await;
    }
    registry.deploy("deleted", "one", "").await;
    registry.delete("deleted").await;

    let (namespace, _) = parse("a");
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = registry.registry.functions(&namespace, after.as_ref(), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.name.clone());
        pages.push(page.iter().map(|f| f.name.to_string()).collect::<Vec<_>>());
    }
    assert_eq!(pages, [vec!["a", "a-b"], vec!["b", "c"]]);
    let all = registry.registry.changes(0).await.unwrap().functions;
    assert_eq!(all.len(), 5);
    let others: Vec<&str> = all.iter().map(|f| f.namespace.as_str()).filter(|name| *name != "default").collect();
    assert_eq!(others, ["other"]);
}

#[tokio::test]
async fn a_component_is_known_in_the_namespaces_that_it_was_deployed_in() {
    let registry = TestRegistry::new().await;
    let deployed = registry.deploy("hello", "one", "").await;
    let (namespace, name) = parse("hello");
    let find = async |namespace: &str, component: &[u8]| {
        let namespace = namespace.parse().unwrap();
        registry.registry.version_of_component(&namespace, &Digest::of(component)).await.unwrap()
    };
    assert_eq!(find(namespace.as_str(), b"one").await, Some(deployed.function.active));
    assert_eq!(find(namespace.as_str(), b"two").await, None);
    assert_eq!(find("elsewhere", b"one").await, None);
    assert!(registry.registry.delete(&namespace, &name, &author()).await.unwrap());
    assert_eq!(find(namespace.as_str(), b"one").await, None, "a function that is deleted leaves nothing");
}

#[tokio::test]
async fn the_newest_thousand_versions_are_kept_and_what_gets_requests() {
    let registry = TestRegistry::new().await;
    for component in ["one", "two", "three"] {
        registry.deploy("hello", component, "").await;
    }
    registry.split("hello", &[(2, 10), (3, 90)]).await.unwrap();
    // Versions that never become active: the history does not speak of them.
    let digest = registry.store(b"other").await;
    let (namespace, name) = parse("hello");
    for number in 4..=1005 {
        let new = NewVersion {
            namespace: namespace.clone(),
            name: name.clone(),
            digest,
            size: 5,
            world: "wasi:http/incoming-handler@0.2.10".to_owned(),
            imports: Vec::new(),
            manifest: Manifest::from_toml(&format!("[env]\nN = \"{number}\"")).unwrap(),
            traffic: 0,
        };
        registry.registry.deploy(new, &author()).await.unwrap();
    }
    registry.split("hello", &[(2, 10), (1005, 90)]).await.unwrap();
    let (versions, active) = registry.versions("hello").await.unwrap();
    // The newest, what has a part of the requests, and what was active not so long ago.
    assert_eq!((versions.len(), active, &versions[1000..]), (1003, 1005, &[3, 2, 1][..]));
    assert_eq!(registry.rollback("hello", Some(1)).await.unwrap().active.version.get(), 1);
    for _ in 0..500 {
        registry.rollback("hello", Some(1004)).await.unwrap();
        registry.rollback("hello", Some(1005)).await.unwrap();
    }
    assert_eq!(registry.versions("hello").await.unwrap().0.len(), 1000, "nobody goes back to 1, 2 and 3 any more");
    registry.rollback("hello", Some(3)).await.unwrap_err();
}
