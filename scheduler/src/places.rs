//! Places for requests: counted, never waited for.

use std::sync::{
    Arc,
    atomic::{
        AtomicU32,
        Ordering::{Acquire, Relaxed, Release},
    },
};

/// A number of places, of which some are taken.
#[derive(Debug)]
pub(crate) struct Places {
    all: AtomicU32,
    taken: AtomicU32,
}

impl Places {
    pub(crate) fn new(all: u32) -> Arc<Self> {
        Arc::new(Self { all: AtomicU32::new(all), taken: AtomicU32::new(0) })
    }

    /// Takes a place, where one is free.
    pub(crate) fn take(self: &Arc<Self>) -> Option<Place> {
        let all = self.all();
        let more = |taken| (taken < all).then_some(taken + 1);
        self.taken.fetch_update(Acquire, Relaxed, more).ok()?;
        Some(Place(self.clone()))
    }

    /// Says how many there are from now on. Of more than that, those that are taken stay so until they are given back.
    pub(crate) fn resize(&self, all: u32) {
        self.all.store(all, Relaxed);
    }

    pub(crate) fn all(&self) -> u32 {
        self.all.load(Relaxed)
    }

    pub(crate) fn taken(&self) -> u32 {
        self.taken.load(Relaxed)
    }
}

/// A place that is taken, until this is dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>);

impl Drop for Place {
    fn drop(&mut self) {
        // What was given back before it is there for whoever takes it next.
        self.0.taken.fetch_sub(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn there_are_never_more_taken_than_there_are() {
        let places = Places::new(3);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        let place = places.take();
                        assert!((1..=3).contains(&places.taken()) || place.is_none());
                    }
                });
            }
        });
        assert_eq!(places.taken(), 0);
        let held: Vec<_> = std::iter::from_fn(|| places.take()).collect();
        assert_eq!((held.len(), places.taken()), (3, 3));
    }

    #[test]
    fn fewer_places_take_none_away() {
        let places = Places::new(2);
        let held = [places.take().unwrap(), places.take().unwrap()];
        places.resize(1);
        assert_eq!((places.all(), places.taken()), (1, 2));
        let [first, second] = held;
        drop(first);
        assert!(places.take().is_none(), "one of one is taken");
        drop(second);
        assert!(places.take().is_some());
    }
}
