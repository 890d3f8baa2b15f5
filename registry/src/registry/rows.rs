//! Rows of the database, and the records they stand for.

use std::fmt::Display;

use jiff::Timestamp;
use sqlx::FromRow;

use crate::error::RegistryError;
use crate::names::{FunctionName, Namespace};
use crate::records::{Function, NamespaceLimits, VersionRecord};

/// A version as the columns `v.*` of `versions` and `active` give it.
#[derive(FromRow)]
pub(super) struct VersionRow {
    version: i64,
    digest: String,
    size: i64,
    world: String,
    imports: String,
    manifest: String,
    created_at: i64,
    active: bool,
}

/// A function with its active version.
#[derive(FromRow)]
pub(super) struct FunctionRow {
    pub(super) namespace: String,
    pub(super) name: String,
    function_created_at: i64,
    deployed_at: i64,
    revision: i64,
    #[sqlx(flatten)]
    active: VersionRow,
}

/// A version with an address of its own.
#[derive(FromRow)]
pub(super) struct PreviewRow {
    pub(super) namespace: String,
    pub(super) name: String,
    #[sqlx(flatten)]
    pub(super) version: VersionRow,
}

/// A version with its part of a function's requests.
#[derive(FromRow)]
pub(super) struct SplitRow {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) sticky: Option<String>,
    pub(super) trial: Option<String>,
    pub(super) weight: i64,
    #[sqlx(flatten)]
    pub(super) version: VersionRow,
}

/// What nodes see to of the quota of a namespace.
#[derive(FromRow)]
pub(super) struct LimitsRow {
    namespace: String,
    concurrency: Option<i64>,
    requests_per_second: Option<i64>,
    cpu_weight: Option<i64>,
}

impl LimitsRow {
    pub(super) fn record(self) -> Result<NamespaceLimits, RegistryError> {
        let holder = format!("the namespace {}", self.namespace);
        Ok(NamespaceLimits {
            concurrency: read_bound(&holder, self.concurrency)?,
            requests_per_second: read_bound(&holder, self.requests_per_second)?,
            cpu_weight: read_bound(&holder, self.cpu_weight)?,
            namespace: read("namespace", &holder, Namespace::try_from(self.namespace))?,
        })
    }
}

impl VersionRow {
    /// The record, of a version of `holder` (`namespace/name`).
    pub(super) fn record(self, holder: impl Display) -> Result<VersionRecord, RegistryError> {
        Ok(VersionRecord {
            version: read("version", &holder, self.version.try_into())?,
            digest: read("digest", &holder, self.digest.parse())?,
            size: read("size", &holder, self.size.try_into())?,
            world: self.world,
            imports: read("list of imports", &holder, serde_json::from_str(&self.imports))?,
            manifest: read("manifest", &holder, serde_json::from_str(&self.manifest))?,
            created_at: read("time", &holder, Timestamp::from_microsecond(self.created_at))?,
            active: self.active,
        })
    }
}

impl FunctionRow {
    /// The record, without a split and previews.
    pub(super) fn record(self) -> Result<Function, RegistryError> {
        let holder = format!("{}/{}", self.namespace, self.name);
        Ok(Function {
            namespace: read("namespace", &holder, Namespace::try_from(self.namespace))?,
            name: read("name", &holder, FunctionName::try_from(self.name))?,
            created_at: read("time", &holder, Timestamp::from_microsecond(self.function_created_at))?,
            deployed_at: read("time", &holder, Timestamp::from_microsecond(self.deployed_at))?,
            active: self.active.record(&holder)?,
            revision: read("revision", &holder, self.revision.try_into())?,
            split: None,
            previews: Vec::new(),
        })
    }
}

/// A bound of the quota of `holder`, if there is one.
pub(super) fn read_bound(holder: impl Display, stored: Option<i64>) -> Result<Option<u32>, RegistryError> {
    read("quota", holder, stored.map(u32::try_from).transpose())
}

/// What was stored, or which part of whose record it cannot be.
pub(super) fn read<T, E>(what: &'static str, holder: impl Display, stored: Result<T, E>) -> Result<T, RegistryError>
where
    E: std::error::Error + Send + Sync + 'static,
{
    stored.map_err(|source| RegistryError::Unreadable { what, holder: holder.to_string(), source: source.into() })
}
