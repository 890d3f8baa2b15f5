//! What there is to deploy at a path: a component, and the `wasmway.toml` that goes with it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use wasmway_registry::{FunctionName, Manifest};

pub(crate) const MANIFEST_FILE: &str = "wasmway.toml";

/// A component to deploy.
#[derive(Debug)]
pub(crate) struct Project {
    /// Where its build runs.
    pub(crate) folder: PathBuf,
    pub(crate) component: PathBuf,
    pub(crate) manifest: Option<ProjectManifest>,
}

/// A `wasmway.toml` that has been read.
#[derive(Debug, Clone)]
pub(crate) struct ProjectManifest {
    /// As it is written, which is how it is sent.
    pub(crate) text: String,
    pub(crate) manifest: Manifest,
}

impl Project {
    /// Finds the component and manifest that a folder, a manifest or a component stands for.
    pub(crate) fn find(path: &Path) -> anyhow::Result<Self> {
        let project = Self::locate(path)?;
        if !project.component.is_file() {
            let component = project.component.display();
            match project.build_command() {
                Some(command) => bail!("{component} is not there; `wasmway build` makes it (by: {command})"),
                None if project.is_to_be_built() => bail!("{component} is not there; build it first"),
                None => bail!("{component} is not there"),
            }
        }
        Ok(project)
    }

    /// As [`Project::find`], also when the component has not been built yet.
    pub(crate) fn locate(path: &Path) -> anyhow::Result<Self> {
        if path.is_dir() {
            let manifest = path.join(MANIFEST_FILE);
            if !manifest.is_file() {
                bail!("{} has no {MANIFEST_FILE}; name the component's file instead", path.display());
            }
            Self::from_manifest(&manifest)
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            Self::from_manifest(path)
        } else {
            Self::from_component(path)
        }
    }

    fn from_manifest(file: &Path) -> anyhow::Result<Self> {
        let read = ProjectManifest::read(file)?;
        let Some(built) = &read.manifest.build.component else {
            bail!("{} does not say which component to deploy; set `component` in its [build]", file.display());
        };
        let folder = folder(file);
        Ok(Self { component: folder.join(built), folder: folder.to_owned(), manifest: Some(read) })
    }

    fn from_component(file: &Path) -> anyhow::Result<Self> {
        let folder = folder(file);
        let beside = folder.join(MANIFEST_FILE);
        let manifest = if beside.is_file() { Some(ProjectManifest::read(&beside)?) } else { None };
        Ok(Self { component: file.to_owned(), folder: folder.to_owned(), manifest })
    }

    /// Whether the component is the one that its manifest builds.
    fn is_to_be_built(&self) -> bool {
        let built = self.manifest.as_ref().and_then(|read| read.manifest.build.component.as_ref());
        built.is_some_and(|built| self.folder.join(built) == self.component)
    }

    /// What builds the component; nothing when it is one that the manifest does not build.
    pub(crate) fn build_command(&self) -> Option<&str> {
        let command = self.manifest.as_ref()?.manifest.build.command.as_deref()?.trim();
        self.is_to_be_built().then_some(command)
    }

    /// Runs the manifest's build command by a shell, in the project's folder. What it prints goes to standard error.
    pub(crate) fn build(&self) -> anyhow::Result<()> {
        let Some(command) = self.build_command() else {
            bail!(
                "{} has no command that builds it; set `command` in [build] of its {MANIFEST_FILE}",
                self.component.display()
            );
        };
        eprintln!("$ {command}");
        // Of an empty path there is no folder, but here.
        let folder = if self.folder == Path::new("") { Path::new(".") } else { &self.folder };
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(folder).stdin(Stdio::null()).stdout(io::stderr());
        let status = shell.status().with_context(|| format!("cannot run the build command: {command}"))?;
        if !status.success() {
            bail!("the build command failed ({status}): {command}\n`wasmway doctor` says whether a tool is missing");
        }
        if !self.component.is_file() {
            let component = self.component.display();
            bail!("the build command ended well, but made no {component}; correct `component` in [build]");
        }
        Ok(())
    }

    /// The name to deploy to: the one that is asked for, else the manifest's, else the component's file name.
    pub(crate) fn name(&self, asked: Option<&FunctionName>) -> anyhow::Result<FunctionName> {
        let written = self.manifest.as_ref().and_then(|read| read.manifest.name.as_ref());
        if let Some(name) = asked.or(written) {
            return Ok(name.clone());
        }
        let stem = self.component.file_stem().unwrap_or_default().to_string_lossy();
        stem.parse()
            .with_context(|| "the component's file name is no function's name; name the function by --name".to_owned())
    }
}

impl ProjectManifest {
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let manifest = Manifest::from_toml(&text).with_context(|| format!("{} cannot be used", file.display()))?;
        Ok(Self { text, manifest })
    }
}

/// The folder that a file is in.
fn folder(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "name = \"greeter\"\n[build]\ncomponent = \"out/hello_world.wasm\"\ncommand = \"make\"\n";

    fn folder_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let file = dir.path().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        }
        dir
    }

    #[test]
    fn a_folder_and_its_manifest_mean_the_built_component() {
        let dir = folder_with(&[("wasmway.toml", MANIFEST), ("out/hello_world.wasm", "")]);
        for path in [dir.path().to_owned(), dir.path().join("wasmway.toml")] {
            let project = Project::find(&path).unwrap();
            assert_eq!(project.component, dir.path().join("out/hello_world.wasm"));
            assert_eq!(project.name(None).unwrap().as_str(), "greeter");
            assert_eq!(project.name(Some(&"other".parse().unwrap())).unwrap().as_str(), "other");
        }
    }

    #[test]
    fn a_component_takes_the_manifest_beside_it_along() {
        let dir = folder_with(&[("wasmway.toml", "debug = true\n"), ("hello.wasm", ""), ("bare/hello_world.wasm", "")]);
        let project = Project::find(&dir.path().join("hello.wasm")).unwrap();
        assert_eq!(project.manifest.as_ref().map(|read| read.text.as_str()), Some("debug = true\n"));
        assert_eq!(project.name(None).unwrap().as_str(), "hello");
        let bare = Project::find(&dir.path().join("bare/hello_world.wasm")).unwrap();
        assert!(bare.manifest.is_none());
        assert!(bare.name(None).is_err_and(|error| error.to_string().contains("--name")));
    }

    #[test]
    fn what_is_missing_is_named_with_the_way_to_it() {
        let dir = folder_with(&[("a/wasmway.toml", MANIFEST), ("b/wasmway.toml", "name = \"b\"\n"), ("c/x", "")]);
        let error = |path: &str| Project::find(&dir.path().join(path)).unwrap_err().to_string();
        assert!(error("a").ends_with("is not there; `wasmway build` makes it (by: make)"), "{}", error("a"));
        assert!(error("b").contains("set `component` in its [build]"), "{}", error("b"));
        assert!(error("c").contains("has no wasmway.toml"), "{}", error("c"));
        assert!(error("d.wasm").ends_with("is not there"), "{}", error("d.wasm"));
    }
}
