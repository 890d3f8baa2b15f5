//! A floor under the lane: when everything else on the machine takes all of the CPU, long requests still get some.
//!
//! A thread of the lowest priority gets next to nothing beside busy ones of the usual priority, and nobody may raise
//! it again without privileges. So a guard watches over every few threads of the lane. When the kernel lets them have
//! less than a tenth of the time that they want, it gives turns itself, at the usual priority but for a fifth of the time
//! at most, until a canary comes back: an errand that one of the threads has to run in passable time.

use super::{Shared, Waiting};
use crate::meter::thread_cpu_ns;
use rustix::thread::Pid;
use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a guard watches before it judges.
const WATCH: Duration = Duration::from_millis(100);
/// How much longer than a turn it rests after it: short requests, and the canary, have the rest of the time.
const REST: u32 = 4;
/// CPU time that a canary takes.
const ERRAND: Duration = Duration::from_millis(5);
/// How long it may be on its way.
const ERRAND_TIME: Duration = Duration::from_millis(50);

/// What a guard and the threads that it watches share.
#[derive(Default)]
pub(super) struct Post {
    /// The guard gives the turns now.
    stepped_in: AtomicBool,
    canary: AtomicU8,
}

// Where the canary is.
const HOME: u8 = 0;
/// A thread that is free is to take it out.
const ASKED_FOR: u8 = 1;
const OUT: u8 = 2;

impl Post {
    pub(super) fn is_guard_in(&self) -> bool {
        self.stepped_in.load(SeqCst)
    }

    /// True when this thread is to run the canary's errand.
    pub(super) fn takes_canary(&self) -> bool {
        self.canary.compare_exchange(ASKED_FOR, OUT, SeqCst, SeqCst).is_ok()
    }

    /// Runs the errand: to have been on a CPU for a while.
    pub(super) fn run_errand(&self) {
        let begun = thread_cpu_ns();
        while Duration::from_nanos(thread_cpu_ns() - begun) < ERRAND {
            std::hint::spin_loop();
        }
        self.canary.store(HOME, SeqCst);
    }
}

/// The life of a guard over the threads `watched`.
pub(super) fn watch(shared: &Arc<Shared>, post: &Post, watched: &[Pid]) {
    let _runtime = shared.runtime.enter();
    while shared.wait_until_busy() {
        match is_starved(watched) {
            Ok(true) => step_in(shared, post),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, "long requests may starve beside a busy system: the kernel does not tell");
                return;
            }
        }
    }
}

fn step_in(shared: &Arc<Shared>, post: &Post) {
    post.stepped_in.store(true, SeqCst);
    let mut is_back = false;
    while !is_back && !shared.is_stopping() {
        // One that is still out goes on being waited for.
        if post.canary.compare_exchange(HOME, ASKED_FOR, SeqCst, SeqCst).is_ok() {
            shared.wake_all();
        }
        let end = Instant::now() + ERRAND_TIME;
        while let Some((ticket, Waiting { task, since })) = shared.next_before(end) {
            thread::sleep(task.turn(ticket, since.elapsed()) * REST);
        }
        is_back = post.canary.load(SeqCst) == HOME;
    }
    post.stepped_in.store(false, SeqCst);
    shared.wake_all();
}

/// Watches for a while. True when the threads waited for a CPU for ten times as long as they had one.
fn is_starved(watched: &[Pid]) -> io::Result<bool> {
    let before = RunQueueTime::sum(watched)?;
    thread::sleep(WATCH);
    let after = RunQueueTime::sum(watched)?;
    let (ran, waited) = (after.ran - before.ran, after.waited - before.waited);
    Ok(waited > WATCH / 2 && waited > 10 * ran)
}

/// How long threads were on a CPU, and how long they were ready to be and were not (proc_pid_schedstat).
#[derive(Default)]
struct RunQueueTime {
    ran: Duration,
    waited: Duration,
}

impl RunQueueTime {
    fn sum(threads: &[Pid]) -> io::Result<Self> {
        let mut sum = Self::default();
        for thread in threads {
            let text = fs::read_to_string(format!("/proc/self/task/{}/schedstat", thread.as_raw_nonzero()))?;
            let mut nanoseconds = text.split_ascii_whitespace().map(str::parse).map_while(Result::ok);
            let (Some(ran), Some(waited)) = (nanoseconds.next(), nanoseconds.next()) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            };
            sum.ran += Duration::from_nanos(ran);
            sum.waited += Duration::from_nanos(waited);
        }
        Ok(sum)
    }
}
