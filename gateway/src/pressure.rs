//! Memory pressure: before the kernel kills the process for the memory that it uses, new work is turned away.

use prometheus::Gauge;
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{task::AbortHandle, time::MissedTickBehavior};

/// How often the kernel is asked.
const EVERY: Duration = Duration::from_millis(200);
/// How far, as a share of the memory, its use has to fall below the threshold before new work is taken again.
const RELIEF: f64 = 0.03;

/// Bytes of memory that this process may come to use: what the machine has, or less where a control group says so.
/// `None` where nothing says it.
pub(crate) fn memory_limit() -> Option<u64> {
    Source::all(Path::new("/")).iter().filter_map(Source::use_and_limit).map(|(_, limit)| limit).min()
}

/// Whether memory is short, as of a moment ago.
pub(crate) struct Pressure {
    high: Arc<AtomicBool>,
    watch: Option<AbortHandle>,
}

impl Pressure {
    /// Watches the memory of this machine and of the control groups that the process is in. It is short from
    /// `percent` on, never when that is 0. Its use goes to `used` as a share, 0 to 1.
    pub(crate) fn watch(percent: u8, used: Gauge) -> Self {
        let high = Arc::<AtomicBool>::default();
        let sources = Source::all(Path::new("/"));
        if percent == 0 || sources.is_empty() {
            return Self { high, watch: None };
        }
        let task = watch(sources, f64::from(percent) / 100.0, high.clone(), used);
        Self { high, watch: Some(tokio::spawn(task).abort_handle()) }
    }

    /// True when new work has to be turned away.
    pub(crate) fn is_high(&self) -> bool {
        self.high.load(Relaxed)
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}

async fn watch(sources: Vec<Source>, threshold: f64, high: Arc<AtomicBool>, gauge: Gauge) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // One that cannot be read now says nothing; the others still do.
        let used = sources.iter().filter_map(Source::used).fold(0.0, f64::max);
        gauge.set(used);
        let (was, is) = (high.load(Relaxed), is_high(used, threshold, high.load(Relaxed)));
        high.store(is, Relaxed);
        match (was, is) {
            (false, true) => tracing::warn!(used, threshold, "memory is short: new invocations are turned away"),
            (true, false) => tracing::info!(used, threshold, "memory is no longer short: invocations are taken again"),
            (true, true) | (false, false) => {}
        }
    }
}

fn is_high(used: f64, threshold: f64, was: bool) -> bool {
    used >= if was { threshold - RELIEF } else { threshold }
}

/// Something that says how much memory may be used and how much is. Where it is said by files, they are in a folder.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// A control group, version 2.
    Group2(PathBuf),
    /// A control group, version 1.
    Group1(PathBuf),
    /// All memory of the machine.
    Machine(PathBuf),
}

impl Source {
    /// All that apply to this process: a limit of a group holds for the groups in it.
    fn all(root: &Path) -> Vec<Self> {
        let mut sources = Vec::new();
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        for line in groups.lines() {
            // hierarchy:controllers:path (cgroups(7))
            let mut parts = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
            let path = Path::new(path.trim_start_matches('/'));
            if controllers.is_empty() {
                sources
                    .extend(groups_of(&root.join("sys/fs/cgroup"), path, "memory.max").into_iter().map(Self::Group2));
            } else if controllers.split(',').any(|controller| controller == "memory") {
                let mount = root.join("sys/fs/cgroup/memory");
                sources.extend(groups_of(&mount, path, "memory.limit_in_bytes").into_iter().map(Self::Group1));
            }
        }
        sources.extend(Some(root.join("proc/meminfo")).filter(|file| file.exists()).map(Self::Machine));
        sources
    }

    /// The share of the memory that is used, 0 to 1. `None` when there is no limit, or nothing can be read.
    fn used(&self) -> Option<f64> {
        self.use_and_limit().map(|(used, limit)| used as f64 / limit as f64)
    }

    /// Both in bytes.
    fn use_and_limit(&self) -> Option<(u64, u64)> {
        let (used, limit) = match self {
            Self::Group2(folder) => {
                let cache = field(&folder.join("memory.stat"), "inactive_file ")?;
                (number(&folder.join("memory.current"))?.saturating_sub(cache), number(&folder.join("memory.max"))?)
            }
            Self::Group1(folder) => {
                let cache = field(&folder.join("memory.stat"), "total_inactive_file ")?;
                let used = number(&folder.join("memory.usage_in_bytes"))?.saturating_sub(cache);
                (used, number(&folder.join("memory.limit_in_bytes"))?)
            }
            Self::Machine(file) => {
                // It counts in KiB.
                let total = field(file, "MemTotal:")? << 10;
                (total.saturating_sub(field(file, "MemAvailable:")? << 10), total)
            }
        };
        (limit > 0).then_some((used, limit))
    }
}

/// The folders of a group and of those that it is in, as far as they have the file. A container sees its own group
/// at the mount itself, whatever its path is outside.
fn groups_of(mount: &Path, path: &Path, file: &str) -> Vec<PathBuf> {
    let groups = path.ancestors().map(|path| mount.join(path));
    groups.filter(|folder| folder.join(file).exists()).collect()
}

/// The number that a file holds; `None` for the word `max`.
fn number(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The number behind a name in a file of lines.
fn field(file: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine with these files.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        root
    }

    fn used(root: &tempfile::TempDir) -> Vec<f64> {
        Source::all(root.path()).iter().filter_map(Source::used).collect()
    }

    const MEMINFO: (&str, &str) =
        ("proc/meminfo", "MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:     600 kB\n");

    #[test]
    fn the_machine_counts_what_can_be_had() {
        let root = machine(&[MEMINFO]);
        assert_eq!(used(&root), [0.4]);
        let sources = Source::all(root.path());
        assert_eq!(sources[0].use_and_limit(), Some((400 << 10, 1000 << 10)), "in bytes");
    }

    #[test]
    fn a_group_counts_what_cannot_be_given_back() {
        let root = machine(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/cgroup.controllers", "memory\n"),
            ("sys/fs/cgroup/outer/memory.max", "2000\n"),
            ("sys/fs/cgroup/outer/memory.current", "1600\n"),
            ("sys/fs/cgroup/outer/memory.stat", "anon 900\ninactive_file 100\n"),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", "1600\n"),
            ("sys/fs/cgroup/outer/inner/memory.stat", "inactive_file 100\n"),
        ]);
        assert_eq!(used(&root), [0.75, 0.4], "the limit of the outer group holds for the inner one");
    }

    #[test]
    fn groups_of_version_1_are_read_too() {
        let root = machine(&[
            ("proc/self/cgroup", "4:memory:/docker/abc\n3:cpu:/docker/abc\n0::/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "900\n"),
            ("sys/fs/cgroup/memory/memory.stat", "inactive_file 1\ntotal_inactive_file 400\n"),
        ]);
        assert_eq!(used(&root), [0.5], "a container sees its own group at the mount");
    }

    #[test]
    fn a_machine_that_says_nothing_is_never_short() {
        assert!(used(&machine(&[])).is_empty());
    }

    #[test]
    fn this_machine_says_something() {
        let used: Vec<_> = Source::all(Path::new("/")).iter().filter_map(Source::used).collect();
        assert!(cfg!(not(target_os = "linux")) || !used.is_empty());
        assert!(used.iter().all(|used| (0.0..=1.0).contains(used)), "{used:?}");
    }

    #[test]
    fn relief_takes_more_than_a_little() {
        assert!(!is_high(0.899, 0.9, false));
        assert!(is_high(0.9, 0.9, false));
        assert!(is_high(0.88, 0.9, true), "no flapping around the threshold");
        assert!(!is_high(0.86, 0.9, true));
    }
}
