//! What the kernel of this machine has of what the platform uses.

use crate::{engine, jail};
use std::fs;
use wasmtime::PoolingAllocationConfig;

/// Features of the kernel. The platform runs without each of them, with less between it and a component that takes the
/// compiler over, or slower. The reason is with those that are missing.
#[derive(Debug)]
pub struct KernelFeatures {
    /// The process that compiles can be kept from files and network.
    pub landlock: Result<(), String>,
    /// It can be kept from system calls.
    pub seccomp: Result<(), String>,
    /// The kernel can say which pages of an instance were written, so that only those are wiped.
    pub pagemap_scan: bool,
}

impl KernelFeatures {
    /// Looks for them.
    pub fn of_this_machine() -> Self {
        // What a thread locks itself in by ends with it.
        let landlock = std::thread::spawn(jail::try_landlock).join();
        Self {
            landlock: landlock.unwrap_or_else(|_| Err("asking for it failed".to_owned())),
            seccomp: seccomp(),
            pagemap_scan: PoolingAllocationConfig::is_pagemap_scan_available(),
        }
    }
}

fn seccomp() -> Result<(), String> {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail")
        .map_err(|error| format!("/proc/sys/kernel/seccomp/actions_avail: {error}"))?;
    match actions.split_whitespace().any(|action| action == "errno") {
        true => Ok(()),
        false => Err(format!("this kernel has {}", actions.trim())),
    }
}

/// Mappings of a process.
#[derive(Debug, Clone, Copy)]
pub struct Mappings {
    /// As many as the kernel allows (`vm.max_map_count`).
    pub allowed: u64,
    /// As many as the instances may take.
    pub wanted: u64,
}

impl Mappings {
    /// Of a server that holds so many instances at once, for each engine. `None` where the kernel names no limit.
    pub fn of(instances: u32) -> Option<Self> {
        let setting = fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
        let allowed = setting.trim().parse().ok()?;
        Some(Self { allowed, wanted: u64::from(instances) * engine::MAPPINGS_PER_INSTANCE })
    }
}
