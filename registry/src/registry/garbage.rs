//! Artifacts that no version names any more.

use std::collections::HashSet;

use super::Registry;
use super::rows::read;
use crate::artifacts::UNNAMED_KEPT;
use crate::database::{Transaction, on};
use crate::digest::Digest;
use crate::error::RegistryError;

/// What a collection removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Artifacts.
    pub artifacts: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Registry {
    /// Removes the artifacts that no version names and that were put more than an hour ago.
    ///
    /// It may run beside deploys, of other processes too. A deploy puts its artifact, unless that was put within half an
    /// hour, and then looks in its transaction whether it is there; each removal is a transaction as well, and looks once
    /// more whether the artifact has a name or was put anew. So what a deploy has found stays.
    pub async fn collect_garbage(&self) -> Result<Collected, RegistryError> {
        // Listed first: what is named between the two is found in the second.
        let mut stored = self.artifacts().list().await?;
        stored.retain(|artifact| artifact.age > UNNAMED_KEPT);
        let named = self.named().await?;
        let is_named = |digest: &Digest| named.contains(digest);
        let mut collected = Collected::default();
        for artifact in stored.iter().filter(|artifact| !is_named(&artifact.digest)) {
            if self.remove_unnamed(&artifact.digest).await? {
                collected.artifacts += 1;
                collected.bytes += artifact.size;
            }
        }
        if self.artifacts().is_copy() {
            self.artifacts().forget_copies(is_named).await?;
        }
        Ok(collected)
    }

    /// The components that versions name.
    pub async fn named(&self) -> Result<HashSet<Digest>, RegistryError> {
        let mut transaction = self.shared.database.read().await?;
        digests(&mut transaction).await
    }

    /// Removes an artifact while nothing is deployed; `false` if it has a name by now, or was put anew.
    async fn remove_unnamed(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let mut transaction = self.shared.database.change().await?;
        let names: i64 = on!(&mut transaction, connection => sqlx::query_scalar(
            "SELECT COUNT(*) FROM versions WHERE digest = $1",
        )
        .bind(digest.to_string())
        .fetch_one(connection))?;
        let is_old = self.artifacts().age(digest).await?.is_some_and(|age| age > UNNAMED_KEPT);
        if names == 0 && is_old {
            self.artifacts().remove(digest).await?;
        }
        transaction.rollback().await?;
        Ok(names == 0 && is_old)
    }
}

/// The components that versions name, as the transaction sees it.
pub(super) async fn digests(transaction: &mut Transaction) -> Result<HashSet<Digest>, RegistryError> {
    let named: Vec<String> = on!(transaction, connection =>
        sqlx::query_scalar("SELECT DISTINCT digest FROM versions").fetch_all(connection))?;
    named.into_iter().map(|digest| read("digest", "a version", digest.parse())).collect()
}
