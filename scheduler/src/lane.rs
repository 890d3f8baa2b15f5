//! The lane of long requests: threads of their own that run, in fair turns, what did not end within its first slice.
//!
//! The threads have the lowest priority that the system knows (`SCHED_IDLE`): whatever a request does there, a call
//! into the host that takes long or a `memory.fill` that no epoch interrupts, the kernel puts the threads that serve
//! connections before it at once. See `docs/decisions/005-fair-cpu.md`.

mod guard;
mod task;

use crate::{
    fair_queue::{FairQueue, Share, Ticket},
    instance::Running,
};
use guard::Post;
use rustix::thread::gettid;
use std::{
    io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};
pub(crate) use task::InLane;
use task::Task;
use tokio::runtime::Handle;

/// How long a request runs before another has its turn, and before it is sent to the lane in the first place: CPU
/// time, as seen at the next tick of the epoch clock.
pub(crate) const SLICE: Duration = Duration::from_micros(500);

/// The lane with its threads, which end with it.
pub(crate) struct Lane {
    shared: Arc<Shared>,
}

struct Shared {
    line: Mutex<Line>,
    /// Something is in the queue, or a thread should look around.
    ready: Condvar,
    /// The same, for guards that have stepped in.
    for_guards: Condvar,
    /// Something is in the queue after it was empty.
    busy: Condvar,
    stopping: AtomicBool,
    demoted: AtomicU64,
    /// What guests wait for (timers, sockets) belongs to this runtime.
    runtime: Handle,
}

/// The requests that are ready, and the threads that wait for one.
struct Line {
    queue: FairQueue<Waiting>,
    sleepers: usize,
    guards: usize,
    /// Turns under way.
    running: usize,
}

struct Waiting {
    task: Arc<Task>,
    since: Instant,
}

impl Lane {
    /// Starts `threads` threads. Must be called in a tokio runtime.
    pub(crate) fn start(threads: usize) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            line: Mutex::new(Line { queue: FairQueue::new(), sleepers: 0, guards: 0, running: 0 }),
            ready: Condvar::new(),
            for_guards: Condvar::new(),
            busy: Condvar::new(),
            stopping: AtomicBool::new(false),
            demoted: AtomicU64::new(0),
            runtime: Handle::try_current().map_err(io::Error::other)?,
        });
        // Made first, so that the threads end also when one of them cannot be started.
        let lane = Self { shared };
        for first in (0..threads).step_by(WATCHED) {
            lane.shared.start_group(first, WATCHED.min(threads - first))?;
        }
        Ok(lane)
    }

    /// Takes a request over. It runs on, in turns, until it ends or the handle is dropped.
    pub(crate) fn submit(&self, share: Share, guest: Running) -> InLane {
        let task = Task::new(self.shared.clone(), guest);
        self.shared.demoted.fetch_add(1, Relaxed);
        self.shared.enter(Ticket::new(share), task.clone());
        InLane::new(task)
    }

    /// Requests that are ready to run and wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.shared.line).queue.len()
    }

    /// Requests that were sent to the lane since the start.
    pub(crate) fn demoted(&self) -> u64 {
        self.shared.demoted.load(Relaxed)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.shared.stopping.store(true, SeqCst);
        self.shared.wake_all();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What panics here is a guest's host code, which is caught within; the data is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads of the lane that one guard watches.
const WATCHED: usize = 4;

impl Shared {
    /// Starts some of the lane's threads with their guard.
    fn start_group(self: &Arc<Self>, first: usize, threads: usize) -> io::Result<()> {
        let post = Arc::new(Post::default());
        let (started, watched) = mpsc::channel();
        for number in first..first + threads {
            let (shared, post, started) = (self.clone(), post.clone(), started.clone());
            let work = move || {
                // Fails only when the guard was not started, which fails the start of the lane.
                let _ = started.send(gettid());
                drop(started);
                work(&shared, &post);
            };
            thread::Builder::new().name(format!("lane-{number}")).spawn(work)?;
        }
        drop(started);
        let shared = self.clone();
        let guard = move || guard::watch(&shared, &post, &watched.iter().collect::<Vec<_>>());
        thread::Builder::new().name(format!("lane-guard-{first}")).spawn(guard)?;
        Ok(())
    }

    fn enter(&self, ticket: Ticket, task: Arc<Task>) {
        let mut line = lock(&self.line);
        let was_busy = line.is_busy();
        line.queue.push(ticket, Waiting { task, since: Instant::now() });
        // A guard that has stepped in and waits: the threads that it stands in for would not take it.
        if line.guards > 0 {
            self.for_guards.notify_one();
        } else if line.sleepers > 0 {
            self.ready.notify_one();
        }
        if !was_busy {
            self.busy.notify_all();
        }
    }

    /// Waits for the request whose turn it is; `None` at the end of the lane.
    fn next(&self, post: &Post) -> Option<(Ticket, Waiting)> {
        let mut line = lock(&self.line);
        while !self.is_stopping() {
            if post.takes_canary() {
                drop(line);
                post.run_errand();
                line = lock(&self.line);
            }
            if !post.is_guard_in()
                && let Some(next) = line.take()
            {
                return Some(next);
            }
            line.sleepers += 1;
            line = self.ready.wait(line).unwrap_or_else(PoisonError::into_inner);
            line.sleepers -= 1;
        }
        None
    }

    /// Waits for the request whose turn it is, but not longer than until `end`.
    fn next_before(&self, end: Instant) -> Option<(Ticket, Waiting)> {
        let mut line = lock(&self.line);
        while !self.is_stopping() && Instant::now() < end {
            if let Some(next) = line.take() {
                return Some(next);
            }
            let patience = end.saturating_duration_since(Instant::now());
            line.guards += 1;
            line = self.for_guards.wait_timeout(line, patience).unwrap_or_else(PoisonError::into_inner).0;
            line.guards -= 1;
        }
        None
    }

    /// Waits until there is something to do; false at the end of the lane.
    fn wait_until_busy(&self) -> bool {
        let mut line = lock(&self.line);
        while !line.is_busy() && !self.is_stopping() {
            line = self.busy.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        !self.is_stopping()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }

    fn wake_all(&self) {
        // Under the lock, so that no thread is between its look around and its sleep.
        let _line = lock(&self.line);
        self.ready.notify_all();
        self.for_guards.notify_all();
        self.busy.notify_all();
    }

    fn settle(&self, ticket: &mut Ticket, used: Duration) {
        let mut line = lock(&self.line);
        line.queue.settle(ticket, used);
        line.running -= 1;
    }
}

impl Line {
    fn take(&mut self) -> Option<(Ticket, Waiting)> {
        let next = self.queue.pop()?;
        self.running += 1;
        Some(next)
    }

    fn is_busy(&self) -> bool {
        self.running > 0 || self.queue.len() > 0
    }
}

/// The life of a thread of the lane.
fn work(shared: &Arc<Shared>, post: &Post) {
    if let Err(error) = yield_to_all_others() {
        tracing::warn!(%error, "a thread for long requests runs at the usual priority: short requests may wait for it");
    }
    let _runtime = shared.runtime.enter();
    while let Some((ticket, Waiting { task, since })) = shared.next(post) {
        task.turn(ticket, since.elapsed());
    }
}

/// Gives this thread the lowest priority that there is.
#[cfg(target_os = "linux")]
fn yield_to_all_others() -> Result<(), thread_priority::Error> {
    use thread_priority::{
        NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
        thread_native_id,
    };
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle)
}

#[cfg(not(target_os = "linux"))]
fn yield_to_all_others() -> Result<(), std::convert::Infallible> {
    Ok(())
}
