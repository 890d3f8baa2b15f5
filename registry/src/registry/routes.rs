//! Which function holds which route.

use futures::TryFutureExt;

use crate::database::{Transaction, on};
use crate::error::RegistryError;
use crate::manifest::RouteRule;

/// Gives the function the routes in `rules` and no others. A route that another function holds is a conflict, after
/// which the transaction must be given up.
pub(super) async fn replace(
    transaction: &mut Transaction,
    function_id: i64,
    rules: &[RouteRule],
) -> Result<(), RegistryError> {
    release(transaction, function_id).await?;
    for rule in rules {
        // In the table an empty host is any host; no rule has one.
        let host = rule.host().unwrap_or_default();
        let holder: Option<(String, String)> = on!(transaction, connection => sqlx::query_as(
            "SELECT f.namespace, f.name FROM routes r JOIN functions f ON f.id = r.function_id \
             WHERE r.host = $1 AND r.path = $2",
        )
        .bind(host)
        .bind(rule.path())
        .fetch_optional(connection))?;
        if let Some((namespace, name)) = holder {
            return Err(RegistryError::RouteConflict { rule: rule.clone(), holder: format!("{namespace}/{name}") });
        }
        on!(transaction, connection => sqlx::query("INSERT INTO routes (host, path, function_id) VALUES ($1, $2, $3)")
            .bind(host)
            .bind(rule.path())
            .bind(function_id)
            .execute(connection).map_ok(drop))?;
    }
    Ok(())
}

/// Takes all its routes from the function.
pub(super) async fn release(transaction: &mut Transaction, function_id: i64) -> Result<(), RegistryError> {
    on!(transaction, connection => sqlx::query("DELETE FROM routes WHERE function_id = $1")
        .bind(function_id)
        .execute(connection).map_ok(drop))?;
    Ok(())
}
