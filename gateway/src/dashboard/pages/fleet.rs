//! What the gateways of a fleet have to do, as they say every few seconds.

use super::{super::units, overview::Tile};
use crate::control::node_is_live;
use wasmway_registry::{Node, NodeLoad};

/// What one gateway has to do, in words.
pub(super) struct Load {
    pub(super) requests: String,
    pub(super) failed: String,
    pub(super) p99: String,
    pub(super) cpu: String,
    pub(super) memory: String,
    pub(super) slots: String,
}

impl From<NodeLoad> for Load {
    fn from(load: NodeLoad) -> Self {
        Self {
            requests: units::rate(load.requests_s),
            failed: units::known(load.failed, units::percent),
            p99: units::known(load.p99_s, units::seconds),
            cpu: units::known(load.cpu, units::cores),
            memory: units::known(load.memory_bytes, units::resident),
            slots: format!("{} of {}", units::count(load.slots_used.into()), units::count(load.slots.into())),
        }
    }
}

/// The numbers of all live nodes together.
pub(super) fn tiles(nodes: &[Node]) -> Vec<Tile> {
    let live: Vec<&Node> = nodes.iter().filter(|node| node_is_live(node.seen_at)).collect();
    let loads: Vec<NodeLoad> = live.iter().filter_map(|node| node.report.load).collect();
    let sum = |of: fn(&NodeLoad) -> Option<f64>| {
        let known: Vec<f64> = loads.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| known.iter().sum::<f64>())
    };
    let slowest = live.iter().filter_map(|node| Some((node.report.load?.p99_s?, &node.report.name)));
    let slowest = slowest.max_by(|one, other| one.0.total_cmp(&other.0));
    let of_nodes = format!("of {} live", counted(loads.len()));
    let away = nodes.len() - live.len();
    let slots: u64 = loads.iter().map(|load| u64::from(load.slots)).sum();
    let used: u64 = loads.iter().map(|load| u64::from(load.slots_used)).sum();
    vec![
        Tile::new("requests", "Requests", units::rate(sum(|load| Some(load.requests_s)).unwrap_or(0.0)), &of_nodes),
        Tile::new("failed", "Failed", units::known(failed(&loads), units::percent), "of the last minute's"),
        Tile::new(
            "p99",
            "Latency, p99",
            units::known(slowest.map(|(seconds, _)| seconds), units::seconds),
            slowest.map_or_else(|| "last minute".to_owned(), |(_, name)| format!("of the slowest, {name}")),
        ),
        Tile::of_cpu(sum(|load| load.cpu), &of_nodes),
        Tile::of_memory(sum(|load| load.memory_bytes), &of_nodes),
        Tile::of_slots(used, slots),
        Tile::new("nodes", "Gateways", units::count(live.len() as u64), format!("live, {away} away")),
    ]
}

/// The share of requests that failed: of each node by the requests that it has.
fn failed(loads: &[NodeLoad]) -> Option<f64> {
    // One that has had none in the last seconds has had some in the last minute.
    let weighed = loads.iter().filter_map(|load| Some((load.failed?, load.requests_s.max(0.1))));
    let (sum, weight) = weighed.fold((0.0, 0.0), |(sum, all), (failed, weight)| (sum + failed * weight, all + weight));
    (weight > 0.0).then(|| sum / weight)
}

fn counted(nodes: usize) -> String {
    if nodes == 1 { "1 gateway".to_owned() } else { format!("{nodes} gateways") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_by_how_many_requests_there_are() {
        let load = |requests_s, failed| NodeLoad { requests_s, failed, ..NodeLoad::default() };
        assert_eq!(failed(&[load(5.0, None)]), None);
        assert_eq!(failed(&[load(30.0, Some(0.0)), load(10.0, Some(0.4)), load(7.0, None)]), Some(0.1));
    }
}
