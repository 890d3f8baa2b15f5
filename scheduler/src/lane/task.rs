//! One request in the lane: where it is, whose turn it gets, and how those who wait for it learn of its end.

use super::{SLICE, Shared, lock};
use crate::{
    fair_queue::Ticket,
    instance::{End, Running, Turn},
    outcome::Failure,
};
use futures::task::AtomicWaker;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, TryLockError,
        atomic::{AtomicBool, AtomicU8, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

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
pub(super) struct Task {
    shared: Arc<Shared>,
    state: AtomicU8,
    guest: Mutex<Option<Running>>,
    /// Its place, while it is not in the queue.
    ticket: Mutex<Option<Ticket>>,
    /// Nobody waits for it any more.
    left: AtomicBool,
    result: Mutex<Option<End>>,
    /// Who waits for it.
    waiter: AtomicWaker,
}

impl Task {
    /// A request that is about to be put into the queue.
    pub(super) fn new(shared: Arc<Shared>, guest: Running) -> Arc<Self> {
        Arc::new(Self {
            shared,
            state: AtomicU8::new(QUEUED),
            guest: Mutex::new(Some(guest)),
            ticket: Mutex::new(None),
            left: AtomicBool::new(false),
            result: Mutex::new(None),
            waiter: AtomicWaker::new(),
        })
    }

    /// Gives it a turn, for which it has waited so long. Returns the CPU time that it took.
    pub(super) fn turn(self: &Arc<Self>, mut ticket: Ticket, waited: Duration) -> Duration {
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
        used
    }

    /// Lets the guest run until it waits, ends or has had its slice.
    fn run(&self, cx: &mut Context<'_>, waited: Duration) -> Took {
        let mut guest = lock(&self.guest);
        // It may be gone while it stood in the queue.
        let Some(running) = guest.as_mut() else {
            return Took { turn: Turn::Ended(Err(Failure::Cancelled)), used: Duration::ZERO, answered: false };
        };
        running.waited(waited);
        let turn = catch_unwind(AssertUnwindSafe(|| running.turn(cx, SLICE)));
        let turn = turn.unwrap_or_else(|_| {
            running.meter().end(Some(Failure::HostPanic));
            Turn::Ended(Err(Failure::HostPanic))
        });
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
    pub(super) fn new(task: Arc<Task>) -> Self {
        Self { task }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
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
