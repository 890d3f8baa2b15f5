//! What one request uses: counted while it runs, handed over once as a [`Receipt`] when it is over.

#[cfg(test)]
mod tests;

use crate::{
    outcome::{Failure, Outcome},
    trace::{Step, Trace},
};
use cpu_time::ThreadTime;
use std::{
    sync::{
        Arc, LazyLock, Mutex, OnceLock,
        atomic::{
            AtomicBool, AtomicU8, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};

/// What one invocation used and how it ended.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// CPU time on the clock of the threads that ran the guest, host calls included.
    pub cpu: Duration,
    /// Wall-clock time from admission to the last byte of the body or the end of the guest.
    pub wall: Duration,
    /// Time that the request was ready to run and waited: for its program to be loaded, for a turn on the CPU.
    pub queued: Duration,
    /// Most bytes of linear memory and tables at once.
    pub memory_bytes: u64,
    /// The bytes that there would have been at once, had the limit not refused them.
    pub memory_refused: Option<u64>,
    /// Bytes of the request body that the guest took.
    pub bytes_in: u64,
    /// Bytes of the response body that were handed to the connection.
    pub bytes_out: u64,
    /// Requests that the guest sent to other hosts.
    pub outbound_requests: u64,
    /// Bytes of the bodies of those requests.
    pub outbound_bytes: u64,
    /// The program was not in memory when the request came.
    pub cold: bool,
    /// The status that the function answered with; `None` when it gave no answer.
    pub status: Option<http::StatusCode>,
    /// How it ended; `None` is a good end.
    pub failure: Option<Failure>,
}

impl Receipt {
    /// The end as a metric label.
    pub fn outcome(&self) -> Outcome {
        self.failure.as_ref().map_or(Outcome::Ok, Failure::outcome)
    }
}

const GUEST_DONE: u8 = 1;
const BODY_DONE: u8 = 2;

type OnEnd = Box<dyn FnOnce(Receipt) + Send>;

/// The counters of one request. Shared by the guest's store, the bodies and the task that drives the
/// guest; when the last of them is gone the receipt is handed over.
pub(crate) struct Meter {
    cpu_budget_ns: u64,
    cpu_used_ns: AtomicU64,
    /// Thread CPU clock at the start of the turn that is under way.
    turn_started_ns: AtomicU64,
    /// CPU time that the turn that is under way may take before it is preempted.
    turn_slice_ns: AtomicU64,
    /// CPU time that the last turn took.
    last_turn_ns: AtomicU64,
    /// The guest was made to give up its turn.
    preempted: AtomicBool,
    /// The guest is to end: nobody waits for it any more.
    stopped: AtomicBool,
    started: Instant,
    queued_ns: AtomicU64,
    memory_peak: AtomicU64,
    /// 0 when nothing was refused.
    memory_refused: AtomicU64,
    request_too_large: AtomicBool,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    outbound_requests: AtomicU64,
    outbound_bytes: AtomicU64,
    cold: AtomicBool,
    status: OnceLock<http::StatusCode>,
    /// [`GUEST_DONE`] and [`BODY_DONE`].
    done: AtomicU8,
    /// The first end that was said is the one that counts.
    end: OnceLock<Option<Failure>>,
    on_end: Mutex<Option<OnEnd>>,
    trace: Option<Arc<dyn Trace>>,
}

/// Whether a guest may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    GoOn,
    /// Others have their turn now.
    SliceSpent,
    BudgetSpent,
    Stopped,
}

/// Nanoseconds of CPU that this thread has used (CLOCK_THREAD_CPUTIME_ID).
pub(crate) fn thread_cpu_ns() -> u64 {
    // By way of the C library, which tools that emulate a processor know how to follow.
    ThreadTime::now().as_duration().as_nanos() as u64
}

impl Meter {
    pub(crate) fn new(
        cpu_budget: Duration,
        trace: Option<Arc<dyn Trace>>,
        on_end: impl FnOnce(Receipt) + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            cpu_budget_ns: cpu_budget.as_nanos().min(u128::from(u64::MAX)) as u64,
            cpu_used_ns: AtomicU64::new(0),
            turn_started_ns: AtomicU64::new(0),
            turn_slice_ns: AtomicU64::new(0),
            last_turn_ns: AtomicU64::new(0),
            preempted: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            started: Instant::now(),
            queued_ns: AtomicU64::new(0),
            memory_peak: AtomicU64::new(0),
            memory_refused: AtomicU64::new(0),
            request_too_large: AtomicBool::new(false),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            outbound_requests: AtomicU64::new(0),
            outbound_bytes: AtomicU64::new(0),
            cold: AtomicBool::new(false),
            status: OnceLock::new(),
            done: AtomicU8::new(0),
            end: OnceLock::new(),
            on_end: Mutex::new(Some(Box::new(on_end))),
            trace,
        })
    }

    /// Of an instance between two requests, which may do nothing.
    pub(crate) fn of_nobody() -> Arc<Self> {
        static OF_NOBODY: LazyLock<Arc<Meter>> = LazyLock::new(|| Meter::new(Duration::ZERO, None, |_| {}));
        OF_NOBODY.clone()
    }

    #[cfg(test)]
    pub(crate) fn for_test(cpu_budget: Duration) -> Arc<Self> {
        Self::new(cpu_budget, None, |_| {})
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Who wants to know what the request takes time for.
    pub(crate) fn trace(&self) -> Option<&Arc<dyn Trace>> {
        self.trace.as_ref()
    }

    /// When a step of the request begins, if anybody wants to know.
    pub(crate) fn step_begins(&self) -> Option<Instant> {
        self.trace.as_ref().map(|_| Instant::now())
    }

    /// Does a step of the request.
    pub(crate) async fn timed<F: Future>(&self, step: Step, work: F) -> F::Output {
        let began = self.step_begins();
        let result = work.await;
        self.step_ended(step, began);
        result
    }

    /// Says that a step is over.
    pub(crate) fn step_ended(&self, step: Step, began: Option<Instant>) {
        if let (Some(trace), Some(began)) = (&self.trace, began) {
            trace.step(step, began, Instant::now());
        }
    }

    /// Runs a turn of the guest, which should take no more than `slice` of CPU time, and charges the thread's CPU time
    /// to this request.
    pub(crate) fn turn<R>(&self, slice: Duration, run: impl FnOnce() -> R) -> R {
        let before = thread_cpu_ns();
        self.turn_started_ns.store(before, Relaxed);
        self.turn_slice_ns.store(slice.as_nanos() as u64, Relaxed);
        self.preempted.store(false, Relaxed);
        let result = run();
        let used = thread_cpu_ns().saturating_sub(before);
        self.last_turn_ns.store(used, Relaxed);
        self.cpu_used_ns.fetch_add(used, Relaxed);
        result
    }

    /// Runs a poll of something that works for this request beside its guest, in a task of its own, charging the
    /// thread's CPU time. Within [`Self::turn`] it would be charged twice.
    pub(crate) fn charge_elsewhere<R>(&self, poll: impl FnOnce() -> R) -> R {
        let before = thread_cpu_ns();
        let result = poll();
        self.cpu_used_ns.fetch_add(thread_cpu_ns().saturating_sub(before), Relaxed);
        result
    }

    /// CPU time of the turns that are over.
    pub(crate) fn cpu_used(&self) -> Duration {
        Duration::from_nanos(self.cpu_used_ns.load(Relaxed))
    }

    /// CPU time that the last turn took.
    pub(crate) fn last_turn(&self) -> Duration {
        Duration::from_nanos(self.last_turn_ns.load(Relaxed))
    }

    /// Looks, from within a turn, whether the guest may go on with it.
    pub(crate) fn check(&self) -> Check {
        let turn = thread_cpu_ns().saturating_sub(self.turn_started_ns.load(Relaxed));
        if self.stopped.load(Relaxed) {
            Check::Stopped
        } else if self.cpu_used_ns.load(Relaxed).saturating_add(turn) >= self.cpu_budget_ns {
            Check::BudgetSpent
        } else if turn >= self.turn_slice_ns.load(Relaxed) {
            self.preempted.store(true, Relaxed);
            Check::SliceSpent
        } else {
            Check::GoOn
        }
    }

    /// True when the last turn ended because its slice was spent.
    pub(crate) fn was_preempted(&self) -> bool {
        self.preempted.load(Relaxed)
    }

    /// Makes a guest that has its turn on another thread end at its next tick.
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Relaxed);
    }

    /// Counts time that the request was ready to run and did not.
    pub(crate) fn queued(&self, waited: Duration) {
        self.queued_ns.fetch_add(waited.as_nanos() as u64, Relaxed);
    }

    pub(crate) fn memory_peak(&self, bytes: u64) {
        self.memory_peak.fetch_max(bytes, Relaxed);
    }

    /// Says that a growth of memory to `bytes` was refused.
    pub(crate) fn memory_refused(&self, bytes: u64) {
        self.memory_refused.fetch_max(bytes, Relaxed);
    }

    pub(crate) fn was_memory_denied(&self) -> bool {
        self.memory_refused.load(Relaxed) > 0
    }

    pub(crate) fn request_too_large(&self) {
        self.request_too_large.store(true, Relaxed);
    }

    pub(crate) fn was_request_too_large(&self) -> bool {
        self.request_too_large.load(Relaxed)
    }

    /// Counts bytes of the request body; returns the sum.
    pub(crate) fn received(&self, bytes: usize) -> u64 {
        self.bytes_in.fetch_add(bytes as u64, Relaxed) + bytes as u64
    }

    /// Counts bytes of the response body; returns the sum.
    pub(crate) fn sent(&self, bytes: usize) -> u64 {
        self.bytes_out.fetch_add(bytes as u64, Relaxed) + bytes as u64
    }

    /// Counts an outbound request; returns how many there were with it.
    pub(crate) fn outbound(&self) -> u64 {
        self.outbound_requests.fetch_add(1, Relaxed) + 1
    }

    /// Counts bytes of the bodies of outbound requests; returns the sum.
    pub(crate) fn uploaded(&self, bytes: usize) -> u64 {
        self.outbound_bytes.fetch_add(bytes as u64, Relaxed) + bytes as u64
    }

    /// Bytes of the bodies of outbound requests so far.
    pub(crate) fn uploads(&self) -> u64 {
        self.outbound_bytes.load(Relaxed)
    }

    pub(crate) fn cold(&self) {
        self.cold.store(true, Relaxed);
    }

    /// Says what the function answered.
    pub(crate) fn answered(&self, status: http::StatusCode) {
        // There is one answer a request.
        let _ = self.status.set(status);
    }

    /// Says how the request ended. Only the first call counts.
    pub(crate) fn end(&self, failure: Option<Failure>) {
        // A later, weaker cause (a client that leaves because the body was cut) must not replace it.
        let _ = self.end.set(failure);
    }

    /// Says that the guest has come to a good end.
    pub(crate) fn guest_done(&self) {
        self.half_done(GUEST_DONE);
    }

    /// Says that the body has come to a good end.
    pub(crate) fn body_done(&self) {
        self.half_done(BODY_DONE);
    }

    /// The request ended well when both halves did, whichever was last.
    fn half_done(&self, half: u8) {
        if self.done.fetch_or(half, SeqCst) | half == GUEST_DONE | BODY_DONE {
            self.end(None);
        }
    }

    /// How the request ended, when that is known.
    pub(crate) fn ended(&self) -> Option<Option<Failure>> {
        self.end.get().cloned()
    }

    pub(crate) fn receipt(&self) -> Receipt {
        Receipt {
            cpu: Duration::from_nanos(self.cpu_used_ns.load(Relaxed)),
            wall: self.started.elapsed(),
            queued: Duration::from_nanos(self.queued_ns.load(Relaxed)),
            memory_bytes: self.memory_peak.load(Relaxed),
            memory_refused: Some(self.memory_refused.load(Relaxed)).filter(|bytes| *bytes > 0),
            bytes_in: self.bytes_in.load(Relaxed),
            bytes_out: self.bytes_out.load(Relaxed),
            outbound_requests: self.outbound_requests.load(Relaxed),
            outbound_bytes: self.outbound_bytes.load(Relaxed),
            cold: self.cold.load(Relaxed),
            status: self.status.get().copied(),
            failure: self.ended().unwrap_or(Some(Failure::Cancelled)),
        }
    }
}

/// What a request is using, for those who want to know before its end.
pub struct Usage(pub(crate) Arc<Meter>);

impl Usage {
    /// What it has used by now. Its end is known only where there is no response.
    pub fn so_far(&self) -> Receipt {
        self.0.receipt()
    }
}

/// A future that works for a request beside its guest: see [`Meter::charge_elsewhere`].
pub(crate) async fn charged<F: Future>(meter: Arc<Meter>, work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|cx| meter.charge_elsewhere(|| work.as_mut().poll(cx))).await
}

impl Drop for Meter {
    fn drop(&mut self) {
        let receipt = self.receipt();
        let on_end = self.on_end.get_mut().map(Option::take);
        if let Ok(Some(on_end)) = on_end {
            on_end(receipt);
        }
    }
}
