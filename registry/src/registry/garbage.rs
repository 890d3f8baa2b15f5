//! Artifacts that no version names any more.

use std::collections::HashSet;

use super::Registry;
use crate::artifacts::UNNAMED_KEPT;
use crate::database::on;
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
    /// It may run beside deploys, of other processes too: a deploy puts its artifact anew before it names it, unless that
    /// was put within half an hour, so that what is about to be named is never old enough.
    pub async fn collect_garbage(&self) -> Result<Collected, RegistryError> {
        // Listed first: what is named between the two is found in the second.
        let mut stored = self.artifacts().list().await?;
        stored.retain(|artifact| artifact.age > UNNAMED_KEPT);
        let mut transaction = self.shared.database.read().await?;
        let named: Vec<String> = on!(&mut transaction, connection =>
            sqlx::query_scalar("SELECT DISTINCT digest FROM versions").fetch_all(connection))?;
        let named: HashSet<String> = named.into_iter().collect();
        let mut collected = Collected::default();
        for artifact in stored {
            if named.contains(&artifact.digest.to_string()) {
                continue;
            }
            self.artifacts().remove(&artifact.digest).await?;
            collected.artifacts += 1;
            collected.bytes += artifact.size;
        }
        Ok(collected)
    }
}
