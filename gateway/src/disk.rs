//! How much room there is on the disk that has the data folder.

use std::{io, path::Path};

/// Free bytes below which the disk counts as nearly full: a large component, its native code and the database's log.
pub(crate) const LOW: u64 = 512 << 20;

/// Room, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disk {
    /// What a process without privileges may still use.
    pub(crate) free: u64,
    pub(crate) size: u64,
}

impl Disk {
    /// Of the disk that has `folder`.
    pub(crate) fn of(folder: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(folder)?;
        Ok(Self { free: found.f_bavail * found.f_frsize, size: found.f_blocks * found.f_frsize })
    }
}
