//! Every metric of the process, with its help text and unit, in one place.

mod reading;

pub(crate) use reading::{Latencies, Totals, quantile};

use prometheus::{
    Encoder, Gauge, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use wasmway_scheduler::{Blame, Failure, LoadSource, Receipt, Scheduler, WASMTIME_VERSION};

/// Functions with labels of their own; what comes after them is counted under `_other`.
const LABELLED_FUNCTIONS: usize = 2000;

/// Seconds, from 50 us to 30 s.
const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];
/// Bytes, from 64 KiB to 4 GiB.
const BYTES: &[f64] = &[
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    16_777_216.0,
    67_108_864.0,
    268_435_456.0,
    1_073_741_824.0,
    4_294_967_296.0,
];

/// What functions without labels of their own are counted under.
const OTHER: &str = "_other";

const FUNCTION: &[&str] = &["namespace", "function"];

/// All metrics.
pub(crate) struct Metrics {
    registry: Registry,
    of_functions: OfFunctions,
    rejected: IntCounterVec,
    memory_used: Gauge,
    instances: IntGaugeVec,
    pool_slots: IntGaugeVec,
    pool_slots_used: IntGaugeVec,
    cpu_queue: IntGauge,
    demotions: IntCounter,
    programs_loaded: IntGauge,
    program_loads: IntCounterVec,
    compile_duration: prometheus::Histogram,
    deploys: IntCounterVec,
    connections: IntGaugeVec,
    access_log_dropped: IntCounter,
    labelled: Mutex<HashMap<(String, String), IntCounter>>,
    /// Of functions without labels of their own.
    other_failed: IntCounter,
}

/// What is measured of each invocation, by function.
struct OfFunctions {
    invocations: IntCounterVec,
    duration: HistogramVec,
    cpu: HistogramVec,
    memory: HistogramVec,
    queue: HistogramVec,
    cold_starts: IntCounterVec,
    outbound_requests: IntCounterVec,
    request_bytes: IntCounterVec,
    response_bytes: IntCounterVec,
}

/// The metrics of one function.
pub(crate) struct FunctionMetrics {
    namespace: String,
    function: String,
    ok: IntCounter,
    /// Those whose end is the function's doing or ours, whatever the outcome: for the dashboard alone.
    failed: IntCounter,
    invocations: IntCounterVec,
    duration: prometheus::Histogram,
    cpu: prometheus::Histogram,
    memory: prometheus::Histogram,
    queue: prometheus::Histogram,
    cold_starts: IntCounter,
    outbound_requests: IntCounter,
    request_bytes: IntCounter,
    response_bytes: IntCounter,
    rejected: IntCounterVec,
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
            instances: gauge("wasmway_instances", "Instances that are alive.", &["engine"])?,
            pool_slots: gauge("wasmway_pool_slots", "Instances that the pool can hold at once.", &["engine"])?,
            pool_slots_used: gauge("wasmway_pool_slots_used", "Slots of the pool that are taken.", &["engine"])?,
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
            access_log_dropped: kept(
                &registry,
                IntCounter::new(
                    "wasmway_access_log_dropped_total",
                    "Lines of the access log that were left out, since it was not read fast enough.",
                )?,
            )?,
            labelled: Mutex::default(),
            other_failed: uncollected()?,
            registry: registry.clone(),
        };
        let info = gauge("wasmway_build_info", "The version that runs; always 1.", &["version", "wasmtime"])?;
        info.with_label_values(&[env!("CARGO_PKG_VERSION"), WASMTIME_VERSION]).set(1);
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        Ok(metrics)
    }

    /// The metrics of a function. Past [`LABELLED_FUNCTIONS`] of them, functions share one set.
    pub(crate) fn function(&self, namespace: &str, function: &str) -> FunctionMetrics {
        let mut labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), function.to_owned());
        if labelled.len() < LABELLED_FUNCTIONS
            && !labelled.contains_key(&key)
            && let Ok(failed) = uncollected()
        {
            labelled.insert(key.clone(), failed);
        }
        let known = labelled.get(&key);
        let (namespace, function) = if known.is_some() { (namespace, function) } else { (OTHER, OTHER) };
        let labels = [namespace, function];
        let of = &self.of_functions;
        FunctionMetrics {
            namespace: namespace.to_owned(),
            function: function.to_owned(),
            ok: of.invocations.with_label_values(&[namespace, function, "ok"]),
            failed: known.unwrap_or(&self.other_failed).clone(),
            invocations: of.invocations.clone(),
            duration: of.duration.with_label_values(&labels),
            cpu: of.cpu.with_label_values(&labels),
            memory: of.memory.with_label_values(&labels),
            queue: of.queue.with_label_values(&labels),
            cold_starts: of.cold_starts.with_label_values(&labels),
            outbound_requests: of.outbound_requests.with_label_values(&labels),
            request_bytes: of.request_bytes.with_label_values(&labels),
            response_bytes: of.response_bytes.with_label_values(&labels),
            rejected: self.rejected.clone(),
        }
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

    pub(crate) fn access_log_dropped(&self) -> IntCounter {
        self.access_log_dropped.clone()
    }

    pub(crate) fn connections(&self, plane: &str) -> IntGauge {
        self.connections.with_label_values(&[plane])
    }

    /// The text that Prometheus scrapes, with what the scheduler knows as of now.
    pub(crate) fn scrape(&self, scheduler: &Scheduler) -> prometheus::Result<String> {
        for usage in scheduler.usage() {
            let engine = &[usage.world.as_str()];
            self.instances.with_label_values(engine).set(usage.used.into());
            self.pool_slots.with_label_values(engine).set(usage.slots.into());
            self.pool_slots_used.with_label_values(engine).set(usage.used.into());
        }
        self.cpu_queue.set(scheduler.cpu_queue() as i64);
        self.demotions.inc_by(scheduler.demotions().saturating_sub(self.demotions.get()));
        self.programs_loaded.set(scheduler.programs_loaded() as i64);
        for (source, label) in [(LoadSource::Cache, "cache"), (LoadSource::Compile, "compile")] {
            let counter = self.program_loads.with_label_values(&[label]);
            counter.inc_by(scheduler.program_loads(source).saturating_sub(counter.get()));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        String::from_utf8(text).map_err(|error| prometheus::Error::Msg(error.to_string()))
    }
}

impl OfFunctions {
    fn declare(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name, help, labels| counter(registry, name, help, labels);
        let histogram = |name, help, buckets| histogram(registry, name, help, buckets);
        Ok(Self {
            invocations: counter(
                "wasmway_invocations_total",
                "Invocations that have ended, by how.",
                &["namespace", "function", "outcome"],
            )?,
            duration: histogram(
                "wasmway_invocation_duration_seconds",
                "Wall-clock time of an invocation, its bodies included.",
                SECONDS,
            )?,
            cpu: histogram("wasmway_invocation_cpu_seconds", "CPU time of an invocation.", SECONDS)?,
            memory: histogram("wasmway_invocation_memory_bytes", "Most memory that an invocation had at once.", BYTES)?,
            queue: histogram(
                "wasmway_invocation_queue_seconds",
                "Time that an invocation was ready to run and waited: for its program, for the CPU.",
                SECONDS,
            )?,
            outbound_requests: counter(
                "wasmway_outbound_requests_total",
                "Requests that functions sent to other hosts.",
                FUNCTION,
            )?,
            cold_starts: counter(
                "wasmway_cold_starts_total",
                "Invocations whose program was not in memory.",
                FUNCTION,
            )?,
            request_bytes: counter(
                "wasmway_request_bytes_total",
                "Bytes of request bodies that functions read.",
                FUNCTION,
            )?,
            response_bytes: counter(
                "wasmway_response_bytes_total",
                "Bytes of response bodies that functions sent.",
                FUNCTION,
            )?,
        })
    }
}

/// A counter that is no metric of its own.
fn uncollected() -> prometheus::Result<IntCounter> {
    IntCounter::new("failed", "Invocations that failed.")
}

fn counter(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
    kept(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn gauge(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
    kept(registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
}

fn histogram(registry: &Registry, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<HistogramVec> {
    kept(registry, HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), FUNCTION)?)
}

fn kept<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> prometheus::Result<M> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

impl FunctionMetrics {
    /// Counts an invocation that is over.
    pub(crate) fn observe(&self, receipt: &Receipt) {
        match &receipt.failure {
            Some(Failure::FunctionBusy { .. }) => return self.rejected.with_label_values(&["function-busy"]).inc(),
            Some(Failure::NodeBusy) => return self.rejected.with_label_values(&["node-busy"]).inc(),
            Some(failure) => {
                let labels = [self.namespace.as_str(), self.function.as_str(), failure.outcome().as_str()];
                self.invocations.with_label_values(&labels).inc();
                if failure.outcome().blame() != Blame::NotOurs {
                    self.failed.inc();
                }
            }
            None => self.ok.inc(),
        }
        self.duration.observe(receipt.wall.as_secs_f64());
        self.cpu.observe(receipt.cpu.as_secs_f64());
        self.memory.observe(receipt.memory_bytes as f64);
        self.queue.observe(receipt.queued.as_secs_f64());
        self.outbound_requests.inc_by(receipt.outbound_requests);
        self.request_bytes.inc_by(receipt.bytes_in);
        self.response_bytes.inc_by(receipt.bytes_out);
        if receipt.cold {
            self.cold_starts.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_past_the_cap_share_labels() {
        let metrics = Metrics::new().unwrap();
        for number in 0..LABELLED_FUNCTIONS {
            metrics.function("default", &format!("f{number}"));
        }
        assert_eq!(metrics.function("default", "one-more").function, "_other");
        assert_eq!(metrics.function("default", "f7").function, "f7");
    }
}
