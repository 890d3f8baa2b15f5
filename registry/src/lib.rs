//! What should run: functions, their versions and the artifacts that they are made of.
//!
//! [`Registry::open`] opens a data directory. An upload goes through [`ArtifactStore::upload`], [`Upload::write`],
//! [`Upload::seal`] and [`Sealed::commit`]; then [`Registry::deploy`] makes it a version and the active one, and
//! [`Registry::snapshot`] answers everything that should run, which is all that the data plane ever asks for.

#![forbid(unsafe_code)]

mod artifacts;
mod digest;
mod durable;
mod error;
pub mod manifest;
mod names;
mod records;
mod registry;

pub use artifacts::{Artifact, ArtifactError, ArtifactStore, Sealed, Upload};
pub use digest::{Digest, DigestError, DigestWriter};
pub use error::RegistryError;
pub use manifest::{Manifest, ManifestError};
pub use names::{FunctionName, NAME_BYTES_MAX, NameError, Namespace, Version, VersionError};
pub use records::{Deployed, Function, NewVersion, Snapshot, VersionRecord};
pub use registry::Registry;
