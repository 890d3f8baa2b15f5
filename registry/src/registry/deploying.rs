//! What changes the registry: each call is one transaction, which takes its turn before it reads anything.

use futures::TryFutureExt;
use jiff::Timestamp;

use super::audit::{self, Act, Author};
use super::reading::find_function;
use super::rows::read;
use super::{Registry, quotas, routes, traffic};
use crate::database::{Transaction, on};
use crate::digest::Digest;
use crate::error::RegistryError;
use crate::manifest::{Manifest, RouteRule};
use crate::names::{FunctionName, Namespace, Version};
use crate::records::{Deployed, Function, NewVersion, Traffic};

impl Registry {
    /// Gives this content requests of its function, all of them unless `new.traffic` says otherwise: as a version that
    /// has the same digest and an equal manifest if there is one, a new one otherwise. The function is created if need be.
    ///
    /// The artifact must be stored before. When this returns, neither a crash nor a power cut loses the version.
    pub async fn deploy(&self, new: NewVersion, author: &Author) -> Result<Deployed, RegistryError> {
        if self.artifacts().open(&new.digest).await?.is_none() {
            return Err(RegistryError::ArtifactMissing(new.digest));
        }
        let (namespace, name) = (&new.namespace, &new.name);
        let mut change = self.begin("deploy", namespace, name, author).await?;
        let known = match change.row.id {
            Some(id) => change.same_content(id, new.digest, &new.manifest).await?,
            None => None,
        };
        let created = known.is_none();
        if let Some(version) = known
            && change.row.active == Some(version)
            && !change.is_split().await?
        {
            let function = change.unchanged().await?;
            return Ok(Deployed { function, version, created });
        }
        let (id, version) = match (change.row.id, known) {
            (Some(id), Some(version)) => (id, version),
            _ => {
                quotas::check(&mut change.transaction, &new, change.row.active.is_none()).await?;
                change.insert_version(&new).await?
            }
        };
        let function = match change.row.active {
            Some(active) if active != version && new.traffic < 100 => {
                change.split(id, &traffic::canary(active, version, new.traffic)).await?
            }
            _ => change.activate(id, version, &new.manifest.routes).await?,
        };
        Ok(Deployed { function, version, created })
    }

    /// Makes an earlier version of the function its active one: `to`, or else the one that was active before this
    /// one, so that a second call without `to` undoes the first.
    pub async fn rollback(
        &self,
        namespace: &Namespace,
        name: &FunctionName,
        to: Option<Version>,
        author: &Author,
    ) -> Result<Function, RegistryError> {
        let mut change = self.begin("rollback", namespace, name, author).await?;
        let (Some(id), Some(active)) = (change.row.id, change.row.active) else {
            return Err(change.not_found());
        };
        let version = match to {
            Some(version) if version == active && !change.is_split().await? => return change.unchanged().await,
            Some(version) => version,
            // Away from a split is back to what was active before it.
            None if change.is_split().await? => active,
            None => change.active_before(id, active).await?,
        };
        let manifest = change.manifest_of(id, version).await?;
        change.activate(id, version, &manifest.routes).await
    }

    /// Removes the function with all its versions; `false` if there is none. A function of that name that is
    /// deployed later goes on counting its versions where this one ended. Artifacts stay.
    pub async fn delete(
        &self,
        namespace: &Namespace,
        name: &FunctionName,
        author: &Author,
    ) -> Result<bool, RegistryError> {
        let mut change = self.begin("delete", namespace, name, author).await?;
        let (Some(id), Some(_)) = (change.row.id, change.row.active) else {
            return Ok(false);
        };
        let transaction = &mut change.transaction;
        routes::release(transaction, id).await?;
        traffic::clear(transaction, id).await?;
        // In this order, so that no reference is left hanging on the way.
        for statement in [
            "DELETE FROM deployments WHERE function_id = $1",
            "UPDATE functions SET active_version = NULL WHERE id = $1",
            "DELETE FROM versions WHERE function_id = $1",
        ] {
            on!(&mut *transaction, connection => sqlx::query(statement).bind(id).execute(connection).map_ok(drop))?;
        }
        raise_revision(transaction, id).await?;
        change.note(None).await?;
        change.transaction.commit().await?;
        Ok(true)
    }

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
        Ok(Change { transaction, action, namespace, name, author, row, before, because: None, now })
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
    /// Why it is made, where somebody should know.
    pub(super) because: Option<String>,
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
    async fn same_content(
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
    async fn insert_version(&mut self, new: &NewVersion) -> Result<(i64, Version), RegistryError> {
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
            "INSERT INTO versions (function_id, version, digest, size, world, imports, manifest, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
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
        .execute(connection).map_ok(drop))?;
        Ok((id, version))
    }

    /// Gives `version` all requests and the function its routes, and ends the change.
    pub(super) async fn activate(
        mut self,
        id: i64,
        version: Version,
        rules: &[RouteRule],
    ) -> Result<Function, RegistryError> {
        traffic::clear(&mut self.transaction, id).await?;
        self.make_active(id, version, rules).await?;
        self.finish(id).await
    }

    /// Splits requests as `asked`, and ends the change.
    pub(super) async fn split(mut self, id: i64, asked: &Traffic) -> Result<Function, RegistryError> {
        traffic::clear(&mut self.transaction, id).await?;
        traffic::write(&mut self.transaction, id, asked).await?;
        let leader = traffic::leader(asked, self.row.active);
        if let Some(leader) = leader.filter(|leader| self.row.active != Some(*leader)) {
            let manifest = self.manifest_of(id, leader).await?;
            self.make_active(id, leader, &manifest.routes).await?;
        }
        self.finish(id).await
    }

    /// Makes `version` the active one and writes it into the function's history.
    async fn make_active(&mut self, id: i64, version: Version, rules: &[RouteRule]) -> Result<(), RegistryError> {
        let (transaction, now) = (&mut self.transaction, self.now);
        routes::replace(transaction, id, rules).await?;
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
        let function = self.function().await?;
        let because = self.because.take().map_or_else(String::new, |why| format!(", since v{why}"));
        self.note(Some(&(described(&function) + &because))).await?;
        self.transaction.commit().await?;
        Ok(function)
    }

    /// Writes into the audit log what this change comes to.
    async fn note(&mut self, after: Option<&str>) -> Result<(), RegistryError> {
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
    async fn active_before(&mut self, id: i64, active: Version) -> Result<Version, RegistryError> {
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
    format!("{}{sticky}", shares.join(" "))
}

/// Counts the change, and notes that it was the last of this function.
async fn raise_revision(transaction: &mut Transaction, function_id: i64) -> Result<(), RegistryError> {
    let revision: i64 = on!(&mut *transaction, connection => sqlx::query_scalar(
        "UPDATE registry SET revision = revision + 1 RETURNING revision",
    )
    .fetch_one(connection))?;
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

#[cfg(test)]
#[path = "deploying_tests.rs"]
mod tests;
