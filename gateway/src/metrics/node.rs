//! How the process itself stands: what it depends on, how far it is, its disk, its threads.

use super::{gauge, kept};
use crate::{disk::Disk, health::Check};
use prometheus::{Counter, IntGauge, IntGaugeVec, Registry};
use tokio::runtime::{Handle, RuntimeMetrics};

/// What is asked anew for each scrape.
pub(crate) struct NodeState {
    pub(crate) ready: bool,
    pub(crate) checks: Vec<Check>,
    pub(crate) disk: Option<Disk>,
    /// Where functions are served: how many.
    pub(crate) functions: Option<u64>,
    /// The newest revision of the registry that was heard of.
    pub(crate) registry_revision: Option<u64>,
    /// Up to which everything is served here, where functions are.
    pub(crate) served_revision: Option<u64>,
    /// Changes that are not served yet, of a node that follows a registry.
    pub(crate) pending: Option<u64>,
    /// Those among them that could not be made ready.
    pub(crate) failing: Option<u64>,
}

/// Of what does not apply to a process, there is no series.
pub(super) struct OfNode {
    ready: IntGauge,
    dependency_up: IntGaugeVec,
    disk_free: IntGaugeVec,
    disk_size: IntGaugeVec,
    functions: IntGaugeVec,
    registry_revision: IntGaugeVec,
    served_revision: IntGaugeVec,
    pending: IntGaugeVec,
    failing: IntGaugeVec,
    runtime_workers: IntGauge,
    runtime_tasks: IntGauge,
    runtime_queue: IntGauge,
    runtime_busy: Counter,
}

impl OfNode {
    pub(super) fn declare(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help, labels| gauge(registry, name, help, labels);
        let plain = |name: &str, help: &str| kept(registry, IntGauge::new(name, help)?);
        Ok(Self {
            ready: plain("wasmway_ready", "1 while the process takes requests, as /readyz says it, else 0.")?,
            dependency_up: gauge(
                "wasmway_dependency_up",
                "1 while what the process depends on is well, else 0.",
                &["dependency"],
            )?,
            disk_free: gauge("wasmway_disk_free_bytes", "Free space of the disk that has the data directory.", &[])?,
            disk_size: gauge("wasmway_disk_size_bytes", "Size of the disk that has the data directory.", &[])?,
            functions: gauge("wasmway_functions", "Functions that are served here.", &[])?,
            registry_revision: gauge(
                "wasmway_registry_revision",
                "Newest revision of the registry that this process has heard of.",
                &[],
            )?,
            served_revision: gauge(
                "wasmway_served_revision",
                "Revision of the registry up to which everything is served here.",
                &[],
            )?,
            pending: gauge("wasmway_pending_functions", "Functions whose last change is not served here yet.", &[])?,
            failing: gauge(
                "wasmway_failing_functions",
                "Functions whose last change could not be made ready here; it is tried again.",
                &[],
            )?,
            runtime_workers: plain("wasmway_runtime_workers", "Threads that serve requests.")?,
            runtime_tasks: plain("wasmway_runtime_tasks", "Tasks that are alive: connections, long requests.")?,
            runtime_queue: plain(
                "wasmway_runtime_queue_tasks",
                "Tasks that are ready and that no thread has taken up yet.",
            )?,
            runtime_busy: kept(
                registry,
                Counter::new(
                    "wasmway_runtime_busy_seconds_total",
                    "Time that all threads together were busy serving requests.",
                )?,
            )?,
        })
    }

    pub(super) fn set(&self, node: &NodeState) {
        self.ready.set(node.ready.into());
        for check in &node.checks {
            self.dependency_up.with_label_values(&[check.name]).set(check.ok.into());
        }
        let disk = node.disk.as_ref();
        for (gauge, value) in [
            (&self.disk_free, disk.map(|disk| disk.free)),
            (&self.disk_size, disk.map(|disk| disk.size)),
            (&self.functions, node.functions),
            (&self.registry_revision, node.registry_revision),
            (&self.served_revision, node.served_revision),
            (&self.pending, node.pending),
            (&self.failing, node.failing),
        ] {
            if let Some(value) = value {
                gauge.with_label_values::<&str>(&[]).set(i64::try_from(value).unwrap_or(i64::MAX));
            }
        }
        self.set_runtime(&Handle::current().metrics());
    }

    fn set_runtime(&self, runtime: &RuntimeMetrics) {
        self.runtime_workers.set(runtime.num_workers() as i64);
        self.runtime_tasks.set(runtime.num_alive_tasks() as i64);
        self.runtime_queue.set(runtime.global_queue_depth() as i64);
        let busy: f64 =
            (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum();
        self.runtime_busy.inc_by((busy - self.runtime_busy.get()).max(0.0));
    }
}
