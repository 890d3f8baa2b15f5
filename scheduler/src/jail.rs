//! The jail of the process that compiles: what it can still ask of the kernel once its files are open.
//!
//! Two layers, each of them enough for most of it, and each missing on some kernels:
//! - **landlock**: no file can be opened, no TCP port reached, no process outside signalled;
//! - **seccomp**: no system call but those that computing on memory takes. What is not on the list does not exist, as on
//!   an older kernel, so that the libraries fall back as they do there.
//!
//! What is left to somebody who has taken the compiler over: its own memory, within the limits, and the files that it was
//! given. It can answer with code that is not what was asked for, and that code runs with the rights of the server:
//! no jail can tell. It reads nothing else, sends nothing out, starts nothing and outlives nothing.

use serde::{Deserialize, Serialize};
use std::fs::File;

/// Which layers hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Jail {
    /// The layers that hold.
    pub(crate) holds: Vec<String>,
    /// The layers that do not, or not all of them, each with the reason.
    pub(crate) lacks: Vec<String>,
}

impl Jail {
    #[cfg(target_os = "linux")]
    fn add(&mut self, layer: &str, result: Result<(), String>) {
        match result {
            Ok(()) => self.holds.push(layer.to_owned()),
            Err(why) => self.lacks.push(format!("{layer}: {why}")),
        }
    }
}

/// Locks this process in, as far as its kernel can: it may still read `input`, and write `output` and what it says. It must
/// have one thread, and both open for nothing else.
#[cfg(target_os = "linux")]
pub(crate) fn enter(input: &File, output: &File) -> Jail {
    let mut jail = Jail::default();
    jail.add("landlock", linux::deny_files_and_network());
    // Last: what the first layer calls is not on the list.
    jail.add("seccomp", linux::deny_system_calls(input, output));
    jail
}

/// There is no such jail here. What is left are the limits on memory, CPU time and files.
#[cfg(not(target_os = "linux"))]
pub(crate) fn enter(_input: &File, _output: &File) -> Jail {
    Jail { holds: Vec::new(), lacks: vec!["landlock and seccomp: only Linux has them".into()] }
}

/// Tries the first layer on this thread, which can do nothing else afterwards.
pub(crate) fn try_landlock() -> Result<(), String> {
    #[cfg(target_os = "linux")]
    return linux::deny_files_and_network();
    #[cfg(not(target_os = "linux"))]
    Err("only Linux has it".to_owned())
}

#[cfg(target_os = "linux")]
mod linux {
    use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen::Dword, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
        TargetArch,
    };
    use std::{collections::BTreeMap, fs::File, os::fd::AsRawFd};

    /// The newest landlock that the tests have run on. An older kernel enforces what it knows of it.
    const LANDLOCK: ABI = ABI::V7;

    /// A ruleset without a rule: everything that it handles is denied.
    pub(super) fn deny_files_and_network() -> Result<(), String> {
        let restrict = || {
            Ruleset::default()
                .handle_access(AccessFs::from_all(LANDLOCK))?
                .handle_access(AccessNet::from_all(LANDLOCK))?
                .scope(Scope::from_all(LANDLOCK))?
                .create()?
                .restrict_self()
        };
        let status = restrict().map_err(|error| error.to_string())?;
        match status.ruleset {
            RulesetStatus::FullyEnforced => Ok(()),
            RulesetStatus::PartiallyEnforced => Err(format!("holds in part, this kernel has {:?}", status.landlock)),
            RulesetStatus::NotEnforced => Err(format!("this kernel has {:?}", status.landlock)),
        }
    }

    /// What computing on several threads takes, and what ends it.
    const ALLOWED: &[i64] = &[
        libc::SYS_brk,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_close,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_futex,
        libc::SYS_getpid,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_madvise,
        libc::SYS_mmap,
        libc::SYS_mprotect,
        libc::SYS_mremap,
        libc::SYS_munmap,
        libc::SYS_nanosleep,
        libc::SYS_restart_syscall,
        libc::SYS_rseq,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sched_getaffinity,
        libc::SYS_sched_yield,
        libc::SYS_set_robust_list,
        libc::SYS_sigaltstack,
    ];

    pub(super) fn deny_system_calls(input: &File, output: &File) -> Result<(), String> {
        let program: BpfProgram =
            filter(input, output).and_then(TryInto::try_into).map_err(|error| error.to_string())?;
        seccompiler::apply_filter_all_threads(&program).map_err(|error| error.to_string())
    }

    fn filter(input: &File, output: &File) -> Result<SeccompFilter, seccompiler::BackendError> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
        // Threads, and no process: this is the limit on processes. (RLIMIT_NPROC counts all of the user's processes,
        // the server's threads among them, and binds no root: as a limit of one process it is none.) `clone3` is not on
        // the list, since its flags lie in memory where no filter sees them; libraries then take `clone`.
        let thread = libc::CLONE_THREAD as u64;
        rules.insert(libc::SYS_clone, vec![when(0, SeccompCmpOp::MaskedEq(thread), thread)?]);
        // To abort, which is how it dies when its memory is used up; nobody else is signalled.
        rules.insert(libc::SYS_tgkill, vec![when(0, SeccompCmpOp::Eq, std::process::id().into())?]);
        // By number: whatever else the server's own parent has left open in it.
        let of = |file: i32| when(0, SeccompCmpOp::Eq, file as u64);
        rules.insert(libc::SYS_read, vec![of(input.as_raw_fd())?]);
        let writable = [libc::STDOUT_FILENO, libc::STDERR_FILENO, output.as_raw_fd()].map(of);
        let writable: Vec<_> = writable.into_iter().collect::<Result<_, _>>()?;
        rules.insert(libc::SYS_writev, writable.clone());
        rules.insert(libc::SYS_write, writable);
        let denied = SeccompAction::Errno(libc::ENOSYS as u32);
        let arch = TargetArch::try_from(std::env::consts::ARCH)?;
        SeccompFilter::new(rules, denied, SeccompAction::Allow, arch)
    }

    fn when(argument: u8, is: SeccompCmpOp, value: u64) -> Result<SeccompRule, seccompiler::BackendError> {
        SeccompRule::new(vec![SeccompCondition::new(argument, Dword, is, value)?])
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
