//! What a process has used, as the kernel counts it (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// The kernel's unit of time towards programs (`USER_HZ`), the same on every Linux that runs this.
const TICKS_PER_SECOND: f64 = 100.0;

/// CPU time of all threads of a process so far, those that have ended included. Counted in steps of 10 ms.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    cpu_of_stat(&text).with_context(|| format!("reading {path}"))
}

fn cpu_of_stat(text: &str) -> Result<Duration> {
    // The name of the program, in parentheses, may hold anything; user and system time are the 14th and 15th field.
    let (_, fields) = text.rsplit_once(')').context("no name in it")?;
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || times.next().context("too short")?.parse::<u64>().context("not a number");
    let ticks = next()? + next()?;
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

/// Bytes of memory that a process has now.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no memory in its status")?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().context("memory that is no number")?;
    Ok(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_its_fields_behind_any_name() {
        let text = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 100 0 0";
        assert_eq!(cpu_of_stat(text).unwrap(), Duration::from_secs(3));
        assert!(cpu_of_stat("7 (a) S 1").is_err());
    }

    #[test]
    fn reads_its_own() {
        assert!(memory(std::process::id()).unwrap() > 1 << 20);
        assert!(cpu(std::process::id()).is_ok());
    }
}
