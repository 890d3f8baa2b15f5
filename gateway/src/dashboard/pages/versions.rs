//! Versions of a function, and what each gets of the requests.

use super::{
    super::{Dashboard, Frame, page, units},
    When,
    function::{Head, Shown},
};
use crate::{control::Access, problem::Problem};
use askama::Template;
use axum::{Extension, extract::State, response::Response};
use std::{collections::HashMap, sync::Arc};

/// Versions that the form for splitting offers beside those that get requests.
const OFFERED: usize = 5;
/// Versions that are listed.
const LISTED: usize = 100;

#[derive(Template)]
#[template(path = "versions.html")]
struct Versions {
    frame: Frame,
    head: Head,
    versions: Vec<Row>,
    all: usize,
    shares: Vec<Share>,
    sticky: String,
    trial: bool,
}

struct Row {
    version: u32,
    active: bool,
    share: Option<String>,
    digest: String,
    size: String,
    world: String,
    /// Where it alone is called.
    preview: Option<String>,
    created: When,
}

/// A version in the form for splitting.
struct Share {
    version: u32,
    active: bool,
    weight: u32,
}

/// The page.
pub(in crate::dashboard) async fn show(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
    shown: Shown,
) -> Result<Response, Problem> {
    let (frame, head, function) = Head::of(&dashboard, &shown, "versions", &access).await?;
    let records = dashboard.plane.registry.versions(&shown.namespace, &shown.name).await?.unwrap_or_default();
    let shares: HashMap<u32, &String> = head.split.iter().map(|(version, share)| (*version, share)).collect();
    let weights: HashMap<u32, u32> = match &function.split {
        Some(split) => split.shares.iter().map(|(record, weight)| (record.version.get(), *weight)).collect(),
        None => HashMap::from([(function.active.version.get(), 100)]),
    };
    let offered = records
        .iter()
        .enumerate()
        .filter(|(index, record)| *index < OFFERED || weights.contains_key(&record.version.get()));
    let offered = offered.map(|(_, record)| {
        let version = record.version.get();
        Share { version, active: record.active, weight: weights.get(&version).copied().unwrap_or_default() }
    });
    let offered = offered.collect();
    let all = records.len();
    let versions = records.into_iter().take(LISTED).map(|record| {
        let version = record.version.get();
        Row {
            version,
            active: record.active,
            preview: dashboard.plane.preview_url(&function, record.version),
            share: shares.get(&version).map(|share| (*share).clone()),
            digest: record.digest.to_string(),
            size: units::bytes(record.size),
            world: record.world,
            created: When::at(record.created_at),
        }
    });
    let versions = versions.collect();
    let (sticky, trial) = function.split.map_or((None, false), |split| (split.sticky, split.trial.is_some()));
    let sticky = sticky.map_or_else(String::new, |sticky| sticky.to_string());
    page(&Versions { frame, head, versions, all, shares: offered, sticky, trial })
}
