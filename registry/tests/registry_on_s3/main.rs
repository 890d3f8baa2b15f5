//! Artifacts in an object store: a real S3 server that checks signatures.

#[path = "../registry/harness.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod harness;
#[path = "../registry/s3_server.rs"]
mod s3_server;

use std::path::Path;

use s3_server::S3;
use tokio::io::AsyncReadExt;
use wasmway_registry::{ArtifactError, Digest, Registry, RegistryError, Stores};

/// What the harness starts registries on where a test does not say.
mod database {
    pub(crate) type Server = ();

    pub(crate) fn stores() -> (wasmway_registry::Stores, Server) {
        (wasmway_registry::Stores::default(), ())
    }
}

/// A server, and what registries need to use it.
fn server(prefix: &str) -> (S3, Stores) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let server = S3::start();
    let stores = Stores { database: None, bucket: Some(bucket(&server, prefix, s3_server::SECRET_KEY)) };
    (server, stores)
}

/// The bucket, entered with that secret.
fn bucket(server: &S3, prefix: &str, secret: &str) -> wasmway_registry::Bucket {
    let address = format!("s3://functions/{prefix}");
    let environment = server.environment().map(|(name, value)| {
        let value = if name == "AWS_SECRET_ACCESS_KEY" { secret.to_owned() } else { value };
        (name.to_owned(), value)
    });
    wasmway_registry::Bucket::new(&address, environment).unwrap()
}

async fn open(dir: &Path, stores: &Stores) -> Registry {
    Registry::open(dir, stores).await.unwrap()
}

async fn bytes_of(registry: &Registry, digest: &Digest) -> Option<Vec<u8>> {
    let mut artifact = registry.artifacts().open(digest).await.unwrap()?;
    let mut bytes = Vec::new();
    artifact.file.read_to_end(&mut bytes).await.unwrap();
    assert_eq!(bytes.len() as u64, artifact.size);
    Some(bytes)
}

/// More than one piece, and no whole number of them.
fn large() -> Vec<u8> {
    (0..9_000_001_u32).map(|number| (number % 251) as u8).collect()
}

#[tokio::test]
async fn what_one_registry_stores_another_reads() {
    let (_server, stores) = server("shared/artifacts");
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (here, there) = (open(one.path(), &stores).await, open(two.path(), &stores).await);
    for content in [b"small".to_vec(), large()] {
        let digest = harness::store_up_to(&here, &content, 16 << 20).await;
        assert_eq!(digest, harness::store_up_to(&there, &content, 16 << 20).await, "the same again does no harm");
        assert_eq!(bytes_of(&here, &digest).await, Some(content.clone()));
        std::fs::remove_file(there.artifacts().path(&digest)).unwrap();
        assert!(bytes_of(&there, &digest).await == Some(content), "copied from the bucket");
        assert!(there.artifacts().path(&digest).exists());
    }
    assert_eq!(bytes_of(&there, &Digest::of(b"never stored")).await, None);
}

#[tokio::test]
async fn a_bucket_that_is_away_or_refuses_is_named() {
    let (mut server, stores) = server("");
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path(), &stores).await;
    let strangers = tempfile::tempdir().unwrap();
    let refused = Stores { database: None, bucket: Some(bucket(&server, "", "another-secret")) };
    let stranger = open(strangers.path(), &refused).await;
    let error = stranger.artifacts().open(&Digest::of(b"x")).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Bucket { .. }), "{error:?}");
    assert!(error.to_string().contains("s3://functions"), "{error}");

    server.stop();
    let error = harness::deploy(&registry, "hello", "one", "").await;
    assert!(matches!(error, Err(RegistryError::Artifact(ArtifactError::Bucket { .. }))), "{error:?}");
    server.resume();
    harness::deploy(&registry, "hello", "one", "").await.unwrap();
}

#[tokio::test]
async fn damage_in_the_bucket_is_found_and_mended_by_an_upload() {
    let (server, stores) = server("");
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let registry = open(one.path(), &stores).await;
    let digest = harness::store_up_to(&registry, b"whole", 10).await;
    server.overwrite(&format!("sha256/{}", digest.hex()), b"other!");

    let other = open(two.path(), &stores).await;
    let error = other.artifacts().open(&digest).await.unwrap_err();
    assert!(matches!(error, ArtifactError::Damaged(found) if found == digest), "{error:?}");
    assert!(!other.artifacts().path(&digest).exists());
    harness::store_up_to(&registry, b"whole", 10).await;
    assert_eq!(bytes_of(&other, &digest).await, Some(b"whole".to_vec()));
}

#[tokio::test]
async fn what_is_young_or_named_is_no_garbage() {
    let (_server, stores) = server("some/where");
    let dir = tempfile::tempdir().unwrap();
    let registry = open(dir.path(), &stores).await;
    harness::deploy(&registry, "hello", "named", "").await.unwrap();
    let unnamed = harness::store_up_to(&registry, b"unnamed", 10).await;
    let none = registry.collect_garbage().await.unwrap();
    assert_eq!(none.artifacts, 0);
    assert!(bytes_of(&registry, &unnamed).await.is_some());
}

#[test]
fn places_that_are_none_are_refused() {
    for (bad, word) in [("functions", "s3://"), ("ftp://x/y", "s3://"), ("memory:///", "s3://")] {
        let error = bad.parse::<wasmway_registry::Bucket>().unwrap_err();
        assert!(error.contains(word), "{bad}: {error}");
    }
}
