//! Folders and files that are there after a power cut.
//!
//! A file or folder survives one when its own content and the folder that holds its name have both reached the disk.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// Creates the folder `path` and those above it that are missing, for this user alone (mode 0700). A folder that
/// is there stays as it is.
pub(crate) fn create_private_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent(path) != path => {
            create_private_folder(parent(path))?;
            create_private_folder(path)
        }
        Err(error) => Err(error),
    }
}

/// Opens the file `path` for writing, creating it empty for this user alone (mode 0600) if it is missing.
pub(crate) fn open_private_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    sync_folder(parent(path))?;
    Ok(file)
}

/// Makes what was created, renamed and removed in the folder `path` last.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// The folder that `path` is in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Whether `error` means that there is no room left, on the disk or in this user's share of it.
pub(crate) fn is_storage_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn creates_all_missing_folders_private() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("a/b/c");
        create_private_folder(&deep).unwrap();
        create_private_folder(&deep).unwrap();
        for folder in [&deep, deep.parent().unwrap()] {
            let mode = folder.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
        }
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        open_private_file(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create_private_folder(&path).is_err());
        assert!(create_private_folder(&path.join("below")).is_err());
    }

    #[test]
    fn a_full_disk_is_told_from_other_errors() {
        // ENOSPC and EIO, the same numbers on Linux and macOS.
        assert!(is_storage_full(&io::Error::from_raw_os_error(28)));
        assert!(!is_storage_full(&io::Error::from_raw_os_error(5)));
    }
}
