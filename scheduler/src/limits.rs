//! What one request may use, and the limiter that enforces the memory part of it.

use crate::meter::Meter;
use std::{sync::Arc, time::Duration};
use wasmtime::ResourceLimiter;

/// What one request of a function may use. Set by the function's manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all linear memories and tables of the request together.
    pub memory: u64,
    /// CPU time, measured on the clock of the threads that run the request.
    pub cpu: Duration,
    /// Share of CPU time beside other functions, 100 being the usual one.
    pub cpu_weight: u32,
    /// Wall-clock time, from admission to the last byte of the response body.
    pub timeout: Duration,
    /// Requests of the function at once on this node.
    pub concurrency: u32,
    /// Bytes of one request body.
    pub request_body: u64,
    /// Bytes of one response body.
    pub response_body: u64,
}

/// Bytes that a table element occupies in the host, for the memory sum.
const TABLE_ELEMENT_BYTES: u64 = 8;

// What a request may make the host allocate on its behalf, beside its own memory. A limiter never sees
// these, so each has a cap of its own: together they bound the host's memory per request.

/// Bytes lifted out of the guest by one host call (`Store::set_hostcall_fuel`).
pub(crate) const HOSTCALL_BYTES: usize = 512 << 10;
/// Component-model handles alive at once (`Store::set_max_component_handles`).
pub(crate) const COMPONENT_HANDLES: usize = 512;
/// Host resources alive at once (`ResourceTable::set_max_capacity`).
pub(crate) const HOST_RESOURCES: usize = 1024;
/// Bytes of one set of HTTP fields as kept in host memory (`WasiHttpCtx::set_field_size_limit`).
pub(crate) const FIELDS_BYTES: usize = 32 << 10;
/// Bytes of random data by one call (`WasiCtxBuilder::max_random_size`).
pub(crate) const RANDOM_BYTES: u64 = 64 << 10;
/// Bytes that one write to a body or to an output stream may carry.
pub(crate) const WRITE_BYTES: usize = 64 << 10;

/// Writes to a body that may wait to be sent: standard libraries write 4 KiB at a time, and a guest that has to wait
/// for the connection in the middle of a short answer costs it a task of its own.
pub(crate) const WAITING_WRITES: usize = 16;

/// Sums all memories and tables of one request. wasmtime's own `StoreLimits` counts each by itself, so
/// that many small memories would escape it.
pub(crate) struct MemoryLimiter {
    limit: u64,
    used: u64,
    meter: Arc<Meter>,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: u64, meter: Arc<Meter>) -> Self {
        Self { limit, used: 0, meter }
    }

    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Bytes that there are.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// From here on another request has the memory.
    pub(crate) fn work_for(&mut self, meter: Arc<Meter>) {
        meter.memory_peak(self.used);
        self.meter = meter;
    }

    /// Allows a change from `current` to `desired` bytes when the sum stays within the limit.
    fn allow(&mut self, current: u64, desired: u64) -> bool {
        let sum = self.used.saturating_add(desired.saturating_sub(current));
        if sum > self.limit {
            self.meter.memory_refused(sum);
            return false;
        }
        self.used = sum;
        self.meter.memory_peak(sum);
        true
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Past the memory's own declared maximum the growth fails by itself: that is not our limit.
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.allow(current as u64, desired as u64))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let bytes = |elements: usize| (elements as u64).saturating_mul(TABLE_ELEMENT_BYTES);
        Ok(self.allow(bytes(current), bytes(desired)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sums_over_memories_and_tables() {
        let meter = Meter::for_test(Duration::from_secs(1));
        let mut limiter = MemoryLimiter::new(1000, meter.clone());
        assert!(limiter.memory_growing(0, 400, None).unwrap());
        assert!(limiter.memory_growing(0, 400, None).unwrap(), "a second memory counts beside the first");
        assert!(limiter.table_growing(0, 25, None).unwrap(), "25 elements are 200 bytes");
        assert!(!limiter.memory_growing(400, 401, None).unwrap(), "one byte over the sum");
        assert!(!limiter.memory_growing(0, usize::MAX, None).unwrap(), "no overflow");
        assert!(limiter.memory_growing(400, 400, None).unwrap(), "a refused growth was not counted");
        assert_eq!(meter.receipt().memory_bytes, 1000);
        assert_eq!(meter.receipt().memory_refused, Some(u64::MAX), "the most that was asked for");
    }

    #[test]
    fn a_declared_maximum_is_not_our_limit() {
        let meter = Meter::for_test(Duration::from_secs(1));
        let mut limiter = MemoryLimiter::new(1000, meter.clone());
        assert!(!limiter.memory_growing(0, 500, Some(400)).unwrap());
        assert!(!meter.was_memory_denied());
    }

    /// One call of the limiter: a memory or table asks to grow by so much.
    #[derive(Clone, Debug)]
    struct Growth {
        which: usize,
        table: bool,
        by: usize,
        maximum: Option<usize>,
    }

    fn growth() -> impl Strategy<Value = Growth> {
        let by = prop_oneof![0..64_usize, 0..2000_usize, Just(usize::MAX)];
        let maximum = prop_oneof![Just(None), (0..3000_usize).prop_map(Some)];
        (0..6_usize, any::<bool>(), by, maximum).prop_map(|(which, table, by, maximum)| Growth {
            which,
            table,
            by,
            maximum,
        })
    }

    proptest! {
        #[test]
        fn the_sum_is_that_of_what_was_granted_and_never_over_the_limit(
            limit in 0..5000_u64,
            growths in prop::collection::vec(growth(), 0..60),
        ) {
            let meter = Meter::for_test(Duration::from_secs(1));
            let mut limiter = MemoryLimiter::new(limit, meter.clone());
            // The model: what each memory (bytes) and table (elements) has, as the engine knows it.
            let mut held = [[0_usize; 6]; 2];
            let bytes = |held: &[[usize; 6]; 2]| (held[0].iter().sum::<usize>() + 8 * held[1].iter().sum::<usize>()) as u64;
            let (mut peak, mut denied) = (0, false);
            for Growth { which, table, by, maximum } in growths {
                let current = held[usize::from(table)][which];
                let desired = current.saturating_add(by);
                let granted = if table {
                    limiter.table_growing(current, desired, maximum).unwrap()
                } else {
                    limiter.memory_growing(current, desired, maximum).unwrap()
                };
                let unit = if table { TABLE_ELEMENT_BYTES } else { 1 };
                let fits = u128::from(bytes(&held)) + (desired - current) as u128 * u128::from(unit) <= limit.into();
                let declared = maximum.is_none_or(|maximum| desired <= maximum);
                prop_assert_eq!(granted, fits && declared);
                denied |= declared && !fits;
                if granted {
                    held[usize::from(table)][which] = desired;
                    peak = peak.max(bytes(&held));
                }
                prop_assert_eq!(meter.receipt().memory_bytes, peak);
                prop_assert_eq!(meter.was_memory_denied(), denied);
            }
            prop_assert!(peak <= limit);
        }
    }
}
