//! A registry of one data directory in one file, and back again.
//!
//! The file is a tar archive, read and written from its beginning to its end:
//!
//! ```text
//! artifacts/sha256/ab/abcd...      the components
//! admin.token, node.token          if they are there
//! registry.db                      the database as it was at one moment
//! backup.json                      what all of it is; without it, the archive is not whole
//! ```
//!
//! The database comes after the components, so that what it names was written before it: a component that is removed
//! meanwhile had no version any more, and one that is deployed meanwhile is too young to be removed before it is read.

mod restoring;

pub use restoring::restore;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tar::{Builder, Header};

use crate::digest::Digest;
use crate::error::RegistryError;

/// The form of the archive.
const FORM: u32 = 1;
const DATABASE: &str = "registry.db";
const ARTIFACTS: &str = "artifacts/sha256";
const TOKENS: [&str; 2] = ["admin.token", "node.token"];
const SUMMARY: &str = "backup.json";

/// Why a backup could not be made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is no database in the data directory.
    #[error(
        "there is no {DATABASE} in {path}: name the data directory of `wasmway up` with --data-dir; of a registry on \
         Postgres, back up the database and the object store by their own tools",
        path = .0.display()
    )]
    NoDatabase(PathBuf),
    /// The data directory has something in it.
    #[error("{path} is not empty ({found}); restore into another data directory, or move this one away", path = path.display())]
    NotEmpty {
        /// The data directory.
        path: PathBuf,
        /// What was found first.
        found: String,
    },
    /// What was read is no backup, or not a whole one.
    #[error("this is no whole backup: {0}; nothing was restored")]
    Damaged(String),
    /// The registry is in use, or its database cannot be read.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A file cannot be read or written.
    #[error("cannot {action} {what}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        what: String,
        /// What the operating system says.
        source: io::Error,
    },
}

impl From<sqlx::Error> for BackupError {
    fn from(error: sqlx::Error) -> Self {
        Self::Registry(error.into())
    }
}

/// For `map_err`: the error of trying to `action` the file or folder `path`.
fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let what = path.display().to_string();
    move |source| BackupError::Io { action, what, source }
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSummary {
    form: u32,
    /// The program that made it.
    pub made_by: String,
    /// When.
    pub time: Timestamp,
    /// The registry's revision.
    pub revision: u64,
    /// Functions.
    pub functions: u64,
    /// Versions of them.
    pub versions: u64,
    /// Components.
    pub components: u64,
    /// Bytes of the components.
    pub component_bytes: u64,
}

/// Writes everything that the data directory holds to `out`, while a server goes on to use it or not. It is as of one
/// moment during the call: what was acknowledged before is in it.
pub async fn back_up<W: Write + Send + 'static>(data_dir: &Path, out: W) -> Result<BackupSummary, BackupError> {
    let database = data_dir.join(DATABASE);
    if !database.is_file() {
        return Err(BackupError::NoDatabase(data_dir.to_owned()));
    }
    let folder = data_dir.to_owned();
    let archive = blocking(move || {
        let mut archive = Archive { tar: Builder::new(out), folder, written: HashSet::new(), bytes: 0 };
        archive.put_all_components()?;
        archive.put_tokens()?;
        Ok(archive)
    })
    .await?;
    let time = Timestamp::now();
    let copy = copy_of(data_dir).await?;
    let mut connection = open(copy.path()).await?;
    let named = digests(&mut connection).await?;
    let counted = counted(&mut connection).await?;
    connection.close().await?;
    blocking(move || archive.finish(copy.path(), &named, counted, time)).await
}

/// A copy of the database as it is at one moment. Whoever writes meanwhile does not wait.
async fn copy_of(data_dir: &Path) -> Result<tempfile::NamedTempFile, BackupError> {
    // In the same folder as uploads that are under way: what a crash leaves there, the next start removes.
    let folder = data_dir.join("artifacts/incoming");
    let copy = tempfile::Builder::new().prefix("backup-").tempfile_in(&folder);
    let copy = copy.map_err(failed("create a file in", &folder))?;
    let path = copy.path().to_str().map(str::to_owned).ok_or_else(|| {
        failed("use", copy.path())(io::Error::new(io::ErrorKind::InvalidInput, "its name is not UTF-8"))
    })?;
    let mut connection = open(&data_dir.join(DATABASE)).await?;
    sqlx::query("VACUUM INTO $1").bind(path).execute(&mut connection).await?;
    connection.close().await?;
    Ok(copy)
}

async fn open(database: &Path) -> Result<SqliteConnection, BackupError> {
    let options = SqliteConnectOptions::new().filename(database).create_if_missing(false);
    Ok(options.disable_statement_logging().connect().await?)
}

/// The components that the database names.
async fn digests(connection: &mut SqliteConnection) -> Result<Vec<Digest>, BackupError> {
    let named: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT digest FROM versions").fetch_all(&mut *connection).await?;
    let digest = |text: String| text.parse().map_err(|error| BackupError::Damaged(format!("{error}")));
    named.into_iter().map(digest).collect()
}

/// Revision, functions and versions.
async fn counted(connection: &mut SqliteConnection) -> Result<[u64; 3], BackupError> {
    let row: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT revision FROM registry), (SELECT COUNT(*) FROM functions WHERE active_version IS NOT NULL), \
         (SELECT COUNT(*) FROM versions)",
    )
    .fetch_one(connection)
    .await?;
    Ok([row.0, row.1, row.2].map(|count| u64::try_from(count).unwrap_or(0)))
}

/// An archive that is being written.
struct Archive<W: Write> {
    tar: Builder<W>,
    folder: PathBuf,
    written: HashSet<Digest>,
    bytes: u64,
}

impl<W: Write> Archive<W> {
    /// Every component that is there.
    fn put_all_components(&mut self) -> Result<(), BackupError> {
        let root = self.folder.join(ARTIFACTS);
        let list = |folder: &Path| fs::read_dir(folder).map_err(failed("list", folder));
        for folder in list(&root)? {
            for file in list(&folder.map_err(failed("list", &root))?.path())? {
                let name = file.map_err(failed("list", &root))?.file_name();
                // What has another name was not put by a registry.
                let digest = name.to_str().and_then(|hex| format!("sha256:{hex}").parse().ok());
                if let Some(digest) = digest {
                    self.put_component(&digest)?;
                }
            }
        }
        Ok(())
    }

    /// `false` if it is not there.
    fn put_component(&mut self, digest: &Digest) -> Result<bool, BackupError> {
        let name = component_name(digest);
        let size = self.put(&name)?;
        if let Some(size) = size {
            self.written.insert(*digest);
            self.bytes += size;
        }
        Ok(size.is_some())
    }

    fn put_tokens(&mut self) -> Result<(), BackupError> {
        TOKENS.iter().try_for_each(|name| self.put(name).map(drop))
    }

    /// Puts the file of that name; answers its size, if it is there.
    fn put(&mut self, name: &str) -> Result<Option<u64>, BackupError> {
        let path = self.folder.join(name);
        match File::open(&path) {
            Ok(file) => self.put_file(name, &path, file).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("open", &path)(error)),
        }
    }

    fn put_file(&mut self, name: &str, path: &Path, file: File) -> Result<u64, BackupError> {
        let size = file.metadata().map_err(failed("look at", path))?.len();
        self.tar.append_data(&mut header(size), name, file).map_err(failed("back up", path))?;
        Ok(size)
    }

    fn finish(
        mut self,
        database: &Path,
        named: &[Digest],
        [revision, functions, versions]: [u64; 3],
        time: Timestamp,
    ) -> Result<BackupSummary, BackupError> {
        let missing: Vec<_> = named.iter().filter(|digest| !self.written.contains(digest)).copied().collect();
        for digest in missing {
            if !self.put_component(&digest)? {
                return Err(RegistryError::ArtifactMissing(digest).into());
            }
        }
        let copy = File::open(database).map_err(failed("open", database))?;
        self.put_file(DATABASE, database, copy)?;
        let summary = BackupSummary {
            form: FORM,
            made_by: format!("wasmway {}", env!("CARGO_PKG_VERSION")),
            time,
            revision,
            functions,
            versions,
            components: self.written.len() as u64,
            component_bytes: self.bytes,
        };
        let text = serde_json::to_vec_pretty(&summary).expect("JSON can hold it");
        let end = Path::new("the backup");
        self.tar.append_data(&mut header(text.len() as u64), SUMMARY, text.as_slice()).map_err(failed("write", end))?;
        let mut out = self.tar.into_inner().map_err(failed("write", end))?;
        out.flush().map_err(failed("write", end))?;
        Ok(summary)
    }
}

fn component_name(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("{ARTIFACTS}/{}/{hex}", &hex[..2])
}

/// The head of a file that is its owner's alone.
fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(Timestamp::now().as_second()).unwrap_or(0));
    header
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackupError> + Send + 'static,
) -> Result<T, BackupError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) => match ended.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(cancelled) => Err(failed("finish", Path::new("the backup"))(io::Error::other(cancelled))),
        },
    }
}
