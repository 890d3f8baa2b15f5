//! Why the registry could not do what it was asked.

use std::io;
use std::path::{Path, PathBuf};

use sqlx::migrate::MigrateError;

use crate::artifacts::ArtifactError;
use crate::database;
use crate::digest::Digest;
use crate::durable::is_storage_full;
use crate::manifest::RouteRule;
use crate::names::{FunctionName, Namespace, Version};

/// Why the registry could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// There is no function of that name in that namespace.
    #[error("there is no function {namespace}/{name}")]
    FunctionNotFound {
        /// The namespace that was asked for.
        namespace: Namespace,
        /// The function that was asked for.
        name: FunctionName,
    },
    /// The function has no version of that number.
    #[error("{namespace}/{name} has no version {version}")]
    VersionNotFound {
        /// The function's namespace.
        namespace: Namespace,
        /// The function.
        name: FunctionName,
        /// The version that was asked for.
        version: Version,
    },
    /// There is nothing to go back to: only one version of the function was ever active.
    #[error("no other version of {namespace}/{name} was active before this one")]
    NoPreviousVersion {
        /// The function's namespace.
        namespace: Namespace,
        /// The function.
        name: FunctionName,
    },
    /// A route that the version asks for is another function's.
    #[error("the route {rule} belongs to {holder}")]
    RouteConflict {
        /// The route.
        rule: RouteRule,
        /// The function that has it, as `namespace/name`.
        holder: String,
    },
    /// A version was to be deployed before its artifact was stored.
    #[error("the artifact {0} is not stored")]
    ArtifactMissing(Digest),
    /// The function has had as many versions as there are numbers.
    #[error("{namespace}/{name} has used up all version numbers; deploy under another name")]
    VersionsUsedUp {
        /// The function's namespace.
        namespace: Namespace,
        /// The function.
        name: FunctionName,
    },
    /// Another process has this data directory open.
    #[error("another process uses the data directory {path}", path = .0.display())]
    InUse(PathBuf),
    /// The data directory holds no registry.
    #[error("there is no registry in {path}", path = .0.display())]
    NoRegistry(PathBuf),
    /// The disk or this user's share of it is full.
    #[error("no storage is left for the registry")]
    StorageFull(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Something stored cannot be read as what it should be.
    #[error("the registry holds an unreadable {what} of {holder}")]
    Unreadable {
        /// Which part of the record.
        what: &'static str,
        /// The function, as `namespace/name`.
        holder: String,
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The traffic of a function cannot be split so.
    #[error("{0}")]
    BadTraffic(String),
    /// The namespace has as much as it may.
    #[error("the namespace {namespace} may have no more than {what}")]
    QuotaExceeded {
        /// The namespace.
        namespace: Namespace,
        /// The bound that is reached.
        what: String,
    },
    /// What was to be copied into a registry would come beside what is there.
    #[error("the registry is not empty; name a database that is new, or a new data directory")]
    NotEmpty,
    /// Others were faster, again and again.
    #[error("{0}")]
    Busy(String),
    /// A token cannot be made so.
    #[error("{0}")]
    BadToken(String),
    /// The database is away, or too busy to answer: the same call may do in a moment.
    #[error("the registry's database does not answer")]
    Unavailable(#[source] sqlx::Error),
    /// The database failed.
    #[error("the registry's database failed")]
    Database(#[source] sqlx::Error),
    /// The database could not be brought to this program's schema.
    #[error("the registry's database cannot be migrated")]
    Migration(#[source] MigrateError),
    /// An artifact could not be stored or read.
    #[error(transparent)]
    Artifact(ArtifactError),
    /// A file or folder of the registry could not be made.
    #[error("cannot {action} {path}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file or folder.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl From<sqlx::Error> for RegistryError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            full if database::is_full(&full) => Self::StorageFull(full.into()),
            away if database::is_away(&away) => Self::Unavailable(away),
            other => Self::Database(other),
        }
    }
}

impl From<MigrateError> for RegistryError {
    fn from(error: MigrateError) -> Self {
        match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => match Self::from(error) {
                Self::Database(error) => Self::Migration(MigrateError::Execute(error)),
                full => full,
            },
            other => Self::Migration(other),
        }
    }
}

impl From<ArtifactError> for RegistryError {
    fn from(error: ArtifactError) -> Self {
        match error {
            ArtifactError::StorageFull(source) => Self::StorageFull(source.into()),
            other => Self::Artifact(other),
        }
    }
}

/// For `map_err`: the error of trying to `action` the file or folder `path`.
pub(crate) fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RegistryError {
    move |source| {
        if is_storage_full(&source) {
            return RegistryError::StorageFull(source.into());
        }
        let path = path.to_owned();
        RegistryError::Io { action, path, source }
    }
}
