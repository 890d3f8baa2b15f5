//! What an error that ended a guest means.

use super::Interrupted;
use crate::{
    flat::CallTooLarge,
    limits::{COMPONENT_HANDLES, HOST_RESOURCES, HOSTCALL_BYTES, Limits},
    meter::Meter,
    outcome::Failure,
};
use std::io;
use wasmtime::{PoolConcurrencyLimitError, component::ResourceTableError};

/// Whether the kernel refused memory, or a mapping of it, that an instance needs: never for what the guest asked for
/// itself, which is told that it cannot have it.
fn is_out_of_memory(error: &wasmtime::Error) -> bool {
    let refused = |error: &io::Error| error.kind() == io::ErrorKind::OutOfMemory;
    error.downcast_ref().is_some_and(refused)
        || error.downcast_ref().is_some_and(|&error: &rustix::io::Errno| refused(&error.into()))
}

/// Bytes of a trap's description that are kept.
const TRAP_BYTES: usize = 4 << 10;

/// What an error that ended the guest means.
pub(super) fn classify(error: &wasmtime::Error, meter: &Meter, limits: &Limits) -> Result<(), Failure> {
    if let Some(exit) = error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        return if exit.0 == 0 {
            Ok(())
        } else {
            Err(Failure::Trap(format!("the function exited with status {}", exit.0)))
        };
    }
    match error.downcast_ref::<Interrupted>() {
        Some(Interrupted::BudgetSpent) => return Err(Failure::Cpu { limit: limits.cpu }),
        Some(Interrupted::Stopped) => return Err(Failure::Cancelled),
        None => {}
    }
    if error.downcast_ref::<PoolConcurrencyLimitError>().is_some() || is_out_of_memory(error) {
        return Err(Failure::NodeBusy);
    }
    // A guest that fails over a request body which is too large fails because of the client.
    if meter.was_request_too_large() {
        return Err(Failure::RequestTooLarge { limit: limits.request_body });
    }
    if meter.was_memory_denied() {
        return Err(Failure::Memory { limit: limits.memory });
    }
    if error.downcast_ref::<CallTooLarge>().is_some() {
        return Err(Failure::HostLimit(format!("{HOSTCALL_BYTES} bytes in one call of the host")));
    }
    if matches!(error.downcast_ref(), Some(ResourceTableError::Full)) {
        return Err(Failure::HostLimit(format!("{HOST_RESOURCES} host resources at once")));
    }
    let mut description = format!("{error:?}");
    // wasmtime has no type for these two.
    if description.contains("fuel allocated for hostcalls has been exhausted") {
        return Err(Failure::HostLimit(format!("{HOSTCALL_BYTES} bytes in one call of the host")));
    }
    if description.contains("store handle limit exceeded") {
        return Err(Failure::HostLimit(format!("{COMPONENT_HANDLES} handles at once")));
    }
    description.truncate(description.floor_char_boundary(TRAP_BYTES));
    Err(Failure::Trap(description))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn memory_that_the_kernel_refuses_is_not_the_functions_doing() {
        let limits = Limits {
            memory: 0,
            cpu: Duration::ZERO,
            timeout: Duration::ZERO,
            cpu_weight: 100,
            concurrency: 0,
            request_body: 0,
            response_body: 0,
        };
        let meter = Meter::for_test(Duration::from_secs(1));
        let refused = io::Error::from(rustix::io::Errno::NOMEM);
        for error in [wasmtime::Error::from(refused), wasmtime::Error::from(rustix::io::Errno::NOMEM)] {
            let failure = classify(&error.context("instantiating"), &meter, &limits);
            assert!(matches!(failure, Err(Failure::NodeBusy)), "{failure:?}");
        }
        let other = classify(&wasmtime::Error::from(rustix::io::Errno::INVAL), &meter, &limits);
        assert!(matches!(other, Err(Failure::Trap(_))), "{other:?}");
    }
}
