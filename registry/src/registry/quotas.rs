//! How much a namespace may have: looked at in the transaction of each deploy.

use futures::TryFutureExt;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::Registry;
use super::audit::{self, Act, Author};
use super::change::next_revision;
use super::reading::find_function;
use super::rows::{read, read_bound};
use crate::database::{Transaction, on};
use crate::error::RegistryError;
use crate::manifest::{ByteSize, ManifestError, check_cpu_weight};
use crate::names::Namespace;
use crate::records::NewVersion;

/// How much a namespace may have; what is `None` has no bound of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Quota {
    /// Functions at once.
    pub functions: Option<u32>,
    /// Bytes of all components that its versions are made of, each counted once.
    pub component_bytes: Option<ByteSize>,
    /// The memory that one request of a function may ask for.
    pub memory: Option<ByteSize>,
    /// Requests of all its functions at once, on each node.
    pub concurrency: Option<u32>,
    /// Requests of all its functions that may begin in a second, on each node.
    pub requests_per_second: Option<u32>,
    /// Share of CPU time beside other namespaces, 100 being the usual one.
    pub cpu_weight: Option<u32>,
}

impl Quota {
    /// Checks what is not of any size.
    pub fn check(&self) -> Result<(), ManifestError> {
        self.cpu_weight.map_or(Ok(()), |weight| check_cpu_weight("cpu_weight", weight, "a namespace"))
    }
}

/// A namespace that has something, or may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceRecord {
    /// Its name.
    pub name: Namespace,
    /// What it may have.
    pub quota: Quota,
    /// Functions that it has.
    pub functions: u64,
    /// Bytes of all components that its versions are made of.
    pub component_bytes: u64,
}

#[derive(FromRow)]
struct NamespaceRow {
    name: String,
    functions_max: Option<i64>,
    component_bytes_max: Option<i64>,
    memory_max: Option<i64>,
    concurrency: Option<i64>,
    requests_per_second: Option<i64>,
    cpu_weight: Option<i64>,
    functions: i64,
    component_bytes: i64,
}

impl NamespaceRow {
    fn record(self) -> Result<NamespaceRecord, RegistryError> {
        let holder = format!("the namespace {}", self.name);
        let size = |bytes: Option<i64>| {
            let bytes = bytes.map(u64::try_from).transpose();
            Ok::<_, RegistryError>(read("quota", &holder, bytes)?.map(ByteSize::bytes))
        };
        Ok(NamespaceRecord {
            quota: Quota {
                functions: read_bound(&holder, self.functions_max)?,
                component_bytes: size(self.component_bytes_max)?,
                memory: size(self.memory_max)?,
                concurrency: read_bound(&holder, self.concurrency)?,
                requests_per_second: read_bound(&holder, self.requests_per_second)?,
                cpu_weight: read_bound(&holder, self.cpu_weight)?,
            },
            functions: read("count", &holder, self.functions.try_into())?,
            component_bytes: read("count", &holder, self.component_bytes.try_into())?,
            name: read("namespace", &holder, self.name.try_into())?,
        })
    }
}

/// Namespaces with what they may have and what they have, as [`NamespaceRow`]s; the query goes on with `$tail`.
macro_rules! select_namespaces {
    ($tail:literal) => {
        concat!(
            "SELECT n.name, q.functions AS functions_max, q.component_bytes AS component_bytes_max, \
             q.memory AS memory_max, q.concurrency, q.requests_per_second, q.cpu_weight, \
             (SELECT COUNT(*) FROM functions f \
              WHERE f.namespace = n.name AND f.active_version IS NOT NULL) AS functions, \
             (SELECT CAST(COALESCE(SUM(c.size), 0) AS BIGINT) FROM (SELECT DISTINCT v.digest, v.size FROM versions v \
              JOIN functions f ON f.id = v.function_id WHERE f.namespace = n.name) c) AS component_bytes \
             FROM (SELECT namespace AS name FROM functions WHERE active_version IS NOT NULL \
              UNION SELECT namespace AS name FROM quotas) n \
             LEFT JOIN quotas q ON q.namespace = n.name ",
            $tail
        )
    };
}

impl Registry {
    /// All namespaces that have a function or a quota, by name.
    pub async fn namespaces(&self) -> Result<Vec<NamespaceRecord>, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let rows: Vec<NamespaceRow> = on!(&mut transaction, connection =>
            sqlx::query_as(select_namespaces!("ORDER BY n.name")).fetch_all(connection))?;
        rows.into_iter().map(NamespaceRow::record).collect()
    }

    /// Refuses what a deploy of this would be refused for by the quota of its namespace: before anything of it is stored.
    pub async fn check_quota(&self, new: &NewVersion) -> Result<(), RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        let is_new = find_function(&mut transaction, &new.namespace, &new.name).await?.is_none();
        check(&mut transaction, new, is_new).await
    }

    /// Says how much a namespace may have. What it has beyond that stays; deploys that would add to it are refused, and so
    /// are requests.
    pub async fn set_quota(&self, namespace: &Namespace, quota: &Quota, author: &Author) -> Result<(), RegistryError> {
        let bytes = |size: Option<ByteSize>| size.map(|size| i64::try_from(size.as_u64()).unwrap_or(i64::MAX));
        let mut transaction = self.shared.database.change().await?;
        let before = find(&mut transaction, namespace).await?.map(|record| described(&record.quota));
        let revision = next_revision(&mut transaction).await?;
        on!(&mut transaction, connection => sqlx::query(
            "INSERT INTO quotas (namespace, functions, component_bytes, memory, concurrency, requests_per_second, \
             cpu_weight, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (namespace) DO UPDATE SET functions = excluded.functions, \
             component_bytes = excluded.component_bytes, memory = excluded.memory, \
             concurrency = excluded.concurrency, requests_per_second = excluded.requests_per_second, \
             cpu_weight = excluded.cpu_weight, revision = excluded.revision",
        )
        .bind(namespace.as_str())
        .bind(quota.functions.map(i64::from))
        .bind(bytes(quota.component_bytes))
        .bind(bytes(quota.memory))
        .bind(quota.concurrency.map(i64::from))
        .bind(quota.requests_per_second.map(i64::from))
        .bind(quota.cpu_weight.map(i64::from))
        .bind(revision)
        .execute(connection).map_ok(drop))?;
        let (subject, after) = (format!("namespace {namespace}"), described(quota));
        let act = Act { action: "quota", subject: &subject, before: before.as_deref(), after: Some(&after) };
        audit::write(&mut transaction, author, act).await?;
        transaction.commit().await
    }
}

async fn find(transaction: &mut Transaction, namespace: &Namespace) -> Result<Option<NamespaceRecord>, RegistryError> {
    let row: Option<NamespaceRow> = on!(transaction, connection =>
        sqlx::query_as(select_namespaces!("WHERE n.name = $1")).bind(namespace.as_str()).fetch_optional(connection))?;
    row.map(NamespaceRow::record).transpose()
}

/// Whether a deploy to the namespace can be over a quota. Where it cannot, what there is need not be counted: that takes
/// the longer the more functions there are, and other deploys wait meanwhile.
async fn bounds_deploys(transaction: &mut Transaction, namespace: &Namespace) -> Result<bool, RegistryError> {
    let bounds: i64 = on!(transaction, connection => sqlx::query_scalar(
        "SELECT COUNT(*) FROM quotas WHERE namespace = $1 \
         AND (functions IS NOT NULL OR component_bytes IS NOT NULL OR memory IS NOT NULL)",
    )
    .bind(namespace.as_str())
    .fetch_one(connection))?;
    Ok(bounds > 0)
}

/// Refuses what would take the namespace over its quota. `is_new` says whether the function would come to be.
pub(super) async fn check(transaction: &mut Transaction, new: &NewVersion, is_new: bool) -> Result<(), RegistryError> {
    if !bounds_deploys(transaction, &new.namespace).await? {
        return Ok(());
    }
    let Some(NamespaceRecord { quota, functions, component_bytes, .. }) = find(transaction, &new.namespace).await?
    else {
        return Ok(());
    };
    let refused = |what: String| Err(RegistryError::QuotaExceeded { namespace: new.namespace.clone(), what });
    if let Some(most) = quota.functions.filter(|most| is_new && functions >= u64::from(*most)) {
        return refused(format!("{most} {}", if most == 1 { "function" } else { "functions" }));
    }
    let memory = new.manifest.limits.memory;
    if let Some(most) = quota.memory.filter(|most| memory > *most) {
        return refused(format!("{most} of memory for a request (limits.memory is {memory})"));
    }
    if let Some(most) = quota.component_bytes {
        let known: i64 = on!(transaction, connection => sqlx::query_scalar(
            "SELECT COUNT(*) FROM versions v JOIN functions f ON f.id = v.function_id \
             WHERE f.namespace = $1 AND v.digest = $2",
        )
        .bind(new.namespace.as_str())
        .bind(new.digest.to_string())
        .fetch_one(connection))?;
        if known == 0 && component_bytes.saturating_add(new.size) > most.as_u64() {
            return refused(format!("{most} of components (it has {component_bytes} bytes, this one {})", new.size));
        }
    }
    Ok(())
}

fn described(quota: &Quota) -> String {
    let bound = |bound: Option<String>| bound.unwrap_or_else(|| "any".to_owned());
    format!(
        "functions {}, components {}, memory {}, at once {}, a second {}, CPU weight {}",
        bound(quota.functions.map(|it| it.to_string())),
        bound(quota.component_bytes.map(|it| it.to_string())),
        bound(quota.memory.map(|it| it.to_string())),
        bound(quota.concurrency.map(|it| it.to_string())),
        bound(quota.requests_per_second.map(|it| it.to_string())),
        bound(quota.cpu_weight.map(|it| it.to_string())),
    )
}
