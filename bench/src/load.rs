//! Load that does not wait for answers: requests have a planned start, whatever became of those before.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use hyper::StatusCode;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant as Deadline, timeout_at};

use crate::client::{Connection, Target};
use crate::latency::Summary;

/// After this time from its planned start a request counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// The load that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    /// Requests a second, on the average: they come independently of each other (a Poisson process).
    pub(crate) rate: f64,
    pub(crate) time: Duration,
    /// Equal seeds make equal plans.
    pub(crate) seed: u64,
}

impl Plan {
    /// The time from one request to the next: the gaps of a Poisson process are exponential.
    pub(crate) fn gap(&self, random: &mut StdRng) -> Duration {
        Duration::from_secs_f64(-random.random_range(f64::MIN_POSITIVE..1.0_f64).ln() / self.rate)
    }
}

/// What became of it.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Outcome {
    pub(crate) planned: usize,
    /// Answered with 200, whole.
    pub(crate) answered: usize,
    /// All others, by what went wrong.
    pub(crate) errors: BTreeMap<String, usize>,
    /// From the planned start to the answer's end. Answers count, and requests that were given up, with their
    /// patience; a quick refusal does not, or it would look like good service.
    pub(crate) latency: Summary,
    /// How late the generator itself was: what it could not see of the server.
    pub(crate) late: Summary,
}

impl Outcome {
    pub(crate) fn failed(&self) -> usize {
        self.errors.values().sum()
    }
}

/// Connections that stay open from one run to the next. As many requests as these are in flight at most; what is
/// due beyond that waits here, and its time runs.
pub(crate) struct Generator {
    target: Target,
    connections: Vec<Connection>,
}

impl Generator {
    pub(crate) fn new(target: Target, connections: usize) -> Self {
        Self { target, connections: (0..connections).map(|_| Connection::default()).collect() }
    }

    /// Sends what `plan` asks for, and waits for the answers.
    pub(crate) async fn run(&mut self, plan: Plan) -> Result<Outcome> {
        let queue = Arc::new(Queue { due: Mutex::default(), count: Semaphore::new(0) });
        let workers: Vec<_> = std::mem::take(&mut self.connections)
            .into_iter()
            .map(|connection| tokio::spawn(work(connection, self.target.clone(), queue.clone())))
            .collect();
        let ends = workers.len();
        let pacer = thread::Builder::new().name("pacer".into()).spawn(move || pace(&queue, plan, ends))?;
        let mut outcome = Outcome::default();
        let mut latencies = Vec::new();
        for worker in workers {
            let (connection, tally) = worker.await.context("a worker of the generator failed")?;
            self.connections.push(connection);
            outcome.answered += tally.answered;
            latencies.extend(tally.latencies);
            for (error, count) in tally.errors {
                *outcome.errors.entry(error).or_default() += count;
            }
        }
        let Ok(late) = pacer.join() else { bail!("the pacer of the generator failed") };
        outcome.planned = late.len();
        outcome.late = Summary::of(late);
        outcome.latency = Summary::of(latencies);
        Ok(outcome)
    }

    /// Sends as fast as answers come, on every connection; how many came. For finding out what a server can do.
    pub(crate) async fn saturate(&mut self, time: Duration) -> Result<usize> {
        let end = Instant::now() + time;
        let workers: Vec<_> = std::mem::take(&mut self.connections)
            .into_iter()
            .map(|connection| tokio::spawn(saturate(connection, self.target.clone(), end)))
            .collect();
        let mut answered = 0;
        for worker in workers {
            let (connection, count) = worker.await.context("a worker of the generator failed")??;
            self.connections.push(connection);
            answered += count;
        }
        Ok(answered)
    }
}

async fn saturate(mut connection: Connection, target: Target, end: Instant) -> Result<(Connection, usize)> {
    let mut count = 0;
    while Instant::now() < end {
        let status = connection.call(&target).await?;
        ensure!(status == StatusCode::OK, "{} answers {status}", target.path);
        count += 1;
    }
    Ok((connection, count))
}

/// Requests that are due: when each was planned to start, `None` for the end of the run.
struct Queue {
    due: Mutex<VecDeque<Option<Instant>>>,
    count: Semaphore,
}

impl Queue {
    fn push(&self, due: Option<Instant>) {
        self.due.lock().unwrap_or_else(PoisonError::into_inner).push_back(due);
        self.count.add_permits(1);
    }

    /// The next one; connections get them in turn.
    async fn pop(&self) -> Option<Instant> {
        // Never closed, so there is a permit, and for each permit an entry.
        self.count.acquire().await.ok()?.forget();
        self.due.lock().unwrap_or_else(PoisonError::into_inner).pop_front()?
    }
}

/// Gives out the plan at its times, from a thread of its own: the runtime's timers know only milliseconds. Returns
/// how late each was.
fn pace(queue: &Queue, plan: Plan, ends: usize) -> Vec<Duration> {
    precise_sleep();
    let mut random = StdRng::seed_from_u64(plan.seed);
    let start = Instant::now();
    let mut late = Vec::new();
    let mut at = Duration::ZERO;
    loop {
        at += plan.gap(&mut random);
        if at > plan.time {
            break;
        }
        let due = start + at;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        queue.push(Some(due));
        late.push(due.elapsed());
    }
    (0..ends).for_each(|_| queue.push(None));
    late
}

/// Asks the kernel not to gather this thread's wake-ups, which it does within 50 us by default.
fn precise_sleep() {
    // Where it cannot be had, the generator's lateness says so.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

#[derive(Default)]
struct Tally {
    answered: usize,
    errors: BTreeMap<String, usize>,
    latencies: Vec<Duration>,
}

async fn work(mut connection: Connection, target: Target, queue: Arc<Queue>) -> (Connection, Tally) {
    let mut tally = Tally::default();
    while let Some(due) = queue.pop().await {
        let answer = timeout_at(Deadline::from_std(due + PATIENCE), connection.call(&target)).await;
        let error = match answer {
            Ok(Ok(StatusCode::OK)) => {
                tally.answered += 1;
                tally.latencies.push(due.elapsed());
                continue;
            }
            Ok(Ok(status)) => format!("status {}", status.as_u16()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => {
                tally.latencies.push(PATIENCE);
                format!("no answer within {PATIENCE:?}")
            }
        };
        *tally.errors.entry(error).or_default() += 1;
    }
    (connection, tally)
}
