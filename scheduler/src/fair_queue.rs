//! Who runs next: start-time fair queueing over namespaces, then functions, then requests.
//!
//! Each of them has a *virtual time*: the CPU time that it has used, divided by its weight. The one with the least
//! is next. So a namespace with a thousand busy functions gets what one with a single busy function gets, and a
//! function with a thousand busy requests what one with a single request gets. Who comes back after a rest begins
//! where the others are: a rest earns no credit. (Goyal, Vin, Cheng: "Start-time Fair Queueing", SIGCOMM 1996.)

use crate::tenant::Tenant;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

/// What a turn is taken to cost until it is known: two turns that are given out at once go to two functions.
const TURN: Duration = Duration::from_millis(1);
/// The weight of a function or a namespace that has none of its own.
pub(crate) const USUAL_WEIGHT: u32 = 100;
/// Members of a level that may be kept for their history alone, beside as many as are active.
const RESTING: usize = 256;

/// Whose CPU time it is.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) function: Arc<str>,
    /// Share of the CPU beside the functions of the same namespace; [`USUAL_WEIGHT`] is the usual one.
    pub(crate) weight: u32,
}

/// A request's place in the queue, kept over its turns.
#[derive(Debug)]
pub(crate) struct Ticket {
    share: Share,
    time: u64,
    /// Which life of the function's entry `time` belongs to.
    life: u64,
}

impl Ticket {
    /// For a request that has not been queued yet.
    pub(crate) fn new(share: Share) -> Self {
        Self { share, time: 0, life: 0 }
    }
}

/// Requests that are ready to run.
pub(crate) struct FairQueue<T> {
    namespaces: Level<Namespace<T>>,
    lives: u64,
    ready: usize,
}

struct Namespace<T> {
    functions: Level<Function<T>>,
}

struct Function<T> {
    life: u64,
    /// By virtual time, then by arrival.
    requests: BTreeMap<(u64, u64), (Ticket, T)>,
    arrivals: u64,
    /// The virtual time of the request that ran last: where a new one begins.
    now: u64,
}

impl<T> FairQueue<T> {
    pub(crate) fn new() -> Self {
        Self { namespaces: Level::new(), lives: 0, ready: 0 }
    }

    /// Requests that wait for their turn.
    pub(crate) fn len(&self) -> usize {
        self.ready
    }

    /// Adds a request that is ready to run.
    pub(crate) fn push(&mut self, mut ticket: Ticket, request: T) {
        let share = ticket.share.clone();
        let tenant = &share.tenant;
        let fresh = || Namespace { functions: Level::new() };
        let namespace = self.namespaces.enter(tenant.name(), tenant.cpu_weight(), fresh);
        let lives = &mut self.lives;
        let function = namespace.functions.enter(&share.function, share.weight, || {
            *lives += 1;
            Function { life: *lives, requests: BTreeMap::new(), arrivals: 0, now: 0 }
        });
        if ticket.life != function.life {
            (ticket.life, ticket.time) = (function.life, function.now);
        }
        ticket.time = ticket.time.max(function.now);
        function.arrivals += 1;
        function.requests.insert((ticket.time, function.arrivals), (ticket, request));
        self.ready += 1;
    }

    /// Takes the request whose turn it is. What the turn took must be told to [`Self::settle`].
    pub(crate) fn pop(&mut self) -> Option<(Ticket, T)> {
        let mut taken = None;
        self.namespaces.turn(|namespace| {
            namespace.functions.turn(|function| {
                if let Some(((time, _), first)) = function.requests.pop_first() {
                    function.now = time;
                    taken = Some(first);
                }
                !function.requests.is_empty()
            })
        });
        self.ready -= usize::from(taken.is_some());
        taken
    }

    /// Charges what the turn of a request took to it, its function and its namespace.
    pub(crate) fn settle(&mut self, ticket: &mut Ticket, used: Duration) {
        ticket.time += virtual_time(used, USUAL_WEIGHT);
        self.namespaces.settle(ticket.share.tenant.name(), used, |namespace| {
            namespace.functions.settle(&ticket.share.function, used, |_| {});
        });
    }
}

fn virtual_time(used: Duration, weight: u32) -> u64 {
    let scaled = used.as_nanos() * u128::from(USUAL_WEIGHT) / u128::from(weight.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX / 2)
}

/// Members that share something by weight.
struct Level<C> {
    members: HashMap<Arc<str>, Member<C>>,
    /// Those with something ready, by virtual time.
    ready: BTreeSet<(u64, Arc<str>)>,
    /// The virtual time of the member that had the last turn; never goes back.
    now: u64,
}

struct Member<C> {
    content: C,
    weight: u32,
    time: u64,
    is_ready: bool,
    /// Turns under way.
    running: u32,
}

impl<C> Level<C> {
    fn new() -> Self {
        Self { members: HashMap::new(), ready: BTreeSet::new(), now: 0 }
    }

    /// The content of a member that is about to have something ready.
    fn enter(&mut self, key: &Arc<str>, weight: u32, make: impl FnOnce() -> C) -> &mut C {
        self.forget_resting();
        let now = self.now;
        let member = self.members.entry(key.clone()).or_insert_with(|| Member {
            content: make(),
            weight,
            time: now,
            is_ready: false,
            running: 0,
        });
        member.weight = weight;
        if !member.is_ready {
            member.is_ready = true;
            // Only one that was away altogether may have fallen behind.
            member.time = member.time.max(now);
            self.ready.insert((member.time, key.clone()));
        }
        &mut member.content
    }

    /// Gives a turn to the member that is next. `take` says whether that has something ready still.
    fn turn(&mut self, take: impl FnOnce(&mut C) -> bool) -> bool {
        let Some((time, key)) = self.ready.pop_first() else { return false };
        self.now = self.now.max(time);
        if let Some(member) = self.members.get_mut(&key) {
            member.is_ready = take(&mut member.content);
            member.running += 1;
            member.time += virtual_time(TURN, member.weight);
            if member.is_ready {
                self.ready.insert((member.time, key));
            }
        }
        !self.ready.is_empty()
    }

    /// Replaces what a turn was taken to cost by what it did.
    fn settle(&mut self, key: &Arc<str>, used: Duration, inner: impl FnOnce(&mut C)) {
        let Some(member) = self.members.get_mut(key) else { return };
        inner(&mut member.content);
        let before = member.time;
        member.running -= 1;
        member.time = (before + virtual_time(used, member.weight)).saturating_sub(virtual_time(TURN, member.weight));
        if member.is_ready && self.ready.remove(&(before, key.clone())) {
            self.ready.insert((member.time, key.clone()));
        }
    }

    /// Drops members that are kept for their history alone, when there are many: what they used beyond the others
    /// is forgiven, which is a turn or so.
    fn forget_resting(&mut self) {
        if self.members.len() > 2 * self.ready.len() + RESTING {
            self.members.retain(|_, member| member.is_ready || member.running > 0);
        }
    }
}

#[cfg(test)]
#[path = "fair_queue_tests.rs"]
mod tests;
