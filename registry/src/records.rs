//! What the registry is told and what it answers.

use jiff::Timestamp;

use crate::digest::Digest;
use crate::manifest::Manifest;
use crate::names::{FunctionName, Namespace, Version};

/// A version to be deployed. Its artifact is stored already.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The namespace of the function.
    pub namespace: Namespace,
    /// The function, which need not exist yet.
    pub name: FunctionName,
    /// The component.
    pub digest: Digest,
    /// The component's size in bytes.
    pub size: u64,
    /// The interface that the component answers requests by, such as `wasi:http/incoming-handler@0.2.10`.
    pub world: String,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// What the version asks for.
    pub manifest: Manifest,
}

/// A function that has an active version.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its namespace.
    pub namespace: Namespace,
    /// Its name.
    pub name: FunctionName,
    /// The version that answers requests.
    pub active: VersionRecord,
    /// When it was first deployed, or first again after it was deleted.
    pub created_at: Timestamp,
    /// When its active version became active.
    pub deployed_at: Timestamp,
}

/// A version of a function. All but `active` never changes.
#[derive(Debug, Clone, PartialEq)]
pub struct VersionRecord {
    /// Its number.
    pub version: Version,
    /// Its component.
    pub digest: Digest,
    /// The component's size in bytes.
    pub size: u64,
    /// The interface that the component answers requests by.
    pub world: String,
    /// The interfaces that the component imports.
    pub imports: Vec<String>,
    /// What it asks for.
    pub manifest: Manifest,
    /// When it was first deployed.
    pub created_at: Timestamp,
    /// Whether it is the one that answers requests.
    pub active: bool,
}

/// What a deployment came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployed {
    /// The function as it is now.
    pub function: Function,
    /// Whether there is a new version; otherwise one of the same content was there and is the active one now.
    pub created: bool,
}

/// Everything that should run, at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// The number of changes up to that moment: a later snapshot that differs has a higher one.
    pub revision: u64,
    /// All functions, by namespace and name.
    pub functions: Vec<Function>,
}
