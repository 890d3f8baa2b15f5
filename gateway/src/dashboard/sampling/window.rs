//! What was done lately: rates over seconds, and what needs more to be said over a minute.

use super::Second;
use crate::metrics::{Latencies, quantile};
use std::collections::VecDeque;

/// Seconds that a rate is the mean of.
const RATE_SECONDS: usize = 10;
/// Seconds after which the older half of the minute is forgotten.
const HALF_SECONDS: u32 = 30;

/// The last minute, in two halves: the older is whole.
#[derive(Default)]
pub(super) struct Window {
    latest: VecDeque<u64>,
    older: Half,
    newer: Half,
    seconds: u32,
    total: u64,
    cpu_s: f64,
}

#[derive(Default)]
struct Half {
    requests: u64,
    failed: u64,
    latencies: Latencies,
}

/// What was done lately, and since the start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Summary {
    /// A second, over the last ten.
    pub(crate) requests_s: f64,
    /// The share of the last minute's requests that failed; `None` when there were none.
    pub(crate) failed: Option<f64>,
    /// Seconds, of the last minute's requests.
    pub(crate) p50_s: Option<f64>,
    pub(crate) p99_s: Option<f64>,
    /// Requests since the start.
    pub(crate) total: u64,
    /// CPU seconds that they used.
    pub(crate) cpu_s: f64,
}

impl Window {
    pub(super) fn add(&mut self, second: &Second, latencies: &Latencies) {
        if self.seconds == HALF_SECONDS {
            self.older = std::mem::take(&mut self.newer);
            self.seconds = 0;
        }
        self.seconds += 1;
        super::push(&mut self.latest, second.requests, RATE_SECONDS);
        self.newer.requests += second.requests;
        self.newer.failed += second.failed;
        self.newer.latencies.iter_mut().zip(latencies).for_each(|(sum, count)| *sum += count);
        self.total += second.requests;
        self.cpu_s += second.cpu_s;
    }

    pub(super) fn summary(&self) -> Summary {
        let mut latencies = self.older.latencies;
        latencies.iter_mut().zip(self.newer.latencies).for_each(|(sum, count)| *sum += count);
        let (requests, failed) = (self.older.requests + self.newer.requests, self.older.failed + self.newer.failed);
        Summary {
            requests_s: self.latest.iter().sum::<u64>() as f64 / self.latest.len().max(1) as f64,
            failed: (requests > 0).then(|| failed as f64 / requests as f64),
            p50_s: quantile(&latencies, 0.5),
            p99_s: quantile(&latencies, 0.99),
            total: self.total,
            cpu_s: self.cpu_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_lately_and_forgets_what_was_before() {
        let mut window = Window::default();
        let mut latencies = Latencies::default();
        latencies[4] = 10;
        let busy = Second { requests: 10, failed: 1, ..Second::default() };
        for _ in 0..10 {
            window.add(&busy, &latencies);
        }
        let summary = window.summary();
        assert_eq!((summary.requests_s, summary.failed, summary.total), (10.0, Some(0.1), 100));
        assert_eq!(summary.p50_s, Some(0.000_75));
        for _ in 0..10 {
            window.add(&Second::default(), &Latencies::default());
        }
        assert_eq!(window.summary().requests_s, 0.0);
        assert_eq!(window.summary().failed, Some(0.1), "within the minute");
        for _ in 0..60 {
            window.add(&Second::default(), &Latencies::default());
        }
        let summary = window.summary();
        assert_eq!((summary.failed, summary.p99_s, summary.total), (None, None, 100));
    }
}
