use std::fs;
use std::path::Path;

use tokio::io::AsyncReadExt;
use wasmway_registry::{ArtifactError, Digest, Registry, Stores};

use crate::harness::TestRegistry;

fn incoming(registry: &TestRegistry) -> usize {
    fs::read_dir(registry.path().join("artifacts/incoming")).unwrap().count()
}

#[tokio::test]
async fn an_artifact_is_stored_under_its_digest() {
    let registry = TestRegistry::new().await;
    let artifacts = registry.registry.artifacts();
    let mut upload = artifacts.upload(6).await.unwrap();
    upload.write(b"abc").await.unwrap();
    upload.write(b"").await.unwrap();
    upload.write(b"def").await.unwrap();
    let sealed = upload.seal().await.unwrap();
    let digest = Digest::of(b"abcdef");
    assert_eq!((sealed.digest(), sealed.size()), (digest, 6));
    assert_eq!(fs::read(sealed.path()).unwrap(), b"abcdef");
    assert!(artifacts.open(&digest).await.unwrap().is_none(), "not before it is committed");

    sealed.commit().await.unwrap();
    let mut artifact = artifacts.open(&digest).await.unwrap().unwrap();
    let mut bytes = Vec::new();
    artifact.file.read_to_end(&mut bytes).await.unwrap();
    assert_eq!((bytes.as_slice(), artifact.size), (&b"abcdef"[..], 6));
    let hex = digest.hex();
    assert!(artifacts.path(&digest).ends_with(Path::new("artifacts/sha256").join(&hex[..2]).join(&hex)));
    assert_eq!(incoming(&registry), 0);
}

#[tokio::test]
async fn more_than_was_allowed_is_refused_and_leaves_nothing() {
    let registry = TestRegistry::new().await;
    let mut upload = registry.registry.artifacts().upload(5).await.unwrap();
    upload.write(b"abcde").await.unwrap();
    let error = upload.write(b"f").await.unwrap_err();
    assert!(matches!(error, ArtifactError::TooLarge { limit: 5 }), "{error:?}");
    assert_eq!(incoming(&registry), 1);
    drop(upload);
    assert_eq!(incoming(&registry), 0);
}

#[tokio::test]
async fn what_is_dropped_before_it_is_committed_leaves_nothing() {
    let registry = TestRegistry::new().await;
    let mut upload = registry.registry.artifacts().upload(5).await.unwrap();
    upload.write(b"abc").await.unwrap();
    let sealed = upload.seal().await.unwrap();
    let digest = sealed.digest();
    drop(sealed);
    assert_eq!(incoming(&registry), 0);
    assert!(registry.registry.artifacts().open(&digest).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_crash_left_behind_is_removed_and_what_was_stored_stays() {
    let registry = TestRegistry::new().await;
    let stored = registry.store(b"stored").await;
    let mut upload = registry.registry.artifacts().upload(10).await.unwrap();
    upload.write(b"half").await.unwrap();
    // A crash runs no destructors.
    std::mem::forget(upload);
    fs::write(registry.path().join("artifacts/incoming/upload-old"), "older").unwrap();
    assert_eq!(incoming(&registry), 2);

    // The upload that was forgotten holds the artifacts only, not the lock.
    let registry = registry.reopen().await;
    assert_eq!(incoming(&registry), 0);
    assert!(registry.registry.artifacts().verify(&stored).await.unwrap());
}

#[tokio::test]
async fn damage_is_found_and_mended_by_uploading_again() {
    let registry = TestRegistry::new().await;
    let artifacts = registry.registry.artifacts();
    let digest = registry.store(b"whole").await;
    assert!(artifacts.verify(&digest).await.unwrap());

    for damaged in [&b"Whole"[..], b"whol", b"whole\0", b""] {
        fs::write(artifacts.path(&digest), damaged).unwrap();
        assert!(!artifacts.verify(&digest).await.unwrap(), "{damaged:?}");
        assert_eq!(registry.store(b"whole").await, digest);
        assert!(artifacts.verify(&digest).await.unwrap());
    }
    assert!(!artifacts.verify(&Digest::of(b"missing")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_same_artifact_may_arrive_many_times_at_once() {
    let registry = TestRegistry::new().await;
    let bytes: Vec<u8> = (0..200_000_u32).map(|i| i as u8).collect();
    let uploads: Vec<_> = (0..12)
        .map(|_| {
            let (artifacts, bytes) = (registry.registry.artifacts().clone(), bytes.clone());
            tokio::spawn(async move {
                let mut upload = artifacts.upload(1 << 20).await.unwrap();
                for chunk in bytes.chunks(7001) {
                    upload.write(chunk).await.unwrap();
                }
                let sealed = upload.seal().await.unwrap();
                let digest = sealed.digest();
                sealed.commit().await.unwrap();
                assert!(artifacts.verify(&digest).await.unwrap());
                digest
            })
        })
        .collect();
    for upload in uploads {
        assert_eq!(upload.await.unwrap(), Digest::of(&bytes));
    }
    assert_eq!(incoming(&registry), 0);
    let stored = registry.registry.artifacts().path(&Digest::of(&bytes));
    assert_eq!(fs::read_dir(stored.parent().unwrap()).unwrap().count(), 1);
}

#[tokio::test]
async fn an_empty_artifact_is_an_artifact() {
    let registry = TestRegistry::new().await;
    let digest = registry.store(b"").await;
    assert_eq!(registry.registry.artifacts().open(&digest).await.unwrap().unwrap().size, 0);
}

/// Makes a file as old as what nobody names may be before it is removed, and older.
fn age(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 60 * 60)).unwrap();
}

#[tokio::test]
async fn what_no_version_names_is_removed_once_it_is_old() {
    let registry = TestRegistry::new().await;
    let place = |digest: &Digest| registry.registry.artifacts().path(digest);
    let named = registry.deploy("hello", "named", "").await.function.active.digest;
    let (old, young) = (registry.store(b"old").await, registry.store(b"young").await);
    for digest in [&named, &old] {
        age(&place(digest));
    }
    let stranger = place(&named).with_file_name("notes.txt");
    fs::write(&stranger, "somebody's").unwrap();
    age(&stranger);
    let collected = registry.registry.collect_garbage().await.unwrap();
    assert_eq!((collected.artifacts, collected.bytes), (1, 3));
    assert!(!place(&old).exists() && place(&young).exists() && place(&named).exists() && stranger.exists());

    // What a deleted function was made of goes as well, unless it is stored anew.
    registry.delete("hello").await;
    registry.store(b"named").await;
    assert_eq!(registry.registry.collect_garbage().await.unwrap().artifacts, 0);
    age(&place(&named));
    assert_eq!(registry.registry.collect_garbage().await.unwrap().artifacts, 1);
}

/// The same in an object store, where an upload leaves alone what is there and fresh, and puts anew what is not.
#[tokio::test]
async fn an_upload_keeps_what_is_about_to_be_named_from_being_removed() {
    let (dir, bucket) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let place = format!("file://{}", bucket.path().display());
    let stores = Stores { database: None, bucket: Some(place.parse().unwrap()) };
    let registry = Registry::open(dir.path(), &stores).await.unwrap();
    let digest = crate::harness::store(&registry, b"again").await;
    let object = bucket.path().join("sha256").join(digest.hex());
    age(&object);
    assert_eq!(crate::harness::store(&registry, b"again").await, digest);
    assert_eq!(registry.collect_garbage().await.unwrap().artifacts, 0);
    age(&object);
    assert_eq!(registry.collect_garbage().await.unwrap().artifacts, 1);
    assert!(!object.exists() && registry.artifacts().open(&digest).await.unwrap().is_none());
}
