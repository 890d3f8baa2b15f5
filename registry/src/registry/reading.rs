//! What the registry answers. Nothing here waits for a writer.

use std::collections::HashMap;

use super::Registry;
use super::rows::{FunctionRow, LimitsRow, PreviewRow, SplitRow, VersionRow, read};
use crate::database::{Transaction, on};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::names::{FunctionName, Namespace, Version};
use crate::records::{CHANGES_MAX, Changes, Function, PREVIEWS_MAX, Split, VersionRecord};

/// The functions that have an active version, as [`FunctionRow`]s; the query goes on with `$tail`.
macro_rules! select_functions {
    ($tail:literal) => {
        concat!(
            "SELECT f.namespace, f.name, f.created_at AS function_created_at, f.deployed_at, f.revision, \
             v.version, v.digest, v.size, v.world, v.imports, v.manifest, v.created_at, TRUE AS active \
             FROM functions f \
             JOIN versions v ON v.function_id = f.id AND v.version = f.active_version ",
            $tail
        )
    };
}

/// The versions that have a part of their function's requests, as [`SplitRow`]s; the query goes on with `$tail`.
macro_rules! select_splits {
    ($tail:literal) => {
        concat!(
            "SELECT f.namespace, f.name, f.sticky, f.trial, t.weight, \
             v.version, v.digest, v.size, v.world, v.imports, v.manifest, v.created_at, \
             v.version = f.active_version AS active \
             FROM traffic t \
             JOIN functions f ON f.id = t.function_id \
             JOIN versions v ON v.function_id = f.id AND v.version = t.version ",
            $tail,
            " ORDER BY f.id, v.version"
        )
    };
}

/// The versions that have addresses of their own, as [`PreviewRow`]s; the query goes on with `$tail`.
macro_rules! select_previews {
    ($tail:literal) => {
        concat!(
            "SELECT f.namespace, f.name, \
             v.version, v.digest, v.size, v.world, v.imports, v.manifest, v.created_at, \
             v.version = f.active_version AS active \
             FROM functions f JOIN versions v ON v.function_id = f.id \
             AND v.version > f.last_version - $1 AND v.preview = 1 AND f.active_version IS NOT NULL ",
            $tail,
            " ORDER BY f.id, v.version DESC"
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
        find_function(&mut self.shared.database.read().await?, namespace, name).await
    }

    /// At most `limit` functions of the namespace by name: from the first, or from the one after `after`.
    pub async fn functions(
        &self,
        namespace: &Namespace,
        after: Option<&FunctionName>,
        limit: u32,
    ) -> Result<Vec<Function>, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        // No name is empty, so the empty text is before all of them.
        let after = after.map_or("", FunctionName::as_str);
        let rows: Vec<FunctionRow> = on!(&mut transaction, connection => sqlx::query_as(
            select_functions!("WHERE f.namespace = $1 AND f.name > $2 ORDER BY f.name LIMIT $3"),
        )
        .bind(namespace.as_str())
        .bind(after)
        .bind(i64::from(limit))
        .fetch_all(connection))?;
        let Some(last) = rows.last().map(|row| row.name.clone()) else { return Ok(Vec::new()) };
        let splits: Vec<SplitRow> = on!(&mut transaction, connection => sqlx::query_as(
            select_splits!("WHERE f.namespace = $1 AND f.name > $2 AND f.name <= $3"),
        )
        .bind(namespace.as_str())
        .bind(after)
        .bind(&last)
        .fetch_all(connection))?;
        let previews: Vec<PreviewRow> = on!(&mut transaction, connection => sqlx::query_as(
            select_previews!("WHERE f.namespace = $2 AND f.name > $3 AND f.name <= $4"),
        )
        .bind(i64::from(PREVIEWS_MAX))
        .bind(namespace.as_str())
        .bind(after)
        .bind(&last)
        .fetch_all(connection))?;
        records(rows, splits, previews)
    }

    /// The function's versions, newest first; `None` if there is no such function.
    pub async fn versions(
        &self,
        namespace: &Namespace,
        name: &FunctionName,
    ) -> Result<Option<Vec<VersionRecord>>, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let rows: Vec<VersionRow> = on!(&mut transaction, connection => sqlx::query_as(select_versions!("ORDER BY v.version DESC"))
            .bind(namespace.as_str())
            .bind(name.as_str())
            .fetch_all(connection))?;
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
        let mut transaction = self.shared.database.read().await?;
        let row: Option<VersionRow> = on!(&mut transaction, connection => sqlx::query_as(select_versions!("AND v.version = $3"))
            .bind(namespace.as_str())
            .bind(name.as_str())
            .bind(i64::from(version))
            .fetch_optional(connection))?;
        row.map(|row| row.record(format_args!("{namespace}/{name}"))).transpose()
    }

    /// A version, of whatever function in the namespace, that is made of the component with this digest; `None` if there
    /// is none.
    pub async fn version_of_component(
        &self,
        namespace: &Namespace,
        digest: &Digest,
    ) -> Result<Option<VersionRecord>, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let row: Option<VersionRow> = on!(&mut transaction, connection => sqlx::query_as(
            "SELECT v.version, v.digest, v.size, v.world, v.imports, v.manifest, v.created_at, \
             COALESCE(v.version = f.active_version, FALSE) AS active \
             FROM versions v JOIN functions f ON f.id = v.function_id \
             WHERE v.digest = $1 AND f.namespace = $2 LIMIT 1",
        )
        .bind(digest.to_string())
        .bind(namespace.as_str())
        .fetch_optional(connection))?;
        row.map(|row| row.record(format_args!("{namespace}, {digest}"))).transpose()
    }

    /// The number of changes so far.
    pub async fn revision(&self) -> Result<u64, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let revision = revision(&mut transaction).await?;
        read("revision", "the registry", revision.try_into())
    }

    /// What has changed since the revision `after`, as it is at one moment; since 0, everything that should run.
    pub async fn changes(&self, after: u64) -> Result<Changes, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let newest = revision(&mut transaction).await?;
        // A revision that this registry never had asks for nothing.
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        let beyond: Option<i64> = on!(&mut transaction, connection => sqlx::query_scalar(
            "SELECT revision FROM functions WHERE revision > $1 ORDER BY revision LIMIT 1 OFFSET $2",
        )
        .bind(after)
        .bind(i64::from(CHANGES_MAX))
        .fetch_optional(connection))?;
        let last = beyond.map_or(newest, |beyond| beyond - 1);
        let rows: Vec<FunctionRow> = on!(&mut transaction, connection => sqlx::query_as(
            select_functions!("WHERE f.revision > $1 AND f.revision <= $2 ORDER BY f.revision"),
        )
        .bind(after)
        .bind(last)
        .fetch_all(connection))?;
        let splits: Vec<SplitRow> = on!(&mut transaction, connection => sqlx::query_as(
            select_splits!("WHERE f.revision > $1 AND f.revision <= $2"),
        )
        .bind(after)
        .bind(last)
        .fetch_all(connection))?;
        let previews: Vec<PreviewRow> = on!(&mut transaction, connection => sqlx::query_as(
            select_previews!("WHERE f.revision > $2 AND f.revision <= $3"),
        )
        .bind(i64::from(PREVIEWS_MAX))
        .bind(after)
        .bind(last)
        .fetch_all(connection))?;
        let gone: Vec<(String, String)> = on!(&mut transaction, connection => sqlx::query_as(
            "SELECT namespace, name FROM functions \
             WHERE revision > $1 AND revision <= $2 AND active_version IS NULL ORDER BY revision",
        )
        .bind(after)
        .bind(last)
        .fetch_all(connection))?;
        let namespaces: Vec<LimitsRow> = on!(&mut transaction, connection => sqlx::query_as(
            "SELECT namespace, concurrency, requests_per_second, cpu_weight FROM quotas \
             WHERE revision > $1 AND revision <= $2 ORDER BY revision",
        )
        .bind(after)
        .bind(last)
        .fetch_all(connection))?;
        let gone = gone.into_iter().map(|(namespace, name)| {
            let holder = format!("{namespace}/{name}");
            Ok((read("namespace", &holder, namespace.try_into())?, read("name", &holder, name.try_into())?))
        });
        Ok(Changes {
            revision: read("revision", "the registry", last.try_into())?,
            functions: records(rows, splits, previews)?,
            gone: gone.collect::<Result<_, RegistryError>>()?,
            namespaces: namespaces.into_iter().map(LimitsRow::record).collect::<Result<_, _>>()?,
            more: beyond.is_some(),
        })
    }
}

async fn revision(transaction: &mut Transaction) -> Result<i64, RegistryError> {
    Ok(on!(transaction, connection => sqlx::query_scalar("SELECT revision FROM registry").fetch_one(connection))?)
}

/// The function of that name, as the transaction sees it.
pub(super) async fn find_function(
    transaction: &mut Transaction,
    namespace: &Namespace,
    name: &FunctionName,
) -> Result<Option<Function>, RegistryError> {
    let row: Option<FunctionRow> = on!(&mut *transaction, connection => sqlx::query_as(
        select_functions!("WHERE f.namespace = $1 AND f.name = $2"),
    )
    .bind(namespace.as_str())
    .bind(name.as_str())
    .fetch_optional(connection))?;
    let splits: Vec<SplitRow> = on!(&mut *transaction, connection => sqlx::query_as(
        select_splits!("WHERE f.namespace = $1 AND f.name = $2"),
    )
    .bind(namespace.as_str())
    .bind(name.as_str())
    .fetch_all(connection))?;
    let previews: Vec<PreviewRow> = on!(transaction, connection => sqlx::query_as(
        select_previews!("WHERE f.namespace = $2 AND f.name = $3"),
    )
    .bind(i64::from(PREVIEWS_MAX))
    .bind(namespace.as_str())
    .bind(name.as_str())
    .fetch_all(connection))?;
    Ok(records(row.into_iter().collect(), splits, previews)?.pop())
}

/// The functions of `rows`, with those of `splits` and `previews` that are theirs.
fn records(
    rows: Vec<FunctionRow>,
    splits: Vec<SplitRow>,
    previews: Vec<PreviewRow>,
) -> Result<Vec<Function>, RegistryError> {
    let mut previews = by_function(previews)?;
    let mut split: HashMap<(String, String), Split> = HashMap::new();
    for row in splits {
        let holder = format!("{}/{}", row.namespace, row.name);
        let sticky = row.sticky.map(|text| text.parse().map_err(Unparsable)).transpose();
        let sticky = read("rule of its split", &holder, sticky)?;
        let trial = row.trial.as_deref().map(serde_json::from_str).transpose();
        let trial = read("rule of its trial", &holder, trial)?;
        let weight = read("weight", &holder, row.weight.try_into())?;
        let version = row.version.record(&holder)?;
        let split = split.entry((row.namespace, row.name));
        split.or_insert_with(|| Split { shares: Vec::new(), sticky, trial }).shares.push((version, weight));
    }
    let whole = |row: FunctionRow| {
        let key = (row.namespace.clone(), row.name.clone());
        let previews = previews.remove(&key).unwrap_or_default();
        Ok(Function { split: split.remove(&key), previews, ..row.record()? })
    };
    rows.into_iter().map(whole).collect()
}

/// Versions by namespace and name of their function.
type VersionsByFunction = HashMap<(String, String), Vec<VersionRecord>>;

fn by_function(rows: Vec<PreviewRow>) -> Result<VersionsByFunction, RegistryError> {
    let mut found = VersionsByFunction::new();
    for row in rows {
        let version = row.version.record(format_args!("{}/{}", row.namespace, row.name))?;
        found.entry((row.namespace, row.name)).or_default().push(version);
    }
    Ok(found)
}

/// What a text that was stored cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unparsable(String);
