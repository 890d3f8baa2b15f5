//! A floor under the lane: when everything else on the machine takes all of the CPU, long requests still get some.
//!
//! A thread of the lowest priority gets next to nothing beside busy ones of the usual priority, and nobody may raise
//! it again without privileges. So a guard watches over every few threads of the lane. When the kernel keeps them
//! waiting for most of the time that they want to run, it gives the turns itself for a while, at the usual priority.

use super::{Shared, Waiting};
use rustix::thread::Pid;
use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a guard watches before it judges.
const WATCH: Duration = Duration::from_millis(20);
/// How long it steps in at first, and twice as long each time that it has to at once again.
const STEP_IN: Duration = Duration::from_millis(100);
/// The longest that it steps in.
const LONGEST: Duration = Duration::from_millis(1600);

/// What a guard and the threads that it watches share.
#[derive(Default)]
pub(super) struct Post {
    /// The guard gives the turns now.
    stepped_in: AtomicBool,
}

impl Post {
    pub(super) fn is_guard_in(&self) -> bool {
        self.stepped_in.load(SeqCst)
    }
}

/// The life of a guard over the threads `watched`.
pub(super) fn watch(shared: &Arc<Shared>, post: &Post, watched: &[Pid]) {
    let _runtime = shared.runtime.enter();
    let mut period = STEP_IN;
    while shared.wait_until_busy() {
        let starved = match is_starved(watched) {
            Ok(starved) => starved,
            Err(error) => {
                tracing::warn!(%error, "long requests may starve beside a busy system: the kernel does not tell");
                return;
            }
        };
        if starved {
            step_in(shared, post, period);
        }
        period = if starved { (period * 2).min(LONGEST) } else { STEP_IN };
    }
}

fn step_in(shared: &Arc<Shared>, post: &Post, period: Duration) {
    let end = Instant::now() + period;
    post.stepped_in.store(true, SeqCst);
    while let Some((ticket, Waiting { task, since })) = shared.next_before(end) {
        task.turn(ticket, since.elapsed());
    }
    post.stepped_in.store(false, SeqCst);
    shared.wake_all();
}

/// Watches for a while. True when the threads waited for a CPU for three times as long as they had one.
fn is_starved(watched: &[Pid]) -> io::Result<bool> {
    let before = RunQueueTime::sum(watched)?;
    thread::sleep(WATCH);
    let after = RunQueueTime::sum(watched)?;
    let (ran, waited) = (after.ran - before.ran, after.waited - before.waited);
    Ok(waited > WATCH / 2 && waited > 3 * ran)
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
