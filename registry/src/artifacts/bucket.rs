//! Artifacts in an object store: where several registries share them, and where they outlive any disk.

use std::path::Path as FilePath;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use jiff::{SignedDuration, Timestamp};
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt, ObjectStoreScheme, PutMode, PutOptions, RetryConfig, WriteMultipart,
};
use tokio::io::AsyncReadExt;
use url::Url;

use super::{ArtifactError, Stored};
use crate::digest::Digest;

/// Bytes up to which an artifact is put in one piece, and of the pieces of a larger one.
const PIECE_BYTES: u64 = 8 << 20;
/// Pieces under way at once.
const PIECES_AT_ONCE: usize = 4;
/// How long an object store is asked again before it counts as away.
const RETRY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often.
const RETRIES: usize = 3;

/// A place in an object store, such as `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`, `az://CONTAINER/PREFIX` or
/// `file:///FOLDER`. What is needed to get in comes from the environment, under the names that the tools of each use
/// (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_KEY`, ...).
#[derive(Debug, Clone)]
pub struct Bucket {
    url: Url,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl FromStr for Bucket {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::new(text, std::env::vars())
    }
}

impl std::fmt::Display for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)
    }
}

impl Bucket {
    /// The place at that address, which is entered by what `environment` has.
    pub fn new(address: &str, environment: impl IntoIterator<Item = (String, String)>) -> Result<Self, String> {
        const FORMS: &str =
            "write it as s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER";
        let url: Url = address.parse().map_err(|error| format!("{error}; {FORMS}"))?;
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|error| format!("{error}; {FORMS}"))?;
        let retry = RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIMEOUT, ..RetryConfig::default() };
        let place = url.as_str();
        // Keys are known in lower case, and without their prefix too: a variable TOKEN is no concern of the store.
        let environment = environment.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
        let environment =
            environment.filter(|(name, _)| ["aws_", "google_", "azure_"].iter().any(|prefix| name.starts_with(prefix)));
        let store: Result<Arc<dyn ObjectStore>, object_store::Error> = match scheme {
            ObjectStoreScheme::AmazonS3 => {
                let store = AmazonS3Builder::new().with_url(place).with_retry(retry);
                with_options(environment, store, |store, key, value| store.with_config(key, value)).build().map(shared)
            }
            ObjectStoreScheme::GoogleCloudStorage => {
                let store = GoogleCloudStorageBuilder::new().with_url(place).with_retry(retry);
                with_options(environment, store, |store, key, value| store.with_config(key, value)).build().map(shared)
            }
            ObjectStoreScheme::MicrosoftAzure => {
                let store = MicrosoftAzureBuilder::new().with_url(place).with_retry(retry);
                with_options(environment, store, |store, key, value| store.with_config(key, value)).build().map(shared)
            }
            ObjectStoreScheme::Local => Ok(shared(LocalFileSystem::new().with_fsync(true))),
            _ => return Err(FORMS.to_owned()),
        };
        Ok(Self { url, store: store.map_err(|error| error.to_string())?, prefix })
    }

    fn place(&self, digest: &Digest) -> Path {
        self.prefix.clone().join("sha256").join(digest.hex())
    }

    fn error(&self, action: &'static str) -> impl FnOnce(object_store::Error) -> ArtifactError {
        let place = self.to_string();
        move |source| ArtifactError::Bucket { action, place, source: Box::new(source) }
    }

    /// Puts the file `from` of `size` bytes under its digest. One that is there already is kept, unless it is older than
    /// `fresh`: then it is put again, since it may be about to be removed as nobody's.
    pub(super) async fn put(
        &self,
        digest: &Digest,
        from: &FilePath,
        size: u64,
        fresh: Duration,
    ) -> Result<(), ArtifactError> {
        if self.is_there(digest, size, fresh).await? {
            return Ok(());
        }
        let place = self.place(digest);
        let read_error = || ArtifactError::io("read", from);
        let mut file = tokio::fs::File::open(from).await.map_err(read_error())?;
        if size <= PIECE_BYTES {
            let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
            file.read_to_end(&mut bytes).await.map_err(read_error())?;
            return match self.store.put_opts(&place, bytes.clone().into(), PutOptions::from(PutMode::Create)).await {
                // Whoever was faster had the same bytes; what is there and has others is damaged, and mended so.
                Err(object_store::Error::AlreadyExists { .. }) => {
                    self.store.put(&place, bytes.into()).await.map(drop).map_err(self.error("write to"))
                }
                put => put.map(drop).map_err(self.error("write to")),
            };
        }
        let upload = self.store.put_multipart(&place).await.map_err(self.error("write to"))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PIECE_BYTES as usize);
        let mut piece = vec![0; 1 << 20];
        loop {
            upload.wait_for_capacity(PIECES_AT_ONCE).await.map_err(self.error("write to"))?;
            match file.read(&mut piece).await.map_err(read_error())? {
                0 => break,
                read => upload.write(&piece[..read]),
            }
        }
        upload.finish().await.map(drop).map_err(self.error("write to"))
    }

    /// Whether it is there in full and was put within the time `fresh`.
    async fn is_there(&self, digest: &Digest, size: u64, fresh: Duration) -> Result<bool, ArtifactError> {
        match self.store.head(&self.place(digest)).await {
            Ok(found) => Ok(found.size == size && age(modified(&found)) < fresh),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.error("look into")(error)),
        }
    }

    /// How long ago an artifact was put; `None` if it is not there.
    pub(super) async fn age(&self, digest: &Digest) -> Result<Option<Duration>, ArtifactError> {
        match self.store.head(&self.place(digest)).await {
            Ok(found) => Ok(Some(age(modified(&found)))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("look into")(error)),
        }
    }

    /// The bytes of an artifact and how many they are; `None` if there is none of that digest.
    pub(super) async fn get(
        &self,
        digest: &Digest,
    ) -> Result<Option<(u64, impl Stream<Item = Result<Bytes, ArtifactError>>)>, ArtifactError> {
        match self.store.get(&self.place(digest)).await {
            Ok(found) => {
                let bucket = self.clone();
                let size = found.meta.size;
                let pieces = found.into_stream().map_err(move |error| bucket.error("read from")(error));
                Ok(Some((size, pieces)))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.error("read from")(error)),
        }
    }

    /// All artifacts. What has another name was not put by a registry, and is left alone.
    pub(super) fn list(&self) -> impl Stream<Item = Result<Stored, ArtifactError>> {
        let bucket = self.clone();
        self.store.list(Some(&self.prefix.clone().join("sha256"))).filter_map(move |found| {
            let stored = match found {
                Ok(meta) => meta
                    .location
                    .filename()
                    .and_then(|hex| format!("sha256:{hex}").parse().ok())
                    .map(|digest| Ok(Stored { digest, size: meta.size, age: age(modified(&meta)) })),
                Err(error) => Some(Err(bucket.error("list")(error))),
            };
            std::future::ready(stored)
        })
    }

    pub(super) async fn remove(&self, digest: &Digest) -> Result<(), ArtifactError> {
        match self.store.delete(&self.place(digest)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.error("remove from")(error)),
        }
    }
}

fn shared(store: impl ObjectStore) -> Arc<dyn ObjectStore> {
    Arc::new(store)
}

/// Gives a store those variables that it knows.
fn with_options<S, K: FromStr>(
    environment: impl Iterator<Item = (String, String)>,
    store: S,
    set: impl Fn(S, K, String) -> S,
) -> S {
    environment.fold(store, |store, (name, value)| match name.parse() {
        Ok(key) => set(store, key, value),
        Err(_) => store,
    })
}

fn modified(meta: &ObjectMeta) -> Timestamp {
    // Within the years that both kinds of time can hold; an object from outside them would be as old as can be.
    Timestamp::from_millisecond(meta.last_modified.timestamp_millis()).unwrap_or(Timestamp::MIN)
}

/// How long ago that was; nothing when the store's clock is ahead of ours.
fn age(modified: Timestamp) -> Duration {
    let age: SignedDuration = Timestamp::now().duration_since(modified);
    age.try_into().unwrap_or(Duration::ZERO)
}
