//! Instances that have served a request and wait for another one.
//!
//! Those of [flat](crate::flat) components are restored before: what their next request finds is what it would find in a
//! fresh one. Those of WASI 0.3 are as their last request left them, and are kept only where their function asks for it.
//! All others end with their request.

use crate::{flat::FlatInstance, function::Reuse, host::Host, meter::Meter, places::Place, stdio::Unheard};
use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{
            AtomicBool, AtomicU64, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::{Duration, Instant},
};
use tokio::time::sleep;
use wasmtime::Store;
use wasmtime_wasi_http::p3::bindings::Service;

/// How long an instance waits for another request.
const REST: Duration = Duration::from_secs(5);
/// How often it is looked whether one has waited for long enough.
const LOOK: Duration = Duration::from_secs(1);

/// What a request runs in.
pub(crate) enum Seat {
    /// A fresh instance, which takes this place, and may serve others after it.
    Fresh(Place, Option<Again>),
    /// An instance that has served others of its function.
    Spare(Box<Spare>),
}

impl Seat {
    /// Is not needed after all.
    pub(crate) fn give_back(self) {
        if let Self::Spare(spare) = self {
            spare.rest();
        }
    }
}

/// That an instance may serve another request.
pub(crate) struct Again {
    reuse: Arc<Reuse>,
    home: Weak<Spares>,
    /// Requests that it has served, the one that it serves now included.
    served: u32,
    /// Held by the body of the request, too, as long as it is there.
    body: Arc<()>,
}

impl Again {
    /// For an instance that gets its first request.
    pub(crate) fn first(reuse: &Arc<Reuse>, home: &Arc<Spares>) -> Self {
        Self { reuse: reuse.clone(), home: Arc::downgrade(home), served: 1, body: Arc::default() }
    }

    /// For an instance that gets its next one.
    pub(crate) fn next(self) -> Self {
        Self { served: self.served + 1, body: Arc::default(), ..self }
    }

    /// What the body of the request is to hold.
    pub(crate) fn mark(&self) -> Arc<()> {
        self.body.clone()
    }

    /// True when there may be another one after this, of which no body is left.
    fn may_go_on(&self) -> bool {
        self.served < self.reuse.requests && Arc::strong_count(&self.body) == 1
    }
}

/// What of an instance can be called again.
pub(crate) enum Left {
    Flat(FlatInstance),
    Service(Service),
}

/// An instance that may serve another request of the function that it belongs to. Dropped, it ends.
pub(crate) struct Spare {
    // In this order: who has the place must find a slot.
    pub(crate) store: Store<Host>,
    pub(crate) slot: Place,
    pub(crate) left: Left,
    pub(crate) again: Again,
    since: Instant,
}

impl Spare {
    /// Of an instance that is over with a request, if nothing of that is left in it: the request would otherwise not be
    /// over for its client and for those who count.
    pub(crate) fn of(mut store: Store<Host>, slot: &mut Option<Place>, left: Left, again: Again) -> Option<Box<Self>> {
        if store.data().is_calling() {
            return None;
        }
        let is_as_it_may_be = match &left {
            Left::Flat(instance) => instance.restore(&mut store),
            Left::Service(_) => true,
        };
        if !is_as_it_may_be || !again.may_go_on() {
            return None;
        }
        store.data_mut().work_for(Unheard::by_all(), None, Meter::of_nobody());
        Some(Box::new(Self { store, slot: slot.take()?, left, again, since: Instant::now() }))
    }

    /// Lets it wait for another request.
    pub(crate) fn rest(self: Box<Self>) {
        if let Some(home) = self.again.home.upgrade() {
            home.rest(self);
        }
    }

    fn bytes(&self) -> u64 {
        self.store.data().limiter.used()
    }
}

/// The instances of one function that wait, those that came last at the end.
#[derive(Default)]
pub(crate) struct Resting {
    spares: Mutex<VecDeque<Box<Spare>>>,
    /// As many, about: who finds none need not wait for others who look.
    count: AtomicUsize,
    /// It is known to the [`Spares`].
    is_listed: AtomicBool,
}

impl std::fmt::Debug for Resting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} resting", self.count.load(Relaxed))
    }
}

impl Resting {
    /// Takes the one that `choose` chooses out.
    fn take(&self, choose: impl FnOnce(&mut VecDeque<Box<Spare>>) -> Option<Box<Spare>>) -> Option<Box<Spare>> {
        if self.count.load(SeqCst) == 0 {
            return None;
        }
        let spare = choose(&mut lock(&self.spares))?;
        self.count.fetch_sub(1, SeqCst);
        Some(spare)
    }

    fn put(&self, spare: Box<Spare>) {
        let mut spares = lock(&self.spares);
        spares.push_back(spare);
        self.count.fetch_add(1, SeqCst);
    }

    /// Whether it has any; asked by who holds the list. One that comes at the same time is seen here, or sees that it is
    /// not listed.
    fn stays_listed(&self) -> bool {
        self.is_listed.store(false, SeqCst);
        let stays = self.count.load(SeqCst) > 0;
        if stays {
            self.is_listed.store(true, SeqCst);
        }
        stays
    }
}

/// All the instances that wait, of one engine.
pub(crate) struct Spares {
    /// Functions that have some, or had until lately, in the order in which they came.
    functions: Mutex<VecDeque<Weak<Reuse>>>,
    count: AtomicUsize,
    bytes: AtomicU64,
    most: usize,
    most_bytes: u64,
    /// A task looks after those that wait for too long.
    is_watched: AtomicBool,
}

impl Spares {
    /// For so many instances, with so many bytes of memory in all.
    pub(crate) fn new(most: u32, most_bytes: u64) -> Arc<Self> {
        Arc::new(Self {
            functions: Mutex::default(),
            count: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            most: most as usize,
            most_bytes,
            is_watched: AtomicBool::new(false),
        })
    }

    /// How many wait.
    pub(crate) fn resting(&self) -> u32 {
        u32::try_from(self.count.load(Relaxed)).unwrap_or(u32::MAX)
    }

    /// An instance that waits for a request of this function: the one that came last, whose memory is the most likely to
    /// be in the processor's caches.
    pub(crate) fn take(&self, reuse: &Reuse) -> Option<Box<Spare>> {
        let spare = reuse.resting.take(VecDeque::pop_back)?;
        self.left(&spare);
        Some(spare)
    }

    /// Ends an instance that has waited for long, for the sake of its slot. False when there is none.
    pub(crate) fn evict(&self) -> bool {
        self.oldest().is_some()
    }

    /// Takes the one out that has waited the longest of a function's, of functions in turn.
    fn oldest(&self) -> Option<Box<Spare>> {
        let mut functions = lock(&self.functions);
        for _ in 0..functions.len() {
            let function = functions.pop_front()?;
            let Some(reuse) = function.upgrade() else { continue };
            functions.push_back(function);
            if let Some(spare) = reuse.resting.take(VecDeque::pop_front) {
                self.left(&spare);
                return Some(spare);
            }
        }
        None
    }

    fn is_over(&self) -> bool {
        self.count.load(SeqCst) > self.most || self.bytes.load(SeqCst) > self.most_bytes
    }

    fn left(&self, spare: &Spare) {
        self.count.fetch_sub(1, SeqCst);
        self.bytes.fetch_sub(spare.bytes(), SeqCst);
    }

    fn rest(self: Arc<Self>, mut spare: Box<Spare>) {
        spare.since = Instant::now();
        let reuse = spare.again.reuse.clone();
        self.count.fetch_add(1, SeqCst);
        self.bytes.fetch_add(spare.bytes(), SeqCst);
        reuse.resting.put(spare);
        if !reuse.resting.is_listed.load(SeqCst) {
            let mut functions = lock(&self.functions);
            if !reuse.resting.is_listed.swap(true, SeqCst) {
                functions.push_back(Arc::downgrade(&reuse));
            }
        }
        while self.is_over() && self.evict() {}
        if !self.is_watched.load(SeqCst) && !self.is_watched.swap(true, SeqCst) {
            tokio::spawn(Self::watch(Arc::downgrade(&self)));
        }
    }

    /// Ends those that have waited for long enough, until none is left.
    async fn watch(spares: Weak<Self>) {
        loop {
            sleep(LOOK).await;
            let Some(spares) = spares.upgrade() else { return };
            spares.look();
            if spares.count.load(SeqCst) == 0 {
                spares.is_watched.store(false, SeqCst);
                // One that came just before saw that somebody watches.
                if spares.count.load(SeqCst) == 0 || spares.is_watched.swap(true, SeqCst) {
                    return;
                }
            }
        }
    }

    /// Ends those that have waited for long enough; functions that have none are forgotten.
    fn look(&self) {
        let listed = lock(&self.functions).iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        let is_late = |spare: &Spare| spare.since.elapsed() >= REST;
        for reuse in &listed {
            let late = |spares: &mut VecDeque<Box<Spare>>| spares.pop_front_if(|spare| is_late(spare));
            while let Some(spare) = reuse.resting.take(late) {
                self.left(&spare);
            }
        }
        lock(&self.functions).retain(|function| function.upgrade().is_some_and(|reuse| reuse.resting.stays_listed()));
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        // An instance that waits holds its function, and its function holds it.
        while self.evict() {}
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing under the locks panics half-way.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
