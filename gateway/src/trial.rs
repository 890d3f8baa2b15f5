//! Versions on trial: a version that gets a part of its function's requests is taken back when it does worse than the
//! active one, by what its split says. Each node judges by its own requests, and the first that has seen enough asks the
//! registry, which takes the version back everywhere.

use crate::{backend::SplitBackend, catalog::Catalog, control::ControlPlane, follower::Upstream};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use wasmway_registry::{TakeBack, Trial};
use wasmway_scheduler::{Blame, Outcome, Receipt};

/// How often trials are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Buckets of latencies: four for each doubling, from a microsecond to more than a minute.
const BUCKETS: usize = 4 * 27;
/// A p99 that is higher by less than this is not worse, whatever the ratio: so much is chance.
const LATENCY_NOISE_US: u64 = 1000;

/// How the requests of one version went since its split began.
pub(crate) struct Tally {
    requests: AtomicU64,
    failed: AtomicU64,
    latencies: [AtomicU32; BUCKETS],
}

impl Default for Tally {
    fn default() -> Self {
        let latencies = std::array::from_fn(|_| AtomicU32::new(0));
        Self { requests: AtomicU64::new(0), failed: AtomicU64::new(0), latencies }
    }
}

impl Tally {
    /// Counts a request, unless what became of it was the client's or the platform's doing.
    pub(crate) fn count(&self, receipt: &Receipt, outcome: Outcome) {
        let failed = match outcome.blame() {
            Blame::Function => true,
            Blame::NotOurs if outcome == Outcome::Ok => receipt.status.is_some_and(|status| status.is_server_error()),
            Blame::NotOurs | Blame::Platform => return,
        };
        self.requests.fetch_add(1, Relaxed);
        self.failed.fetch_add(u64::from(failed), Relaxed);
        self.latencies[bucket(receipt.wall.as_micros() as u64)].fetch_add(1, Relaxed);
    }

    fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// Percent of the requests that failed.
    fn failing(&self) -> f64 {
        self.failed.load(Relaxed) as f64 * 100.0 / self.requests().max(1) as f64
    }

    /// The latency that one request in a hundred reaches, in microseconds, to a fifth exactly.
    fn p99(&self) -> u64 {
        let counts: Vec<u64> = self.latencies.iter().map(|count| u64::from(count.load(Relaxed))).collect();
        let beyond = counts.iter().sum::<u64>() / 100;
        let mut above = 0;
        let reached = counts.iter().enumerate().rev().find(|(_, count)| {
            above += **count;
            above > beyond
        });
        reached.map_or(0, |(bucket, _)| lower_end(bucket))
    }
}

fn bucket(us: u64) -> usize {
    let us = us.max(1);
    let octave = us.ilog2();
    // The two bits after the first.
    let quarter = if octave >= 2 { us >> (octave - 2) & 3 } else { us << (2 - octave) & 3 };
    (octave as usize * 4 + quarter as usize).min(BUCKETS - 1)
}

fn lower_end(bucket: usize) -> u64 {
    let (octave, quarter) = (bucket / 4, bucket as u64 % 4);
    ((4 + quarter) << octave) / 4
}

/// Why the version that `new` counts is worse than the one that `old` counts; `None` when it is not, or nobody knows yet.
pub(crate) fn worse(trial: &Trial, old: &Tally, new: &Tally) -> Option<String> {
    if new.requests() < u64::from(trial.requests) || old.requests() < u64::from(trial.requests) {
        return None;
    }
    let (failing, failing_before) = (new.failing(), old.failing());
    if failing > failing_before + trial.errors {
        return Some(format!("{failing:.1}% of its {} requests failed, {failing_before:.1}% before", new.requests()));
    }
    let (p99, p99_before) = (new.p99(), old.p99());
    let limit = p99_before as f64 * trial.slower;
    if p99 as f64 > limit && p99 > p99_before + LATENCY_NOISE_US {
        return Some(format!("its p99 is {:?}, {:?} before", micros(p99), micros(p99_before)));
    }
    None
}

fn micros(us: u64) -> Duration {
    Duration::from_micros(us)
}

/// Whom a version is reported to that does worse.
pub(crate) enum Court {
    /// The registry in this process.
    Here(Arc<ControlPlane>),
    /// The one that this node follows.
    Upstream(Arc<Upstream>),
}

impl Court {
    async fn report(&self, case: &TakeBack, by: &str) -> anyhow::Result<()> {
        match self {
            Self::Here(plane) => plane.take_back(case, by).await,
            Self::Upstream(upstream) => upstream.take_back(case, by).await,
        }
    }
}

/// Whether a split was reported already.
#[derive(Default)]
pub(crate) struct Reported(AtomicBool);

/// Looks at all trials for ever; `by` is this node's name.
pub(crate) async fn watch(catalog: Arc<Catalog>, court: Court, by: String) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        for split in catalog.table().splits() {
            if let Some(case) = judge(split) {
                tracing::warn!(
                    namespace = %case.namespace, function = %case.name, version = %case.version, why = case.why,
                    "a version on trial does worse; asking to take it back"
                );
                match court.report(&case, &by).await {
                    Ok(()) => split.reported().0.store(true, Relaxed),
                    // It is asked again, as long as the split is there.
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "the registry does not answer"),
                }
            }
        }
    }
}

fn judge(split: &SplitBackend) -> Option<TakeBack> {
    let trial = split.trial().filter(|_| !split.reported().0.load(Relaxed))?;
    let (old, others) = split.on_trial()?;
    others.into_iter().find_map(|(version, tally)| {
        let why = worse(trial, old, tally)?;
        Some(split.case(version, why))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(requests: u64, failed: u64, us: u64) -> Tally {
        let tally = Tally::default();
        tally.requests.store(requests, Relaxed);
        tally.failed.store(failed, Relaxed);
        tally.latencies[bucket(us)].store(requests as u32, Relaxed);
        tally
    }

    #[test]
    fn buckets_are_in_order_and_within_a_fifth() {
        let mut last = 0;
        for us in 1..200_000_u64 {
            let bucket = bucket(us);
            assert!(bucket >= last, "{us}");
            last = bucket;
            let low = lower_end(bucket);
            assert!(low <= us && us as f64 <= low as f64 * 1.25 + 1.0, "{us} {low}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_version_is_judged_when_enough_is_known() {
        let trial = Trial { requests: 100, errors: 2.0, slower: 2.0 };
        let good = tally(1000, 10, 1000);
        assert_eq!(worse(&trial, &good, &tally(99, 99, 1000)), None, "too few");
        assert_eq!(worse(&trial, &tally(99, 0, 1000), &tally(500, 500, 1000)), None, "nothing to compare with");
        assert_eq!(worse(&trial, &good, &tally(100, 2, 1000)), None, "within the margin");
        assert!(worse(&trial, &good, &tally(100, 4, 1000)).unwrap().contains("4.0% of its 100 requests"));
        assert_eq!(worse(&trial, &good, &tally(100, 0, 1900)), None);
        assert!(worse(&trial, &good, &tally(100, 0, 5000)).unwrap().contains("p99"));
        assert_eq!(worse(&trial, &tally(100, 0, 100), &tally(100, 0, 900)), None, "less than a millisecond is chance");
    }

    #[test]
    fn p99_is_what_one_in_a_hundred_reaches() {
        let tally = tally(99, 0, 1000);
        assert_eq!(tally.p99(), lower_end(bucket(1000)));
        tally.latencies[bucket(50_000)].store(1, Relaxed);
        assert_eq!(tally.p99(), lower_end(bucket(1000)), "one in a hundred may be slower");
        tally.latencies[bucket(50_000)].store(2, Relaxed);
        assert_eq!(tally.p99(), lower_end(bucket(50_000)));
        assert_eq!(Tally::default().p99(), 0);
    }
}
