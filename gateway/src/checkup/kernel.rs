//! Limits and features of the kernel.

use super::Finding;
use crate::{config::Config, pressure};
use rustix::process::{Resource, getrlimit};
use wasmway_scheduler::{KernelFeatures, Mappings};

/// Files that a server has open beside its connections: code, logs, the database.
const OTHER_FILES: u64 = 1024;

pub(super) fn look(config: &Config) -> Vec<Finding> {
    let features = KernelFeatures::of_this_machine();
    let mut found = vec![open_files(config)];
    found.extend(memory(config));
    found.extend(Mappings::of(config.max_instances).map(|mappings| of_mappings(config, mappings)));
    found.push(match features.landlock {
        Ok(()) => Finding::fine("landlock", "the compiler is kept from files and network"),
        Err(why) => Finding::poor(
            "landlock",
            format!("the compiler is not, or not wholly, kept from files and network: {why}"),
            "run Linux 6.10 or later with landlock among the security modules (lsm=landlock,...)",
        ),
    });
    found.push(match features.seccomp {
        Ok(()) => Finding::fine("seccomp", "the compiler is kept from system calls"),
        Err(why) => Finding::poor(
            "seccomp",
            format!("the compiler is not kept from system calls: {why}"),
            "run a kernel with CONFIG_SECCOMP_FILTER",
        ),
    });
    found.push(if features.pagemap_scan {
        Finding::fine("pagemap scan", "the kernel says which pages a request wrote")
    } else {
        let seen = "the kernel cannot say which pages a request wrote, so that more is wiped after each";
        Finding::poor("pagemap scan", seen, "run Linux 6.7 or later")
    });
    found
}

fn open_files(config: &Config) -> Finding {
    const NAME: &str = "open files";
    // Those of clients on both planes, and one outbound connection for each request.
    let wanted = 2 * u64::from(config.max_connections) + u64::from(config.max_requests) + OTHER_FILES;
    match getrlimit(Resource::Nofile).current {
        Some(allowed) if allowed < wanted => Finding::poor(
            NAME,
            format!("{allowed} may be open, and {wanted} are needed for all connections"),
            format!("ulimit -n {wanted}, or LimitNOFILE= in the systemd unit; or lower --max-connections"),
        ),
        Some(allowed) => Finding::fine(NAME, format!("{allowed} may be open, {wanted} are needed at most")),
        None => Finding::fine(NAME, "there is no limit"),
    }
}

/// Nothing where nobody says how much memory there is.
fn memory(config: &Config) -> Option<Finding> {
    let has = pressure::memory_limit()?;
    let gib = |bytes: u64| format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30));
    Some(if has < config.compile_memory {
        Finding::poor(
            "memory",
            format!("{} in all, and compiling may take {}", gib(has), gib(config.compile_memory)),
            "give it more, or lower --compile-memory: then large components are refused, and nothing is killed",
        )
    } else {
        Finding::fine(
            "memory",
            format!("{} in all, of which compiling may take {}", gib(has), gib(config.compile_memory)),
        )
    })
}

fn of_mappings(config: &Config, Mappings { allowed, wanted }: Mappings) -> Finding {
    const NAME: &str = "memory mappings";
    if wanted > allowed {
        let instances = config.max_instances;
        return Finding::poor(
            NAME,
            format!("the kernel allows {allowed}, and {instances} instances may take {wanted}"),
            format!("sysctl vm.max_map_count={wanted}, or lower --max-instances"),
        );
    }
    Finding::fine(NAME, format!("the kernel allows {allowed}, {wanted} are needed at most"))
}
