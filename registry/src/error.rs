//! Why the registry could not do what it was asked.

use std::io;
use std::path::PathBuf;

use sqlx::migrate::MigrateError;

use crate::artifacts::ArtifactError;
use crate::digest::Digest;
use crate::durable::is_storage_full;
use crate::manifest::RouteRule;
use crate::names::{FunctionName, Namespace, Version};

/// SQLite's primary result code for a full disk; an extended code has it in its lowest byte.
const SQLITE_FULL: u32 = 13;

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
        let full = match &error {
            sqlx::Error::Database(database) => {
                database.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == SQLITE_FULL)
            }
            sqlx::Error::Io(error) => is_storage_full(error),
            _ => false,
        };
        if full { Self::StorageFull(error.into()) } else { Self::Database(error) }
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
