//! What the namespaces have under way of something, each counted by itself. One that has nothing is not remembered.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts by namespace, with something that the places of one namespace share.
pub(crate) struct ByNamespace<T>(Arc<Mutex<HashMap<String, Entry<T>>>>);

struct Entry<T> {
    places: usize,
    shared: Arc<T>,
}

/// One that is counted, until it is dropped.
pub(crate) struct Place<T> {
    counts: ByNamespace<T>,
    namespace: String,
}

impl<T> Default for ByNamespace<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Default> ByNamespace<T> {
    /// Counts one more, unless the namespace has `most` already. Answers with what its places share.
    pub(crate) fn enter(&self, namespace: &str, most: usize) -> Option<(Place<T>, Arc<T>)> {
        let mut entries = self.lock();
        let new = || Entry { places: 0, shared: Arc::default() };
        let entry = entries.entry(namespace.to_owned()).or_insert_with(new);
        if entry.places >= most {
            return None;
        }
        entry.places += 1;
        Some((Place { counts: Self(self.0.clone()), namespace: namespace.to_owned() }, entry.shared.clone()))
    }
}

impl<T> ByNamespace<T> {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry<T>>> {
        // Counting cannot fail halfway, so that a panic elsewhere has left nothing half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut entries = self.counts.lock();
        if let Some(entry) = entries.get_mut(&self.namespace) {
            entry.places -= 1;
            if entry.places == 0 {
                entries.remove(&self.namespace);
            }
        }
    }
}
