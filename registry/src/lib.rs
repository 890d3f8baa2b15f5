//! What should run: functions, their versions and the artifacts that they are made of.
//!
//! [`Registry::open`] opens a data directory. An upload goes through [`ArtifactStore::upload`], [`Upload::write`],
//! [`Upload::seal`] and [`Sealed::commit`]; then [`Registry::deploy`] makes it a version and the active one, and
//! [`Registry::changes`] answers what should run, which is all that the data plane ever asks for.

#![forbid(unsafe_code)]

mod artifacts;
mod backup;
mod database;
mod difference;
mod digest;
mod durable;
mod error;
pub mod manifest;
mod names;
mod reach;
mod records;
mod registry;

pub use artifacts::{Artifact, ArtifactError, ArtifactStore, Bucket, Sealed, Upload};
pub use backup::{BackupError, BackupSummary, back_up, restore};
pub use database::{Migration, PostgresUrl, migrations};
pub use difference::{Difference, differences, meaning_of_interface};
pub use digest::{Digest, DigestError, DigestWriter};
pub use error::RegistryError;
pub use manifest::{Manifest, ManifestError};
pub use names::{FunctionName, NAME_BYTES_MAX, NameError, Namespace, Version, VersionError};
pub use records::{
    CHANGES_MAX, Changes, Deployed, Function, NamespaceLimits, NewVersion, PREVIEWS_MAX, Split, Sticky, TakeBack,
    Traffic, Trial, VersionRecord,
};
pub use registry::{
    AuditEntry, Author, Collected, Copied, NamespaceRecord, NewToken, Node, NodeLoad, NodeReport, Quota, Recorded,
    Registry, Role, Stores, TOKEN_PREFIX, Token, lock,
};
