//! What requests run in, of one engine: the slots of its pool, and the instances that wait for another request.

use crate::{
    component::World,
    function::Reuse,
    places::{Place, Places},
    spare::{Again, Seat, Spares},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// Of all slots, the part that instances may take which wait for another request.
const SPARE_SHARE: u32 = 4;

/// What of an engine's pool is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineUsage {
    /// Which engine.
    pub world: World,
    /// Instances that it can hold at once.
    pub slots: u32,
    /// Instances that it holds, without those that only wait for a request.
    pub used: u32,
    /// Instances that only wait for a request, and give way to any.
    pub resting: u32,
    /// Requests since the start, by the kind of sandbox that they got.
    pub sandboxes: [(&'static str, u64); 2],
}

/// The seats of an engine.
pub(crate) struct Seats {
    world: World,
    slots: Arc<Places>,
    spares: Arc<Spares>,
    /// Requests that got a fresh instance.
    fresh: AtomicU64,
    /// Requests that got one which had served others.
    again: AtomicU64,
}

impl Seats {
    /// For so many instances; those that wait may have so many bytes of memory.
    pub(crate) fn new(world: World, instances: u32, idle_memory: u64) -> Self {
        Self {
            world,
            slots: Places::new(instances),
            spares: Spares::new(instances / SPARE_SHARE, idle_memory),
            fresh: AtomicU64::new(0),
            again: AtomicU64::new(0),
        }
    }

    /// A seat for a request: of an instance that has served others if it may be one, and one is there.
    pub(crate) fn take(&self, reuse: Option<&Arc<Reuse>>) -> Option<Seat> {
        if let Some(spare) = reuse.and_then(|reuse| self.spares.take(reuse)) {
            self.again.fetch_add(1, Relaxed);
            return Some(Seat::Spare(spare));
        }
        let slot = self.slot()?;
        self.fresh.fetch_add(1, Relaxed);
        Some(Seat::Fresh(slot, reuse.map(|reuse| Again::first(reuse, &self.spares))))
    }

    /// A slot of the pool: if need be that of an instance which only waits for another request.
    fn slot(&self) -> Option<Place> {
        self.slots.take().or_else(|| if self.spares.evict() { self.slots.take() } else { None })
    }

    /// What is in use.
    pub(crate) fn usage(&self) -> EngineUsage {
        let resting = self.spares.resting();
        let kind = if self.world == World::Http02 { "restored" } else { "reused" };
        EngineUsage {
            world: self.world,
            slots: self.slots.all(),
            used: self.slots.taken().saturating_sub(resting),
            resting,
            sandboxes: [("fresh", self.fresh.load(Relaxed)), (kind, self.again.load(Relaxed))],
        }
    }
}
