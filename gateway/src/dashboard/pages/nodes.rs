//! The nodes that serve functions, this one and those that follow it.

use super::{
    super::{Dashboard, Frame, page, units},
    When,
    fleet::Load,
};
use crate::{
    control::{Access, node_is_live},
    problem::Problem,
};
use askama::Template;
use axum::{Extension, extract::State, response::Response};
use std::sync::Arc;

#[derive(Template)]
#[template(path = "nodes.html")]
struct Nodes {
    frame: Frame,
    own: Option<Own>,
    own_name: String,
    revision: String,
    nodes: Vec<Row>,
}

/// This process, as far as it serves.
struct Own {
    url: String,
    functions: String,
    pools: Vec<(&'static str, String)>,
}

struct Row {
    name: String,
    address: String,
    revision: String,
    /// How many changes it has yet to take over.
    behind: u64,
    failing: Vec<String>,
    seen: When,
    live: bool,
    /// Of one that is live, and says so.
    load: Option<Load>,
}

/// The page.
pub(in crate::dashboard) async fn show(
    State(dashboard): State<Arc<Dashboard>>,
    Extension(access): Extension<Access>,
) -> Result<Response, Problem> {
    let registry = &dashboard.plane.registry;
    let revision = registry.revision().await?;
    let row = |node: wasmway_registry::Node| Row {
        live: node_is_live(node.seen_at),
        load: node.report.load.filter(|_| node_is_live(node.seen_at)).map(Load::from),
        behind: revision.saturating_sub(node.report.revision),
        revision: units::count(node.report.revision),
        name: node.report.name,
        address: node.report.address,
        failing: node.report.failing.into_iter().filter(|what| access.may_see(what)).collect(),
        seen: When::at(node.seen_at),
    };
    let nodes = registry.nodes().await?.into_iter().map(row).collect();
    let usage = dashboard.plane.scheduler.usage();
    let pool = |usage: &wasmway_scheduler::EngineUsage| {
        let taken = format!("{} of {} slots taken", units::count(usage.used.into()), units::count(usage.slots.into()));
        (usage.world.as_str(), taken)
    };
    let own = dashboard.table().map(|table| Own {
        url: dashboard.plane.data_url.clone(),
        functions: units::count(table.functions() as u64),
        pools: usage.iter().map(pool).collect(),
    });
    page(&Nodes {
        frame: dashboard.frame("Nodes", "nodes", &access),
        own,
        own_name: dashboard.node_name.clone(),
        revision: units::count(revision),
        nodes,
    })
}
