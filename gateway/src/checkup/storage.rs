//! The data folder and its disk.

use super::Finding;
use crate::disk::{self, Disk};
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Room in which a fleet's worth of components and their code find place.
const ROOM: u64 = 4 << 30;
/// Writes that reach the disk, of which the median counts.
const WRITES: usize = 9;
/// From here on deploys feel the disk: each waits for about ten such writes.
const SLOW_WRITE: Duration = Duration::from_millis(25);

pub(super) fn look(folder: &Path) -> Vec<Finding> {
    let mut found = vec![folder_itself(folder)];
    let Some(there) = nearest(folder) else { return found };
    found.push(room(&there));
    found.push(match write_time(&there) {
        Ok(time) if time < SLOW_WRITE => Finding::fine("disk writes", format!("one reaches the disk in {time:.1?}")),
        Ok(time) => Finding::poor(
            "disk writes",
            format!("one takes {time:.1?} to reach the disk, and a deploy waits for about ten"),
            "put the data directory on a local SSD; functions are served as fast either way",
        ),
        Err(error) => Finding::bad(
            "disk writes",
            format!("nothing can be written to {}: {error}", there.display()),
            "let the server's user write there, or name another folder with --data-dir",
        ),
    });
    found
}

fn folder_itself(folder: &Path) -> Finding {
    const NAME: &str = "data directory";
    let data = match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::fine(NAME, format!("{} is not there yet, and is made at the start", folder.display()));
        }
        Err(error) => {
            let fix = "let the server's user reach it, or name another with --data-dir";
            return Finding::bad(NAME, format!("{} cannot be looked at: {error}", folder.display()), fix);
        }
        Ok(data) => data,
    };
    if !data.is_dir() {
        return Finding::bad(NAME, format!("{} is no folder", folder.display()), "name a folder with --data-dir");
    }
    if data.permissions().mode() & 0o077 != 0 {
        let seen = format!("{} is open to other users, and has tokens in it", folder.display());
        return Finding::poor(NAME, seen, format!("chmod 700 {}", folder.display()));
    }
    Finding::fine(NAME, folder.display().to_string())
}

/// The folder, or the first above it that is there.
fn nearest(folder: &Path) -> Option<PathBuf> {
    let whole = std::path::absolute(folder).ok()?;
    whole.ancestors().find(|folder| folder.is_dir()).map(Path::to_owned)
}

fn room(folder: &Path) -> Finding {
    const NAME: &str = "disk space";
    match Disk::of(folder) {
        Ok(disk) => {
            let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
            let seen = format!("{:.1} of {:.1} GiB are free", gib(disk.free), gib(disk.size));
            if disk.free < disk::LOW {
                Finding::bad(NAME, seen, "make room: a deploy needs it for the component and its native code")
            } else if disk.free < ROOM {
                Finding::poor(NAME, seen, "leave 4 GiB free: native code takes three to four times a component's size")
            } else {
                Finding::fine(NAME, seen)
            }
        }
        Err(error) => Finding::bad(NAME, error.to_string(), "name another folder with --data-dir"),
    }
}

/// How long a small write takes to reach the disk.
fn write_time(folder: &Path) -> io::Result<Duration> {
    let path = folder.join(format!(".wasmway-check-{}", std::process::id()));
    let file = fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
    // Without its name it is gone whatever happens.
    fs::remove_file(&path)?;
    let mut times = (0..WRITES).map(|_| timed(&file)).collect::<io::Result<Vec<_>>>()?;
    times.sort_unstable();
    Ok(times[WRITES / 2])
}

fn timed(mut file: &File) -> io::Result<Duration> {
    let begin = Instant::now();
    file.write_all(&[0; 4096])?;
    file.sync_all()?;
    Ok(begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn a_folder_that_is_not_there_yet_is_looked_for_above() {
        let root = tempfile::tempdir().unwrap();
        let found = look(&root.path().join("a/b/c"));
        assert!(found.iter().all(|finding| finding.verdict != Verdict::Bad), "{found:?}");
        assert_eq!(found.len(), 3);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_folder_that_others_may_read_is_named_with_the_fix() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let found = folder_itself(root.path());
        assert_eq!(found.verdict, Verdict::Poor);
        assert!(found.fix.unwrap().starts_with("chmod 700 "));
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(folder_itself(&file).verdict, Verdict::Bad);
    }
}
