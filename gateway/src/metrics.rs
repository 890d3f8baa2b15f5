//! Every metric of the process, with its help text and unit, in one place.

mod engines;
mod exemplars;
mod functions;
mod node;
mod openmetrics;
mod reading;

pub(crate) use exemplars::{ByBucket, Exemplar};
pub(crate) use functions::FunctionMetrics;
pub(crate) use node::NodeState;
pub(crate) use reading::{Latencies, Totals, quantile};

use engines::OfEngines;
use functions::OfFunctions;
use node::OfNode;
use prometheus::{
    Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
    core::Collector,
    proto::{Metric, MetricFamily},
};
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use wasmway_scheduler::{LoadSource, Scheduler, WASMTIME_VERSION};

/// What is sent to a receiver of OTLP.
pub(crate) struct Sent {
    pub(crate) spans: SentCounts,
    pub(crate) log_records: SentCounts,
    pub(crate) metric_points: SentCounts,
}

/// Something that is sent, by what became of it.
#[derive(Clone)]
pub(crate) struct SentCounts {
    pub(crate) sent: IntCounter,
    /// More were waiting than may wait.
    pub(crate) dropped: IntCounter,
    /// The receiver did not take them.
    pub(crate) failed: IntCounter,
}

/// What a metric is measured in, as its name says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Bytes,
    Ratio,
}

impl Unit {
    pub(crate) fn of(name: &str) -> Option<Self> {
        let (_, ending) = name.strip_suffix("_total").unwrap_or(name).rsplit_once('_')?;
        [Self::Seconds, Self::Bytes, Self::Ratio].into_iter().find(|unit| unit.as_str() == ending)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Bytes => "bytes",
            Self::Ratio => "ratio",
        }
    }
}

/// All metrics.
pub(crate) struct Metrics {
    registry: Registry,
    /// Held while [`Metrics::refresh`] brings counters up to date: two at once would count the same twice.
    refreshing: Mutex<()>,
    of_functions: OfFunctions,
    rejected: IntCounterVec,
    memory_used: Gauge,
    of_engines: OfEngines,
    cpu_queue: IntGauge,
    demotions: IntCounter,
    programs_loaded: IntGauge,
    program_loads: IntCounterVec,
    compile_duration: prometheus::Histogram,
    deploys: IntCounterVec,
    connections: IntGaugeVec,
    access_log_dropped: IntCounter,
    sent: Sent,
    node: OfNode,
    certificate_until: IntGaugeVec,
}

impl Metrics {
    /// Declares and registers everything.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name, help, labels| counter(&registry, name, help, labels);
        let gauge = |name, help, labels| gauge(&registry, name, help, labels);
        let metrics = Self {
            of_functions: OfFunctions::declare(&registry)?,
            rejected: counter(
                "wasmway_rejected_total",
                "Requests that were turned away before they ran.",
                &["reason"],
            )?,
            memory_used: kept(
                &registry,
                Gauge::new(
                    "wasmway_memory_used_ratio",
                    "Memory in use, as a share of what the machine or the control group has, 0 to 1.",
                )?,
            )?,
            of_engines: OfEngines::declare(&registry)?,
            cpu_queue: kept(
                &registry,
                IntGauge::new("wasmway_cpu_queue_requests", "Long requests that are ready and wait for their turn.")?,
            )?,
            demotions: kept(
                &registry,
                IntCounter::new(
                    "wasmway_demotions_total",
                    "Requests that were sent to the lane of long requests, after a slice of CPU time or at once.",
                )?,
            )?,
            programs_loaded: kept(&registry, IntGauge::new("wasmway_programs_loaded", "Programs in memory.")?)?,
            program_loads: counter(
                "wasmway_program_loads_total",
                "Programs loaded into memory, by where they came from.",
                &["source"],
            )?,
            compile_duration: kept(
                &registry,
                prometheus::Histogram::with_opts(
                    HistogramOpts::new("wasmway_compile_duration_seconds", "Time to compile an uploaded component.")
                        .buckets(vec![0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0]),
                )?,
            )?,
            deploys: counter("wasmway_deploys_total", "Deploys, by how they ended.", &["result"])?,
            connections: gauge("wasmway_http_connections", "Open connections of clients.", &["plane"])?,
            certificate_until: gauge(
                "wasmway_certificate_expiry_timestamp_seconds",
                "Until when a certificate of the data plane is good; without a host, the one that is read from files.",
                &["host"],
            )?,
            access_log_dropped: kept(
                &registry,
                IntCounter::new(
                    "wasmway_access_log_dropped_total",
                    "Lines of the access log that were left out, since it was not read fast enough.",
                )?,
            )?,
            sent: Sent::declare(&registry)?,
            node: OfNode::declare(&registry)?,
            refreshing: Mutex::default(),
            registry: registry.clone(),
        };
        let info = gauge("wasmway_build_info", "The version that runs; always 1.", &["version", "wasmtime"])?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), WASMTIME_VERSION]).set(1);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// The metrics of a function.
    pub(crate) fn function(&self, namespace: &str, function: &str) -> FunctionMetrics {
        self.of_functions.of(namespace, function, &self.rejected)
    }

    /// Forgets those of a function that is gone.
    pub(crate) fn forget(&self, namespace: &str, function: &str) {
        self.of_functions.forget(namespace, function);
    }

    /// The share of the memory that is in use.
    pub(crate) fn memory_used(&self) -> Gauge {
        self.memory_used.clone()
    }

    /// Counts a request that never reached a function.
    pub(crate) fn rejected(&self, reason: &str) {
        self.rejected.with_label_values(&[reason]).inc();
    }

    pub(crate) fn deployed(&self, result: &str) {
        self.deploys.with_label_values(&[result]).inc();
    }

    pub(crate) fn compiled(&self, took: Duration) {
        self.compile_duration.observe(took.as_secs_f64());
    }

    /// Seconds since 1970; the hosts are those of the configuration.
    pub(crate) fn certificate_until(&self, host: &str, until: i64) {
        self.certificate_until.with_label_values(&[host]).set(until);
    }

    pub(crate) fn access_log_dropped(&self) -> IntCounter {
        self.access_log_dropped.clone()
    }

    pub(crate) fn sent(&self) -> &Sent {
        &self.sent
    }

    pub(crate) fn connections(&self, plane: &str) -> IntGauge {
        self.connections.with_label_values(&[plane])
    }

    /// Takes over what the scheduler knows as of now, and how the node stands.
    pub(crate) fn refresh(&self, scheduler: &Scheduler, node: &NodeState) {
        let _alone = self.refreshing.lock().unwrap_or_else(PoisonError::into_inner);
        self.node.set(node);
        scheduler.usage().iter().for_each(|usage| self.of_engines.set(usage));
        self.cpu_queue.set(scheduler.cpu_queue() as i64);
        self.demotions.inc_by(scheduler.demotions().saturating_sub(self.demotions.get()));
        self.programs_loaded.set(scheduler.programs_loaded() as i64);
        for (source, label) in [(LoadSource::Cache, "cache"), (LoadSource::Compile, "compile")] {
            let counter = self.program_loads.with_label_values(&[label]);
            counter.inc_by(scheduler.program_loads(source).saturating_sub(counter.get()));
        }
    }

    /// Everything that is measured, as of the last [`Self::refresh`].
    pub(crate) fn families(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    /// The same in Prometheus' text format.
    pub(crate) fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.families())
    }

    /// Calls that were traced, for each bucket of a series of that family: `None` where there are none.
    pub(crate) fn exemplars(&self, family: &str, series: &Metric) -> Option<ByBucket> {
        self.of_functions.exemplars(family, series)
    }

    /// Since when a series counts.
    pub(crate) fn since(&self, series: &Metric) -> SystemTime {
        self.of_functions.since(series)
    }
}

impl Sent {
    fn declare(registry: &Registry) -> prometheus::Result<Self> {
        let counts = |name, what| SentCounts::declare(registry, name, what);
        Ok(Self {
            spans: counts("wasmway_spans_total", "Spans of traces")?,
            log_records: counts("wasmway_log_records_total", "Lines of functions sent by OTLP")?,
            metric_points: counts("wasmway_metric_points_total", "Values of metrics sent by OTLP")?,
        })
    }
}

impl SentCounts {
    fn declare(registry: &Registry, name: &str, what: &str) -> prometheus::Result<Self> {
        let help = format!(
            "{what}, by what became of them: sent, dropped (too many were waiting) or failed (the receiver did not take them)."
        );
        let counts = counter(registry, name, &help, &["result"])?;
        let of = |result| counts.with_label_values(&[result]);
        Ok(Self { sent: of("sent"), dropped: of("dropped"), failed: of("failed") })
    }
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    kept(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    kept(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histogram(
    registry: &Registry,
    name: &str,
    help: &str,
    buckets: &[f64],
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    kept(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?)
}

fn kept<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> prometheus::Result<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
