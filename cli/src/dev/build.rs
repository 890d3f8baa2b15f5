//! The build command of a project, in a process group of its own, which ends with whoever waits for it.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// Runs the command by a shell in `folder`; what it prints is seen as it comes.
pub(super) async fn run(command: &str, folder: &Path) -> anyhow::Result<ExitStatus> {
    let child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .current_dir(folder)
        // It is not in the terminal's foreground, so that it must not read from it.
        .stdin(Stdio::null())
        .process_group(0)
        .spawn()
        .context("cannot run /bin/sh")?;
    let mut group = Group(child);
    Ok(group.0.wait().await?)
}

/// A command and all that it has started.
struct Group(Child);

/// How long a build that is told to end may take to do so.
const PATIENCE: Duration = Duration::from_millis(500);

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Ends what is still under way.
impl Drop for Group {
    fn drop(&mut self) {
        // No id is left of one that has been waited for.
        let Some(group) = self.0.id().and_then(|id| Pid::from_raw(id.cast_signed())) else { return };
        // An error says that it is gone.
        let _ = kill_process_group(group, Signal::TERM);
        let end = Instant::now() + PATIENCE;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < end {
            thread::sleep(LOOK_EVERY);
        }
        // Whoever did not listen, or was left behind by one that did.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_build_that_is_given_up_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let stubborn = "trap '' TERM; (trap '' TERM; echo $$ > pid; while :; do sleep 0.05; touch alive; done) & wait";
        let alive = folder.path().join("alive");
        tokio::select! {
            status = run(stubborn, folder.path()) => panic!("it ended by itself: {status:?}"),
            () = async { while !alive.exists() { tokio::time::sleep(LOOK_EVERY).await } } => {}
        }
        std::fs::remove_file(&alive).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!alive.exists(), "a part of the build still runs");
    }
}
