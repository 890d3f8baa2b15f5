//! Building `examples/` into `target/examples/NAME.wasm`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::command::{run, step};
use crate::component;
use crate::layout::{Layout, folders, is_up_to_date};
use crate::toolchain::{RustForWasm, StdSupport, ensure_npm, python_tools};

/// The example whose component the repository carries.
const PREBUILT_FROM: &str = "hello-rust";

/// An example's toolchain, by the file that its projects are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Rust,
    JavaScript,
    Python,
}

impl Language {
    fn of(project: &Path) -> Result<Self> {
        let has = |file: &str| project.join(file).is_file();
        if has("Cargo.toml") {
            Ok(Self::Rust)
        } else if has("package.json") {
            Ok(Self::JavaScript)
        } else if has("requirements.txt") {
            Ok(Self::Python)
        } else {
            bail!("{} is no project of a known language", project.display())
        }
    }
}

/// Builds the examples of these names, or all of them; those that are up to date are left alone.
pub(crate) fn build(layout: &Layout, names: &[String]) -> Result<()> {
    let all = all(layout)?;
    for name in names {
        ensure!(all.contains(name), "there is no example `{name}`; there are {}", all.join(", "));
    }
    for name in all.iter().filter(|name| names.is_empty() || names.contains(name)) {
        let (project, output) = (layout.examples().join(name), layout.example_component(name));
        let sources = [project.clone(), layout.wit(), layout.rust_sdk()];
        if is_up_to_date(&output, &sources)? {
            step(&format!("example {name}: up to date"));
            continue;
        }
        step(&format!("example {name}"));
        let built = match Language::of(&project)? {
            Language::Rust => build_rust(layout, &project)?,
            Language::JavaScript => build_javascript(layout, name, &project)?,
            Language::Python => build_python(layout, name, &project)?,
        };
        component::publish(&built, &output)?;
    }
    Ok(())
}

/// Builds the component that the repository carries.
pub(crate) fn build_prebuilt(layout: &Layout) -> Result<()> {
    build(layout, &[PREBUILT_FROM.to_owned()])?;
    let carried = layout.examples().join("prebuilt/hello.wasm");
    component::publish(&layout.example_component(PREBUILT_FROM), &carried)
}

/// Every example is a folder with a `wasmway.toml`.
fn all(layout: &Layout) -> Result<Vec<String>> {
    let mut names = folders(&layout.examples())?;
    names.retain(|name| layout.examples().join(name).join("wasmway.toml").is_file());
    Ok(names)
}

fn build_rust(layout: &Layout, project: &Path) -> Result<PathBuf> {
    let rust = RustForWasm::ensure()?;
    let target_dir = layout.guests_build();
    let mut cargo = rust.cargo_build(project, &target_dir, StdSupport::Minimal)?;
    run(&mut cargo, "the compiler's message above names the cause")?;
    Ok(rust.built(&target_dir, StdSupport::Minimal, "hello"))
}

fn build_javascript(layout: &Layout, name: &str, project: &Path) -> Result<PathBuf> {
    ensure_npm()?;
    let mut install = npm(project);
    install.args(["install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]);
    run(&mut install, "is the npm registry reachable?")?;
    let built = unfinished(layout, name)?;
    let mut build = npm(project);
    build.args(["run", "--silent", "build", "--", "-o"]).arg(&built);
    run(&mut build, "componentize-js's message above names the cause")?;
    Ok(built)
}

fn npm(project: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(project);
    npm
}

fn build_python(layout: &Layout, name: &str, project: &Path) -> Result<PathBuf> {
    let built = unfinished(layout, name)?;
    let mut componentize = Command::new(python_tools(layout)?.join("componentize-py"));
    componentize.arg("-d").arg(layout.wit()).args(["-w", "function"]);
    componentize.args(["componentize", "app", "-o"]).arg(&built).current_dir(project);
    run(&mut componentize, "componentize-py's message above names the cause")?;
    Ok(built)
}

/// Where a tool that is no cargo writes the component before it has been looked into.
fn unfinished(layout: &Layout, name: &str) -> Result<PathBuf> {
    fs::create_dir_all(layout.guests_build())?;
    Ok(layout.guests_build().join(name).with_extension("wasm"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_are_known_by_their_project_files() {
        let layout = Layout::of_this_repository();
        let language = |name: &str| Language::of(&layout.examples().join(name)).unwrap();
        assert_eq!(language("hello-rust"), Language::Rust);
        assert_eq!(language("hello-javascript"), Language::JavaScript);
        assert_eq!(language("hello-python"), Language::Python);
        assert!(Language::of(&layout.examples()).is_err());
    }

    #[test]
    fn the_prebuilt_component_is_there_and_small() {
        let carried = Layout::of_this_repository().examples().join("prebuilt/hello.wasm");
        let size = fs::metadata(carried).unwrap().len();
        assert!(size < 100_000, "{size} bytes");
    }
}
