//! Artifacts: the components themselves, stored by the digest of their bytes.
//!
//! ```text
//! artifacts/incoming/upload-*      being uploaded or checked; removed when the registry opens
//! artifacts/sha256/ab/abcd...      stored; the name is the digest, so a file never changes
//! ```
//!
//! An upload streams into `incoming`, is hashed on the way, and moves to its place by one rename after its bytes
//! have reached the disk: under its name there is the whole artifact or nothing. With a [`Bucket`], that one holds
//! the artifacts, and the folder copies of those that were asked for.

mod bucket;
mod folder;
mod reach;
mod upload;

pub use bucket::Bucket;
use folder::{age, list_folder, remove_leftovers};
pub use upload::{Sealed, Upload};

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};

use crate::digest::{Digest, DigestWriter};
use crate::durable::{create_private_folder, is_storage_full};

/// Bytes read at a time when an artifact is hashed again.
const VERIFY_READ_BYTES: usize = 128 * 1024;

/// Why an artifact could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// The upload is longer than its caller allows.
    #[error("the artifact is larger than {limit} bytes")]
    TooLarge {
        /// The most bytes that were allowed.
        limit: u64,
    },
    /// The disk or this user's share of it is full.
    #[error("no storage is left for artifacts")]
    StorageFull(#[source] io::Error),
    /// The object store is away, or refuses.
    #[error("cannot {action} the object store {place}")]
    Bucket {
        /// What was tried.
        action: &'static str,
        /// The store.
        place: String,
        /// What it says.
        source: Box<object_store::Error>,
    },
    /// What came for a digest, from an object store or a registry, is something else.
    #[error("other bytes are stored under {0}; upload the component again")]
    Damaged(Digest),
    /// Any other failure of the file system.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl ArtifactError {
    /// For `map_err`: the error of trying to `action` the file or folder `path`.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            if is_storage_full(&source) {
                return Self::StorageFull(source);
            }
            let path = path.to_owned();
            Self::Io { action, path, source }
        }
    }
}

/// The artifacts of one data directory. Clones share the same store.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    folders: Arc<Folders>,
}

#[derive(Debug)]
struct Folders {
    incoming: PathBuf,
    sha256: PathBuf,
    bucket: Option<Bucket>,
}

/// An artifact in a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stored {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
    /// Since it was last put.
    pub(crate) age: Duration,
}

/// How long an artifact that no version names is kept: a deploy that has stored its artifact names it within that time.
pub(crate) const UNNAMED_KEPT: Duration = Duration::from_secs(60 * 60);

/// A stored artifact, open for reading.
#[derive(Debug)]
pub struct Artifact {
    /// Its bytes, from the start.
    pub file: tokio::fs::File,
    /// How many they are.
    pub size: u64,
}

impl ArtifactStore {
    /// Opens the store in the folder `root`, creating it if need be. Blocks on the file system.
    ///
    /// Uploads that a crash left behind are removed, so nobody else may have this store open.
    pub fn open_root(root: &Path, bucket: Option<Bucket>) -> Result<Self, ArtifactError> {
        let folders = Folders { incoming: root.join("incoming"), sha256: root.join("sha256"), bucket };
        for folder in [&folders.incoming, &folders.sha256] {
            create_private_folder(folder).map_err(ArtifactError::io("create", folder))?;
        }
        remove_leftovers(&folders.incoming)?;
        Ok(Self { folders: Arc::new(folders) })
    }

    /// Begins an upload of at most `max_bytes`. It is gone without a trace when it is dropped.
    pub async fn upload(&self, max_bytes: u64) -> Result<Upload, ArtifactError> {
        let store = self.clone();
        blocking(move || {
            let incoming = &store.folders.incoming;
            let (file, path) = tempfile::Builder::new()
                .prefix("upload-")
                .tempfile_in(incoming)
                .map_err(ArtifactError::io("create a file in", incoming))?
                .into_parts();
            Ok(Upload::new(path, file, max_bytes, store))
        })
        .await
    }

    /// Opens a stored artifact; `None` if there is none of that digest. From an object store it is copied first.
    pub async fn open(&self, digest: &Digest) -> Result<Option<Artifact>, ArtifactError> {
        match self.open_copy(digest).await? {
            Some(artifact) => Ok(Some(artifact)),
            None if self.fetch(digest).await? => self.open_copy(digest).await,
            None => Ok(None),
        }
    }

    /// Makes sure that the artifact is at its path; `false` if there is none of that digest.
    pub async fn ensure(&self, digest: &Digest) -> Result<bool, ArtifactError> {
        Ok(self.open(digest).await?.is_some())
    }

    /// Copies an artifact from the object store, if there is one and it has it.
    async fn fetch(&self, digest: &Digest) -> Result<bool, ArtifactError> {
        let Some(bucket) = &self.folders.bucket else { return Ok(false) };
        let Some((size, pieces)) = bucket.get(digest).await? else { return Ok(false) };
        self.receive(digest, size, pieces).await?;
        Ok(true)
    }

    /// Makes a copy in the folder of an artifact that comes from elsewhere, of `size` bytes.
    pub async fn receive<E: From<ArtifactError>>(
        &self,
        digest: &Digest,
        size: u64,
        pieces: impl Stream<Item = Result<Bytes, E>>,
    ) -> Result<(), E> {
        let mut copy = self.upload(size).await?;
        let mut pieces = std::pin::pin!(pieces);
        while let Some(piece) = pieces.next().await {
            copy.write(&piece?).await?;
        }
        let copy = copy.seal().await?;
        if copy.digest() != *digest {
            return Err(ArtifactError::Damaged(*digest).into());
        }
        Ok(copy.keep().await?)
    }

    async fn open_copy(&self, digest: &Digest) -> Result<Option<Artifact>, ArtifactError> {
        let path = self.path(digest);
        blocking(move || {
            let Some(file) = open_if_there(&path)? else {
                return Ok(None);
            };
            let size = file.metadata().map_err(ArtifactError::io("look at", &path))?.len();
            Ok(Some(Artifact { file: file.into(), size }))
        })
        .await
    }

    /// Where the artifact of that digest is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        self.folders.sha256.join(&hex[..2]).join(hex)
    }

    /// All artifacts that are stored here: not the copies, where there is an object store.
    pub(crate) async fn list(&self) -> Result<Vec<Stored>, ArtifactError> {
        match &self.folders.bucket {
            Some(bucket) => bucket.list().try_collect().await,
            None => self.copies().await,
        }
    }

    /// Whether the folder has copies only, of what an object store holds.
    pub(crate) fn is_copy(&self) -> bool {
        self.folders.bucket.is_some()
    }

    /// How long ago an artifact was put where it is held; `None` if it is not there.
    pub(crate) async fn age(&self, digest: &Digest) -> Result<Option<Duration>, ArtifactError> {
        if let Some(bucket) = &self.folders.bucket {
            return bucket.age(digest).await;
        }
        let path = self.path(digest);
        blocking(move || match open_if_there(&path)? {
            Some(file) => age(&path, file.metadata()).map(Some),
            None => Ok(None),
        })
        .await
    }

    /// All artifacts in the folder.
    async fn copies(&self) -> Result<Vec<Stored>, ArtifactError> {
        let root = self.folders.sha256.clone();
        blocking(move || list_folder(&root)).await
    }

    /// Removes an artifact, and its copy where there is an object store.
    pub(crate) async fn remove(&self, digest: &Digest) -> Result<(), ArtifactError> {
        if let Some(bucket) = &self.folders.bucket {
            bucket.remove(digest).await?;
        }
        self.remove_copy(digest).await
    }

    async fn remove_copy(&self, digest: &Digest) -> Result<(), ArtifactError> {
        let path = self.path(digest);
        blocking(move || match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ArtifactError::io("remove", &path)(error)),
            _ => Ok(()),
        })
        .await
    }

    /// Removes the copies in the folder that `is_needed` does not name and that have been there for a while.
    pub async fn forget_copies(&self, is_needed: impl Fn(&Digest) -> bool) -> Result<(), ArtifactError> {
        for copy in self.copies().await? {
            if copy.age > UNNAMED_KEPT && !is_needed(&copy.digest) {
                self.remove_copy(&copy.digest).await?;
            }
        }
        Ok(())
    }

    /// Reads the stored artifact again and says whether it still has this digest: `false` when it is missing or its
    /// bytes have changed. Uploading the same artifact again mends it.
    pub async fn verify(&self, digest: &Digest) -> Result<bool, ArtifactError> {
        let path = self.path(digest);
        let digest = *digest;
        blocking(move || {
            let Some(file) = open_if_there(&path)? else {
                return Ok(false);
            };
            let mut found = DigestWriter::new();
            let mut bytes = io::BufReader::with_capacity(VERIFY_READ_BYTES, file);
            io::copy(&mut bytes, &mut found).map_err(ArtifactError::io("read", &path))?;
            Ok(found.finish() == digest)
        })
        .await
    }
}

fn open_if_there(path: &Path) -> Result<Option<File>, ArtifactError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ArtifactError::io("open", path)(error)),
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T, W>(work: W) -> Result<T, ArtifactError>
where
    T: Send + 'static,
    W: FnOnce() -> Result<T, ArtifactError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down gives up on work before it has begun.
            Err(cancelled) => Err(ArtifactError::io("work on", Path::new("artifacts"))(io::Error::other(cancelled))),
        },
    }
}
