//! The memory of a process, as the kernel counts it.

use std::{fs, io};

/// A process by its id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory(pub(crate) u32);

impl Memory {
    /// Bytes of memory that it has now.
    pub(crate) fn now(self) -> io::Result<u64> {
        self.status_bytes("VmRSS:")
    }

    /// Most bytes of memory that it had since [`Self::forget_peak`].
    pub(crate) fn peak(self) -> io::Result<u64> {
        self.status_bytes("VmHWM:")
    }

    pub(crate) fn forget_peak(self) -> io::Result<()> {
        // See proc_pid_clear_refs(5).
        fs::write(format!("/proc/{}/clear_refs", self.0), "5")
    }

    fn status_bytes(self, field: &str) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0))?;
        let value = status.lines().find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB"));
        let kibibytes: Option<u64> = value.and_then(|value| value.parse().ok());
        kibibytes.map(|kibibytes| kibibytes * 1024).ok_or_else(|| io::Error::other(format!("no {field} in {status}")))
    }
}
