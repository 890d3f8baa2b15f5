//! What is developed: a project with its build, or a component that something else builds.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::project::{MANIFEST_FILE, Project};

/// What a path stands for. The paths in it are absolute, as those are that changes are reported by.
#[derive(Debug)]
pub(super) struct Source {
    root: PathBuf,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// A folder with a manifest, of this path.
    Project(PathBuf),
    /// A component of this path.
    Component(PathBuf),
}

/// What is to be done at a change.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) project: Project,
    /// What builds the component; `None` when something else does.
    pub(super) command: Option<String>,
}

/// Names of changed files that are printed; the others are counted.
const NAMES_SHOWN: usize = 2;

impl Source {
    /// An error says that there is nothing to develop at `path`.
    pub(super) fn at(path: &Path) -> anyhow::Result<Self> {
        let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
        if path.is_dir() {
            let manifest = path.join(MANIFEST_FILE);
            if !manifest.is_file() {
                bail!("{} has no {MANIFEST_FILE}; write one, or name a component's file instead", path.display());
            }
            return Ok(Self { root: path, kind: Kind::Project(manifest) });
        }
        let root = path.parent().unwrap_or(Path::new("/")).to_owned();
        let is_manifest = path.extension().is_some_and(|extension| extension == "toml");
        Ok(Self { root, kind: if is_manifest { Kind::Project(path) } else { Kind::Component(path) } })
    }

    /// The folder that it is in.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Whether files of the whole folder are parts of it, and not only a few that are known by name.
    pub(super) fn is_project(&self) -> bool {
        matches!(self.kind, Kind::Project(_))
    }

    /// What is to be done, as its manifest says now.
    pub(super) fn plan(&self) -> anyhow::Result<Plan> {
        let (path, is_built_here) = match &self.kind {
            Kind::Project(manifest) => (manifest, true),
            Kind::Component(component) => (component, false),
        };
        let project = Project::locate(path)?;
        let command = project.build_command().filter(|_| is_built_here).map(str::to_owned);
        Ok(Plan { project, command })
    }

    /// Files as a person calls them.
    pub(super) fn names(&self, files: &[PathBuf]) -> String {
        let shown = files.iter().take(NAMES_SHOWN).map(|file| file.strip_prefix(&self.root).unwrap_or(file));
        let mut text = shown.map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ");
        if files.len() > NAMES_SHOWN {
            text.push_str(&format!(" and {} more", files.len() - NAMES_SHOWN));
        }
        text
    }
}
