//! Whether artifacts can be reached at all.

use std::fs;

use super::{ArtifactError, ArtifactStore, Bucket, blocking};
use crate::digest::Digest;

impl ArtifactStore {
    /// Asks whether artifacts can be reached where they are held.
    pub async fn answers(&self) -> Result<(), ArtifactError> {
        let folder = self.folders.sha256.clone();
        blocking(move || fs::metadata(&folder).map(drop).map_err(ArtifactError::io("look at", &folder))).await?;
        match &self.folders.bucket {
            Some(bucket) => bucket.answers().await,
            None => Ok(()),
        }
    }
}

impl Bucket {
    /// Asks whether the store answers, and lets us read.
    pub async fn answers(&self) -> Result<(), ArtifactError> {
        // No component has this digest: that it is not there is an answer.
        self.age(&Digest::of(&[])).await.map(drop)
    }
}
