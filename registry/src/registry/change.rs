//! A change to one function: a transaction that takes its turn before it reads anything.

use futures::TryFutureExt;
use jiff::Timestamp;

use super::audit::{self, Act, Author};
use super::reading::find_function;
use super::rows::read;
use super::{Registry, pruning, routes, traffic};
use crate::database::{Transaction, on};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::manifest::Manifest;
use crate::names::{FunctionName, Namespace, Version};
use crate::records::{Function, NewVersion, Traffic};

impl Registry {
    /// Begins a change to a function. From here on no other change happens until this one has ended.
    pub(super) async fn begin<'a>(
        &self,
        action: &'static str,
        namespace: &'a Namespace,
        name: &'a FunctionName,
        author: &'a Author,
    ) -> Result<Change<'a>, RegistryError> {
        let mut transaction = self.shared.database.change().await?;
        let found: Option<(i64, i64, Option<i64>)> = on!(&mut transaction, connection => sqlx::query_as(
            "SELECT id, last_version, active_version FROM functions WHERE namespace = $1 AND name = $2",
        )
        .bind(namespace.as_str())
        .bind(name.as_str())
        .fetch_optional(connection))?;
        let mut row = FunctionState::default();
        if let Some((id, last, active)) = found {
            let holder = format_args!("{namespace}/{name}");
            row.id = Some(id);
            row.last = Some(read("version", holder, last.try_into())?);
            row.active = active.map(|active| read("version", holder, active.try_into())).transpose()?;
        }
        let before = match row.active {
            Some(_) => find_function(&mut transaction, namespace, name).await?.map(|function| described(&function)),
            None => None,
        };
        let now = Timestamp::now().as_microsecond();
        Ok(Change { transaction, action, namespace, name, author, row, before, remark: None, now })
    }
}

/// A change to one function, in progress. Dropped before its end it never happened.
pub(super) struct Change<'a> {
    pub(super) transaction: Transaction,
    action: &'static str,
    namespace: &'a Namespace,
    name: &'a FunctionName,
    author: &'a Author,
    pub(super) row: FunctionState,
    /// Which versions got requests.
    before: Option<String>,
    /// What the audit log says beside what it comes to.
    pub(super) remark: Option<String>,
    /// The time of the change, in microseconds since 1970.
    now: i64,
}

/// Where a function stands before a change: nowhere, deleted (no active version), or active.
#[derive(Default)]
pub(super) struct FunctionState {
    pub(super) id: Option<i64>,
    last: Option<Version>,
    pub(super) active: Option<Version>,
}

impl Change<'_> {
    /// The newest version of that content.
    pub(super) async fn same_content(
        &mut self,
        id: i64,
        digest: Digest,
        manifest: &Manifest,
    ) -> Result<Option<Version>, RegistryError> {
        let candidates: Vec<(i64, String)> = on!(&mut self.transaction, connection => sqlx::query_as(
            "SELECT version, manifest FROM versions WHERE function_id = $1 AND digest = $2 \
             ORDER BY version DESC",
        )
        .bind(id)
        .bind(digest.to_string())
        .fetch_all(connection))?;
        for (version, stored) in candidates {
            if self.read_manifest(&stored)? == *manifest {
                return Ok(Some(read("version", self.holder(), version.try_into())?));
            }
        }
        Ok(None)
    }

    /// Writes the next version down, and the function with it if there is none. Answers both their keys.
    pub(super) async fn insert_version(&mut self, new: &NewVersion) -> Result<(i64, Version), RegistryError> {
        let version = match self.row.last {
            None => Version::FIRST,
            Some(last) => last.next().ok_or_else(|| RegistryError::VersionsUsedUp {
                namespace: self.namespace.clone(),
                name: self.name.clone(),
            })?,
        };
        let id: i64 = on!(&mut self.transaction, connection => sqlx::query_scalar(
            "INSERT INTO functions (namespace, name, last_version, created_at, deployed_at) \
             VALUES ($1, $2, $3, $4, $4) \
             ON CONFLICT (namespace, name) DO UPDATE SET last_version = excluded.last_version, \
             created_at = CASE WHEN functions.active_version IS NULL \
             THEN excluded.created_at ELSE functions.created_at END \
             RETURNING id",
        )
        .bind(self.namespace.as_str())
        .bind(self.name.as_str())
        .bind(i64::from(version))
        .bind(self.now)
        .fetch_one(connection))?;
        on!(&mut self.transaction, connection => sqlx::query(
            "INSERT INTO versions (function_id, version, digest, size, world, imports, manifest, created_at, preview) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        )
        .bind(id)
        .bind(i64::from(version))
        .bind(new.digest.to_string())
        // No file is larger than an i64 counts.
        .bind(i64::try_from(new.size).unwrap_or(i64::MAX))
        .bind(&new.world)
        .bind(json(&new.imports))
        .bind(json(&new.manifest))
        .bind(self.now)
        .bind(i64::from(new.manifest.preview))
        .execute(connection).map_ok(drop))?;
        Ok((id, version))
    }

    /// Gives `version` all requests and the function its routes, and ends the change.
    pub(super) async fn activate(mut self, id: i64, version: Version) -> Result<Function, RegistryError> {
        traffic::clear(&mut self.transaction, id).await?;
        self.make_active(id, version).await?;
        self.finish(id).await
    }

    /// Splits requests as `asked`, and ends the change.
    pub(super) async fn split(mut self, id: i64, asked: &Traffic) -> Result<Function, RegistryError> {
        let from = self.split_from(id).await?.or(self.row.active);
        traffic::clear(&mut self.transaction, id).await?;
        traffic::write(&mut self.transaction, id, asked, from).await?;
        let leader = traffic::leader(asked, self.row.active);
        if let Some(leader) = leader.filter(|leader| self.row.active != Some(*leader)) {
            self.make_active(id, leader).await?;
        }
        self.finish(id).await
    }

    /// Makes `version` the active one with its routes, and writes it into the function's history.
    async fn make_active(&mut self, id: i64, version: Version) -> Result<(), RegistryError> {
        let routes = self.manifest_of(id, version).await?.routes;
        let (transaction, now) = (&mut self.transaction, self.now);
        routes::replace(transaction, id, &routes).await?;
        on!(&mut *transaction, connection => sqlx::query(
            "UPDATE functions SET active_version = $2, deployed_at = $3 WHERE id = $1",
        )
        .bind(id)
        .bind(i64::from(version))
        .bind(now)
        .execute(connection).map_ok(drop))?;
        on!(transaction, connection => sqlx::query(
            "INSERT INTO deployments (function_id, seq, version, at) \
             SELECT $1, COALESCE(MAX(seq), 0) + 1, $2, $3 FROM deployments WHERE function_id = $1",
        )
        .bind(id)
        .bind(i64::from(version))
        .bind(now)
        .execute(connection).map_ok(drop))?;
        Ok(())
    }

    async fn finish(mut self, id: i64) -> Result<Function, RegistryError> {
        raise_revision(&mut self.transaction, id).await?;
        pruning::prune(&mut self.transaction, id).await?;
        let function = self.function().await?;
        let remark = self.remark.take().map_or_else(String::new, |remark| format!(", {remark}"));
        self.note(Some(&(described(&function) + &remark))).await?;
        self.transaction.commit().await?;
        Ok(function)
    }

    /// Writes into the audit log what this change comes to.
    pub(super) async fn note(&mut self, after: Option<&str>) -> Result<(), RegistryError> {
        let subject = self.holder();
        let act = Act { action: self.action, subject: &subject, before: self.before.as_deref(), after };
        audit::write(&mut self.transaction, self.author, act).await
    }

    pub(super) async fn is_split(&mut self) -> Result<bool, RegistryError> {
        match self.row.id {
            Some(id) => traffic::is_split(&mut self.transaction, id).await,
            None => Ok(false),
        }
    }

    /// Ends the change without having made any.
    pub(super) async fn unchanged(mut self) -> Result<Function, RegistryError> {
        let function = self.function().await?;
        self.transaction.rollback().await?;
        Ok(function)
    }

    /// The version that was last active before `active` became so.
    pub(super) async fn active_before(&mut self, id: i64, active: Version) -> Result<Version, RegistryError> {
        let version: Option<i64> = on!(&mut self.transaction, connection => sqlx::query_scalar(
            "SELECT version FROM deployments WHERE function_id = $1 AND version <> $2 \
             ORDER BY seq DESC LIMIT 1",
        )
        .bind(id)
        .bind(i64::from(active))
        .fetch_optional(connection))?;
        match version {
            Some(version) => read("version", self.holder(), version.try_into()),
            None => {
                Err(RegistryError::NoPreviousVersion { namespace: self.namespace.clone(), name: self.name.clone() })
            }
        }
    }

    /// The version that was active when the split began, if there is one.
    pub(super) async fn split_from(&mut self, id: i64) -> Result<Option<Version>, RegistryError> {
        let version: Option<i64> = on!(&mut self.transaction, connection =>
            sqlx::query_scalar("SELECT split_from FROM functions WHERE id = $1").bind(id).fetch_one(connection))?;
        version.map(|version| read("version", self.holder(), version.try_into())).transpose()
    }

    /// Whether requests are split in just this way already.
    pub(super) async fn is_split_as(&mut self, asked: &Traffic) -> Result<bool, RegistryError> {
        let split = self.function().await?.split;
        let weights =
            split.map(|split| split.shares.iter().map(|(version, weight)| (version.version, *weight)).collect());
        Ok(weights.as_ref() == Some(&asked.weights))
    }

    /// What that version of the function asks for.
    pub(super) async fn manifest_of(&mut self, id: i64, version: Version) -> Result<Manifest, RegistryError> {
        let stored: Option<String> = on!(&mut self.transaction, connection => sqlx::query_scalar(
            "SELECT manifest FROM versions WHERE function_id = $1 AND version = $2",
        )
        .bind(id)
        .bind(i64::from(version))
        .fetch_optional(connection))?;
        match stored {
            Some(stored) => self.read_manifest(&stored),
            None => Err(RegistryError::VersionNotFound {
                namespace: self.namespace.clone(),
                name: self.name.clone(),
                version,
            }),
        }
    }

    /// The function as the change leaves it.
    pub(super) async fn function(&mut self) -> Result<Function, RegistryError> {
        find_function(&mut self.transaction, self.namespace, self.name).await?.ok_or_else(|| self.not_found())
    }

    fn read_manifest(&self, stored: &str) -> Result<Manifest, RegistryError> {
        read("manifest", self.holder(), serde_json::from_str(stored))
    }

    pub(super) fn not_found(&self) -> RegistryError {
        RegistryError::FunctionNotFound { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    fn holder(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// Which versions get requests, in a few words.
fn described(function: &Function) -> String {
    let Some(split) = &function.split else { return format!("v{}", function.active.version) };
    let shares: Vec<String> =
        split.shares.iter().map(|(version, weight)| format!("v{}={weight}", version.version)).collect();
    let sticky = split.sticky.as_ref().map_or_else(String::new, |sticky| format!(" by {sticky}"));
    let trial = if split.trial.is_some() { " on trial" } else { "" };
    format!("{}{sticky}{trial}", shares.join(" "))
}

/// Counts a change: the registry's revision with it.
pub(super) async fn next_revision(transaction: &mut Transaction) -> Result<i64, RegistryError> {
    Ok(on!(transaction, connection => sqlx::query_scalar(
        "UPDATE registry SET revision = revision + 1 RETURNING revision",
    )
    .fetch_one(connection))?)
}

/// Counts the change, and notes that it was the last of this function.
pub(super) async fn raise_revision(transaction: &mut Transaction, function_id: i64) -> Result<(), RegistryError> {
    let revision = next_revision(transaction).await?;
    on!(transaction, connection => sqlx::query("UPDATE functions SET revision = $2 WHERE id = $1")
        .bind(function_id)
        .bind(revision)
        .execute(connection).map_ok(drop))?;
    Ok(())
}

fn json<T: serde::Serialize>(value: &T) -> String {
    // Lists and manifests alike are made of texts, numbers and maps with text keys, all of which JSON has.
    serde_json::to_string(value).expect("JSON can hold it")
}
