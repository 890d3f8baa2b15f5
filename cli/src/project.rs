//! What there is to deploy at a path: a component, and the `wasmway.toml` that goes with it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use wasmway_registry::{FunctionName, Manifest};

pub(crate) const MANIFEST_FILE: &str = "wasmway.toml";

/// A component to deploy.
#[derive(Debug)]
pub(crate) struct Project {
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
        let build = &read.manifest.build;
        let Some(built) = &build.component else {
            bail!("{} does not say which component to deploy; set `component` in its [build]", file.display());
        };
        let component = folder(file).join(built);
        if !component.is_file() {
            match &build.command {
                Some(command) => bail!("{} is not there; build it first: {command}", component.display()),
                None => bail!("{} is not there; build it first", component.display()),
            }
        }
        Ok(Self { component, manifest: Some(read) })
    }

    fn from_component(file: &Path) -> anyhow::Result<Self> {
        if !file.is_file() {
            bail!("{} is not there", file.display());
        }
        let beside = folder(file).join(MANIFEST_FILE);
        let manifest = if beside.is_file() { Some(ProjectManifest::read(&beside)?) } else { None };
        Ok(Self { component: file.to_owned(), manifest })
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
        assert!(error("a").ends_with("is not there; build it first: make"), "{}", error("a"));
        assert!(error("b").contains("set `component` in its [build]"), "{}", error("b"));
        assert!(error("c").contains("has no wasmway.toml"), "{}", error("c"));
        assert!(error("d.wasm").ends_with("is not there"), "{}", error("d.wasm"));
    }
}
