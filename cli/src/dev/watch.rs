//! Which files of a project change: gathered until a save is complete, without those that no build begins with.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use notify::event::EventKind;
use notify::{ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

use super::ignored::{self, Ignored};
use super::seen::{Seen, Since};
use super::source::{Plan, Source};

/// An editor writes a file in several steps: a change is over when nothing more has happened for so long.
const QUIET: Duration = Duration::from_millis(30);

/// And it is taken for over after so long in any case.
const LONGEST: Duration = Duration::from_millis(500);

/// Paths that are gathered at most; of more it is only known that they were many.
const GATHERED_MAX: usize = 10_000;

/// Folders that are watched at most.
const FOLDERS_MAX: usize = 10_000;

/// A change that comes so soon after a build was most likely made by it.
const SOON: Duration = Duration::from_millis(200);

/// Such changes in a row from which on a project is restless.
const RESTLESS: u32 = 3;

/// How long a restless project waits before the next build.
const REST: Duration = Duration::from_secs(1);

/// Watches a project.
pub(super) struct Watcher {
    root: PathBuf,
    /// Whether all of the folder counts, or only `always`.
    whole: bool,
    notify: RecommendedWatcher,
    shared: Arc<Shared>,
    folders: HashSet<PathBuf>,
    ignored: Ignored,
    seen: Seen,
    /// The component, where the project's build makes it.
    product: Option<PathBuf>,
    /// Files that count whatever else is said of them.
    always: Vec<PathBuf>,
    /// Where our own output goes: each line of it would be a change.
    outputs: Vec<FileId>,
    /// What has changed during a build and was no reason to give it up.
    left: Vec<PathBuf>,
    restless: u32,
}

/// A file, whatever it is called: device and inode.
type FileId = (u64, u64);

/// What the watching thread hands over.
#[derive(Default)]
struct Shared {
    gathered: Mutex<Gathered>,
    woken: Notify,
}

#[derive(Default)]
struct Gathered {
    paths: HashSet<PathBuf>,
    /// Some were lost: anything may have changed.
    anything: bool,
    failed: Option<notify::Error>,
}

impl Watcher {
    pub(super) fn start(source: &Source) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared::default());
        let handing = shared.clone();
        let notify = notify::recommended_watcher(move |event| handing.take(event)).context("cannot watch files")?;
        let root = source.root().to_owned();
        let mut watcher = Self {
            whole: source.is_project(),
            notify,
            shared,
            folders: HashSet::new(),
            ignored: Ignored::around(&root)?,
            seen: Seen::default(),
            product: None,
            always: Vec::new(),
            outputs: ["/dev/stdout", "/dev/stderr"].into_iter().filter_map(|it| id(Path::new(it))).collect(),
            left: Vec::new(),
            restless: 0,
            root: root.clone(),
        };
        watcher.enter(&root)?;
        Ok(watcher)
    }

    /// Takes over from the manifest which component to pass over, because the build makes it, or to watch.
    pub(super) fn follow(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let component = plan.project.component.clone();
        self.product = None;
        self.always = vec![self.root.join(crate::project::MANIFEST_FILE)];
        if plan.command.is_some() {
            self.product = Some(component);
            return Ok(());
        }
        if let Some(folder) = component.parent().filter(|folder| folder.is_dir()) {
            self.watch(folder)?;
        }
        self.seen.look(&component);
        self.always.push(component);
        Ok(())
    }

    /// The next change, after a build.
    pub(super) async fn change(&mut self) -> anyhow::Result<Vec<PathBuf>> {
        let built = Instant::now();
        while self.left.is_empty() {
            self.gather().await?;
        }
        self.restless = if built.elapsed() < SOON { self.restless + 1 } else { 0 };
        if self.restless > RESTLESS {
            sleep(REST).await;
        }
        Ok(std::mem::take(&mut self.left))
    }

    /// A change that makes a build useless that is under way. A file that is new is none: most often it is the build's own.
    pub(super) async fn interruption(&mut self) -> anyhow::Result<Vec<PathBuf>> {
        while !self.gather().await? {}
        Ok(std::mem::take(&mut self.left))
    }

    /// Whether, as it has just turned out, build after build changes what it is made from.
    pub(super) fn is_restless(&self) -> bool {
        self.restless == RESTLESS
    }

    /// Waits until something has happened, and is over. True when a file has changed that was known before. May be dropped
    /// at any time: what it has not looked at is there the next time.
    async fn gather(&mut self) -> anyhow::Result<bool> {
        if self.shared.gathered().is_empty() {
            self.shared.woken.notified().await;
        }
        let latest = Instant::now() + LONGEST;
        while Instant::now() < latest && timeout(QUIET, self.shared.woken.notified()).await.is_ok() {}
        let Gathered { paths, anything, failed } = std::mem::take(&mut *self.shared.gathered());
        if let Some(error) = failed {
            return Err(error).context("cannot watch files any more");
        }
        let mut known = anything;
        if anything {
            self.look_again()?;
            self.left.push(self.root.clone());
        }
        for path in paths {
            known |= self.look(&path)?;
        }
        Ok(known)
    }

    /// Looks what has become of a path, and keeps it if it has changed. True when it was known before.
    fn look(&mut self, path: &Path) -> anyhow::Result<bool> {
        if !self.concerns(path) {
            return Ok(false);
        }
        if path.is_dir() {
            let new = self.enter(path)?;
            self.left.extend(new);
            return Ok(false);
        }
        let since = self.seen.look(path);
        if since != Since::Same {
            self.left.push(path.to_owned());
            if ignored::is_rules(path) {
                self.look_again()?;
            }
        }
        Ok(since == Since::Changed)
    }

    fn concerns(&self, path: &Path) -> bool {
        if self.always.iter().any(|always| always == path) {
            return true;
        }
        let is_product = self.product.as_deref() == Some(path);
        let is_output = id(path).is_some_and(|id| self.outputs.contains(&id));
        self.whole
            && !is_product
            && !is_output
            && path.starts_with(&self.root)
            && !self.ignored.names(path, path.is_dir())
    }

    /// Reads all rules again, and watches what they leave over.
    fn look_again(&mut self) -> anyhow::Result<()> {
        self.ignored = Ignored::around(&self.root)?;
        let root = self.root.clone();
        self.enter(&root).map(drop)
    }

    /// Watches a folder with all below it, and answers with the files in it that were not known.
    fn enter(&mut self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        let mut new = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            // Watched first: what is made after it was read is told.
            self.watch(&folder)?;
            if !self.whole {
                break;
            }
            self.ignored.add(&folder);
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                // Gone again, or not ours to read.
                Err(_) => continue,
            };
            for entry in entries.flatten() {
                let path = entry.path();
                // A link to a folder may lead anywhere.
                let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
                if self.product.as_ref() == Some(&path) || self.ignored.names(&path, is_folder) {
                    continue;
                }
                if is_folder {
                    folders.push(path);
                } else if self.seen.look(&path) == Since::New {
                    new.push(path);
                }
            }
        }
        Ok(new)
    }

    fn watch(&mut self, folder: &Path) -> anyhow::Result<()> {
        if self.folders.len() >= FOLDERS_MAX && !self.folders.contains(folder) {
            bail!("{} has more than {FOLDERS_MAX} folders; name in .gitignore what is generated", self.root.display());
        }
        match self.notify.watch(folder, RecursiveMode::NonRecursive) {
            Ok(()) => self.folders.insert(folder.to_owned()),
            // Gone again.
            Err(error) if is_gone(&error) => self.folders.remove(folder),
            Err(error) => return Err(error).with_context(|| format!("cannot watch the folder {}", folder.display())),
        };
        Ok(())
    }
}

fn id(path: &Path) -> Option<FileId> {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino()))
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

impl Shared {
    fn gathered(&self) -> MutexGuard<'_, Gathered> {
        // What is gathered is whole between any two statements that could panic.
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, event: notify::Result<Event>) {
        let mut gathered = self.gathered();
        match event {
            // To look at a file is to read it.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => return,
            Ok(event) => {
                gathered.anything |= event.need_rescan();
                gathered.paths.extend(event.paths);
                if gathered.paths.len() > GATHERED_MAX {
                    gathered.paths.clear();
                    gathered.anything = true;
                }
            }
            Err(error) if is_gone(&error) => return,
            Err(error) => gathered.failed = Some(error),
        }
        drop(gathered);
        self.woken.notify_one();
    }
}

impl Gathered {
    fn is_empty(&self) -> bool {
        self.paths.is_empty() && !self.anything && self.failed.is_none()
    }
}
