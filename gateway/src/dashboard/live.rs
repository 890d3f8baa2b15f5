//! What pages bring up to date by: texts for the cells that they have, and lines for their charts.

use super::{
    Dashboard,
    pages::{
        function::{self, Shown},
        functions::Numbers,
        overview::{self, Tile},
    },
    sampling::{NodeSecond, Second},
    visible,
};
use crate::{control::Access, problem::Problem};
use axum::{
    Extension, Json,
    extract::{RawQuery, State},
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

/// Functions that one request asks for.
const ASKED_MAX: usize = 100;

/// What has changed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Live {
    /// Texts by the cells that show them.
    cells: HashMap<String, String>,
    /// For each chart, the times and one row of values for each of its lines.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    charts: BTreeMap<&'static str, Vec<Vec<Option<f64>>>>,
}

impl Live {
    fn tiles(&mut self, tiles: Vec<Tile>) {
        for tile in tiles {
            self.cells.insert(tile.id.to_owned(), tile.value);
            self.cells.insert(format!("{}-note", tile.id), tile.note);
        }
    }

    fn chart<T>(&mut self, name: &'static str, seconds: &[T], rows: &[fn(&T) -> Option<f64>]) {
        let row = |of: &fn(&T) -> Option<f64>| seconds.iter().map(of).collect();
        self.charts.insert(name, rows.iter().map(row).collect());
    }
}

/// The first page's numbers and charts.
pub(super) async fn overview(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
) -> Result<Json<Live>, Problem> {
    let functions = visible(&dashboard.functions().await?, &access).count();
    let mut live = Live::default();
    live.tiles(overview::tiles(&dashboard, functions).await?);
    let node = dashboard.sampler.node();
    live.chart::<NodeSecond>(
        "requests",
        &node,
        &[|it| Some(it.calls.at as f64), |it| Some(it.calls.requests as f64), |it| Some(it.calls.failed as f64)],
    );
    live.chart::<NodeSecond>(
        "latency",
        &node,
        &[|it| Some(it.calls.at as f64), |it| it.calls.p50_s, |it| it.calls.p99_s],
    );
    live.chart::<NodeSecond>("cpu", &node, &[|it| Some(it.calls.at as f64), |it| it.cpu, |it| Some(it.calls.cpu_s)]);
    live.chart::<NodeSecond>("memory", &node, &[|it| Some(it.calls.at as f64), |it| it.memory_bytes]);
    live.chart::<NodeSecond>("slots", &node, &[|it| Some(it.calls.at as f64), |it| Some(it.slots_used.into())]);
    Ok(Json(live))
}

/// Numbers of the functions that a list shows.
pub(super) async fn functions(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
    RawQuery(query): RawQuery,
) -> Result<Json<Live>, Problem> {
    let query = query.unwrap_or_default();
    let pairs = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "k");
    let asked = pairs.map(|(_, key)| key.into_owned()).filter(|key| access.may_see(key)).take(ASKED_MAX);
    let summaries = dashboard.sampler.summaries();
    let mut live = Live::default();
    for key in asked {
        let Numbers { rate, failed, p50, p99, total } = Numbers::of(&dashboard, &key, &summaries);
        for (what, text) in [("rate", rate), ("failed", failed), ("p50", p50), ("p99", p99), ("total", total)] {
            live.cells.insert(format!("{key} {what}"), text);
        }
    }
    Ok(Json(live))
}

/// A function's numbers and charts.
pub(super) async fn function(State(dashboard): State<Arc<Dashboard>>, shown: Shown) -> Result<Json<Live>, Problem> {
    let mut live = Live::default();
    live.tiles(function::tiles(&dashboard, &shown));
    let seconds = dashboard.sampler.function(shown.namespace.as_str(), shown.name.as_str());
    live.chart::<Second>(
        "requests",
        &seconds,
        &[|it| Some(it.at as f64), |it| Some(it.requests as f64), |it| Some(it.failed as f64)],
    );
    live.chart::<Second>("latency", &seconds, &[|it| Some(it.at as f64), |it| it.p50_s, |it| it.p99_s]);
    live.chart::<Second>("cpu", &seconds, &[|it| Some(it.at as f64), |it| Some(it.cpu_s)]);
    Ok(Json(live))
}
