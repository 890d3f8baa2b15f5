//! Requests that are split over versions.

use wasmway_registry::{Function, NewVersion, RegistryError, Sticky, TakeBack, Traffic, Trial};

use crate::harness::{TestRegistry, author, parse, version};

async fn three_versions() -> TestRegistry {
    let registry = TestRegistry::new().await;
    for component in ["one", "two", "three"] {
        registry.deploy("hello", component, "").await;
    }
    registry
}

fn shares(function: &Function) -> Vec<(u32, u32)> {
    let shares = function.split.as_ref().map(|split| split.shares.as_slice()).unwrap_or_default();
    shares.iter().map(|(version, weight)| (version.version.get(), *weight)).collect()
}

#[tokio::test]
async fn a_split_says_who_gets_how_much_and_who_leads() {
    let registry = three_versions().await;
    let before = registry.revision().await;
    let sticky: Sticky = "header:X-User".parse().unwrap();
    let function = registry.split_sticky("hello", &[(3, 90), (1, 10), (2, 0)], Some(sticky.clone())).await.unwrap();
    assert_eq!(shares(&function), [(1, 10), (3, 90)]);
    assert_eq!(function.active.version.get(), 3);
    assert_eq!(function.split.as_ref().unwrap().sticky, Some(Sticky::Header("x-user".to_owned())));
    let active: Vec<bool> = function.split.as_ref().unwrap().shares.iter().map(|(version, _)| version.active).collect();
    assert_eq!(active, [false, true]);
    assert_eq!(registry.revision().await, before + 1);
    assert_eq!(registry.function("hello").await, Some(function.clone()));
    let changed = registry.registry.changes(before).await.unwrap().functions;
    assert_eq!(changed.as_slice(), std::slice::from_ref(&function));
    let (namespace, _) = parse("hello");
    assert_eq!(registry.registry.functions(&namespace, None, 10).await.unwrap(), [function]);

    let function = registry.split("hello", &[(1, 60), (3, 40)]).await.unwrap();
    assert_eq!((function.active.version.get(), function.split.unwrap().sticky), (1, None));
    let tie = registry.split("hello", &[(3, 50), (1, 50)]).await.unwrap();
    assert_eq!(tie.active.version.get(), 1, "of two the one that is active");
}

#[tokio::test]
async fn all_for_one_version_ends_a_split() {
    let registry = three_versions().await;
    registry.split("hello", &[(3, 90), (1, 10)]).await.unwrap();
    let promoted = registry.split("hello", &[(1, 1)]).await.unwrap();
    assert_eq!((promoted.active.version.get(), shares(&promoted)), (1, vec![]));
    assert_eq!(registry.rollback("hello", None).await.unwrap().active.version.get(), 3);
}

#[tokio::test]
async fn going_back_ends_a_split_first() {
    let registry = three_versions().await;
    registry.split("hello", &[(3, 90), (1, 10)]).await.unwrap();
    let back = registry.rollback("hello", None).await.unwrap();
    assert_eq!((back.active.version.get(), shares(&back)), (3, vec![]));
    assert_eq!(registry.rollback("hello", None).await.unwrap().active.version.get(), 2);

    registry.split("hello", &[(2, 90), (1, 10)]).await.unwrap();
    let same = registry.rollback("hello", Some(2)).await.unwrap();
    assert_eq!((same.active.version.get(), shares(&same)), (2, vec![]));
}

#[tokio::test]
async fn going_back_from_a_version_that_leads_its_split_is_back_to_the_one_before() {
    let registry = three_versions().await;
    registry.split("hello", &[(3, 40), (1, 60)]).await.unwrap();
    // Changed on the way, it is still the same try.
    let leads = registry.split("hello", &[(3, 10), (1, 80), (2, 10)]).await.unwrap();
    assert_eq!(leads.active.version.get(), 1);
    let back = registry.rollback("hello", None).await.unwrap();
    assert_eq!((back.active.version.get(), shares(&back)), (3, vec![]));
}

#[tokio::test]
async fn a_deploy_ends_a_split_and_one_with_a_part_makes_one() {
    let registry = three_versions().await;
    registry.split("hello", &[(3, 90), (1, 10)]).await.unwrap();
    let deployed = registry.deploy("hello", "three", "").await;
    assert!(!deployed.created);
    assert_eq!((deployed.function.active.version.get(), shares(&deployed.function)), (3, vec![]));

    let canary = |component: &'static [u8], traffic| {
        let (registry, (namespace, name)) = (&registry, parse("hello"));
        async move {
            let new = NewVersion {
                namespace,
                name,
                digest: registry.store(component).await,
                size: component.len() as u64,
                world: String::new(),
                imports: Vec::new(),
                manifest: Default::default(),
                traffic,
            };
            registry.registry.deploy(new, &author()).await.unwrap()
        }
    };
    let deployed = canary(b"four", 20).await;
    assert_eq!((deployed.version.get(), deployed.function.active.version.get()), (4, 3));
    assert_eq!(shares(&deployed.function), [(3, 80), (4, 20)]);
    let revision = registry.revision().await;
    let again = canary(b"four", 20).await;
    assert_eq!((again.created, shares(&again.function)), (false, vec![(3, 80), (4, 20)]));
    assert_eq!(registry.revision().await, revision, "the same once more changes nothing");
    let silent = canary(b"five", 0).await;
    assert_eq!((silent.version.get(), silent.function.active.version.get()), (5, 3));
    assert_eq!(shares(&silent.function), []);
    let leads = canary(b"five", 70).await;
    assert_eq!((leads.created, leads.function.active.version.get()), (false, 5));
}

#[tokio::test]
async fn what_cannot_be_split_is_refused_and_changes_nothing() {
    let registry = three_versions().await;
    let before = registry.registry.changes(0).await.unwrap();
    for weights in [&[][..], &[(1, 0)], &[(1, 1), (2, 1_000_001)]] {
        let error = registry.split("hello", weights).await.unwrap_err();
        assert!(matches!(error, RegistryError::BadTraffic(_)), "{error:?}");
    }
    let many: Vec<_> = (1..=11).map(|version| (version, 1)).collect();
    assert!(matches!(registry.split("hello", &many).await, Err(RegistryError::BadTraffic(_))));
    assert!(matches!(registry.split("hello", &[(1, 1), (9, 1)]).await, Err(RegistryError::VersionNotFound { .. })));
    assert!(matches!(registry.split("nobody", &[(1, 1)]).await, Err(RegistryError::FunctionNotFound { .. })));
    assert_eq!(registry.registry.changes(0).await.unwrap(), before);
    assert!(registry.delete("hello").await);
}

#[tokio::test]
async fn a_function_with_a_split_can_be_deleted() {
    let registry = three_versions().await;
    registry.split("hello", &[(3, 90), (1, 10)]).await.unwrap();
    assert!(registry.delete("hello").await);
    let again = registry.deploy("hello", "one", "").await;
    assert_eq!((again.version.get(), shares(&again.function)), (4, vec![]));
}

#[tokio::test]
async fn a_version_on_trial_is_taken_back_unless_something_has_changed_since() {
    let registry = three_versions().await;
    let (namespace, name) = parse("hello");
    let weights = [(1, 20), (2, 70), (3, 10)].map(|(number, weight)| (version(number), weight)).into();
    let trial = Some(Trial { requests: 50, ..Trial::default() });
    let asked = Traffic { weights, sticky: None, trial };
    let function = registry.registry.set_traffic(&namespace, &name, &asked, &author()).await.unwrap();
    assert_eq!(function.split.as_ref().unwrap().trial, trial);
    let case = |number, revision| TakeBack {
        namespace: namespace.clone(),
        name: name.clone(),
        version: version(number),
        revision,
        why: "it fails".to_owned(),
    };
    let taken = async |case: &TakeBack| registry.registry.take_back(case, &author()).await.unwrap();
    assert!(!taken(&case(3, function.revision - 1)).await, "an older state");
    assert!(!taken(&case(2, function.revision)).await, "the active one");
    assert!(!taken(&case(9, function.revision)).await, "none of its versions");
    assert!(taken(&case(3, function.revision)).await);
    assert!(!taken(&case(3, function.revision)).await, "only once");
    let left = registry.function("hello").await.unwrap();
    assert_eq!((shares(&left), left.split.as_ref().unwrap().trial), (vec![(1, 20), (2, 70)], trial));
    assert!(taken(&case(1, left.revision)).await);
    let alone = registry.function("hello").await.unwrap();
    assert_eq!((alone.active.version.get(), alone.split), (2, None));
    let log = registry.registry.audit(None, 1).await.unwrap();
    assert_eq!((log[0].action.as_str(), log[0].after.as_deref()), ("take-back", Some("v2, since v1: it fails")));

    for bad in [Trial { requests: 0, ..Trial::default() }, Trial { errors: f64::NAN, ..Trial::default() }] {
        let asked = Traffic { trial: Some(bad), ..asked.clone() };
        let error = registry.registry.set_traffic(&namespace, &name, &asked, &author()).await.unwrap_err();
        assert!(matches!(error, RegistryError::BadTraffic(_)), "{error:?}");
    }
}

#[test]
fn what_a_split_goes_by_is_written_in_one_way() {
    for good in ["header:x-user", "cookie:SESSION"] {
        assert_eq!(good.parse::<Sticky>().unwrap().to_string(), good);
    }
    for bad in ["", "header", "header:", "header:a b", "query:x", "cookie:a=b"] {
        assert!(bad.parse::<Sticky>().is_err(), "{bad:?}");
    }
    assert!(format!("cookie:{}", "a".repeat(65)).parse::<Sticky>().is_err());
}

#[tokio::test]
async fn the_newest_versions_that_ask_for_it_have_previews() {
    let registry = TestRegistry::new().await;
    registry.deploy("hello", "one", "").await;
    for number in 2..=12 {
        registry.deploy("hello", "other", &format!("preview = true\n[env]\nN = \"{number}\"")).await;
    }
    let function = registry.deploy("hello", "last", "").await.function;
    let previews: Vec<u32> = function.previews.iter().map(|version| version.version.get()).collect();
    assert_eq!(previews, [12, 11, 10, 9, 8, 7, 6, 5, 4]);
    assert!(function.previews.iter().all(|version| !version.active && version.manifest.preview));
    let (namespace, _) = parse("hello");
    assert_eq!(function.served_versions().count(), 10);
    let listed = registry.registry.functions(&namespace, None, 10).await.unwrap();
    assert_eq!(listed, registry.registry.changes(0).await.unwrap().functions);
    assert_eq!(listed, [function]);
}
