//! What a node serves, on its disk.

use crate::private_file;
use serde::{Deserialize, Serialize};
use std::{fs, io, path::Path};
use wasmway_registry::{Function, NamespaceLimits};

/// Everything that is served, at one revision of the registry.
#[derive(Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) revision: u64,
    pub(super) functions: Vec<Function>,
    /// What namespaces may have; `None` in a snapshot of before there was such a thing.
    #[serde(default)]
    pub(super) namespaces: Option<Vec<NamespaceLimits>>,
}

/// Reads the snapshot in the file `path`; `None` if there is none.
pub(super) async fn read(path: &Path) -> io::Result<Option<Snapshot>> {
    let path = path.to_owned();
    blocking(move || match fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    })
    .await
}

/// Writes the snapshot: the file is the whole old one or the whole new one, whatever happens.
pub(super) async fn write(path: &Path, snapshot: Snapshot) -> io::Result<()> {
    let path = path.to_owned();
    // For this user alone: what functions find in their environment is in it.
    blocking(move || private_file::write(&path, |out| Ok(serde_json::to_writer(out, &snapshot)?))).await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
