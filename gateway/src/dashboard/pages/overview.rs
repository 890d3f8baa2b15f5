//! The first page: how this process is, and where to look.

use super::{
    super::{Dashboard, Entry, Frame, link, page, sampling, units, visible},
    When, fleet,
};
use crate::{control::Access, dashboard::sampling::Summary, problem::Problem};
use askama::Template;
use axum::{Extension, extract::State, response::Response};
use std::sync::Arc;

/// Functions in each of the short lists.
const LISTED: usize = 5;
/// Changes that are listed.
const CHANGES: u32 = 6;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    functions: usize,
    data_url: String,
    tiles: Vec<Tile>,
    busiest: Vec<Line>,
    failing: Vec<Line>,
    changes: Option<Vec<Change>>,
}

/// A number that stands out.
pub(in crate::dashboard) struct Tile {
    /// By which it is brought up to date.
    pub(in crate::dashboard) id: &'static str,
    pub(in crate::dashboard) label: &'static str,
    pub(in crate::dashboard) value: String,
    pub(in crate::dashboard) note: String,
}

impl Tile {
    pub(in crate::dashboard) fn new(
        id: &'static str,
        label: &'static str,
        value: impl Into<String>,
        note: impl Into<String>,
    ) -> Self {
        Self { id, label, value: value.into(), note: note.into() }
    }

    /// What calls did, of one function or of all.
    pub(in crate::dashboard) fn of_calls(summary: &Summary) -> Vec<Self> {
        let total = format!("{} since the start", units::count(summary.total));
        vec![
            Self::new("requests", "Requests", units::rate(summary.requests_s), total),
            Self::new("failed", "Failed", units::known(summary.failed, units::percent), "of the last minute's"),
            Self::new("p50", "Latency, p50", units::known(summary.p50_s, units::seconds), "last minute"),
            Self::new("p99", "Latency, p99", units::known(summary.p99_s, units::seconds), "last minute"),
        ]
    }
}

/// What a node uses, or several do together.
impl Tile {
    pub(in crate::dashboard) fn of_cpu(cores: Option<f64>, note: impl Into<String>) -> Self {
        Self::new("cpu", "CPU", units::known(cores, units::cores), note)
    }

    pub(in crate::dashboard) fn of_memory(bytes: Option<f64>, note: impl Into<String>) -> Self {
        Self::new("memory", "Memory", units::known(bytes, units::resident), note)
    }

    pub(in crate::dashboard) fn of_slots(used: u64, slots: u64) -> Self {
        Self::new("slots", "Instances", units::count(used), format!("of {} slots", units::count(slots)))
    }
}

/// A function with a number.
struct Line {
    name: String,
    namespace: String,
    link: String,
    value: String,
    note: String,
}

/// Something that somebody did.
struct Change {
    when: When,
    author: String,
    action: String,
    subject: String,
    after: String,
}

/// The page.
pub(in crate::dashboard) async fn show(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
) -> Result<Response, Problem> {
    let all = dashboard.functions().await?;
    let functions: Vec<&Entry> = visible(&all, &access).collect();
    let summaries = dashboard.sampler.summaries();
    let of = |number: fn(&Summary) -> Option<f64>, text: fn(&Summary) -> (String, String)| {
        let with_number = |entry: &&Entry| {
            let summary = summaries.get(&sampling::key(entry.namespace.as_str(), entry.name.as_str()))?;
            Some((number(summary)?, *summary))
        };
        let mut found: Vec<_> = functions
            .iter()
            .filter_map(|entry| with_number(entry).map(|(number, summary)| (number, *entry, summary)))
            .collect();
        found.sort_by(|one, other| other.0.total_cmp(&one.0));
        let lines = found.into_iter().take(LISTED).map(|(_, entry, summary)| {
            let (value, note) = text(&summary);
            let (name, namespace) = (entry.name.to_string(), entry.namespace.to_string());
            Line { name, namespace, link: link(&entry.namespace, &entry.name), value, note }
        });
        lines.collect::<Vec<_>>()
    };
    let busiest = of(
        |it| Some(it.requests_s).filter(|rate| *rate > 0.0),
        |it| (units::rate(it.requests_s), format!("p99 {}", units::known(it.p99_s, units::seconds))),
    );
    let failing = of(
        |it| it.failed.filter(|share| *share > 0.0),
        |it| (units::known(it.failed, units::percent), units::rate(it.requests_s)),
    );
    let changes = if access.is_operator() { Some(changes(&dashboard).await?) } else { None };
    page(&Overview {
        frame: dashboard.frame("Overview", "overview", &access),
        functions: functions.len(),
        data_url: dashboard.plane.data_url.clone(),
        tiles: tiles(&dashboard, functions.len()).await?,
        busiest,
        failing,
        changes,
    })
}

async fn changes(dashboard: &Dashboard) -> Result<Vec<Change>, Problem> {
    let entries = dashboard.plane.registry.audit(None, CHANGES).await?;
    let change = |entry: wasmway_registry::AuditEntry| Change {
        when: When::at(entry.at),
        author: entry.author,
        action: entry.action,
        subject: entry.subject,
        after: entry.after.unwrap_or_else(|| "gone".to_owned()),
    };
    Ok(entries.into_iter().map(change).collect())
}

/// The numbers at the top, as they are now.
pub(in crate::dashboard) async fn tiles(dashboard: &Dashboard, functions: usize) -> Result<Vec<Tile>, Problem> {
    let count = Tile::new("functions", "Functions", units::count(functions as u64), "deployed");
    if dashboard.plane.catalog.is_none() {
        let nodes = dashboard.plane.registry.nodes().await?;
        return Ok(fleet::tiles(&nodes).into_iter().chain([count]).collect());
    }
    let load = dashboard.sampler.load();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = dashboard.plane.metrics.memory_used().get();
    let of_machine =
        if memory > 0.0 { format!("machine at {}", units::percent(memory)) } else { "of this process".to_owned() };
    let mut tiles = Tile::of_calls(&dashboard.sampler.node_summary());
    tiles.extend([
        Tile::of_cpu(load.cpu, format!("of {cores}")),
        Tile::of_memory(load.memory_bytes, of_machine),
        Tile::of_slots(load.slots_used.into(), load.slots.into()),
        count,
    ]);
    Ok(tiles)
}
