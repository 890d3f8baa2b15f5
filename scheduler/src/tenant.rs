//! A namespace as the scheduler knows it: what all of its functions share of this node.

use crate::{
    fair_queue::USUAL_WEIGHT,
    outcome::Failure,
    places::{Place, Places},
    rate::Rate,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Instant,
};

/// What the functions of a namespace may have of a node together. What is `None` has no bound of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TenantLimits {
    /// Requests at once.
    pub concurrency: Option<u32>,
    /// Requests that may begin in a second; so many may begin at once after a rest.
    pub requests_per_second: Option<u32>,
    /// Share of CPU time beside other namespaces; 100 where there is none.
    pub cpu_weight: Option<u32>,
}

/// A namespace, shared by its functions. Its limits may change at any time.
#[derive(Debug)]
pub struct Tenant {
    name: Arc<str>,
    places: Arc<Places>,
    rate: Rate,
    cpu_weight: AtomicU32,
}

impl Tenant {
    /// A namespace without limits of its own.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            places: Places::new(u32::MAX),
            rate: Rate::new(),
            cpu_weight: AtomicU32::new(USUAL_WEIGHT),
        }
    }

    /// The name of the namespace.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Sets limits for the requests that come from now on.
    pub fn limit(&self, limits: TenantLimits) {
        self.places.resize(limits.concurrency.unwrap_or(u32::MAX));
        self.rate.set(limits.requests_per_second);
        self.cpu_weight.store(limits.cpu_weight.unwrap_or(USUAL_WEIGHT), Relaxed);
    }

    /// Whether it has limits of its own.
    pub fn is_limited(&self) -> bool {
        self.places.all() != u32::MAX || self.rate.is_bounded() || self.cpu_weight() != USUAL_WEIGHT
    }

    pub(crate) fn cpu_weight(&self) -> u32 {
        self.cpu_weight.load(Relaxed)
    }

    pub(crate) fn enter(&self) -> Result<Place, Failure> {
        self.places.take().ok_or_else(|| Failure::NamespaceBusy { limit: self.places.all() })
    }

    /// Counts a request that begins now against the rate, unless that is used up. To be asked last: what another limit
    /// refuses does not count.
    pub(crate) fn count(&self, now: Instant) -> Result<(), Failure> {
        self.rate.take(now).map_err(|limit| Failure::RateExceeded { limit })
    }
}
