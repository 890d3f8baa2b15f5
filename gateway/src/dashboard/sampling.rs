//! What happened in the last minutes, second by second: read from the metrics, and kept for the charts.

mod process;
mod window;

use crate::{
    catalog::Catalog,
    metrics::{FunctionMetrics, Latencies, Totals},
};
use process::ProcessReader;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::{self, MissedTickBehavior};
use wasmway_registry::NodeLoad;
use wasmway_scheduler::Scheduler;
pub(crate) use window::Summary;
use window::Window;

/// Seconds that are kept of the node.
const NODE_SECONDS: usize = 900;
/// Seconds that are kept of a function.
const FUNCTION_SECONDS: usize = 300;
/// Functions whose seconds are kept: of those that were called lately.
const FUNCTIONS_KEPT: usize = 256;
/// Seconds without a call after which a function's place goes to another.
const REST: i64 = 300;

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Second {
    /// Since 1970.
    pub(crate) at: i64,
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    /// `None` when there were no requests.
    pub(crate) p50_s: Option<f64>,
    pub(crate) p99_s: Option<f64>,
    /// CPU time that requests used which ended in it.
    pub(crate) cpu_s: f64,
}

/// What the process was like in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct NodeSecond {
    pub(crate) calls: Second,
    /// Seconds of CPU time in a second, of the whole process; `None` where nothing says it.
    pub(crate) cpu: Option<f64>,
    /// Resident memory in bytes.
    pub(crate) memory_bytes: Option<f64>,
    /// Slots of both pools that are taken.
    pub(crate) slots_used: u32,
}

/// Looks at the metrics every second.
pub(crate) struct Sampler {
    catalog: Option<Arc<Catalog>>,
    scheduler: Arc<Scheduler>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    node: VecDeque<NodeSecond>,
    node_window: Window,
    functions: HashMap<String, Watched>,
    rings: usize,
    process: ProcessReader,
}

/// A function that was called since the start.
struct Watched {
    totals: Totals,
    latencies: Latencies,
    window: Window,
    ring: Option<VecDeque<Second>>,
    /// When it was called last, and when it was looked at last.
    called_at: i64,
    seen_at: i64,
}

/// What a function is known by here; those that share labels are known by nothing.
pub(crate) fn key(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

impl Sampler {
    /// Begins to look, for as long as somebody has it.
    pub(crate) fn start(catalog: Option<Arc<Catalog>>, scheduler: Arc<Scheduler>) -> Arc<Self> {
        let sampler = Arc::new(Self { catalog, scheduler, state: Mutex::default() });
        let looking = Arc::downgrade(&sampler);
        tokio::spawn(async move {
            let mut seconds = time::interval(Duration::from_secs(1));
            seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
            loop {
                seconds.tick().await;
                let Some(sampler) = looking.upgrade() else { return };
                sampler.look(jiff::Timestamp::now().as_second());
            }
        });
        sampler
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, now: i64) {
        let slots_used = self.scheduler.usage().iter().map(|usage| usage.used).sum();
        let mut state = self.state();
        let (mut all, mut latencies) = (Second { at: now, ..Second::default() }, Latencies::default());
        if let Some(catalog) = &self.catalog {
            for backend in catalog.table().all() {
                state.look_at(&backend.leader().metrics, now, &mut all, &mut latencies);
            }
        }
        state.forget_others(now);
        all.set_quantiles(&latencies);
        state.node_window.add(&all, &latencies);
        let (cpu, memory_bytes) = state.process.read();
        push(&mut state.node, NodeSecond { calls: all, cpu, memory_bytes, slots_used }, NODE_SECONDS);
    }

    /// The node's last seconds, the oldest first.
    pub(crate) fn node(&self) -> Vec<NodeSecond> {
        self.state().node.iter().copied().collect()
    }

    /// What the node has done lately.
    pub(crate) fn node_summary(&self) -> Summary {
        self.state().node_window.summary()
    }

    /// What the node has to do, for those who hear of it elsewhere.
    pub(crate) fn load(&self) -> NodeLoad {
        let usage = self.scheduler.usage();
        let state = self.state();
        let summary = state.node_window.summary();
        let latest = state.node.back().copied().unwrap_or_default();
        NodeLoad {
            requests_s: summary.requests_s,
            failed: summary.failed,
            p99_s: summary.p99_s,
            cpu: latest.cpu,
            memory_bytes: latest.memory_bytes,
            slots_used: usage.iter().map(|usage| usage.used).sum(),
            slots: usage.iter().map(|usage| usage.slots).sum(),
        }
    }

    /// A function's last seconds, the oldest first: none when it was not called for long.
    pub(crate) fn function(&self, namespace: &str, name: &str) -> Vec<Second> {
        let state = self.state();
        let ring = state.functions.get(&key(namespace, name)).and_then(|watched| watched.ring.as_ref());
        ring.map_or_else(Vec::new, |ring| ring.iter().copied().collect())
    }

    /// What functions have done lately, by `NAMESPACE/NAME`; those are missing that were not called since the start.
    pub(crate) fn summaries(&self) -> HashMap<String, Summary> {
        let state = self.state();
        state.functions.iter().map(|(key, watched)| (key.clone(), watched.window.summary())).collect()
    }

    /// What one function has done lately.
    pub(crate) fn summary(&self, namespace: &str, name: &str) -> Summary {
        let state = self.state();
        state.functions.get(&key(namespace, name)).map_or_else(Summary::default, |watched| watched.window.summary())
    }
}

impl State {
    /// Takes over what a function has done since it was last looked at, and adds it to what all have.
    fn look_at(&mut self, metrics: &FunctionMetrics, now: i64, all: &mut Second, all_latencies: &mut Latencies) {
        let totals = metrics.totals();
        if totals.requests == 0 {
            return;
        }
        let key = metrics.own_labels().map_or_else(String::new, |(namespace, name)| key(namespace, name));
        let watched = self.functions.entry(key).or_insert_with(|| Watched::new(now));
        // Of those that share labels, the first stands for all.
        if watched.seen_at == now {
            return;
        }
        watched.seen_at = now;
        let (mut second, mut latencies) = (Second { at: now, ..Second::default() }, Latencies::default());
        // Fewer than before: it was deleted and made again.
        if totals.requests != watched.totals.requests {
            second.requests = totals.requests.saturating_sub(watched.totals.requests);
            second.failed = totals.failed.saturating_sub(watched.totals.failed);
            second.cpu_s = (totals.cpu_s - watched.totals.cpu_s).max(0.0);
            let counted = metrics.latencies();
            for (bucket, count) in latencies.iter_mut().enumerate() {
                *count = counted[bucket].saturating_sub(watched.latencies[bucket]);
            }
            (watched.totals, watched.latencies, watched.called_at) = (totals, counted, now);
            second.set_quantiles(&latencies);
        }
        watched.window.add(&second, &latencies);
        if watched.ring.is_none() && watched.called_at == now && self.rings < FUNCTIONS_KEPT {
            watched.ring = Some(VecDeque::new());
            self.rings += 1;
        } else if watched.ring.is_some() && now - watched.called_at > REST {
            watched.ring = None;
            self.rings -= 1;
        }
        if let Some(ring) = &mut watched.ring {
            push(ring, second, FUNCTION_SECONDS);
        }
        all.requests += second.requests;
        all.failed += second.failed;
        all.cpu_s += second.cpu_s;
        all_latencies.iter_mut().zip(latencies).for_each(|(sum, count)| *sum += count);
    }

    /// Forgets functions that are there no more.
    fn forget_others(&mut self, now: i64) {
        let rings = &mut self.rings;
        self.functions.retain(|_, watched| {
            let is_there = watched.seen_at == now;
            *rings -= usize::from(!is_there && watched.ring.is_some());
            is_there
        });
    }
}

impl Watched {
    fn new(now: i64) -> Self {
        Self {
            totals: Totals::default(),
            latencies: Latencies::default(),
            window: Window::default(),
            ring: None,
            called_at: now,
            seen_at: 0,
        }
    }
}

impl Second {
    fn set_quantiles(&mut self, latencies: &Latencies) {
        self.p50_s = crate::metrics::quantile(latencies, 0.5);
        self.p99_s = crate::metrics::quantile(latencies, 0.99);
    }
}

fn push<T>(ring: &mut VecDeque<T>, item: T, most: usize) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(item);
}
