//! The lane of long requests: threads of their own that run, in fair turns, what did not end within its first slice.
//!
//! The threads have the lowest priority that the system knows (`SCHED_IDLE`): whatever a request does there, a call
//! into the host that takes long or a `memory.fill` that no epoch interrupts, the kernel puts the threads that serve
//! connections before it at once. See `docs/decisions/005-fair-cpu.md`.

mod guard;

use crate::{
    fair_queue::{FairQueue, Share, Ticket},
    instance::{Running, Turn},
    outcome::Failure,
};
use futures::task::AtomicWaker;
use guard::Post;
use rustix::thread::gettid;
use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
        mpsc,
    },
    task::{Context, Poll, Wake, Waker},
    thread,
    time::{Duration, Instant},
};
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
            line: Mutex::new(Line { queue: FairQueue::new(), sleepers: 0, running: 0 }),
            ready: Condvar::new(),
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
        let task = Arc::new(Task {
            shared: self.shared.clone(),
            state: AtomicU8::new(QUEUED),
            guest: Mutex::new(Some(guest)),
            ticket: Mutex::new(None),
            left: AtomicBool::new(false),
            result: Mutex::new(None),
            waiter: AtomicWaker::new(),
        });
        self.shared.demoted.fetch_add(1, Relaxed);
        self.shared.enter(Ticket::new(share), task.clone());
        InLane { task }
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

/// Threads of the lane that one guard watches: a floor of about one CPU in four.
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
        if line.sleepers > 0 {
            self.ready.notify_one();
        }
        if !was_busy {
            self.busy.notify_all();
        }
    }

    /// Waits for the request whose turn it is; `None` at the end of the lane.
    fn next(&self, post: &Post) -> Option<(Ticket, Waiting)> {
        let mut line = lock(&self.line);
        while !self.stopping.load(SeqCst) {
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
        while !self.stopping.load(SeqCst) && Instant::now() < end {
            if let Some(next) = line.take() {
                return Some(next);
            }
            let patience = end.saturating_duration_since(Instant::now());
            line.sleepers += 1;
            line = self.ready.wait_timeout(line, patience).unwrap_or_else(PoisonError::into_inner).0;
            line.sleepers -= 1;
        }
        None
    }

    /// Waits until there is something to do; false at the end of the lane.
    fn wait_until_busy(&self) -> bool {
        let mut line = lock(&self.line);
        while !line.is_busy() && !self.stopping.load(SeqCst) {
            line = self.busy.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        !self.stopping.load(SeqCst)
    }

    fn wake_all(&self) {
        // Under the lock, so that no thread is between its look around and its sleep.
        let _line = lock(&self.line);
        self.ready.notify_all();
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

// Where a request in the lane is.
/// It waits for something that will wake it.
const IDLE: u8 = 0;
/// It is in the queue.
const QUEUED: u8 = 1;
/// It has its turn.
const RUNNING: u8 = 2;
/// It has its turn and was woken meanwhile.
const WOKEN: u8 = 3;
/// It is over.
const OVER: u8 = 4;

/// What came of a turn.
struct Took {
    turn: Turn,
    /// CPU time.
    used: Duration,
    /// There is an answer that nobody has taken yet.
    answered: bool,
}

/// A request in the lane.
struct Task {
    shared: Arc<Shared>,
    state: AtomicU8,
    guest: Mutex<Option<Running>>,
    /// Its place, while it is not in the queue.
    ticket: Mutex<Option<Ticket>>,
    /// Nobody waits for it any more.
    left: AtomicBool,
    result: Mutex<Option<Result<(), Failure>>>,
    /// Who waits for it.
    waiter: AtomicWaker,
}

impl Task {
    fn turn(self: &Arc<Self>, mut ticket: Ticket, waited: Duration) {
        self.state.store(RUNNING, SeqCst);
        let waker = Waker::from(self.clone());
        let Took { turn, used, answered } = self.run(&mut Context::from_waker(&waker), waited);
        if self.left.load(SeqCst) {
            self.let_go();
        }
        self.shared.settle(&mut ticket, used);
        let tell = answered || matches!(turn, Turn::Ended(_));
        match turn {
            Turn::Preempted => {
                self.state.store(QUEUED, SeqCst);
                self.shared.enter(ticket, self.clone());
            }
            Turn::Waiting => {
                *lock(&self.ticket) = Some(ticket);
                if self.state.compare_exchange(RUNNING, IDLE, SeqCst, SeqCst).is_err() {
                    self.enqueue();
                }
            }
            Turn::Ended(result) => {
                self.state.store(OVER, SeqCst);
                *lock(&self.result) = Some(result);
            }
        }
        if tell {
            self.waiter.wake();
        }
    }

    /// Lets the guest run until it waits, ends or has had its slice.
    fn run(&self, cx: &mut Context<'_>, waited: Duration) -> Took {
        let mut guest = lock(&self.guest);
        // It may be gone while it stood in the queue.
        let Some(running) = guest.as_mut() else {
            return Took { turn: Turn::Ended(Err(Failure::Cancelled)), used: Duration::ZERO, answered: false };
        };
        running.meter().queued(waited);
        let turn = catch_unwind(AssertUnwindSafe(|| running.turn(cx, SLICE)));
        let turn = turn.unwrap_or(Turn::Ended(Err(Failure::HostPanic)));
        let (used, answered) = (running.meter().last_turn(), running.has_answered());
        if let Turn::Ended(_) = turn {
            // Before the result is known: who sees it must find the slot free.
            *guest = None;
        }
        Took { turn, used, answered }
    }

    /// Puts it, who holds its ticket, back into the queue.
    fn enqueue(self: &Arc<Self>) {
        self.state.store(QUEUED, SeqCst);
        if let Some(ticket) = lock(&self.ticket).take() {
            self.shared.enter(ticket, self.clone());
        }
    }

    /// Drops the guest, unless it has its turn: then whoever runs it sees that it was left.
    fn let_go(&self) {
        match self.guest.try_lock() {
            Ok(mut guest) => drop(guest.take()),
            Err(TryLockError::Poisoned(guest)) => drop(guest.into_inner().take()),
            Err(TryLockError::WouldBlock) => {}
        }
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let woken = self.state.fetch_update(SeqCst, SeqCst, |state| match state {
            IDLE => Some(QUEUED),
            RUNNING => Some(WOKEN),
            _ => None,
        });
        if woken == Ok(IDLE) {
            self.enqueue();
        }
    }
}

/// A request that was sent to the lane, as a future of how it ended. Dropping it ends the request.
pub(crate) struct InLane {
    task: Arc<Task>,
}

impl InLane {
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.task.waiter.register(cx.waker());
        lock(&self.task.result).take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for InLane {
    fn drop(&mut self) {
        self.task.left.store(true, SeqCst);
        self.task.let_go();
    }
}
