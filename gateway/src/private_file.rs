//! Files that nobody else can read.

use std::{
    fs,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Writes the file `path` (mode 0600): it is the whole old one or the whole new one, whatever happens.
pub(crate) fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let scratch = path.with_extension("new");
    let mut open = fs::OpenOptions::new();
    let mut file = BufWriter::new(open.write(true).create(true).truncate(true).mode(0o600).open(&scratch)?);
    content(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    fs::rename(scratch, path)
}
