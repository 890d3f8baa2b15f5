//! Files that nobody else can read.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Writes the file `path` (mode 0600), whole or not at all: a start that is cut off leaves no half of a secret.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let scratch = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&scratch)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(scratch, path)
}
