//! The folder of a project that has the data of its platform.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// In the project's folder.
pub(crate) const NAME: &str = ".wasmway";

/// Bytes of old versions from which on a session starts without them. Each save is a version, and is kept.
const KEPT_BYTES_MAX: u64 = 2 << 30;

/// Makes the folder, which version control is told to pass over, and answers with it. One that has become large is emptied.
pub(super) fn prepare(root: &Path) -> anyhow::Result<PathBuf> {
    let folder = root.join(NAME);
    make(&folder)
        .with_context(|| format!("cannot make the folder {}; name another by --data-dir", folder.display()))?;
    // Of a folder that another process has, the platform's start says so.
    if size(&folder)? > KEPT_BYTES_MAX
        && let Ok(_lock) = wasmway_registry::lock(&folder)
    {
        fs::remove_dir_all(&folder)
            .and_then(|()| make(&folder))
            .with_context(|| format!("cannot empty the folder {}, which has become large", folder.display()))?;
    }
    Ok(folder)
}

fn make(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::write(folder.join(".gitignore"), "*\n")
}

fn size(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}
