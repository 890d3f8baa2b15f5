//! Instances that have served a request and wait for another one: of functions of WASI 0.3 that ask for it. All others,
//! and these by default, get a fresh instance for every request.

use crate::{function::Reuse, host::Host, meter::Meter, places::Place, stdio::Unheard};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
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

/// An instance that may serve another request of the function that it belongs to. Dropped, it ends.
pub(crate) struct Spare {
    // In this order: who has the place must find a slot.
    pub(crate) store: Store<Host>,
    pub(crate) slot: Place,
    pub(crate) service: Service,
    pub(crate) again: Again,
    since: Instant,
}

impl Spare {
    /// Of an instance that is over with a request, if nothing of that is left in it: the request would otherwise not be
    /// over for its client and for those who count.
    pub(crate) fn of(
        mut store: Store<Host>,
        slot: &mut Option<Place>,
        service: Service,
        again: Again,
    ) -> Option<Box<Self>> {
        if !again.may_go_on() || store.data().is_calling() {
            return None;
        }
        store.data_mut().work_for(Arc::new(Unheard), None, Meter::of_nobody());
        Some(Box::new(Self { store, slot: slot.take()?, service, again, since: Instant::now() }))
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

/// The instances that wait, those that came last at the end.
#[derive(Default)]
struct Resting {
    spares: VecDeque<Box<Spare>>,
    bytes: u64,
    /// A task looks after those that wait for too long.
    is_watched: bool,
}

impl Resting {
    fn remove(&mut self, index: usize) -> Option<Box<Spare>> {
        let spare = self.spares.remove(index)?;
        self.bytes -= spare.bytes();
        Some(spare)
    }
}

/// Where instances wait.
pub(crate) struct Spares {
    resting: Mutex<Resting>,
    most: usize,
    most_bytes: u64,
}

impl Spares {
    /// For so many instances, with so many bytes of memory in all.
    pub(crate) fn new(most: u32, most_bytes: u64) -> Arc<Self> {
        Arc::new(Self { resting: Mutex::default(), most: most as usize, most_bytes })
    }

    /// An instance that waits for a request of this function: the one that came last, whose memory is the most likely to
    /// be in the processor's caches.
    pub(crate) fn take(&self, reuse: &Arc<Reuse>) -> Option<Box<Spare>> {
        let mut resting = self.lock();
        let index = resting.spares.iter().rposition(|spare| Arc::ptr_eq(&spare.again.reuse, reuse))?;
        resting.remove(index)
    }

    /// Ends the instance that has waited for the longest time, for the sake of its slot. False when there is none.
    pub(crate) fn evict(&self) -> bool {
        let oldest = self.lock().remove(0);
        oldest.is_some()
    }

    fn rest(self: Arc<Self>, mut spare: Box<Spare>) {
        spare.since = Instant::now();
        let mut resting = self.lock();
        resting.bytes += spare.bytes();
        resting.spares.push_back(spare);
        // Few at a time, as they come; let go of without the lock.
        let mut gone = Vec::new();
        while resting.spares.len() > self.most || resting.bytes > self.most_bytes {
            gone.extend(resting.remove(0));
        }
        let watch = !resting.spares.is_empty() && !std::mem::replace(&mut resting.is_watched, true);
        drop(resting);
        if watch {
            tokio::spawn(Self::watch(Arc::downgrade(&self)));
        }
    }

    /// Ends those that have waited for long enough, until none is left.
    async fn watch(spares: Weak<Self>) {
        loop {
            sleep(LOOK).await;
            let Some(spares) = spares.upgrade() else { return };
            let mut resting = spares.lock();
            let waiting = resting.spares.iter().position(|spare| spare.since.elapsed() < REST);
            let gone: Vec<_> = (0..waiting.unwrap_or(resting.spares.len())).map(|_| resting.remove(0)).collect();
            resting.is_watched = waiting.is_some();
            drop(resting);
            drop(gone);
            if waiting.is_none() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Resting> {
        // Nothing under the lock panics half-way.
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
