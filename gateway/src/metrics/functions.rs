//! What is measured of each invocation, by function.

use super::{
    counter,
    exemplars::{ByBucket, Exemplars},
    histogram,
};
use crate::traces::Context;
use prometheus::{HistogramVec, IntCounter, IntCounterVec, Registry, core::Collector, proto::Metric};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};
use wasmway_scheduler::{Blame, Failure, Receipt};

/// Functions with labels of their own; what comes after them is counted under `_other`.
pub(super) const LABELLED_FUNCTIONS: usize = 2000;

/// What functions without labels of their own are counted under.
pub(super) const OTHER: &str = "_other";

/// Seconds, from 50 us to 30 s.
pub(super) const SECONDS: &[f64] = &[
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

const FUNCTION: &[&str] = &["namespace", "function"];
const DURATION: &str = "wasmway_invocation_duration_seconds";

/// The metrics of all functions.
pub(super) struct OfFunctions {
    invocations: IntCounterVec,
    duration: HistogramVec,
    cpu: HistogramVec,
    memory: HistogramVec,
    queue: HistogramVec,
    cold_starts: IntCounterVec,
    outbound_requests: IntCounterVec,
    request_bytes: IntCounterVec,
    response_bytes: IntCounterVec,
    throttled: IntCounterVec,
    /// Who has labels of its own, and has them still.
    labelled: Mutex<HashMap<(String, String), Arc<Own>>>,
    /// Of those who have none.
    other: Arc<Own>,
}

/// What is known of those who are counted under the same labels, beside what is collected.
struct Own {
    /// When they were given the labels.
    since: SystemTime,
    /// The labels were taken away: series that were removed are not to come back.
    forgotten: AtomicBool,
    /// Invocations whose end is the function's doing or ours, whatever the outcome: for the dashboard alone.
    failed: AtomicU64,
    /// Calls that were traced, by how long they took.
    exemplars: Exemplars,
}

impl Default for Own {
    fn default() -> Self {
        let (forgotten, failed) = Default::default();
        Self { since: SystemTime::now(), forgotten, failed, exemplars: Exemplars::default() }
    }
}

/// The metrics of one function.
pub(crate) struct FunctionMetrics {
    pub(super) namespace: String,
    pub(super) function: String,
    ok: IntCounter,
    invocations: IntCounterVec,
    pub(super) duration: prometheus::Histogram,
    pub(super) cpu: prometheus::Histogram,
    memory: prometheus::Histogram,
    queue: prometheus::Histogram,
    cold_starts: IntCounter,
    outbound_requests: IntCounter,
    request_bytes: IntCounter,
    response_bytes: IntCounter,
    throttled: IntCounter,
    own: Arc<Own>,
    rejected: IntCounterVec,
}

impl OfFunctions {
    pub(super) fn declare(registry: &Registry) -> prometheus::Result<Self> {
        let counter = |name, help, labels| counter(registry, name, help, labels);
        let histogram = |name, help, buckets| histogram(registry, name, help, buckets, FUNCTION);
        Ok(Self {
            invocations: counter(
                "wasmway_invocations_total",
                "Invocations that have ended, by how.",
                &["namespace", "function", "outcome"],
            )?,
            duration: histogram(DURATION, "Wall-clock time of an invocation, its bodies included.", SECONDS)?,
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
            throttled: counter(
                "wasmway_throttled_total",
                "Requests that were answered 429, since their function, or its namespace, already had as many as it may.",
                FUNCTION,
            )?,
            labelled: Mutex::default(),
            other: Arc::default(),
        })
    }

    /// The metrics of a function. Past [`LABELLED_FUNCTIONS`] of them, functions share one set.
    pub(super) fn of(&self, namespace: &str, function: &str, rejected: &IntCounterVec) -> FunctionMetrics {
        let mut labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), function.to_owned());
        let known = match labelled.get(&key) {
            None if labelled.len() < LABELLED_FUNCTIONS => Some(labelled.entry(key).or_default().clone()),
            known => known.cloned(),
        };
        let (namespace, function) = if known.is_some() { (namespace, function) } else { (OTHER, OTHER) };
        let labels = [namespace, function];
        FunctionMetrics {
            namespace: namespace.to_owned(),
            function: function.to_owned(),
            ok: self.invocations.with_label_values(&[namespace, function, "ok"]),
            invocations: self.invocations.clone(),
            duration: self.duration.with_label_values(&labels),
            cpu: self.cpu.with_label_values(&labels),
            memory: self.memory.with_label_values(&labels),
            queue: self.queue.with_label_values(&labels),
            cold_starts: self.cold_starts.with_label_values(&labels),
            outbound_requests: self.outbound_requests.with_label_values(&labels),
            request_bytes: self.request_bytes.with_label_values(&labels),
            response_bytes: self.response_bytes.with_label_values(&labels),
            throttled: self.throttled.with_label_values(&labels),
            own: known.unwrap_or_else(|| self.other.clone()),
            rejected: rejected.clone(),
        }
    }

    /// Removes the series of a function that is gone: its labels are another's then. What still runs of it is counted
    /// nowhere.
    pub(super) fn forget(&self, namespace: &str, function: &str) {
        let mut labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(own) = labelled.remove(&(namespace.to_owned(), function.to_owned())) else { return };
        own.forgotten.store(true, Relaxed);
        let labels = [namespace, function];
        for outcome in self.outcomes(&labels) {
            // Each of these was there a moment ago, or is gone already.
            let _ = self.invocations.remove_label_values(&[namespace, function, &outcome]);
        }
        for histogram in [&self.duration, &self.cpu, &self.memory, &self.queue] {
            let _ = histogram.remove_label_values(&labels);
        }
        let counters =
            [&self.cold_starts, &self.outbound_requests, &self.request_bytes, &self.response_bytes, &self.throttled];
        for counter in counters {
            let _ = counter.remove_label_values(&labels);
        }
    }

    /// Of those who are counted in a series, if it is one of functions.
    fn own(&self, series: &Metric) -> Option<Arc<Own>> {
        let value = |name| series.get_label().iter().find(|label| label.name() == name).map(|label| label.value());
        let key = (value("namespace")?.to_owned(), value("function")?.to_owned());
        let labelled = self.labelled.lock().unwrap_or_else(PoisonError::into_inner);
        if key.1 == OTHER { Some(self.other.clone()) } else { labelled.get(&key).cloned() }
    }

    /// When a series began to count: with its function, or with the process, as those have who share labels.
    pub(super) fn since(&self, series: &Metric) -> SystemTime {
        self.own(series).as_ref().unwrap_or(&self.other).since
    }

    pub(super) fn exemplars(&self, family: &str, series: &Metric) -> Option<ByBucket> {
        (family == DURATION).then(|| self.own(series)?.exemplars.latest()).flatten()
    }

    /// How the invocations of a function have ended, as far as there is a series of it.
    fn outcomes(&self, function: &[&str; 2]) -> Vec<String> {
        let families = self.invocations.collect();
        let all = families.iter().flat_map(|family| family.get_metric());
        all.filter_map(|metric| {
            let value = |name| metric.get_label().iter().find(|label| label.name() == name).map(|label| label.value());
            (value("namespace") == Some(function[0]) && value("function") == Some(function[1]))
                .then(|| value("outcome").map(str::to_owned))
                .flatten()
        })
        .collect()
    }
}

impl FunctionMetrics {
    /// Invocations that failed, of all who are counted under its labels.
    pub(super) fn failed(&self) -> u64 {
        self.own.failed.load(Relaxed)
    }

    /// Counts a request that a limit of the function or of its namespace has refused.
    fn throttle(&self, reason: &str) {
        self.throttled.inc();
        self.rejected.with_label_values(&[reason]).inc();
    }

    /// Counts an invocation that is over. `place` is where its trace has it, if that is recorded.
    pub(crate) fn observe(&self, receipt: &Receipt, place: Option<Context>) {
        match &receipt.failure {
            Some(Failure::FunctionBusy { .. }) => return self.throttle("function-busy"),
            Some(Failure::NamespaceBusy { .. }) => return self.throttle("namespace-busy"),
            Some(Failure::RateExceeded { .. }) => return self.throttle("rate-exceeded"),
            Some(Failure::NodeBusy) => return self.rejected.with_label_values(&["node-busy"]).inc(),
            Some(failure) if !self.own.forgotten.load(Relaxed) => {
                let labels = [self.namespace.as_str(), self.function.as_str(), failure.outcome().as_str()];
                self.invocations.with_label_values(&labels).inc();
                if failure.outcome().blame() != Blame::NotOurs {
                    self.own.failed.fetch_add(1, Relaxed);
                }
            }
            Some(_) => {}
            None => self.ok.inc(),
        }
        self.duration.observe(receipt.wall.as_secs_f64());
        if let Some(place) = place {
            self.own.exemplars.keep(place, receipt.wall.as_secs_f64());
        }
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
    use super::{super::Metrics, *};
    use crate::server_timing::tests::nothing_used;

    #[test]
    fn functions_past_the_cap_share_labels() {
        let metrics = Metrics::new().unwrap();
        for number in 0..LABELLED_FUNCTIONS {
            metrics.function("default", &format!("f{number}"));
        }
        assert_eq!(metrics.function("default", "one-more").function, "_other");
        assert_eq!(metrics.function("default", "f7").function, "f7");
        metrics.forget("default", "f7");
        assert_eq!(metrics.function("default", "another").function, "another", "labels that are free are given again");
        assert_eq!(metrics.function("default", "f7").function, "_other");
    }

    /// How a call ended that crashed.
    fn crashed() -> Receipt {
        Receipt { failure: Some(Failure::NoResponse), ..nothing_used() }
    }

    #[test]
    fn a_function_that_is_gone_leaves_no_series() {
        let metrics = Metrics::new().unwrap();
        let of = metrics.function("shop", "cart");
        of.ok.inc();
        of.observe(&crashed(), None);
        metrics.function("shop", "till").ok.inc();
        let before = metrics.text().unwrap();
        assert!(
            before.contains(r#"wasmway_invocations_total{function="cart",namespace="shop",outcome="no-response"} 1"#)
        );
        metrics.forget("shop", "cart");
        // One that was under way.
        of.observe(&crashed(), None);
        let after = metrics.text().unwrap();
        assert!(!after.contains("cart"), "{after}");
        assert_eq!(before.matches("till").count(), after.matches("till").count());
    }
}
