//! The registry's handle, and how its data directory is opened.

mod audit;
mod change;
mod copying;
mod deploying;
mod garbage;
mod nodes;
mod pruning;
mod quotas;
mod reading;
mod routes;
mod rows;
mod tokens;
mod traffic;

pub use audit::{AuditEntry, Author, Recorded};
pub use copying::Copied;
pub use garbage::Collected;
pub use nodes::{Node, NodeLoad, NodeReport};
pub use quotas::{NamespaceRecord, Quota};
pub use tokens::{NewToken, Role, TOKEN_PREFIX, Token};

use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::artifacts::{ArtifactStore, Bucket};
use crate::database::{Database, PostgresUrl, prepare_sqlite};
use crate::durable::{create_private_folder, open_private_file};
use crate::error::{RegistryError, io_error};

/// Where the registry keeps what it is told; by default all of it in its data directory.
#[derive(Debug, Clone, Default)]
pub struct Stores {
    /// The database that holds what is known of functions, in place of an SQLite file in the data directory.
    pub database: Option<PostgresUrl>,
    /// The object store that holds the artifacts; the data directory has copies then.
    pub bucket: Option<Bucket>,
}

/// What should run: functions, their versions and artifacts, kept in one data directory or in [`Stores`].
///
/// ```text
/// registry.db       functions, versions, routes and history: SQLite with a write-ahead log
/// registry.lock     held by the process that has the directory open
/// artifacts/        the components: see ArtifactStore
/// ```
///
/// A write is durable when its call returns: SQLite's log reaches the disk in each transaction (`synchronous=FULL`), and
/// Postgres does it by default. Writes happen one after the other, and each that changes something raises the revision.
/// Clones share the same registry; several registries, in as many processes, can share one Postgres and one bucket.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    database: Database,
    artifacts: ArtifactStore,
    /// Held as long as the registry is open; the operating system lets go of it when the process ends.
    _lock: File,
}

impl Registry {
    /// Opens the registry in the folder `data_dir` and in `stores`, creating what is missing and bringing the database
    /// to this program's schema. One process at a time can have the folder open.
    ///
    /// A database that a newer program has migrated further is taken as it is: migrations first only add, so what
    /// this program needs is still there.
    pub async fn open(data_dir: &Path, stores: &Stores) -> Result<Self, RegistryError> {
        let (dir, bucket, is_embedded) = (data_dir.to_owned(), stores.bucket.clone(), stores.database.is_none());
        let (lock, artifacts) = tokio::task::spawn_blocking(move || prepare(&dir, bucket, is_embedded))
            .await
            .map_err(|ended| io_error("open", data_dir)(io::Error::other(ended)))??;
        let database = match &stores.database {
            Some(url) => Database::postgres(url).await?,
            None => Database::embedded(data_dir).await?,
        };
        Ok(Self { shared: Arc::new(Shared { database, artifacts, _lock: lock }) })
    }

    /// Whether other processes may change it too.
    pub fn is_shared(&self) -> bool {
        matches!(self.shared.database, Database::Postgres(_))
    }

    /// The components that versions are made of.
    pub fn artifacts(&self) -> &ArtifactStore {
        &self.shared.artifacts
    }

    /// Waits for running calls and closes the database; calls after it fail. Without it nothing is lost either: what
    /// was acknowledged is on the disk.
    pub async fn close(&self) {
        self.shared.database.close().await;
    }
}

/// Makes sure that no other process uses the folder `data_dir`, creating it if need be, as long as the file that is
/// answered is open. Blocks on the file system.
pub fn lock(data_dir: &Path) -> Result<File, RegistryError> {
    create_private_folder(data_dir).map_err(io_error("create", data_dir))?;
    let path = data_dir.join("registry.lock");
    let lock = open_private_file(&path).map_err(io_error("create", &path))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => RegistryError::InUse(data_dir.to_owned()),
        TryLockError::Error(error) => io_error("lock", &path)(error),
    })?;
    Ok(lock)
}

/// Everything that opening does outside the database. Blocks on the file system.
fn prepare(data_dir: &Path, bucket: Option<Bucket>, is_embedded: bool) -> Result<(File, ArtifactStore), RegistryError> {
    let lock = lock(data_dir)?;
    let artifacts_root = data_dir.join("artifacts");
    create_private_folder(&artifacts_root).map_err(io_error("create", &artifacts_root))?;
    let artifacts = ArtifactStore::open_root(&artifacts_root, bucket)?;
    if is_embedded {
        prepare_sqlite(data_dir)?;
    }
    Ok((lock, artifacts))
}
