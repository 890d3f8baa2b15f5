//! Plays a recorded call: gives a sandbox what the recorded one got, and says where this one asks for something else.
//!
//! Time is the recording's too. What the guest waits for (a sleep, an answer, a piece of a body) comes when nothing else
//! can go on, in the order in which it is due: see [`virtual_time`].

mod body;
mod outbound;
mod virtual_time;

use crate::{
    capture::{Capture, Clocks, Data, Random, header_map},
    recorder::Randomness,
};
pub use body::PlayedBody;
use http::Request;
use outbound::Exchanges;
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
pub(crate) use virtual_time::VirtualTime;
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::DynPollable;

/// Gives one sandbox what a capture holds.
pub struct Player {
    time: Arc<VirtualTime>,
    request: crate::capture::Message,
    script: Mutex<Script>,
}

/// What has yet to be given.
struct Script {
    wall: Readings,
    monotonic: Readings,
    secure: Numbers,
    insecure: Numbers,
    insecure_seed: u128,
    exchanges: Exchanges,
    /// `None` of another component, which waits in its own way.
    polls: Option<std::vec::IntoIter<(u32, Vec<u32>)>>,
    looks: Option<std::vec::IntoIter<bool>>,
    differences: Differences,
}

/// Where the guest asked for something that the recorded one had not asked for.
#[derive(Default)]
struct Differences {
    listed: Vec<String>,
    /// How often, of those that may come very often.
    counted: BTreeMap<&'static str, u64>,
}

/// Differences that are listed; what comes after them is counted.
const LISTED: usize = 100;

impl Differences {
    fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.counted.is_empty()
    }

    fn add(&mut self, difference: String) {
        if self.listed.len() < LISTED {
            self.listed.push(difference);
        } else {
            self.count("further differences");
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.counted.entry(what).or_default() += 1;
    }
}

/// The readings of a clock.
struct Readings {
    next: std::vec::IntoIter<u64>,
    last: u64,
}

/// Between two readings that are on no tape.
const TICK_NS: u64 = 1000;

impl Readings {
    fn new(readings: Vec<u64>) -> Self {
        Self { last: readings.first().copied().unwrap_or_default(), next: readings.into_iter() }
    }

    /// The next one, and whether it was recorded. When there are none left the clock goes on a little, and to `least`.
    fn next(&mut self, least: u64) -> (u64, bool) {
        let recorded = self.next.next();
        self.last = recorded.unwrap_or_else(|| self.last.saturating_add(TICK_NS).max(least));
        (self.last, recorded.is_some())
    }
}

/// Random bytes.
struct Numbers {
    next: std::vec::IntoIter<u8>,
    /// When there are none left: not random, so that every replay gets the same.
    made_up: StdRng,
}

impl Numbers {
    fn new(Data(bytes): &Data) -> Self {
        Self { next: bytes.clone().into_iter(), made_up: StdRng::seed_from_u64(bytes.len() as u64) }
    }

    /// False when some were made up.
    fn fill(&mut self, bytes: &mut [u8]) -> bool {
        let recorded = bytes.len() <= self.next.len();
        for byte in bytes {
            *byte = self.next.next().unwrap_or_else(|| self.made_up.random());
        }
        recorded
    }
}

impl Player {
    /// For one run of what `capture` holds, by the component that was recorded or by another.
    pub fn new(capture: &Capture, is_same_component: bool) -> Arc<Self> {
        let recorded = &capture.recorded;
        let Clocks { wall_ns, monotonic_ns } = &recorded.clocks;
        let Random { secure, insecure, insecure_seed } = &recorded.random;
        let script = Script {
            wall: Readings::new(wall_ns.clone()),
            monotonic: Readings::new(monotonic_ns.clone()),
            secure: Numbers::new(secure),
            insecure: Numbers::new(insecure),
            insecure_seed: u128::from_str_radix(insecure_seed, 16).unwrap_or_default(),
            exchanges: Exchanges::new(&recorded.outbound),
            polls: is_same_component.then(|| recorded.waits.polls.clone().into_iter()),
            looks: is_same_component.then(|| recorded.waits.looks.clone().into_iter()),
            differences: Differences::default(),
        };
        let timeout = Duration::from_micros(capture.function.limits.timeout_us);
        Arc::new(Self {
            time: Arc::new(VirtualTime::new(timeout)),
            request: recorded.request.clone(),
            script: Mutex::new(script),
        })
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        // What it holds is whole between any two statements that could panic.
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The recorded request.
    pub fn request(self: &Arc<Self>) -> Result<Request<PlayedBody>, http::Error> {
        let message = &self.request;
        let body = PlayedBody::new(self.clone(), message.body.clone(), "the request's body".into(), 0);
        let mut request = Request::builder().method(message.method.as_str()).uri(message.uri.as_str()).body(body)?;
        *request.headers_mut() = header_map(&message.headers);
        Ok(request)
    }

    /// Says that nothing can go on before time does. To be called when the runtime that plays it, which must be one of a
    /// single thread, has nothing left to do.
    pub fn idle(&self) {
        self.time.advance();
    }

    /// Where this run asked for something that the recorded one had not asked for, once it is over.
    pub fn differences(&self) -> Vec<String> {
        let mut script = self.script();
        let unused = script.exchanges.unused();
        unused.into_iter().for_each(|difference| script.differences.add(difference));
        let Differences { listed, counted } = &script.differences;
        let counted = counted.iter().map(|(what, times)| format!("{what} (times: {times})"));
        listed.iter().cloned().chain(counted).collect()
    }

    pub(crate) fn time(&self) -> &Arc<VirtualTime> {
        &self.time
    }

    pub(crate) fn wall_clock(&self) -> Duration {
        let mut script = self.script();
        let (now, recorded) = script.wall.next(0);
        if !recorded {
            script.differences.count("the wall clock is read after the last recorded reading");
        }
        Duration::from_nanos(now)
    }

    pub(crate) fn monotonic_clock(&self) -> u64 {
        let mut script = self.script();
        let (now, recorded) = script.monotonic.next(self.time.now());
        if recorded {
            self.time.reached(now);
        } else {
            script.differences.count("the monotonic clock is read after the last recorded reading");
        }
        now
    }

    pub(crate) fn random(&self, which: Randomness, bytes: &mut [u8]) {
        let mut script = self.script();
        let numbers = match which {
            Randomness::Secure => &mut script.secure,
            Randomness::Insecure => &mut script.insecure,
        };
        if !numbers.fill(bytes) {
            script.differences.count("random numbers are taken after the last recorded one");
        }
    }

    pub(crate) fn insecure_seed(&self) -> u128 {
        self.script().insecure_seed
    }

    /// What the next poll, of so many things, found when it was recorded; `None` where this run has gone another way.
    pub(crate) fn polled(&self, of: u32) -> Option<Vec<u32>> {
        let mut script = self.script();
        let is_as_recorded = script.differences.is_empty();
        let (recorded, ready) = script.polls.as_mut().filter(|_| is_as_recorded)?.next()?;
        if recorded == of {
            return Some(ready);
        }
        script.polls = None;
        None
    }

    /// What the next look at one thing found when it was recorded; `None` where this run has gone another way.
    pub(crate) fn looked(&self) -> Option<bool> {
        let mut script = self.script();
        let is_as_recorded = script.differences.is_empty();
        script.looks.as_mut().filter(|_| is_as_recorded)?.next()
    }

    /// A pollable that is ready when so many nanoseconds of the recording's time have passed.
    pub(crate) fn sleep(&self, table: &mut ResourceTable, ns: u64) -> wasmtime::Result<Resource<DynPollable>> {
        let sleep = table.push(virtual_time::Sleep::new(self.time.clone(), ns))?;
        wasmtime_wasi_io::poll::subscribe(table, sleep)
    }

    fn differs(&self, difference: String) {
        self.script().differences.add(difference);
    }
}
