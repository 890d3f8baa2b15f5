//! A bound on how often something may begin: the generic cell rate algorithm (ITU-T I.371), which is a leaky bucket in
//! one word.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// What may come at once after a rest is what may come in so long.
const BURST: Duration = Duration::from_secs(1);
const UNBOUNDED: u32 = u32::MAX;

/// So many a second, and so many at once.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: AtomicU32,
    begin: Instant,
    /// Nanoseconds after `begin` at which all that has come so far would be over at an even pace.
    through: AtomicU64,
}

impl Rate {
    /// Without a bound.
    pub(crate) fn new() -> Self {
        Self { per_second: AtomicU32::new(UNBOUNDED), begin: Instant::now(), through: AtomicU64::new(0) }
    }

    pub(crate) fn set(&self, per_second: Option<u32>) {
        self.per_second.store(per_second.unwrap_or(UNBOUNDED), Relaxed);
    }

    pub(crate) fn is_bounded(&self) -> bool {
        self.per_second.load(Relaxed) != UNBOUNDED
    }

    /// Counts one that comes `now`, or answers what the bound is if it is one too many.
    pub(crate) fn take(&self, now: Instant) -> Result<(), u32> {
        let per_second = self.per_second.load(Relaxed);
        if per_second == UNBOUNDED {
            return Ok(());
        }
        let burst = nanos(BURST);
        let Some(pace) = burst.checked_div(u64::from(per_second)) else { return Err(per_second) };
        let now = nanos(now.saturating_duration_since(self.begin));
        let next = |through: u64| {
            let next = through.max(now) + pace;
            (next <= now + burst).then_some(next)
        };
        self.through.fetch_update(Relaxed, Relaxed, next).map(drop).map_err(|_| per_second)
    }
}

fn nanos(time: Duration) -> u64 {
    // A process does not run for centuries.
    time.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_a_bound_all_come_and_with_none_allowed_nobody() {
        let rate = Rate::new();
        let now = Instant::now();
        assert!((0..10_000).all(|_| rate.take(now).is_ok()));
        rate.set(Some(0));
        assert_eq!(rate.take(now + Duration::from_secs(60)), Err(0));
        rate.set(None);
        assert!(rate.take(now).is_ok());
    }

    proptest! {
        /// In any stretch of time there are no more than come in it, and a burst; and a rest is worth a burst.
        #[test]
        fn no_more_than_the_bound_and_no_less(
            per_second in 1..500_u32,
            steps in prop::collection::vec(0..20_000_000_u64, 1..400),
        ) {
            let rate = Rate::new();
            rate.set(Some(per_second));
            let mut now = rate.begin;
            let mut taken: Vec<Instant> = Vec::new();
            for step in steps {
                now += Duration::from_nanos(step);
                if rate.take(now).is_ok() {
                    taken.push(now);
                }
            }
            for (first, begin) in taken.iter().enumerate() {
                let span = (*taken.last().unwrap() - *begin).as_secs_f64();
                let most = f64::from(per_second) * (1.0 + span) + 1.0;
                prop_assert!((taken.len() - first) as f64 <= most, "{} in {span} s", taken.len() - first);
            }
            now += 2 * BURST;
            let at_once = (0..2 * per_second).filter(|_| rate.take(now).is_ok()).count();
            prop_assert_eq!(at_once, per_second as usize);
        }
    }
}
