//! What changes the registry: each call is one transaction, which takes its turn before it reads anything.

use futures::TryFutureExt;

use super::audit::Author;
use super::change::raise_revision;
use super::{Registry, quotas, routes, traffic};
use crate::database::on;
use crate::error::RegistryError;
use crate::names::{FunctionName, Namespace, Version};
use crate::records::{Deployed, Function, NewVersion};

impl Registry {
    /// Gives this content requests of its function, all of them unless `new.traffic` says otherwise: as a version that
    /// has the same digest and an equal manifest if there is one, a new one otherwise. The function is created if need be.
    ///
    /// The artifact must be stored before. When this returns, neither a crash nor a power cut loses the version.
    pub async fn deploy(&self, new: NewVersion, author: &Author) -> Result<Deployed, RegistryError> {
        let (namespace, name) = (&new.namespace, &new.name);
        let mut change = self.begin("deploy", namespace, name, author).await?;
        // From here on nobody removes it.
        if self.artifacts().age(&new.digest).await?.is_none() {
            return Err(RegistryError::ArtifactMissing(new.digest));
        }
        let known = match change.row.id {
            Some(id) => change.same_content(id, new.digest, &new.manifest).await?,
            None => None,
        };
        let created = known.is_none();
        if let (Some(version), Some(active)) = (known, change.row.active) {
            let is_so_already = match version == active {
                true => !change.is_split().await?,
                false => change.is_split_as(&traffic::canary(active, version, new.traffic)).await?,
            };
            if is_so_already {
                let function = change.unchanged().await?;
                return Ok(Deployed { function, version, created });
            }
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
                change.remark = Some(format!("v{version} deployed"));
                change.split(id, &traffic::canary(active, version, new.traffic)).await?
            }
            _ => change.activate(id, version).await?,
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
            // Out of a split is back to what was active before it.
            None if change.is_split().await? => change.split_from(id).await?.unwrap_or(active),
            None => change.active_before(id, active).await?,
        };
        change.activate(id, version).await
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
}

#[cfg(test)]
#[path = "deploying_tests.rs"]
mod tests;
