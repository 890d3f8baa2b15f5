//! A node that serves what a registry elsewhere says: it asks for changes, makes each ready to run, and only then serves
//! it. What it serves is on its own disk, so that it goes on, and starts, while the registry is away.

mod progress;
mod snapshot;
mod upstream;

pub(crate) use progress::Progress;
pub(crate) use upstream::Upstream;

use crate::{
    catalog::{Catalog, Key},
    dashboard::Sampler,
    drain::Drain,
    garbage,
};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rand::Rng;
use snapshot::Snapshot;
use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::time::{self, MissedTickBehavior};
use wasmway_registry::{
    ArtifactStore, Changes, Digest, Function, Namespace, NamespaceLimits, NodeReport, VersionRecord,
};
use wasmway_scheduler::{Scheduler, World};

/// Functions that are made ready at once.
const PREPARED_AT_ONCE: usize = 2;
/// How often what could not be made ready is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(15);
/// How often the snapshot is written, when something has changed.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often copies of components that nothing names any more are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(60 * 60);
/// The least time between two attempts to reach a registry that is away; it doubles with each that fails.
const BACK_OFF: Duration = Duration::from_millis(250);
/// The most.
const BACK_OFF_MOST: Duration = Duration::from_secs(10);
/// Failures that are told to the registry, and characters of each.
const FAILURES_TOLD: usize = 20;
const FAILURE_CHARACTERS: usize = 300;

/// What a node needs to follow a registry.
pub(crate) struct Follower {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) scheduler: Arc<Scheduler>,
    pub(crate) sampler: Arc<Sampler>,
    pub(crate) artifacts: ArtifactStore,
    /// The file that holds what is served.
    pub(crate) snapshot: PathBuf,
    pub(crate) progress: Arc<Progress>,
    pub(crate) name: String,
    pub(crate) address: String,
}

/// What came of making a function ready, at the revision of its change.
type Prepared = (Key, u64, Result<(), String>);

/// What is known and done so far.
#[derive(Default)]
pub(crate) struct State {
    /// Asked for up to here.
    heard: u64,
    /// What is served, each function as it was when it was last ready.
    served: BTreeMap<Key, Function>,
    /// What namespaces may have, as far as it is bounded.
    limits: BTreeMap<Namespace, NamespaceLimits>,
    /// What is to be served once it is ready, as far as it is not served as it is.
    pending: BTreeMap<Key, Function>,
    queue: VecDeque<Key>,
    /// Why some of what is pending could not be made ready.
    failing: BTreeMap<Key, String>,
    /// What has to be ready before the node is.
    first: HashSet<Key>,
    /// Components that are known to be ready.
    ready: HashSet<Digest>,
    is_dirty: bool,
}

impl Follower {
    /// Follows the registry from where [`Self::resume`] has left off, until the process takes no connection any more. What
    /// it serves then it serves after its next start, whether the registry is there or not.
    pub(crate) async fn run(self, mut state: State, drain: Drain) {
        tokio::select! {
            () = self.follow(&mut state, &drain) => {}
            () = drain.cut() => {}
        }
    }

    async fn follow(&self, state: &mut State, drain: &Drain) {
        let mut preparing = FuturesUnordered::<BoxFuture<'_, Prepared>>::new();
        let mut ticks = [RETRY_EVERY, WRITE_EVERY, TIDY_EVERY].map(time::interval);
        ticks.iter_mut().for_each(|tick| tick.set_missed_tick_behavior(MissedTickBehavior::Delay));
        let [mut retry, mut write, mut tidy] = ticks;
        let mut failures = 0;
        let mut asking = self.ask(state, failures);
        loop {
            while preparing.len() < PREPARED_AT_ONCE
                && let Some(key) = state.queue.pop_front()
            {
                let Some(function) = state.pending.get(&key).cloned() else { continue };
                preparing.push(self.prepare(key, function).boxed());
            }
            tokio::select! {
                answer = &mut asking => {
                    failures = self.hear(state, answer, failures).await;
                    asking = self.ask(state, failures);
                }
                Some(prepared) = preparing.next() => {
                    self.finish(state, prepared).await;
                    if state.pending.len() == state.failing.len() && failures == 0 {
                        // So that the registry learns of it at once.
                        asking = self.ask(state, failures);
                    }
                }
                _ = retry.tick() => state.try_again(),
                _ = write.tick(), if state.is_dirty => state.is_dirty = !self.write(state).await,
                _ = tidy.tick() => self.tidy(state).await,
                // Between two steps, never within one: what is written has to be whole.
                () = drain.stopping() => break,
            }
        }
        if state.is_dirty {
            self.write(state).await;
        }
    }

    /// Serves what was served when the process last ended.
    pub(crate) async fn resume(&self) -> State {
        let mut state = State::default();
        match snapshot::read(&self.snapshot).await {
            Ok(Some(Snapshot { revision, functions, namespaces })) => {
                tracing::info!(revision, functions = functions.len(), "serving what the last snapshot has");
                if let Some(namespaces) = namespaces {
                    state.heard = revision;
                    state.limit(&namespaces);
                    self.catalog.limit(&namespaces).await;
                }
                // Otherwise everything is asked for again: what it leaves out may have changed before that revision.
                for function in functions {
                    let key = function.key();
                    if function.served_versions().all(|version| self.is_ready(version)) {
                        state.ready.extend(function.served_versions().map(|version| version.digest));
                    } else {
                        // After an upgrade, say: it is served at once, and compiled when it is called, if not before.
                        state.queue.push_back(key.clone());
                        state.first.insert(key.clone());
                        state.pending.insert(key.clone(), function.clone());
                    }
                    state.served.insert(key, function);
                }
                self.catalog.apply(state.served.values().cloned().collect(), Vec::new()).await;
                self.progress.lock().has_begun = true;
                self.note_progress(&state);
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the snapshot cannot be read; waiting for the registry"),
        }
        state
    }

    /// Asks the registry for changes, after a while if it has failed to answer before: a while that differs from node to
    /// node, so that they do not all come at once when it is back.
    fn ask(&self, state: &State, failures: u32) -> BoxFuture<'_, anyhow::Result<Changes>> {
        let (after, report) = (state.heard, self.report(state));
        async move {
            if failures > 0 {
                let most = BACK_OFF.saturating_mul(1 << failures.min(10)).min(BACK_OFF_MOST);
                let wait = rand::rng().random_range(most / 2..=most);
                time::sleep(wait).await;
            }
            self.upstream.changes(after, report).await
        }
        .boxed()
    }

    /// Whether everything is on this disk that running a version takes.
    fn is_ready(&self, version: &VersionRecord) -> bool {
        let world = World::of_export(&version.world);
        world.is_some_and(|world| self.scheduler.has_code(*version.digest.as_bytes(), world))
            && self.artifacts.path(&version.digest).exists()
    }

    /// Says how much of what the node has to have first is still missing. What fails does not hold it up.
    fn note_progress(&self, state: &State) {
        let missing = |key: &&Key| state.pending.contains_key(*key) && !state.failing.contains_key(*key);
        let mut standing = self.progress.lock();
        standing.to_prepare = state.first.iter().filter(missing).count();
        standing.heard = state.heard;
        standing.served = state.served_up_to(|_| true);
        standing.pending = state.pending.len() as u64;
        standing.failing = state.failing.len() as u64;
    }

    fn report(&self, state: &State) -> NodeReport {
        let describe = |(key, why): (&Key, &String)| {
            let why: String = why.chars().take(FAILURE_CHARACTERS).collect();
            format!("{}/{}: {why}", key.0, key.1)
        };
        NodeReport {
            name: self.name.clone(),
            address: self.address.clone(),
            // What fails is named.
            revision: state.served_up_to(|key| !state.failing.contains_key(key)),
            failing: state.failing.iter().take(FAILURES_TOLD).map(describe).collect(),
            load: Some(self.sampler.load()),
        }
    }

    /// Takes what the registry said. Answers how many times in a row it has failed to say anything.
    async fn hear(&self, state: &mut State, answer: anyhow::Result<Changes>, failures: u32) -> u32 {
        let mut changes = match answer {
            Ok(changes) => changes,
            Err(error) => {
                self.progress.lock().answers = false;
                if failures == 0 {
                    tracing::warn!(error = format!("{error:#}"), "the registry does not answer; what is served stays");
                }
                return failures.saturating_add(1);
            }
        };
        if failures > 0 {
            tracing::info!("the registry answers again");
        }
        self.progress.lock().answers = true;
        if changes.revision < state.heard {
            tracing::warn!(
                heard = state.heard,
                revision = changes.revision,
                "the registry's history is another one now; starting over"
            );
            match self.whole().await {
                Ok(whole) => {
                    changes = whole;
                    changes.forget_others(state.served.keys().chain(state.pending.keys()), state.limits.keys());
                }
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "the registry does not answer");
                    return 1;
                }
            }
        }
        state.heard = changes.revision;
        if !changes.namespaces.is_empty() {
            state.limit(&changes.namespaces);
            self.catalog.limit(&changes.namespaces).await;
        }
        let is_first = !self.progress.lock().has_begun;
        let now = state.take(changes.functions, &changes.gone);
        if !now.is_empty() || !changes.gone.is_empty() {
            self.catalog.apply(now, changes.gone).await;
            state.is_dirty = true;
        }
        if is_first {
            state.first = state.pending.keys().cloned().collect();
            self.progress.lock().has_begun = !changes.more;
        }
        self.note_progress(state);
        0
    }

    /// Everything that the registry has.
    async fn whole(&self) -> anyhow::Result<Changes> {
        let report = || self.report(&State::default());
        let mut whole = self.upstream.changes(0, report()).await?;
        while whole.more {
            whole.append(self.upstream.changes(whole.revision, report()).await?);
        }
        Ok(whole)
    }

    /// Gets the components of a function and compiles them, where that has not been done before.
    async fn prepare(&self, key: Key, function: Function) -> Prepared {
        for version in function.served_versions() {
            if let Err(error) = self.prepare_version(version).await {
                return (key, function.revision, Err(format!("version {}: {error:#}", version.version)));
            }
        }
        (key, function.revision, Ok(()))
    }

    async fn prepare_version(&self, version: &VersionRecord) -> anyhow::Result<()> {
        let Some(world) = World::of_export(&version.world) else {
            anyhow::bail!("this node does not know the world {}; upgrade it", version.world);
        };
        self.upstream.fetch(&version.digest, version.size, &self.artifacts).await?;
        let path = self.artifacts.path(&version.digest);
        self.scheduler.load(*version.digest.as_bytes(), world, &path).await?;
        Ok(())
    }

    async fn finish(&self, state: &mut State, (key, revision, result): Prepared) {
        if state.pending.get(&key).is_none_or(|function| function.revision != revision) {
            // It has changed again meanwhile, or is gone.
            return;
        }
        match result {
            Ok(()) => {
                let Some(function) = state.pending.remove(&key) else { return };
                state.failing.remove(&key);
                state.ready.extend(function.served_versions().map(|version| version.digest));
                state.served.insert(key, function.clone());
                self.catalog.apply(vec![function], Vec::new()).await;
                state.is_dirty = true;
            }
            Err(why) => {
                tracing::error!(namespace = %key.0, function = %key.1, why, "a change cannot be served here; what was served before stays");
                state.failing.insert(key, why);
            }
        }
        self.note_progress(state);
    }

    /// True when it is written.
    async fn write(&self, state: &State) -> bool {
        let functions = state.served.values().cloned().collect();
        // After a restart, everything that came later is asked for again.
        let snapshot = Snapshot {
            revision: state.served_up_to(|_| true),
            functions,
            namespaces: Some(state.limits.values().cloned().collect()),
        };
        match snapshot::write(&self.snapshot, snapshot).await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(%error, "the snapshot cannot be written: after a restart an older state would be served");
                false
            }
        }
    }

    async fn tidy(&self, state: &mut State) {
        let all = state.served.values().chain(state.pending.values());
        let needed: HashSet<Digest> = all.flat_map(Function::served_versions).map(|version| version.digest).collect();
        state.ready.retain(|digest| needed.contains(digest));
        if let Err(error) = self.artifacts.forget_copies(|digest| needed.contains(digest)).await {
            tracing::warn!(%error, "copies of components that are not needed any more cannot be removed");
        }
        garbage::forget_code(&self.scheduler, needed).await;
    }
}

impl State {
    /// Takes changes over: answers the functions that can be served as they are, since their components are ready.
    fn take(&mut self, functions: Vec<Function>, gone: &[Key]) -> Vec<Function> {
        for key in gone {
            self.served.remove(key);
            self.pending.remove(key);
            self.failing.remove(key);
        }
        let mut now = Vec::new();
        for function in functions {
            let key = function.key();
            self.failing.remove(&key);
            if function.served_versions().all(|version| self.ready.contains(&version.digest)) {
                self.pending.remove(&key);
                self.served.insert(key, function.clone());
                now.push(function);
            } else {
                self.queue.push_back(key.clone());
                self.pending.insert(key, function);
            }
        }
        now
    }

    fn limit(&mut self, namespaces: &[NamespaceLimits]) {
        for limits in namespaces {
            if limits.is_none() {
                self.limits.remove(&limits.namespace);
            } else {
                self.limits.insert(limits.namespace.clone(), limits.clone());
            }
            self.is_dirty = true;
        }
    }

    /// Tries what has failed once more.
    fn try_again(&mut self) {
        // What waits from the last time is not to wait twice.
        if self.queue.is_empty() {
            self.queue.extend(self.failing.keys().cloned());
        }
    }

    /// The revision up to which everything is served, but for what is pending and does not count.
    fn served_up_to(&self, counts: impl Fn(&Key) -> bool) -> u64 {
        let waiting = self.pending.iter().filter(|(key, _)| counts(key));
        let first = waiting.map(|(_, function)| function.revision).min();
        first.map_or(self.heard, |first| self.heard.min(first.saturating_sub(1)))
    }
}
