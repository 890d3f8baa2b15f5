//! What cannot be brought about from outside the crate: a full disk, and the last version number.

use sqlx::SqlitePool;

use super::*;
use crate::database::Database;
use crate::digest::Digest;
use crate::manifest::Manifest;
use crate::registry::Stores;

async fn registry() -> (tempfile::TempDir, Registry, Digest) {
    let dir = tempfile::tempdir().unwrap();
    let registry = Registry::open(dir.path(), &Stores::default()).await.unwrap();
    let mut upload = registry.artifacts().upload(10).await.unwrap();
    upload.write(b"bytes").await.unwrap();
    let sealed = upload.seal().await.unwrap();
    let digest = sealed.digest();
    sealed.commit().await.unwrap();
    (dir, registry, digest)
}

fn writer(registry: &Registry) -> &SqlitePool {
    match &registry.shared.database {
        Database::Sqlite { writer, .. } => writer,
        Database::Postgres(_) => unreachable!("opened without a server"),
    }
}

fn author() -> Author {
    Author { name: "tests".to_owned(), address: String::new(), request_id: String::new() }
}

fn version_of(digest: Digest, env: &str) -> NewVersion {
    NewVersion {
        namespace: Namespace::default(),
        name: "hello".parse().unwrap(),
        digest,
        size: 5,
        world: String::new(),
        imports: Vec::new(),
        manifest: Manifest { env: [("A".to_owned(), env.to_owned())].into(), ..Manifest::default() },
        traffic: 100,
    }
}

#[tokio::test]
async fn a_full_database_is_storage_full_and_changes_nothing() {
    let (_dir, registry, digest) = registry().await;
    registry.deploy(version_of(digest, "small"), &author()).await.unwrap();
    let before = registry.changes(0).await.unwrap();
    sqlx::query("PRAGMA max_page_count = 1").execute(writer(&registry)).await.unwrap();

    let error = registry.deploy(version_of(digest, &"x".repeat(60_000)), &author()).await.unwrap_err();

    assert!(matches!(error, RegistryError::StorageFull(_)), "{error:?}");
    assert_eq!(registry.changes(0).await.unwrap(), before);
    let again = registry.deploy(version_of(digest, "small"), &author()).await.unwrap();
    assert!(!again.created);
}

#[tokio::test]
async fn after_the_last_version_number_there_is_none() {
    let (_dir, registry, digest) = registry().await;
    registry.deploy(version_of(digest, "1"), &author()).await.unwrap();
    sqlx::query("UPDATE functions SET last_version = 4294967294").execute(writer(&registry)).await.unwrap();

    let last = registry.deploy(version_of(digest, "2"), &author()).await.unwrap();
    assert_eq!(last.function.active.version.get(), u32::MAX);
    let error = registry.deploy(version_of(digest, "3"), &author()).await.unwrap_err();
    assert!(matches!(error, RegistryError::VersionsUsedUp { .. }), "{error:?}");
}

#[tokio::test]
async fn what_a_newer_program_stored_is_read_and_what_is_damaged_is_named() {
    let (_dir, registry, digest) = registry().await;
    registry.deploy(version_of(digest, "1"), &author()).await.unwrap();
    let store = |manifest: &'static str| {
        sqlx::query("UPDATE versions SET manifest = $1").bind(manifest).execute(writer(&registry))
    };

    store(r#"{"limits":{"memory":"64MiB","gpu":2},"traffic":[]}"#).await.unwrap();
    let function = &registry.changes(0).await.unwrap().functions[0];
    assert_eq!(function.active.manifest.limits.memory.to_string(), "64MiB");

    store("{").await.unwrap();
    let error = registry.changes(0).await.unwrap_err();
    assert_eq!(error.to_string(), "the registry holds an unreadable manifest of default/hello");
}
