//! Tokens, and the log of changes.

use std::time::Duration;

use wasmway_registry::manifest::ByteSize;
use wasmway_registry::{Author, NamespaceLimits, NewToken, Quota, RegistryError, Role, TOKEN_PREFIX};

use crate::harness::{TestRegistry, author};

fn new(name: &str, role: Role) -> NewToken {
    NewToken { name: name.to_owned(), role, namespace: None, lifetime: None }
}

#[tokio::test]
async fn a_token_is_known_by_its_secret_until_it_is_revoked() {
    let registry = TestRegistry::new().await;
    let scoped = NewToken { namespace: Some("shop".parse().unwrap()), ..new("  CI of the shop ", Role::Developer) };
    let (token, secret) = registry.registry.create_token(&scoped, &author()).await.unwrap();
    assert!(secret.starts_with(TOKEN_PREFIX) && secret.len() == TOKEN_PREFIX.len() + 64, "{secret}");
    assert_eq!((token.name.as_str(), token.role, token.last_used_at), ("CI of the shop", Role::Developer, None));

    let found = registry.registry.token_of(&secret).await.unwrap().unwrap();
    assert_eq!(found, token);
    assert_eq!(registry.registry.token_of(&secret.to_uppercase()).await.unwrap(), None);
    let listed = registry.registry.tokens().await.unwrap();
    assert!(listed[0].last_used_at.is_some(), "its use is noted");
    assert_eq!(listed[0].namespace.as_ref().unwrap().as_str(), "shop");
    assert_eq!(registry.registry.token_of(&secret[..secret.len() - 1]).await.unwrap(), None);
    assert_eq!(registry.registry.token_of("").await.unwrap(), None);

    assert!(registry.registry.revoke_token(&token.id, &author()).await.unwrap());
    assert!(!registry.registry.revoke_token(&token.id, &author()).await.unwrap());
    assert_eq!(registry.registry.token_of(&secret).await.unwrap(), None);
}

#[tokio::test]
async fn a_token_that_has_expired_is_good_for_nothing() {
    let registry = TestRegistry::new().await;
    let short = NewToken { lifetime: Some(Duration::from_millis(1)), ..new("short", Role::Admin) };
    let (token, secret) = registry.registry.create_token(&short, &author()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(token.has_expired() && registry.registry.token_of(&secret).await.unwrap().unwrap().has_expired());
    assert_eq!(registry.registry.tokens().await.unwrap(), [token], "it is listed, and was not used");
}

#[tokio::test]
async fn names_that_say_nothing_are_refused() {
    let registry = TestRegistry::new().await;
    for name in ["", "  ", "a\nb", &"x".repeat(101)] {
        let error = registry.registry.create_token(&new(name, Role::Viewer), &author()).await.unwrap_err();
        assert!(matches!(error, RegistryError::BadToken(_)), "{error:?}");
    }
    let too_long = NewToken { lifetime: Some(Duration::MAX), ..new("x", Role::Viewer) };
    let error = registry.registry.create_token(&too_long, &author()).await.unwrap_err();
    assert!(error.to_string().contains("expires"), "{error}");
}

#[tokio::test]
async fn every_change_is_in_the_log_with_who_made_it_and_what_it_came_to() {
    let registry = TestRegistry::new().await;
    registry.deploy("shop/hello", "one", "").await;
    registry.deploy("shop/hello", "one", "").await;
    registry.deploy("shop/hello", "two", "").await;
    registry.split("shop/hello", &[(1, 10), (2, 90)]).await.unwrap();
    registry.rollback("shop/hello", Some(1)).await.unwrap();
    registry.delete("shop/hello").await;
    let (token, _) = registry.registry.create_token(&new("ci", Role::Viewer), &author()).await.unwrap();
    registry.registry.revoke_token(&token.id, &author()).await.unwrap();

    let entries = registry.registry.audit(None, 100).await.unwrap();
    let shown: Vec<_> = entries
        .iter()
        .rev()
        .map(|it| {
            let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".to_owned());
            format!("{} {}: {} -> {}", it.action, it.subject, side(&it.before), side(&it.after))
        })
        .collect();
    let of_token = format!("token {}", token.id);
    assert_eq!(
        shown,
        [
            "deploy shop/hello: - -> v1".to_owned(),
            "deploy shop/hello: v1 -> v2".to_owned(),
            "traffic shop/hello: v2 -> v1=10 v2=90".to_owned(),
            "rollback shop/hello: v1=10 v2=90 -> v1".to_owned(),
            "delete shop/hello: v1 -> -".to_owned(),
            format!("token-create {of_token}: - -> \"ci\": viewer"),
            format!("token-revoke {of_token}: \"ci\": viewer -> -"),
        ]
    );
    let Author { name, address, request_id } = author();
    let first = entries.last().unwrap();
    assert_eq!((&first.author, &first.address, &first.request_id), (&name, &address, &request_id));

    let page = registry.registry.audit(None, 3).await.unwrap();
    let rest = registry.registry.audit(Some(page[2].id), 100).await.unwrap();
    assert_eq!([page, rest].concat(), entries);
}

#[tokio::test]
async fn a_namespace_has_no_more_than_its_quota() {
    let registry = TestRegistry::new().await;
    registry.deploy("shop/a", "12345", "").await;
    registry.deploy("shop/b", "12345", "").await;
    let quota = |functions, bytes: u64, memory| Quota {
        functions,
        component_bytes: Some(ByteSize::bytes(bytes)),
        memory: Some(ByteSize::mib(memory)),
        ..Quota::default()
    };
    let shop = "shop".parse().unwrap();
    registry.registry.set_quota(&shop, &quota(Some(2), 10, 128), &author()).await.unwrap();
    let refused = async |function: &str, component: &str, manifest: &str| {
        let error = registry.try_deploy(function, component, manifest).await.unwrap_err();
        assert!(matches!(error, RegistryError::QuotaExceeded { .. }), "{error:?}");
        error.to_string()
    };
    assert!(refused("shop/c", "12345", "").await.contains("2 functions"));
    assert!(refused("shop/a", "678901", "").await.contains("10B of components"));
    assert!(refused("shop/a", "12345", "[limits]\nmemory = \"256MiB\"").await.contains("128MiB of memory"));
    // What is there already costs nothing more, and what fits is taken.
    assert!(!registry.deploy("shop/a", "12345", "").await.created);
    assert!(registry.deploy("shop/a", "12345", "[env]\nA = \"1\"").await.created);
    assert!(registry.deploy("shop/b", "67890", "").await.created);
    registry.deploy("other/c", "678901", "[limits]\nmemory = \"256MiB\"").await;
    assert!(registry.delete("shop/b").await);
    registry.deploy("shop/c", "12345", "").await;

    let namespaces = registry.registry.namespaces().await.unwrap();
    let shown: Vec<_> = namespaces.iter().map(|it| (it.name.as_str(), it.functions, it.component_bytes)).collect();
    assert_eq!(shown, [("other", 1, 6), ("shop", 2, 5)]);
    assert_eq!((namespaces[0].quota, namespaces[1].quota), (Quota::default(), quota(Some(2), 10, 128)));
    registry.registry.set_quota(&shop, &Quota::default(), &author()).await.unwrap();
    registry.deploy("shop/d", "678901", "").await;
    let log = registry.registry.audit(None, 2).await.unwrap();
    assert_eq!(
        log[1].before.as_deref(),
        Some("functions 2, components 10B, memory 128MiB, at once any, a second any, CPU weight any")
    );
}

#[tokio::test]
async fn what_nodes_see_to_of_a_quota_is_a_change() {
    let registry = TestRegistry::new().await;
    registry.deploy("shop/a", "12345", "").await;
    let (shop, before) = ("shop".parse().unwrap(), registry.revision().await);
    let quota =
        Quota { concurrency: Some(0), requests_per_second: Some(500), cpu_weight: Some(50), ..Quota::default() };
    registry.registry.set_quota(&shop, &quota, &author()).await.unwrap();
    let limits = NamespaceLimits {
        namespace: shop.clone(),
        concurrency: Some(0),
        requests_per_second: Some(500),
        cpu_weight: Some(50),
    };
    let later = registry.registry.changes(before).await.unwrap();
    assert_eq!((later.revision, &later.functions[..], &later.namespaces[..]), (before + 1, &[][..], &[limits][..]));
    assert_eq!(registry.registry.changes(later.revision).await.unwrap().namespaces, []);
    registry.registry.set_quota(&shop, &Quota::default(), &author()).await.unwrap();
    let all = registry.registry.changes(0).await.unwrap();
    assert!(all.namespaces[0].is_none() && all.namespaces.len() == 1, "that there is none any more is told: {all:?}");
    assert!(Quota { cpu_weight: Some(0), ..quota }.check().unwrap_err().to_string().contains("cpu_weight: 0"));
}
