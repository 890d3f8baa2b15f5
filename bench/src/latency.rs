//! What a number of times comes to.

use std::time::Duration;

use serde::Serialize;

/// Times, summed up in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Summary {
    pub(crate) count: usize,
    pub(crate) p50_us: f64,
    pub(crate) p90_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    pub(crate) max_us: f64,
}

impl Summary {
    /// Sums up all of them, exactly: no buckets. Zeros when there are none.
    pub(crate) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| percentile(&times, share).as_nanos() as f64 / 1e3;
        Self {
            count: times.len(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: at(1.0),
        }
    }
}

/// The smallest of the sorted `times` that at least this share of them does not exceed.
fn percentile(times: &[Duration], share: f64) -> Duration {
    let rank = (share * times.len() as f64).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

/// The middle of `values`; 0 when there are none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// Microseconds as a person reads them: `840 us`, `12.3 ms`, `1.20 s`.
pub(crate) fn shown(us: f64) -> String {
    match us {
        us if us < 1e3 => format!("{us:.0} us"),
        us if us < 1e4 => format!("{:.2} ms", us / 1e3),
        us if us < 1e6 => format!("{:.1} ms", us / 1e3),
        us => format!("{:.2} s", us / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_times_that_were_measured() {
        let summary = Summary::of((1..=1000).rev().map(Duration::from_micros).collect());
        assert_eq!(summary.count, 1000);
        assert_eq!((summary.p50_us, summary.p90_us, summary.p99_us), (500.0, 900.0, 990.0));
        assert_eq!((summary.p999_us, summary.max_us), (999.0, 1000.0));
        assert_eq!(Summary::of(vec![Duration::from_micros(7)]).p50_us, 7.0);
        assert_eq!(Summary::of(Vec::new()), Summary::default());
    }

    #[test]
    fn the_median_lies_in_the_middle() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 100.0]), 3.0);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
