//! What the registry answers. Nothing here waits for a writer.

use sqlx::{Sqlite, SqliteExecutor};

use super::Registry;
use super::rows::{FunctionRow, VersionRow, read};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::names::{FunctionName, Namespace, Version};
use crate::records::{Function, Snapshot, VersionRecord};

/// The functions that have an active version, as [`FunctionRow`]s; the query goes on with `$tail`.
macro_rules! select_functions {
    ($tail:literal) => {
        concat!(
            "SELECT f.namespace, f.name, f.created_at AS function_created_at, f.deployed_at, \
             v.version, v.digest, v.size, v.world, v.imports, v.manifest, v.created_at, TRUE AS active \
             FROM functions f \
             JOIN versions v ON v.function_id = f.id AND v.version = f.active_version ",
            $tail
        )
    };
}

/// The versions of a function, as [`VersionRow`]s; the query goes on with `$tail`.
macro_rules! select_versions {
    ($tail:literal) => {
        concat!(
            "SELECT v.version, v.digest, v.size, v.world, v.imports, v.manifest, v.created_at, \
             v.version = f.active_version AS active \
             FROM functions f JOIN versions v ON v.function_id = f.id \
             WHERE f.namespace = $1 AND f.name = $2 AND f.active_version IS NOT NULL ",
            $tail
        )
    };
}

impl Registry {
    /// The function of that name; `None` if there is none.
    pub async fn function(
        &self,
        namespace: &Namespace,
        name: &FunctionName,
    ) -> Result<Option<Function>, RegistryError> {
        find_function(&self.shared.readers, namespace, name).await
    }

    /// At most `limit` functions of the namespace by name: from the first, or from the one after `after`.
    pub async fn functions(
        &self,
        namespace: &Namespace,
        after: Option<&FunctionName>,
        limit: u32,
    ) -> Result<Vec<Function>, RegistryError> {
        let rows: Vec<FunctionRow> =
            sqlx::query_as(select_functions!("WHERE f.namespace = $1 AND f.name > $2 ORDER BY f.name LIMIT $3"))
                .bind(namespace.as_str())
                // No name is empty, so the empty text is before all of them.
                .bind(after.map_or("", FunctionName::as_str))
                .bind(i64::from(limit))
                .fetch_all(&self.shared.readers)
                .await?;
        rows.into_iter().map(FunctionRow::record).collect()
    }

    /// The function's versions, newest first; `None` if there is no such function.
    pub async fn versions(
        &self,
        namespace: &Namespace,
        name: &FunctionName,
    ) -> Result<Option<Vec<VersionRecord>>, RegistryError> {
        let rows: Vec<VersionRow> = sqlx::query_as(select_versions!("ORDER BY v.version DESC"))
            .bind(namespace.as_str())
            .bind(name.as_str())
            .fetch_all(&self.shared.readers)
            .await?;
        if rows.is_empty() {
            // A function that there is has its active version at least.
            return Ok(None);
        }
        rows.into_iter().map(|row| row.record(format_args!("{namespace}/{name}"))).collect::<Result<_, _>>().map(Some)
    }

    /// That version of the function; `None` if there is no such function or version.
    pub async fn version(
        &self,
        namespace: &Namespace,
        name: &FunctionName,
        version: Version,
    ) -> Result<Option<VersionRecord>, RegistryError> {
        let row: Option<VersionRow> = sqlx::query_as(select_versions!("AND v.version = $3"))
            .bind(namespace.as_str())
            .bind(name.as_str())
            .bind(i64::from(version))
            .fetch_optional(&self.shared.readers)
            .await?;
        row.map(|row| row.record(format_args!("{namespace}/{name}"))).transpose()
    }

    /// A version, of whatever function in the namespace, that is made of the component with this digest; `None` if there
    /// is none.
    pub async fn version_of_component(
        &self,
        namespace: &Namespace,
        digest: &Digest,
    ) -> Result<Option<VersionRecord>, RegistryError> {
        let row: Option<VersionRow> = sqlx::query_as(
            "SELECT v.version, v.digest, v.size, v.world, v.imports, v.manifest, v.created_at, \
             v.version = f.active_version AS active \
             FROM versions v JOIN functions f ON f.id = v.function_id \
             WHERE v.digest = $1 AND f.namespace = $2 LIMIT 1",
        )
        .bind(digest.to_string())
        .bind(namespace.as_str())
        .fetch_optional(&self.shared.readers)
        .await?;
        row.map(|row| row.record(format_args!("{namespace}, {digest}"))).transpose()
    }

    /// Everything that should run, as it is at one moment.
    pub async fn snapshot(&self) -> Result<Snapshot, RegistryError> {
        let mut transaction = self.shared.readers.begin().await?;
        let revision: i64 = sqlx::query_scalar("SELECT revision FROM registry").fetch_one(&mut *transaction).await?;
        let rows: Vec<FunctionRow> =
            sqlx::query_as(select_functions!("ORDER BY f.namespace, f.name")).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Snapshot {
            revision: read("revision", "the registry", revision.try_into())?,
            functions: rows.into_iter().map(FunctionRow::record).collect::<Result<_, _>>()?,
        })
    }
}

/// The function of that name, as `executor` sees it.
pub(super) async fn find_function(
    executor: impl SqliteExecutor<'_, Database = Sqlite>,
    namespace: &Namespace,
    name: &FunctionName,
) -> Result<Option<Function>, RegistryError> {
    let row: Option<FunctionRow> = sqlx::query_as(select_functions!("WHERE f.namespace = $1 AND f.name = $2"))
        .bind(namespace.as_str())
        .bind(name.as_str())
        .fetch_optional(executor)
        .await?;
    row.map(FunctionRow::record).transpose()
}
