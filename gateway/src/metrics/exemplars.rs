//! Examples of what was measured: for each bucket of a histogram, the trace of a call that fell into it.

use super::functions::SECONDS;
use crate::traces::Context;
use opentelemetry::trace::{SpanId, TraceId};
use std::{
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

/// A call that was traced, and what was measured of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exemplar {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) value: f64,
    pub(crate) time: SystemTime,
}

/// One for each of [`SECONDS`], and one for what is above them.
pub(crate) type ByBucket = [Option<Exemplar>; SECONDS.len() + 1];

/// The latest of each bucket. Takes no room as long as nothing is traced.
#[derive(Default)]
pub(super) struct Exemplars(Mutex<Option<Box<ByBucket>>>);

impl Exemplars {
    pub(super) fn keep(&self, place: Context, value: f64) {
        let exemplar = Exemplar { trace: place.trace, span: place.span, value, time: SystemTime::now() };
        let bucket = SECONDS.partition_point(|upper| *upper < value);
        // Whole between any two statements that could panic.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get_or_insert_default()[bucket] = Some(exemplar);
    }

    pub(super) fn latest(&self) -> Option<ByBucket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_deref().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_of_each_bucket_is_kept() {
        let exemplars = Exemplars::default();
        assert!(exemplars.latest().is_none());
        let place = |number: u128| Context { trace: number.into(), span: 1.into(), is_sampled: true };
        let seen = [(1, 0.0), (2, 0.001), (3, 0.000_9), (4, 0.001_1), (5, 30.0), (6, 31.0)];
        for (trace, value) in seen {
            exemplars.keep(place(trace), value);
        }
        let latest = exemplars.latest().unwrap();
        let kept: Vec<_> =
            latest.iter().map(|kept| kept.map_or(0, |kept| u128::from_be_bytes(kept.trace.to_bytes()))).collect();
        assert_eq!(kept, [1, 0, 0, 0, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 6]);
    }
}
