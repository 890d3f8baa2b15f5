//! What is measured of the two engines and their pools.

use super::{counter, gauge};
use prometheus::{IntCounterVec, IntGaugeVec, Registry};
use wasmway_scheduler::EngineUsage;

pub(super) struct OfEngines {
    instances: IntGaugeVec,
    instances_resting: IntGaugeVec,
    pool_slots: IntGaugeVec,
    pool_slots_used: IntGaugeVec,
    sandboxes: IntCounterVec,
}

impl OfEngines {
    pub(super) fn declare(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name, help| gauge(registry, name, help, &["engine"]);
        Ok(Self {
            instances: gauge("wasmway_instances", "Instances that work for a request.")?,
            instances_resting: gauge(
                "wasmway_instances_resting",
                "Instances that have served a request and wait for another; they give way to any that needs their slot.",
            )?,
            pool_slots: gauge("wasmway_pool_slots", "Instances that the pool can hold at once.")?,
            pool_slots_used: gauge("wasmway_pool_slots_used", "Slots of the pool that requests have taken.")?,
            sandboxes: counter(
                registry,
                "wasmway_sandboxes_total",
                "Requests that got a sandbox: a fresh one, one that was restored to how it began, or one that is reused as it is.",
                &["engine", "kind"],
            )?,
        })
    }

    /// Takes over how one of them stands. Not twice at a time.
    pub(super) fn set(&self, usage: &EngineUsage) {
        let engine = usage.world.as_str();
        self.instances.with_label_values(&[engine]).set(usage.used.into());
        self.instances_resting.with_label_values(&[engine]).set(usage.resting.into());
        self.pool_slots.with_label_values(&[engine]).set(usage.slots.into());
        self.pool_slots_used.with_label_values(&[engine]).set(usage.used.into());
        for (kind, count) in usage.sandboxes {
            let counter = self.sandboxes.with_label_values(&[engine, kind]);
            counter.inc_by(count.saturating_sub(counter.get()));
        }
    }
}
