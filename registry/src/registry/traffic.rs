//! How the requests of a function are split over its versions.

use std::cmp::Reverse;

use futures::TryFutureExt;

use crate::database::{Transaction, on};
use crate::error::RegistryError;
use crate::names::Version;
use crate::records::Traffic;

/// The most versions that a function's requests are split over.
const VERSIONS_MAX: usize = 10;
/// The greatest weight.
const WEIGHT_MAX: u32 = 1_000_000;

/// What is asked for without the weights of zero, if it can be had.
pub(super) fn check(asked: &Traffic) -> Result<Traffic, RegistryError> {
    let mut asked = asked.clone();
    asked.weights.retain(|_, weight| *weight > 0);
    let refused = |detail: String| Err(RegistryError::BadTraffic(detail));
    if asked.weights.is_empty() {
        return refused("no version has a weight above 0; give one at least".to_owned());
    }
    if asked.weights.len() > VERSIONS_MAX {
        return refused(format!("{} versions are too many; {VERSIONS_MAX} are the most", asked.weights.len()));
    }
    if let Some((version, weight)) = asked.weights.iter().find(|(_, weight)| **weight > WEIGHT_MAX) {
        return refused(format!("{version}: a weight of {weight} is too great; {WEIGHT_MAX} is the most"));
    }
    Ok(asked)
}

/// The version that gets everything, if one does.
pub(super) fn only(asked: &Traffic) -> Option<Version> {
    let mut versions = asked.weights.keys();
    versions.next().copied().filter(|_| versions.next().is_none())
}

/// `percent` of the requests for `version`, which is tried out, and the others for the one that is active.
pub(super) fn canary(active: Version, version: Version, percent: u32) -> Traffic {
    let mut weights =
        [(active, 100 - percent), (version, percent)].into_iter().collect::<std::collections::BTreeMap<_, _>>();
    weights.retain(|_, weight| *weight > 0);
    Traffic { weights, sticky: None }
}

/// The version with the greatest weight: of two, the one that is active, or else the older.
pub(super) fn leader(asked: &Traffic, active: Option<Version>) -> Option<Version> {
    let rank = |&(version, weight): &(&Version, &u32)| (*weight, Some(*version) == active, Reverse(*version));
    asked.weights.iter().max_by_key(rank).map(|(version, _)| *version)
}

/// Writes a split down. One that is none, since one version gets everything, is not written.
pub(super) async fn write(transaction: &mut Transaction, id: i64, asked: &Traffic) -> Result<(), RegistryError> {
    if only(asked).is_some() {
        return Ok(());
    }
    for (version, weight) in &asked.weights {
        on!(&mut *transaction, connection => sqlx::query(
            "INSERT INTO traffic (function_id, version, weight) VALUES ($1, $2, $3)",
        )
        .bind(id)
        .bind(i64::from(*version))
        .bind(i64::from(*weight))
        .execute(connection).map_ok(drop))?;
    }
    let sticky = asked.sticky.as_ref().map(ToString::to_string);
    on!(transaction, connection => sqlx::query("UPDATE functions SET sticky = $2 WHERE id = $1")
        .bind(id)
        .bind(sticky)
        .execute(connection).map_ok(drop))?;
    Ok(())
}

/// Ends a split, if there is one.
pub(super) async fn clear(transaction: &mut Transaction, id: i64) -> Result<(), RegistryError> {
    for statement in ["DELETE FROM traffic WHERE function_id = $1", "UPDATE functions SET sticky = NULL WHERE id = $1"]
    {
        on!(&mut *transaction, connection => sqlx::query(statement).bind(id).execute(connection).map_ok(drop))?;
    }
    Ok(())
}

/// Whether there is a split.
pub(super) async fn is_split(transaction: &mut Transaction, id: i64) -> Result<bool, RegistryError> {
    let shares: i64 = on!(transaction, connection => sqlx::query_scalar(
        "SELECT COUNT(*) FROM traffic WHERE function_id = $1",
    )
    .bind(id)
    .fetch_one(connection))?;
    Ok(shares > 0)
}
