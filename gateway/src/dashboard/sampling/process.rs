//! How much CPU time and memory this process uses.

use cpu_time::ProcessTime;
use std::{fs, time::Instant};

/// Reads how much CPU time and memory the process uses.
#[derive(Default)]
pub(super) struct ProcessReader {
    /// When it was read last, and the CPU time that was used until then.
    last: Option<(Instant, ProcessTime)>,
}

impl ProcessReader {
    /// CPU seconds a second since it was last read, and bytes of resident memory; `None` where nothing says it.
    pub(super) fn read(&mut self) -> (Option<f64>, Option<f64>) {
        let used = ProcessTime::try_now().ok();
        let now = Instant::now();
        let cpu = used.zip(self.last).map(|(used, (then, before))| {
            let seconds = now.saturating_duration_since(then).as_secs_f64();
            used.duration_since(before).as_secs_f64() / seconds.max(0.001)
        });
        self.last = used.map(|used| (now, used));
        (cpu, resident_bytes())
    }
}

/// As Linux says it, in kB that are KiB.
fn resident_bytes() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024.0)
}
