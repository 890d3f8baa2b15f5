//! What the metrics of functions say, for those who look at them in this process.

use super::FunctionMetrics;
use super::functions::{OTHER, SECONDS};
use prometheus::core::Metric;

/// Invocations by how long they took: one count for each of [`SECONDS`], and one for those that took longer.
pub(crate) type Latencies = [u64; SECONDS.len() + 1];

/// What a function has done since the start of the process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) cpu_s: f64,
}

/// The duration in seconds that the share `quantile` of invocations keeps to, as Prometheus finds it: evenly within a
/// bucket. `None` when there were none.
pub(crate) fn quantile(latencies: &Latencies, quantile: f64) -> Option<f64> {
    let rank = quantile * latencies.iter().sum::<u64>() as f64;
    let mut below = 0.0;
    for (bucket, &count) in latencies.iter().enumerate().filter(|(_, count)| **count > 0) {
        let lower = bucket.checked_sub(1).map_or(0.0, |before| SECONDS[before]);
        let Some(upper) = SECONDS.get(bucket) else { return Some(lower) };
        if below + count as f64 >= rank {
            return Some(lower + (upper - lower) * (rank - below) / count as f64);
        }
        below += count as f64;
    }
    None
}

impl FunctionMetrics {
    /// The labels that it is counted under, unless it shares them with others.
    pub(crate) fn own_labels(&self) -> Option<(&str, &str)> {
        (self.function != OTHER).then_some((&self.namespace, &self.function))
    }

    pub(crate) fn totals(&self) -> Totals {
        let (requests, cpu_s) = (self.duration.get_sample_count(), self.cpu.get_sample_sum());
        Totals { requests, failed: self.failed(), cpu_s }
    }

    pub(crate) fn latencies(&self) -> Latencies {
        let metric = self.duration.metric();
        let histogram = metric.get_histogram();
        let (mut latencies, mut before) = (Latencies::default(), 0);
        for (latency, bucket) in latencies.iter_mut().zip(histogram.get_bucket()) {
            *latency = bucket.cumulative_count() - before;
            before = bucket.cumulative_count();
        }
        latencies[SECONDS.len()] = histogram.get_sample_count().saturating_sub(before);
        latencies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_prometheus() {
        let mut latencies = Latencies::default();
        assert_eq!(quantile(&latencies, 0.5), None);
        latencies[4] = 100;
        assert_eq!(quantile(&latencies, 0.5), Some(0.000_75), "in the middle of 0.5 ms to 1 ms");
        latencies[SECONDS.len()] = 100;
        assert_eq!(quantile(&latencies, 0.99), Some(30.0), "no more is known");
        assert_eq!(quantile(&latencies, 0.25), Some(0.000_75));
    }
}
