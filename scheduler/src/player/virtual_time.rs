//! The time of a recording: it stands still while anything can go on, and jumps to what is due next when nothing can.
//!
//! So a sleep of an hour takes no time, and what is due first still comes first.

use futures::task::AtomicWaker;
use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Duration,
};
use wasmtime_wasi::{async_trait, p2::Pollable};

pub(crate) struct VirtualTime {
    /// The wall-clock limit of the request.
    timeout: u64,
    state: Mutex<State>,
    /// Who wants to know when the limit is reached.
    limit: AtomicWaker,
}

#[derive(Default)]
struct State {
    /// Nanoseconds since the request came.
    now: u64,
    /// By when they are due, and a number of their own.
    waiting: BTreeMap<(u64, u64), Waker>,
    waited: u64,
    /// A guest is under way: before it, and after it, time has no meaning.
    is_running: bool,
    is_over: bool,
}

/// Looking whether something is there yet takes time as well: who looks again and again shall find it some day.
const LOOK_NS: u64 = 100;

impl VirtualTime {
    pub(super) fn new(timeout: Duration) -> Self {
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        Self { timeout, state: Mutex::default(), limit: AtomicWaker::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What it holds is whole between any two statements that could panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> u64 {
        self.state().now
    }

    /// The recorded guest read this from its clock.
    pub(super) fn reached(&self, now: u64) {
        let mut state = self.state();
        state.now = state.now.max(now);
    }

    /// A guest begins, or has ended.
    pub(crate) fn set_running(&self, is_running: bool) {
        self.state().is_running = is_running;
    }

    /// Goes on to what is due next. When that is after the limit, or nothing is due at all, the limit is reached.
    pub(super) fn advance(&self) {
        let mut state = self.state();
        if !state.is_running || state.is_over {
            return;
        }
        // Who only looked, and waits for something else, is not woken.
        let mut ready = Vec::new();
        while ready.is_empty() {
            let due = state.waiting.first_key_value().map(|((due, _), _)| *due).filter(|due| *due < self.timeout);
            let Some(due) = due else {
                state.is_over = true;
                drop(state);
                return self.limit.wake();
            };
            state.now = state.now.max(due);
            let later = state.waiting.split_off(&(due + 1, 0));
            let due = std::mem::replace(&mut state.waiting, later);
            ready.extend(due.into_values().filter(wakes_somebody));
        }
        drop(state);
        ready.into_iter().for_each(Waker::wake);
    }

    /// Resolves when the request has taken as long as it may.
    pub(crate) async fn limit(self: Arc<Self>) {
        std::future::poll_fn(|cx| {
            self.limit.register(cx.waker());
            if self.state().is_over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Resolves at that moment.
    pub(super) fn until(self: &Arc<Self>, due: u64) -> Until {
        Until { time: self.clone(), due, number: None }
    }
}

/// Whether somebody waits by this waker. One that does nothing has no data, in `std` as in `futures`; whether two of them are
/// the same, [`Waker::will_wake`] need not know.
fn wakes_somebody(waker: &Waker) -> bool {
    !waker.data().is_null()
}

/// A wait for a moment.
pub(super) struct Until {
    time: Arc<VirtualTime>,
    pub(super) due: u64,
    number: Option<u64>,
}

impl Future for Until {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let time = self.time.clone();
        let mut state = time.state();
        let number = self.number.unwrap_or(state.waited);
        if self.number.replace(number).is_some() {
            state.now = state.now.saturating_add(LOOK_NS);
        } else {
            state.waited += 1;
        }
        if state.now >= self.due {
            state.waiting.remove(&(self.due, number));
            return Poll::Ready(());
        }
        state.waiting.insert((self.due, number), cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Until {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.time.state().waiting.remove(&(self.due, number));
        }
    }
}

/// A sleep that the guest has asked for.
pub(super) struct Sleep {
    time: Arc<VirtualTime>,
    due: u64,
    looked: u64,
}

impl Sleep {
    pub(super) fn new(time: Arc<VirtualTime>, ns: u64) -> Self {
        let due = time.now().saturating_add(ns);
        Self { time, due, looked: 0 }
    }
}

#[async_trait]
impl Pollable for Sleep {
    async fn ready(&mut self) {
        // Each look is a future of its own, and takes its time here.
        self.looked += 1;
        if self.looked > 1 {
            let now = self.time.now();
            self.time.reached(now.saturating_add(LOOK_NS));
        }
        self.time.until(self.due).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use std::task::Wake;

    struct Nobody;

    impl Wake for Nobody {
        fn wake(self: Arc<Self>) {}
    }

    #[test]
    fn what_is_due_first_comes_first_and_nothing_comes_by_itself() {
        let time = Arc::new(VirtualTime::new(Duration::from_secs(10)));
        time.set_running(true);
        let (mut late, mut soon) = (time.until(5_000_000_000), time.until(3_000_000_000));
        let waker = Waker::from(Arc::new(Nobody));
        let mut cx = Context::from_waker(&waker);
        assert!(late.poll_unpin(&mut cx).is_pending() && soon.poll_unpin(&mut cx).is_pending());
        // One that was only looked at is passed by.
        let mut looked_at = time.until(1_000_000_000);
        assert!(looked_at.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
        time.advance();
        assert!(late.poll_unpin(&mut cx).is_pending() && soon.poll_unpin(&mut cx).is_ready());
        assert!((3_000_000_000..3_000_001_000).contains(&time.now()), "{}", time.now());
        time.advance();
        assert!(late.poll_unpin(&mut cx).is_ready() && looked_at.now_or_never().is_some());
    }

    #[test]
    fn the_limit_is_reached_when_what_is_due_lies_behind_it() {
        for due in [Some(2_000_000_000), None] {
            let time = Arc::new(VirtualTime::new(Duration::from_secs(1)));
            let mut wait = due.map(|due| time.until(due));
            let waits = |wait: &mut Option<Until>| wait.as_mut().is_none_or(|wait| wait.now_or_never().is_none());
            assert!(waits(&mut wait));
            time.advance();
            assert!(time.clone().limit().now_or_never().is_none(), "nothing runs");
            time.set_running(true);
            time.advance();
            assert!(time.clone().limit().now_or_never().is_some() && waits(&mut wait));
        }
    }

    #[test]
    fn who_looks_again_and_again_finds_it() {
        let time = Arc::new(VirtualTime::new(Duration::from_secs(1)));
        let mut wait = time.until(100 * LOOK_NS);
        let looks = (0..1000).position(|_| (&mut wait).now_or_never().is_some());
        assert_eq!(looks, Some(100));
    }
}
