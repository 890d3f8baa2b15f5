//! A function as the scheduler knows it.

use crate::{
    component::World, fair_queue::Share, limits::Limits, outbound::OutboundPolicy, places::Places, spare::Resting,
    tenant::Tenant,
};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// A function that can be called: one version of it, with all that the version says.
#[derive(Debug)]
pub struct Function {
    version: u32,
    /// SHA-256 of the component.
    pub(crate) digest: [u8; 32],
    pub(crate) world: World,
    /// Where the component's bytes are, for when the native code has to be made again.
    pub(crate) artifact: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) env: Arc<[(String, String)]>,
    pub(crate) outbound: Arc<OutboundPolicy>,
    pub(crate) share: Share,
    pub(crate) pace: Arc<Pace>,
    /// Of one whose instances may serve several requests.
    pub(crate) reuse: Option<Arc<Reuse>>,
    /// For its requests.
    pub(crate) places: Arc<Places>,
}

impl Function {
    /// A version of the function `name` of the namespace `tenant`, to be run from the component with `digest` in `artifact`.
    pub fn new(
        tenant: Arc<Tenant>,
        name: String,
        version: u32,
        (digest, world, artifact): ([u8; 32], World, PathBuf),
        limits: Limits,
        env: Vec<(String, String)>,
        outbound: OutboundPolicy,
    ) -> Self {
        let share = Share { tenant, function: name.into(), weight: limits.cpu_weight };
        Self {
            places: Places::new(limits.concurrency),
            share,
            version,
            digest,
            world,
            artifact,
            limits,
            env: env.into(),
            outbound: Arc::new(outbound),
            pace: Arc::default(),
            reuse: (world == World::Http02).then(|| Arc::new(Reuse::restored())),
        }
    }

    /// Lets each instance serve up to so many requests, one after the other: what one request leaves in memory the next
    /// one finds. Of WASI 0.2 no request finds anything of another in any case.
    #[must_use]
    pub fn with_instances_reused_for(mut self, requests: u32) -> Self {
        if self.world == World::Http03 {
            self.reuse = (requests > 1).then(|| Arc::new(Reuse { requests, resting: Resting::default() }));
        }
        self
    }

    /// The namespace that it belongs to.
    pub fn namespace(&self) -> &Arc<str> {
        self.share.tenant.name()
    }

    /// Its name in the namespace.
    pub fn name(&self) -> &Arc<str> {
        &self.share.function
    }

    /// Its version, counted from 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The limits of each request.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What it is written for.
    pub fn world(&self) -> World {
        self.world
    }

    /// Its environment.
    pub fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// SHA-256 of its component.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// That instances of a function may serve several requests.
#[derive(Debug)]
pub(crate) struct Reuse {
    /// As many, at most.
    pub(crate) requests: u32,
    /// Those that wait for one.
    pub(crate) resting: Resting,
}

impl Reuse {
    /// Requests that one instance serves which is restored after each: what should be the same is made anew now and then.
    const RESTORED: u32 = 10_000;

    /// For instances that are restored, if they can be.
    fn restored() -> Self {
        Self { requests: Self::RESTORED, resting: Resting::default() }
    }
}

/// Whether the requests of a function end within a slice, as a rule.
///
/// The first slice runs on the thread that serves the connection. Where it is likely not to be enough, the request
/// begins in the lane for long requests, so that even its first slice is in nobody's way.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// Up by [`Self::LONG`] with a long request, down by one with a short one.
    wary: AtomicU32,
}

impl Pace {
    /// Short requests that make up for a long one.
    const LONG: u32 = 16;
    /// Long requests that are remembered.
    const MOST: u32 = 4 * Self::LONG;

    /// True when more than one request in sixteen was long lately. A single one may have been a page fault or two.
    pub(crate) fn is_long(&self) -> bool {
        self.wary.load(Relaxed) > Self::LONG
    }

    /// A request needed more than a slice.
    pub(crate) fn long(&self) {
        let more = |wary: u32| Some((wary + Self::LONG).min(Self::MOST));
        // Never refused.
        let _ = self.wary.fetch_update(Relaxed, Relaxed, more);
    }

    /// A request ended within a slice.
    pub(crate) fn short(&self) {
        // The usual case writes nothing.
        if self.wary.load(Relaxed) > 0 {
            // It may have become zero meanwhile.
            let _ = self.wary.fetch_update(Relaxed, Relaxed, |wary| wary.checked_sub(1));
        }
    }
}
