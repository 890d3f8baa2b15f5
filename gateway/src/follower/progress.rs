//! How far a node has come in following its registry.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far a node is.
#[derive(Default)]
pub(crate) struct Progress(Mutex<Standing>);

#[derive(Clone, Copy, Default)]
pub(crate) struct Standing {
    /// Whether it has heard of a registry, now or before.
    pub(super) has_begun: bool,
    /// Functions of its first hearing that are not ready yet.
    pub(super) to_prepare: usize,
    /// Whether the registry answered when it was last asked.
    pub(crate) answers: bool,
    /// Revision of it that was heard of.
    pub(crate) heard: u64,
    /// Revision up to which everything is served.
    pub(crate) served: u64,
    /// Functions whose last change is not served, and those among them that could not be made ready.
    pub(crate) pending: u64,
    pub(crate) failing: u64,
}

impl Progress {
    pub(super) fn lock(&self) -> MutexGuard<'_, Standing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn standing(&self) -> Standing {
        *self.lock()
    }

    /// What it still lacks before it should get requests. Later changes do not count: what was served before is served
    /// until they are ready.
    pub(crate) fn lacks(&self) -> Option<String> {
        let standing = self.lock();
        if !standing.has_begun {
            return Some("the registry has not been heard of yet, and no earlier snapshot of it is here".to_owned());
        }
        (standing.to_prepare > 0).then(|| format!("{} functions are still being compiled", standing.to_prepare))
    }
}
