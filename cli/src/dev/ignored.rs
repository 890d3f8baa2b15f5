//! The files of a project that no build begins with: what `.gitignore` names, and what is never meant.

use std::path::Path;

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::folder;

/// In the form of a `.gitignore`: what tools make, and what editors leave beside a file that is open.
const ALWAYS: [&str; 11] =
    [".git", "target", "node_modules", folder::NAME, "*.swp", "*.swx", "*~", ".#*", "\\#*#", "4913", ".DS_Store"];

const FILE: &str = ".gitignore";

/// The rules of a project.
pub(super) struct Ignored {
    always: Gitignore,
    /// Those of each `.gitignore`, outer ones first.
    named: Vec<Gitignore>,
}

impl Ignored {
    /// The rules that hold for all of the project in `root`: ours, and those of the repository that it is a part of.
    pub(super) fn around(root: &Path) -> anyhow::Result<Self> {
        let mut always = GitignoreBuilder::new(root);
        for line in ALWAYS {
            always.add_line(None, line)?;
        }
        let mut ignored = Self { always: always.build()?, named: Vec::new() };
        let outer: Vec<_> = root.ancestors().skip(1).collect();
        if let Some(top) = outer.iter().position(|folder| folder.join(".git").exists()) {
            for folder in outer[..=top].iter().rev() {
                ignored.add(folder);
            }
        }
        // A project in a folder that its repository ignores is a project all the same.
        if ignored.names(root, true) {
            ignored.named.clear();
        }
        Ok(ignored)
    }

    /// Adds the rules that a folder has, if it has any, in the place of those that it had before.
    pub(super) fn add(&mut self, folder: &Path) {
        self.named.retain(|rules| rules.path() != folder);
        let file = folder.join(FILE);
        if file.is_file() {
            // A line that is no pattern is passed over, as git does.
            self.named.push(Gitignore::new(file).0);
            self.named.sort_by_key(|rules| rules.path().components().count());
        }
    }

    /// Whether a file or folder of the project is to be passed over.
    pub(super) fn names(&self, path: &Path, is_folder: bool) -> bool {
        // Whether they ignore it; `None` where they say nothing of it.
        let says = |rules: &Gitignore| {
            let found = path.starts_with(rules.path()).then(|| rules.matched_path_or_any_parents(path, is_folder))?;
            (!found.is_none()).then(|| found.is_ignore())
        };
        // The innermost that says anything is right.
        says(&self.always).is_some() || self.named.iter().rev().find_map(says) == Some(true)
    }
}

/// Whether a path is that of a file with rules.
pub(super) fn is_rules(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn rules_of_the_repository_of_folders_and_of_ours() {
        let top = tempfile::tempdir().unwrap();
        let root = top.path().join("project");
        fs::create_dir_all(root.join("web/dist")).unwrap();
        fs::create_dir(top.path().join(".git")).unwrap();
        fs::write(top.path().join(FILE), "*.log\n").unwrap();
        fs::write(root.join(FILE), "/out\n!keep.log\n").unwrap();
        fs::write(root.join("web").join(FILE), "dist/\n").unwrap();
        let mut ignored = Ignored::around(&root).unwrap();
        for folder in ["web", "", "web", ""] {
            ignored.add(&root.join(folder));
        }
        for (path, expected) in [
            ("src/main.rs", false),
            ("a.log", true),
            ("keep.log", false),
            ("out", true),
            ("src/out", false),
            ("web/dist/a.js", true),
            ("dist/a.js", false),
            ("target/debug/a", true),
            ("src/.main.rs.swp", true),
            (".wasmway/registry.db", true),
            (".cargo/config.toml", false),
        ] {
            assert_eq!(ignored.names(&root.join(path), false), expected, "{path}");
        }
    }
}
