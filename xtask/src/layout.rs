//! Where things are in the repository, and when they were last changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

/// The folders that the tasks read and write.
pub(crate) struct Layout {
    /// The top of the repository.
    pub(crate) root: PathBuf,
    /// Where built guests and examples go. Always `target/` of the repository, wherever cargo
    /// builds the rest, since tests read them from there.
    pub(crate) target: PathBuf,
}

impl Layout {
    /// The repository that this program was built from.
    pub(crate) fn of_this_repository() -> Self {
        let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self::of(xtask.parent().unwrap_or(xtask))
    }

    /// The repository at `root`.
    pub(crate) fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), target: root.join("target") }
    }

    pub(crate) fn guests(&self) -> PathBuf {
        self.root.join("guests")
    }

    pub(crate) fn examples(&self) -> PathBuf {
        self.root.join("examples")
    }

    /// The world of a function and the WASI packages that it names.
    pub(crate) fn wit(&self) -> PathBuf {
        self.root.join("sdk/wit")
    }

    /// The crate that functions in Rust are written with.
    pub(crate) fn rust_sdk(&self) -> PathBuf {
        self.root.join("sdk/rust")
    }

    /// Where cargo builds for WebAssembly.
    pub(crate) fn guests_build(&self) -> PathBuf {
        self.target.join("guests-build")
    }

    /// The component of the guest `name`: where tests read it.
    pub(crate) fn guest_component(&self, name: &str) -> PathBuf {
        self.target.join("guests").join(name).with_extension("wasm")
    }

    /// The component of the example `name`: where tests read it.
    pub(crate) fn example_component(&self, name: &str) -> PathBuf {
        self.target.join("examples").join(name).with_extension("wasm")
    }
}

/// The names of the folders in `dir`, sorted, without hidden ones.
pub(crate) fn folders(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// All files at or below `path`, sorted; what a build leaves behind is left out.
pub(crate) fn files(path: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    collect_files(path, &mut found).with_context(|| format!("reading {}", path.display()))?;
    found.sort();
    Ok(found)
}

fn collect_files(path: &Path, found: &mut Vec<PathBuf>) -> std::io::Result<()> {
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name();
        let leftover = ["target", "node_modules", "__pycache__"].iter().any(|it| name == *it);
        if !leftover && !name.to_string_lossy().starts_with('.') {
            collect_files(&entry.path(), found)?;
        }
    }
    Ok(())
}

/// Whether `output` is there and newer than every file at or below `sources`.
pub(crate) fn is_up_to_date(output: &Path, sources: &[PathBuf]) -> Result<bool> {
    let Ok(built) = modified(output) else {
        return Ok(false);
    };
    for source in sources {
        for file in files(source)? {
            if modified(&file)? > built {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

fn modified(path: &Path) -> Result<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).with_context(|| format!("reading {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn touch(path: &Path, age_s: u64) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = fs::File::create(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(age_s)).unwrap();
    }

    #[test]
    fn an_output_is_out_of_date_when_missing_or_older_than_a_source() {
        let dir = tempfile::tempdir().unwrap();
        let (output, source) = (dir.path().join("out"), dir.path().join("src/deep/lib.rs"));
        let sources = [dir.path().join("src")];
        touch(&source, 50);
        assert!(!is_up_to_date(&output, &sources).unwrap());
        touch(&output, 10);
        assert!(is_up_to_date(&output, &sources).unwrap());
        touch(&source, 5);
        assert!(!is_up_to_date(&output, &sources).unwrap());
    }

    #[test]
    fn leftovers_of_builds_are_no_sources() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a.rs", "target/b.rs", "x/node_modules/c.js", ".git/d"] {
            touch(&dir.path().join(path), 0);
        }
        assert_eq!(files(dir.path()).unwrap(), [dir.path().join("a.rs")]);
    }
}
