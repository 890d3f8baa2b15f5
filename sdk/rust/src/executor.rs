//! Runs the one task that a request is.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use crate::host::{self, Sleeper};

/// Whether the task has something to do.
struct Signal {
    is_set: AtomicBool,
    sleeper: Sleeper,
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.is_set.store(true, Ordering::Release);
        self.sleeper.wake();
    }
}

/// Runs a future to its end; waits while it can do nothing.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let signal = Arc::new(Signal { is_set: AtomicBool::new(true), sleeper: Sleeper::default() });
    let waker = Waker::from(Arc::clone(&signal));
    loop {
        if !signal.is_set.swap(false, Ordering::Acquire) {
            host::wait();
        } else if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
    }
}
