use wasmway_registry::RegistryError;

use crate::harness::TestRegistry;

const API: &str = "[[routes]]\nhost = \"example.com\"\npath = \"/api\"";
const API_OTHERWISE_WRITTEN: &str = "[[routes]]\nhost = \"EXAMPLE.com.\"\npath = \"/api/\"";
const ANY_HOST: &str = "[[routes]]\npath = \"/api\"";

#[tokio::test]
async fn a_route_has_one_holder_in_all_namespaces() {
    let registry = TestRegistry::new().await;
    registry.deploy("first", "one", API).await;
    let revision = registry.revision().await;

    let error = registry.try_deploy("other/second", "two", API_OTHERWISE_WRITTEN).await.unwrap_err();
    let RegistryError::RouteConflict { rule, holder } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(rule.to_string(), "example.com/api");
    assert_eq!(holder, "default/first");
    assert_eq!(error.to_string(), "the route example.com/api belongs to default/first");
    assert_eq!(registry.function("other/second").await, None, "nothing of it stays");
    assert_eq!(registry.revision().await, revision);

    // Any host is a route of its own, held once too.
    registry.deploy("second", "two", ANY_HOST).await;
    assert!(registry.try_deploy("third", "three", ANY_HOST).await.is_err());
}

#[tokio::test]
async fn a_refused_version_leaves_the_active_one_and_its_number() {
    let registry = TestRegistry::new().await;
    registry.deploy("first", "one", API).await;
    registry.deploy("second", "two", ANY_HOST).await;
    assert!(registry.try_deploy("second", "two", API).await.is_err());

    assert_eq!(registry.versions("second").await, Some((vec![1], 1)));
    assert!(registry.try_deploy("third", "three", ANY_HOST).await.is_err(), "it kept its route");
    assert_eq!(registry.deploy("second", "two", "").await.function.active.version.get(), 2);
}

#[tokio::test]
async fn routes_follow_the_active_version() {
    let registry = TestRegistry::new().await;
    registry.deploy("first", "one", API).await;
    registry.deploy("first", "one", "").await;
    registry.deploy("second", "two", API).await;

    // Version 1 of `first` asks for what `second` holds now.
    for attempt in [registry.rollback("first", None).await, registry.rollback("first", Some(1)).await] {
        let error = attempt.unwrap_err();
        assert!(matches!(error, RegistryError::RouteConflict { .. }), "{error:?}");
    }
    assert!(registry.try_deploy("first", "one", API).await.is_err());
    assert_eq!(registry.versions("first").await, Some((vec![2, 1], 2)));

    registry.delete("second").await;
    registry.rollback("first", Some(1)).await.unwrap();
    assert!(registry.try_deploy("second", "two", API).await.is_err());
    registry.delete("first").await;
    registry.deploy("second", "two", API).await;
}
