//! Artifacts on their way in.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::TempPath;
use tokio::io::AsyncWriteExt;

use super::{ArtifactError, ArtifactStore, UNNAMED_KEPT, blocking};
use crate::digest::{Digest, DigestWriter};
use crate::durable::{create_private_folder, sync_folder};

/// An artifact that is being uploaded.
#[derive(Debug)]
pub struct Upload {
    path: TempPath,
    file: tokio::fs::File,
    digest: DigestWriter,
    size: u64,
    max_bytes: u64,
    store: ArtifactStore,
}

impl Upload {
    pub(super) fn new(path: TempPath, file: File, max_bytes: u64, store: ArtifactStore) -> Self {
        Self { path, file: file.into(), digest: DigestWriter::new(), size: 0, max_bytes, store }
    }

    /// Takes the next bytes.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), ArtifactError> {
        let size = self.size.saturating_add(chunk.len() as u64);
        if size > self.max_bytes {
            return Err(ArtifactError::TooLarge { limit: self.max_bytes });
        }
        self.file.write_all(chunk).await.map_err(ArtifactError::io("write", &self.path))?;
        self.digest.update(chunk);
        self.size = size;
        Ok(())
    }

    /// Ends the upload: its digest and size are known, it is readable at its path, and not yet stored.
    pub async fn seal(mut self) -> Result<Sealed, ArtifactError> {
        self.file.flush().await.map_err(ArtifactError::io("write", &self.path))?;
        let file = self.file.into_std().await;
        let written = file.metadata().map_err(ArtifactError::io("look at", &self.path))?.len();
        if written != self.size {
            // A write that was cancelled halfway leaves bytes that were never hashed.
            let cut = io::Error::new(io::ErrorKind::InvalidData, "a write was cut short");
            return Err(ArtifactError::io("seal", &self.path)(cut));
        }
        Ok(Sealed { path: self.path, file, digest: self.digest.finish(), size: self.size, store: self.store })
    }
}

/// An artifact that has arrived whole. [`Sealed::commit`] stores it; dropped, it is gone.
#[derive(Debug)]
pub struct Sealed {
    path: TempPath,
    file: File,
    digest: Digest,
    size: u64,
    store: ArtifactStore,
}

impl Sealed {
    /// Where its bytes can be read until it is stored or dropped.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The digest of its bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes it has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Stores it. When this returns, neither a crash nor a power cut loses it.
    ///
    /// One of the same digest that is stored already is replaced, which changes nothing for its readers, and mends
    /// it if it was damaged.
    pub async fn commit(self) -> Result<(), ArtifactError> {
        if let Some(bucket) = &self.store.folders.bucket {
            // What was put less than half the time ago cannot be removed before a version names it.
            bucket.put(&self.digest, &self.path, self.size, UNNAMED_KEPT / 2).await?;
        }
        self.keep().await
    }

    /// Moves it to its place in the folder.
    pub(super) async fn keep(self) -> Result<(), ArtifactError> {
        blocking(move || {
            let place = self.store.path(&self.digest);
            let sha256 = &self.store.folders.sha256;
            let folder = place.parent().unwrap_or(sha256);
            self.file.sync_all().map_err(ArtifactError::io("flush", &self.path))?;
            create_private_folder(folder).map_err(ArtifactError::io("create", folder))?;
            // Even if the folder was there: whoever created it a moment ago may not have come this far.
            sync_folder(sha256).map_err(ArtifactError::io("flush", sha256))?;
            self.path.persist(&place).map_err(|error| ArtifactError::io("rename a file to", &place)(error.error))?;
            sync_folder(folder).map_err(ArtifactError::io("flush", folder))
        })
        .await
    }
}
