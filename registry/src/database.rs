//! The database: SQLite in the data directory, or a Postgres server that several registries share. The statements are
//! the same for both.

mod schema;

pub use schema::Migration;

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Postgres, Sqlite};

use crate::durable::{is_storage_full, open_private_file};
use crate::error::{RegistryError, io_error};
use crate::registry::lock;

/// Connections to SQLite that read; they never wait for the one that writes.
const READERS: u32 = 4;
/// Connections of one registry to Postgres.
const POSTGRES_CONNECTIONS: u32 = 10;
/// How long a call waits for a connection: without one by then, the database counts as away.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// How long a statement waits for another process, such as a backup, to let go of SQLite's file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// What Postgres does on its own when one of ours has gone away or got stuck in the middle of a change.
const POSTGRES_TIMEOUTS: [(&str, &str); 3] =
    [("lock_timeout", "10s"), ("statement_timeout", "30s"), ("idle_in_transaction_session_timeout", "10s")];

/// Where a Postgres server is, and who is asking: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with the parameters that
/// libpq knows (`sslmode`, `sslrootcert`, ...). It never prints its password.
#[derive(Clone)]
pub struct PostgresUrl(pub(crate) PgConnectOptions);

impl FromStr for PostgresUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err("write it as postgres://USER:PASSWORD@HOST/DATABASE".to_owned());
        }
        text.parse().map(Self).map_err(|error: sqlx::Error| error.to_string())
    }
}

impl std::fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{self}")
    }
}

impl std::fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (user, host, port) = (self.0.get_username(), self.0.get_host(), self.0.get_port());
        write!(f, "postgres://{user}@{host}:{port}/{}", self.0.get_database().unwrap_or(user))
    }
}

#[derive(Debug)]
pub(crate) enum Database {
    /// One connection that writes: changes come one after the other.
    Sqlite { writer: SqlitePool, readers: SqlitePool },
    /// Changes come one after the other here too: each locks the row of the revision first.
    Postgres(PgPool),
}

/// A transaction of either.
pub(crate) enum Transaction {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    Postgres(sqlx::Transaction<'static, Postgres>),
}

/// Runs a query of sqlx on a [`Transaction`]: `on!(transaction, connection => query.fetch_one(connection))`. The query
/// is written once and compiled for both databases.
macro_rules! on {
    ($transaction:expr, $connection:ident => $query:expr) => {
        match $transaction {
            $crate::database::Transaction::Sqlite(transaction) => {
                let $connection = &mut **transaction;
                $query.await
            }
            $crate::database::Transaction::Postgres(transaction) => {
                let $connection = &mut **transaction;
                $query.await
            }
        }
    };
}
pub(crate) use on;

impl Database {
    /// Opens the SQLite database of the folder `data_dir`, creating it if need be, and brings it to this program's schema.
    pub(crate) async fn embedded(data_dir: &Path) -> Result<Self, RegistryError> {
        let options = sqlite_options(data_dir);
        let writer = sqlite_pool(1).connect_with(options.clone()).await?;
        schema::bring_sqlite(&writer).await?;
        let readers = sqlite_pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
        Ok(Self::Sqlite { writer, readers })
    }

    /// Connects to Postgres and brings the database to this program's schema.
    pub(crate) async fn postgres(url: &PostgresUrl) -> Result<Self, RegistryError> {
        let pool = postgres_pool(url).await?;
        schema::bring_postgres(&pool).await?;
        Ok(Self::Postgres(pool))
    }

    /// Begins to read: all that is read is of one moment. Nobody waits for it, and it waits for nobody.
    pub(crate) async fn read(&self) -> Result<Transaction, RegistryError> {
        Ok(match self {
            Self::Sqlite { readers, .. } => Transaction::Sqlite(readers.begin().await?),
            Self::Postgres(pool) => {
                Transaction::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
            }
        })
    }

    /// Begins a change. From here on no other change happens until this one has ended.
    pub(crate) async fn change(&self) -> Result<Transaction, RegistryError> {
        let mut transaction = self.note().await?;
        if let Transaction::Postgres(transaction) = &mut transaction {
            // So that revisions become visible in their order: who has read one will find no earlier one later.
            sqlx::query("SELECT revision FROM registry FOR UPDATE").execute(&mut **transaction).await?;
        }
        Ok(transaction)
    }

    /// Begins to write what is no change to what should run, and waits for no such change.
    pub(crate) async fn note(&self) -> Result<Transaction, RegistryError> {
        Ok(match self {
            Self::Sqlite { writer, .. } => Transaction::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Transaction::Postgres(pool.begin().await?),
        })
    }

    /// Waits for running calls and closes all connections; calls after it fail.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl Transaction {
    pub(crate) async fn commit(self) -> Result<(), RegistryError> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }

    /// Ends a transaction that has changed nothing, or is to have changed nothing.
    pub(crate) async fn rollback(self) -> Result<(), RegistryError> {
        match self {
            Self::Sqlite(transaction) => transaction.rollback().await?,
            Self::Postgres(transaction) => transaction.rollback().await?,
        }
        Ok(())
    }
}

/// The migrations of the database in the folder `data_dir`, or of the one that is given. With `take`, those that it lacks
/// are taken first.
pub async fn migrations(
    data_dir: &Path,
    database: Option<&PostgresUrl>,
    take: bool,
) -> Result<Vec<Migration>, RegistryError> {
    match database {
        Some(url) => {
            let pool = postgres_pool(url).await?;
            if take {
                schema::bring_postgres(&pool).await?;
            }
            schema::of_postgres(&pool).await
        }
        None => {
            if !sqlite_path(data_dir).exists() {
                return Err(RegistryError::NoRegistry(data_dir.to_owned()));
            }
            // Nobody else uses what is changed.
            let _lock = if take { Some(lock(data_dir)?) } else { None };
            let pool = sqlite_pool(1).connect_with(sqlite_options(data_dir)).await?;
            if take {
                schema::bring_sqlite(&pool).await?;
            }
            schema::of_sqlite(&pool).await
        }
    }
}

async fn postgres_pool(url: &PostgresUrl) -> Result<PgPool, RegistryError> {
    let options = url.0.clone().application_name("wasmway").options(POSTGRES_TIMEOUTS);
    Ok(PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(CONNECT_PATIENCE)
        // A server that was restarted, or a balancer before it, is noticed before a statement is lost to it.
        .test_before_acquire(true)
        .connect_with(options)
        .await?)
}

fn sqlite_pool(connections: u32) -> SqlitePoolOptions {
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

fn sqlite_options(data_dir: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(sqlite_path(data_dir))
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        // Where fsync alone does not reach the disk (macOS).
        .pragma("fullfsync", "ON")
        .pragma("checkpoint_fullfsync", "ON")
}

fn sqlite_path(data_dir: &Path) -> PathBuf {
    data_dir.join("registry.db")
}

/// Makes the file of the SQLite database. Blocks on the file system.
pub(crate) fn prepare_sqlite(data_dir: &Path) -> Result<(), RegistryError> {
    // SQLite gives its log the mode of the database, so that one must be private from the start.
    let path = sqlite_path(data_dir);
    open_private_file(&path).map_err(io_error("create", &path))?;
    Ok(())
}

/// Whether `error` says that the database is away or overwhelmed, and may be back in a moment.
pub(crate) fn is_away(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else {
        return matches!(
            error,
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) | sqlx::Error::Tls(_)
        );
    };
    let code = error.code();
    let code = code.as_deref().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_none() {
        return code == SQLITE_BUSY;
    }
    // Connection exceptions, operator intervention, too many connections, lock not available, read-only after a failover.
    code.starts_with("08") || code.starts_with("57") || matches!(code, "53300" | "55P03" | "25P03" | "25006")
}

/// Another process holds SQLite's file.
const SQLITE_BUSY: &str = "5";
/// SQLite's primary result code for a full disk; an extended code has it in its lowest byte.
const SQLITE_FULL: u32 = 13;
/// Postgres' code for a full disk.
const POSTGRES_DISK_FULL: &str = "53100";

/// Whether `error` says that there is no room left for the database.
pub(crate) fn is_full(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => {
            let code = error.code();
            let code = code.as_deref().unwrap_or_default();
            if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
                return code == POSTGRES_DISK_FULL;
            }
            code.parse::<u32>().is_ok_and(|code| code & 0xff == SQLITE_FULL)
        }
        sqlx::Error::Io(error) => is_storage_full(error),
        _ => false,
    }
}
