//! The registry's handle, and how its data directory is opened.

mod deploying;
mod reading;
mod routes;
mod rows;

use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqlitePool};

use crate::artifacts::ArtifactStore;
use crate::durable::{create_private_folder, is_storage_full, open_private_file};
use crate::error::RegistryError;

/// Connections that read; they never wait for the one that writes.
const READERS: u32 = 4;

/// How long a statement waits for another process, such as a backup, to let go of the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What should run: functions, their versions and artifacts, kept in one data directory.
///
/// ```text
/// registry.db       functions, versions, routes and history: SQLite with a write-ahead log
/// registry.lock     held by the process that has the directory open
/// artifacts/        the components: see ArtifactStore
/// ```
///
/// A write is durable when its call returns: the log reaches the disk in each transaction (`synchronous=FULL`).
/// Writes happen one after the other, over the one connection of their pool, and each that changes something raises
/// the revision. Clones share the same registry.
#[derive(Debug, Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    writer: SqlitePool,
    readers: SqlitePool,
    artifacts: ArtifactStore,
    /// Held as long as the registry is open; the operating system lets go of it when the process ends.
    _lock: File,
}

impl Registry {
    /// Opens the registry in the folder `data_dir`, creating what is missing and bringing the database to this
    /// program's schema. One process at a time can have it open.
    ///
    /// A database that a newer program has migrated further is taken as it is: migrations first only add, so what
    /// this program needs is still there.
    pub async fn open(data_dir: &Path) -> Result<Self, RegistryError> {
        let dir = data_dir.to_owned();
        let (lock, artifacts) = tokio::task::spawn_blocking(move || prepare(&dir))
            .await
            .map_err(|ended| io_error("open", data_dir)(io::Error::other(ended)))??;
        let options = SqliteConnectOptions::new()
            .filename(database_path(data_dir))
            .create_if_missing(false)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            // Where fsync alone does not reach the disk (macOS).
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON");
        let writer = pool(1).connect_with(options.clone()).await?;
        let mut migrations = sqlx::migrate!("../migrations/sqlite");
        migrations.set_ignore_missing(true).run(&writer).await?;
        let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
        Ok(Self { shared: Arc::new(Shared { writer, readers, artifacts, _lock: lock }) })
    }

    /// The components that versions are made of.
    pub fn artifacts(&self) -> &ArtifactStore {
        &self.shared.artifacts
    }

    /// Waits for running calls and closes the database; calls after it fail. Without it nothing is lost either: what
    /// was acknowledged is on the disk.
    pub async fn close(&self) {
        self.shared.readers.close().await;
        self.shared.writer.close().await;
    }
}

fn pool(connections: u32) -> SqlitePoolOptions {
    // A connection to a file does not go stale.
    SqlitePoolOptions::new()
        .max_connections(connections)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        // On a full disk SQLite ends the transaction by itself. sqlx does not notice, and on that connection it would
        // refuse every later one, so the connection is replaced.
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
}

fn database_path(data_dir: &Path) -> PathBuf {
    data_dir.join("registry.db")
}

/// Everything that opening does outside the database. Blocks on the file system.
fn prepare(data_dir: &Path) -> Result<(File, ArtifactStore), RegistryError> {
    create_private_folder(data_dir).map_err(io_error("create", data_dir))?;
    let lock_path = data_dir.join("registry.lock");
    let lock = open_private_file(&lock_path).map_err(io_error("create", &lock_path))?;
    lock.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => RegistryError::InUse(data_dir.to_owned()),
        TryLockError::Error(error) => io_error("lock", &lock_path)(error),
    })?;
    let artifacts_root = data_dir.join("artifacts");
    create_private_folder(&artifacts_root).map_err(io_error("create", &artifacts_root))?;
    let artifacts = ArtifactStore::open_root(&artifacts_root)?;
    // SQLite gives its log the mode of the database, so that one must be private from the start.
    let database = database_path(data_dir);
    open_private_file(&database).map_err(io_error("create", &database))?;
    Ok((lock, artifacts))
}

/// For `map_err`: the error of trying to `action` the file or folder `path`.
fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    move |source| {
        if is_storage_full(&source) {
            return RegistryError::StorageFull(source.into());
        }
        let path = path.to_owned();
        RegistryError::Io { action, path, source }
    }
}
