//! The versions of a function that are kept.

use futures::TryFutureExt;

use crate::database::{Transaction, on};
use crate::error::RegistryError;

/// Versions of a function that are kept, and as much of the history of which was active when. Those that get requests are
/// kept whatever their number is.
pub(super) const KEPT: i64 = 1000;

/// Forgets what is older than the newest [`KEPT`].
pub(super) async fn prune(transaction: &mut Transaction, function_id: i64) -> Result<(), RegistryError> {
    on!(&mut *transaction, connection => sqlx::query(
        "DELETE FROM deployments WHERE function_id = $1 \
         AND seq <= (SELECT MAX(seq) FROM deployments WHERE function_id = $1) - $2",
    )
    .bind(function_id)
    .bind(KEPT)
    .execute(connection).map_ok(drop))?;
    // What the history still speaks of can be gone back to.
    on!(transaction, connection => sqlx::query(
        "DELETE FROM versions WHERE function_id = $1 \
         AND version <= (SELECT last_version FROM functions WHERE id = $1) - $2 \
         AND version NOT IN (SELECT version FROM traffic WHERE function_id = $1) \
         AND version NOT IN (SELECT version FROM deployments WHERE function_id = $1) \
         AND NOT EXISTS (SELECT 1 FROM functions WHERE id = $1 \
                         AND (active_version = versions.version OR split_from = versions.version))",
    )
    .bind(function_id)
    .bind(KEPT)
    .execute(connection).map_ok(drop))?;
    Ok(())
}
