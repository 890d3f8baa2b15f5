//! Which processors the server gets, and which the load.

use std::process::{Child, Command};
use std::sync::OnceLock;
use std::thread;

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::Serialize;

/// How a benchmark shares the machine with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Placement {
    /// The server on one half of the processors, the load on the other: what is measured is the server
    Apart,
    /// Both on all of them: what a machine feels like where the kernel also has to choose between them
    Together,
}

impl Placement {
    /// Moves the calling thread, and what it starts from now on, to where the load belongs.
    pub(crate) fn move_load(self) -> Result<()> {
        self.move_to(Half::Upper)
    }

    /// Starts a server where it belongs. It counts the processors that it has by itself.
    pub(crate) fn spawn_server(self, mut command: Command) -> Result<Child> {
        // A thread of its own, since a process begins on the processors of the thread that starts it.
        let spawning = thread::spawn(move || {
            self.move_to(Half::Lower)?;
            command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
        });
        let Ok(child) = spawning.join() else { bail!("the thread that starts the server failed") };
        child
    }

    fn move_to(self, half: Half) -> Result<()> {
        match self {
            Placement::Apart => run_on(half.of(processors()?)),
            Placement::Together => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
enum Half {
    Lower,
    Upper,
}

impl Half {
    /// Half of the processors; all of them where there is only one.
    fn of(self, all: &[usize]) -> &[usize] {
        let (lower, upper) = all.split_at(all.len() / 2);
        match self {
            Half::Lower if !lower.is_empty() => lower,
            Half::Lower | Half::Upper => upper,
        }
    }
}

/// The processors that this process had when it began.
pub(crate) fn processors() -> Result<&'static [usize]> {
    static ALL: OnceLock<Vec<usize>> = OnceLock::new();
    if let Some(all) = ALL.get() {
        return Ok(all);
    }
    let all = now()?;
    Ok(ALL.get_or_init(|| all))
}

#[cfg(target_os = "linux")]
fn now() -> Result<Vec<usize>> {
    use rustix::thread::{CpuSet, sched_getaffinity};
    let set = sched_getaffinity(None).context("cannot read the processors of this process")?;
    Ok((0..CpuSet::MAX_CPU).filter(|&processor| set.is_set(processor)).collect())
}

#[cfg(target_os = "linux")]
fn run_on(processors: &[usize]) -> Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    processors.iter().for_each(|&processor| set.set(processor));
    rustix::thread::sched_setaffinity(None, &set).context("cannot choose processors")
}

#[cfg(not(target_os = "linux"))]
fn now() -> Result<Vec<usize>> {
    let count = thread::available_parallelism().context("cannot count the processors")?;
    Ok((0..count.get()).collect())
}

#[cfg(not(target_os = "linux"))]
fn run_on(_processors: &[usize]) -> Result<()> {
    bail!("processors can be chosen on Linux alone; elsewhere there is `--placement together`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_do_not_overlap_and_neither_is_empty() {
        for all in [vec![3], vec![0, 1], vec![1, 4, 6]] {
            let (lower, upper) = (Half::Lower.of(&all), Half::Upper.of(&all));
            assert!(!lower.is_empty() && !upper.is_empty(), "{all:?}");
            let shared = lower.iter().filter(|processor| upper.contains(processor)).count();
            assert_eq!(shared, usize::from(all.len() == 1), "{all:?}");
        }
    }
}
