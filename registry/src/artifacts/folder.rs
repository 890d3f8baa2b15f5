//! What lies in the folders of artifacts.

use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::Duration;

use super::{ArtifactError, Stored};

/// All artifacts in the folder `root`.
pub(super) fn list_folder(root: &Path) -> Result<Vec<Stored>, ArtifactError> {
    let mut found = Vec::new();
    let entries = |folder: &Path| fs::read_dir(folder).map_err(ArtifactError::io("list", folder));
    for folder in entries(root)? {
        let folder = folder.map_err(ArtifactError::io("list", root))?.path();
        for file in entries(&folder)? {
            let file = file.map_err(ArtifactError::io("list", &folder))?;
            // What has another name was not put by a registry, and is left alone.
            let name = file.file_name();
            let Some(digest) = name.to_str().and_then(|hex| format!("sha256:{hex}").parse().ok()) else { continue };
            let data = match file.metadata() {
                // Removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                data => data.map_err(ArtifactError::io("look at", &file.path()))?,
            };
            found.push(Stored { digest, size: data.len(), age: age(&file.path(), Ok(data))? });
        }
    }
    Ok(found)
}

/// Removes what uploads have left in the folder `incoming`.
pub(super) fn remove_leftovers(incoming: &Path) -> Result<(), ArtifactError> {
    let entries = fs::read_dir(incoming).map_err(ArtifactError::io("list", incoming))?;
    for entry in entries {
        let path = entry.map_err(ArtifactError::io("list", incoming))?.path();
        fs::remove_file(&path).map_err(ArtifactError::io("remove", &path))?;
        tracing::info!(path = %path.display(), "removed an unfinished upload");
    }
    Ok(())
}

/// How long ago the file at `path` was written.
pub(super) fn age(path: &Path, data: io::Result<Metadata>) -> Result<Duration, ArtifactError> {
    let modified = data.and_then(|data| data.modified()).map_err(ArtifactError::io("look at", path))?;
    // From the future it is when the clock was set back.
    Ok(modified.elapsed().unwrap_or_default())
}
