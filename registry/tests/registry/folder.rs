//! A registry that has everything in its folder, which is opened again.

use std::path::Path;

use wasmway_registry::Registry;

use crate::harness::TestRegistry;

impl TestRegistry {
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Drops the registry without closing it, as a crash would, and opens its folder again.
    pub(crate) async fn reopen(self) -> Self {
        let Self { registry, dir, stores, server } = self;
        drop(registry);
        let registry = Registry::open(dir.path(), &stores).await.unwrap();
        Self { registry, dir, stores, server }
    }
}
