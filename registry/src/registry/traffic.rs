//! How the requests of a function are split over its versions.

use std::cmp::Reverse;

use futures::TryFutureExt;

use super::Registry;
use super::audit::Author;
use crate::database::{Transaction, on};
use crate::error::RegistryError;
use crate::names::{FunctionName, Namespace, Version};
use crate::records::{Function, Split, TakeBack, Traffic, Trial};

/// The most versions that a function's requests are split over.
const VERSIONS_MAX: usize = 10;
/// The greatest weight.
const WEIGHT_MAX: u32 = 1_000_000;

impl Registry {
    /// Splits the requests of the function over some of its versions. The one with the greatest weight is the active
    /// one from now on; with only one it gets all requests.
    pub async fn set_traffic(
        &self,
        namespace: &Namespace,
        name: &FunctionName,
        asked: &Traffic,
        author: &Author,
    ) -> Result<Function, RegistryError> {
        let asked = check(asked)?;
        let mut change = self.begin("traffic", namespace, name, author).await?;
        let (Some(id), Some(active)) = (change.row.id, change.row.active) else {
            return Err(change.not_found());
        };
        for &version in asked.weights.keys() {
            change.manifest_of(id, version).await?;
        }
        match only(&asked) {
            Some(version) if version == active && !change.is_split().await? => change.unchanged().await,
            Some(version) => change.activate(id, version).await,
            None => change.split(id, &asked).await,
        }
    }

    /// Takes a version on trial back: the others share its requests. `false` if the function has changed since that was
    /// asked for, or the version is the active one.
    pub async fn take_back(&self, case: &TakeBack, author: &Author) -> Result<bool, RegistryError> {
        let mut change = self.begin("take-back", &case.namespace, &case.name, author).await?;
        let (Some(id), Some(active)) = (change.row.id, change.row.active) else { return Ok(false) };
        let function = change.function().await?;
        let is_on_trial = |split: &Split| {
            split.trial.is_some() && split.shares.iter().any(|(record, _)| record.version == case.version)
        };
        let is_current = function.revision == case.revision && active != case.version;
        let Some(split) = function.split.filter(|split| is_current && is_on_trial(split)) else {
            return Ok(false);
        };
        change.remark = Some(format!("since v{}: {}", case.version, case.why));
        let left = without(&split, case.version);
        match only(&left) {
            Some(version) => change.activate(id, version).await?,
            None => change.split(id, &left).await?,
        };
        Ok(true)
    }
}

/// What is asked for without the weights of zero, if it can be had.
fn check(asked: &Traffic) -> Result<Traffic, RegistryError> {
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
    if let Some(Trial { requests, errors, slower }) = &asked.trial
        && !(*requests >= 1 && (0.0..=100.0).contains(errors) && (1.0..=1000.0).contains(slower))
    {
        return refused("trial: give requests from 1, errors from 0 to 100 and slower from 1 to 1000".to_owned());
    }
    Ok(asked)
}

/// The version that gets everything, if one does.
fn only(asked: &Traffic) -> Option<Version> {
    let mut versions = asked.weights.keys();
    versions.next().copied().filter(|_| versions.next().is_none())
}

/// `percent` of the requests for `version`, which is tried out, and the others for the one that is active.
pub(super) fn canary(active: Version, version: Version, percent: u32) -> Traffic {
    let shares = [(active, 100_u32.saturating_sub(percent)), (version, percent)];
    let weights = shares.into_iter().filter(|(_, weight)| *weight > 0).collect();
    Traffic { weights, sticky: None, trial: None }
}

/// What is left of a split without that version.
fn without(split: &Split, version: Version) -> Traffic {
    let others = split.shares.iter().filter(|(record, _)| record.version != version);
    let weights = others.map(|(record, weight)| (record.version, *weight)).collect();
    Traffic { weights, sticky: split.sticky.clone(), trial: split.trial }
}

/// The version with the greatest weight: of two, the one that is active, or else the older.
pub(super) fn leader(asked: &Traffic, active: Option<Version>) -> Option<Version> {
    let rank = |&(version, weight): &(&Version, &u32)| (*weight, Some(*version) == active, Reverse(*version));
    asked.weights.iter().max_by_key(rank).map(|(version, _)| *version)
}

/// Writes a split down. One that is none, since one version gets everything, is not written.
pub(super) async fn write(
    transaction: &mut Transaction,
    id: i64,
    asked: &Traffic,
    from: Option<Version>,
) -> Result<(), RegistryError> {
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
    // Three numbers, which JSON has.
    let trial = asked.trial.map(|trial| serde_json::to_string(&trial).expect("JSON can hold it"));
    on!(transaction, connection => sqlx::query(
        "UPDATE functions SET sticky = $2, trial = $3, split_from = $4 WHERE id = $1",
    )
        .bind(id)
        .bind(&sticky)
        .bind(&trial)
        .bind(from.map(i64::from))
        .execute(connection).map_ok(drop))?;
    Ok(())
}

/// Ends a split, if there is one.
pub(super) async fn clear(transaction: &mut Transaction, id: i64) -> Result<(), RegistryError> {
    for statement in [
        "DELETE FROM traffic WHERE function_id = $1",
        "UPDATE functions SET sticky = NULL, trial = NULL, split_from = NULL WHERE id = $1",
    ] {
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
