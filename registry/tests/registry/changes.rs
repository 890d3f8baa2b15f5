//! What has changed since a revision.

use wasmway_registry::CHANGES_MAX;

use crate::harness::TestRegistry;

fn names(changes: &wasmway_registry::Changes) -> (Vec<&str>, Vec<&str>) {
    let functions = changes.functions.iter().map(|function| function.name.as_str()).collect();
    (functions, changes.gone.iter().map(|(_, name)| name.as_str()).collect())
}

#[tokio::test]
async fn each_change_is_told_once_as_it_stands_now() {
    let registry = TestRegistry::new().await;
    assert_eq!(registry.registry.changes(0).await.unwrap().revision, 0);
    registry.deploy("a", "one", "").await;
    registry.deploy("b", "one", "").await;
    registry.deploy("a", "two", "").await;
    registry.deploy("c", "one", "").await;
    registry.delete("c").await;

    let all = registry.registry.changes(0).await.unwrap();
    assert_eq!((all.revision, all.more), (5, false));
    assert_eq!(names(&all), (vec!["b", "a"], vec!["c"]));
    assert_eq!(all.functions[1].active.version.get(), 2);

    let later = registry.registry.changes(3).await.unwrap();
    assert_eq!(names(&later), (vec![], vec!["c"]));
    let none = registry.registry.changes(5).await.unwrap();
    assert_eq!((none.revision, names(&none)), (5, (vec![], vec![])));
    let from_a_future = registry.registry.changes(u64::MAX).await.unwrap();
    assert_eq!((from_a_future.revision, names(&from_a_future)), (5, (vec![], vec![])));
}

#[tokio::test]
async fn what_does_not_change_anything_is_no_change() {
    let registry = TestRegistry::new().await;
    registry.deploy("a", "one", "").await;
    registry.deploy("a", "one", "").await;
    registry.rollback("a", Some(1)).await.unwrap();
    assert!(!registry.delete("b").await);
    assert_eq!(registry.revision().await, 1);
}

#[tokio::test]
async fn many_changes_come_in_pages() {
    let registry = TestRegistry::new().await;
    let count = CHANGES_MAX + 5;
    for number in 0..count {
        registry.deploy(&format!("f{number}"), "one", "").await;
    }
    let first = registry.registry.changes(0).await.unwrap();
    assert_eq!((first.functions.len() as u32, first.more), (CHANGES_MAX, true));
    assert_eq!(first.revision, u64::from(CHANGES_MAX));
    let second = registry.registry.changes(first.revision).await.unwrap();
    assert_eq!((second.functions.len(), second.more, second.revision), (5, false, u64::from(count)));
}
