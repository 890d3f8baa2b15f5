//! The engines: how components are compiled, and the pool that instances come from.
//!
//! There are two, alike but for one setting: support for the concurrent calls of WASI 0.3 costs every
//! instance a third more CPU, so that components of WASI 0.2 have an engine without it.

use crate::{WASMTIME_VERSION, component::World, machine::Mappings};
use serde::{Deserialize, Serialize};
use std::{
    hash::{Hash, Hasher},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, ModuleVersionStrategy, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

/// The processor that native code is made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TargetCpu {
    /// This one, with all that it can do.
    #[default]
    Native,
    /// Any of this architecture: for code that is to run elsewhere too, an emulator included.
    Baseline,
}

/// What decides the shape of the pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolSize {
    /// Instances at once, per engine.
    pub(crate) instances: u32,
    /// The largest memory that a function may ask for, in bytes.
    pub(crate) memory: u64,
    /// Bytes that a slot may keep of what its last request wrote, so that the next need not fault them in again.
    pub(crate) idle_memory: u64,
}

/// Core instances that one component may have. Encoders emit a few beside the program itself.
pub(crate) const CORE_INSTANCES_PER_COMPONENT: u32 = 32;
/// Linear memories that one component may have.
pub(crate) const MEMORIES_PER_COMPONENT: u32 = 4;
/// Memories of the pool beyond one for each instance, at most: few components have a second. Each takes 4 GiB of the
/// address space, of which there are 128 TiB for two pools, the greater part of it in one piece.
const SPARE_MEMORIES: u32 = 250;
/// Tables that one component may have.
pub(crate) const TABLES_PER_COMPONENT: u32 = 16;
/// Elements that one table may have: a JavaScript engine needs tens of thousands.
pub(crate) const TABLE_ELEMENTS: usize = 100_000;
/// Bytes of bookkeeping of one instance: Python and JavaScript components need more than wasmtime's 1 MiB.
const INSTANCE_SIZE: usize = 4 << 20;

/// The engine of a world with its pool.
pub(crate) fn pooled(world: World, cpu: TargetCpu, pool: PoolSize) -> wasmtime::Result<Engine> {
    let mut config = settings(world, cpu)?;
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool_settings(pool)));
    Engine::new(&config)
}

/// The engine of a world for compiling: the same code comes out, no pool is reserved.
pub(crate) fn compiling(world: World, cpu: TargetCpu) -> wasmtime::Result<Engine> {
    Engine::new(&settings(world, cpu)?)
}

/// The target that this program was built for, as `rustc` names it.
const TARGET: &str = env!("TARGET");

/// All that decides about the code which comes out of the compiler.
fn settings(world: World, cpu: TargetCpu) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    if cpu == TargetCpu::Baseline {
        // A target that is named gets nothing of what this processor has beyond it.
        config.target(TARGET)?;
    }
    config
        .concurrency_support(matches!(world, World::Http03))
        .wasm_component_model_async(matches!(world, World::Http03))
        .epoch_interruption(true)
        .memory_init_cow(true)
        // A stack must not show a request what an earlier one left on it.
        .async_stack_zeroing(true)
        .async_stack_size(512 << 10)
        .max_wasm_stack(256 << 10)
        // File and line where the component has them (DWARF). They are looked up when a guest ends badly, not before.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .module_version(ModuleVersionStrategy::Custom(format!("wasmway-{WASMTIME_VERSION}")))?;
    Ok(config)
}

/// Bytes of linear memory that a slot keeps: a small function needs no more than the least, and a JavaScript engine
/// writes about as much as the most.
const KEPT_PER_SLOT: std::ops::RangeInclusive<u64> = 64 << 10..=4 << 20;

fn pool_settings(size: PoolSize) -> PoolingAllocationConfig {
    let n = size.instances;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(n)
        .total_core_instances(n.saturating_mul(8))
        .total_memories(n.saturating_add((n / 4).clamp(MEMORIES_PER_COMPONENT, SPARE_MEMORIES)))
        .total_tables(n.saturating_mul(8))
        .total_stacks(n)
        .max_core_instances_per_component(CORE_INSTANCES_PER_COMPONENT)
        .max_memories_per_component(MEMORIES_PER_COMPONENT)
        .max_memories_per_module(MEMORIES_PER_COMPONENT)
        .max_tables_per_component(TABLES_PER_COMPONENT)
        .max_tables_per_module(TABLES_PER_COMPONENT)
        .max_component_instance_size(INSTANCE_SIZE)
        .max_core_instance_size(INSTANCE_SIZE)
        .max_memory_size(size.memory as usize)
        .table_elements(TABLE_ELEMENTS)
        .max_unused_warm_slots(n)
        .pagemap_scan(Enabled::Auto)
        .decommit_batch_size(1)
        .async_stack_keep_resident(16 << 10);
    // Resetting a kept page costs a copy unless the kernel can say which pages were written (Linux 6.7).
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        let keep = size.idle_memory.clamp(*KEPT_PER_SLOT.start(), *KEPT_PER_SLOT.end()) as usize;
        pool.linear_memory_keep_resident(keep).table_keep_resident(64 << 10);
    } else {
        pool.linear_memory_keep_resident(16 << 10).table_keep_resident(64 << 10).decommit_batch_size(64);
    }
    pool
}

/// Mappings of the process that an instance takes: four for its place in the pool, six when it lives (its memory, its
/// tables, its stack, and what guards them).
pub(crate) const MAPPINGS_PER_INSTANCE: u64 = 10;

/// Says so when the kernel allows fewer mappings than so many instances take: the last of them would be refused.
pub(crate) fn look_at_mappings(instances: u32) {
    let Some(Mappings { allowed, wanted }) = Mappings::of(instances) else { return };
    if wanted > allowed {
        tracing::warn!(
            allowed,
            wanted,
            "the kernel allows fewer mappings than {instances} instances take; raise vm.max_map_count (sysctl), or lower \
             --max-instances"
        );
    }
}

/// Identifies the code that this engine makes: a file that was made under another value is not loaded.
/// wasmtime compares only the major version by itself.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{WASMTIME_VERSION}-{:016x}", hasher.finish())
}

/// How long a guest runs before it is asked to yield.
const TICK: Duration = Duration::from_millis(1);
/// Ticks without a running guest after which the clock rests.
const IDLE_TICKS: u32 = 100;

/// Moves the epochs of the engines on every millisecond while guests run, from a thread of its own, so
/// that it goes on when every other thread is busy. It rests when nothing runs.
pub(crate) struct EpochClock {
    shared: Arc<ClockState>,
    thread: thread::Thread,
}

struct ClockState {
    /// Counts requests begun: the clock sees in it whether anything has happened since its last tick.
    activity: AtomicU64,
    running: AtomicU64,
    resting: AtomicBool,
}

impl EpochClock {
    pub(crate) fn start(engines: Vec<Engine>) -> std::io::Result<Self> {
        let shared = Arc::new(ClockState {
            activity: AtomicU64::new(0),
            running: AtomicU64::new(0),
            resting: AtomicBool::new(false),
        });
        let weak = Arc::downgrade(&shared);
        let handle = thread::Builder::new().name("epoch-clock".into()).spawn(move || tick(&weak, &engines))?;
        Ok(Self { thread: handle.thread().clone(), shared })
    }

    /// Keeps the clock going until the guard is dropped.
    pub(crate) fn run(&self) -> ClockGuard {
        self.shared.activity.fetch_add(1, Ordering::Relaxed);
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        if self.shared.resting.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        ClockGuard(self.shared.clone())
    }
}

impl Drop for EpochClock {
    fn drop(&mut self) {
        // The thread holds a weak reference: woken, it sees that the clock is gone and ends.
        self.thread.unpark();
    }
}

/// A guest that may be running: the clock ticks while there is one.
pub(crate) struct ClockGuard(Arc<ClockState>);

impl Drop for ClockGuard {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

fn tick(clock: &Weak<ClockState>, engines: &[Engine]) {
    let mut idle = 0;
    let mut seen = 0;
    while let Some(state) = clock.upgrade() {
        let activity = state.activity.load(Ordering::Relaxed);
        idle = if state.running.load(Ordering::SeqCst) > 0 || activity != seen { 0 } else { idle + 1 };
        seen = activity;
        if idle > IDLE_TICKS {
            state.resting.store(true, Ordering::SeqCst);
            // Checked again after the flag is up: a request that began in between is not missed.
            let rest = state.running.load(Ordering::SeqCst) == 0;
            drop(state);
            if rest {
                thread::park_timeout(Duration::from_secs(1));
            }
            if let Some(state) = clock.upgrade() {
                state.resting.store(false, Ordering::SeqCst);
            }
            idle = IDLE_TICKS / 2;
        } else {
            drop(state);
            thread::sleep(TICK);
        }
        for engine in engines {
            engine.increment_epoch();
        }
    }
}
