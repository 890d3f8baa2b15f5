//! What tests build the templates of `sdk/templates` with: programs and variables, where a person would have them.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use crate::command::{self, step};
use crate::layout::Layout;
use crate::test;
use crate::toolchain::{self, RustForWasm, python_tools};

/// Programs that come with the Python tools: how projects call them, and what they are called there.
const FROM_PYTHON: &[(&str, &str)] = &[("wasm-tools", "wasm-tools"), ("zig", "python-zig"), ("go", "go")];

/// Makes, builds, deploys, calls and changes a function from every template, and prints the seconds of each step.
pub(crate) fn run(layout: &Layout) -> Result<()> {
    toolchain::ensure_go(layout)?;
    toolchain::install(layout)?;
    step("templates");
    let mut cargo = test::cargo();
    cargo.arg("test").args(test::PRODUCT).args([
        "--",
        "--include-ignored",
        "--nocapture",
        "--test-threads=1",
        "templates::",
    ]);
    command::run(cargo.current_dir(&layout.root), "the template that does not hold is named above")
}

/// Writes down for the tests, in `target/templates/environment.json`, which variables their builds get.
pub(crate) fn prepare(layout: &Layout) -> Result<()> {
    let folder = layout.target.join("templates");
    let programs = folder.join("bin");
    fs::create_dir_all(&programs).with_context(|| format!("making {}", programs.display()))?;
    let python = python_tools(layout)?;
    for (name, there) in FROM_PYTHON {
        let program = python.join(there);
        if program.is_file() {
            link(&program, &programs.join(name))?;
        }
    }
    let rust = RustForWasm::ensure()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = [programs].into_iter().chain(rust.linkers()).chain(env::split_paths(&path));
    let mut variables: BTreeMap<&str, String> = rust.variables().into_iter().collect();
    variables.insert("PATH", text(env::join_paths(folders)?)?);
    // A virtual environment, which stands for a project's own.
    variables.insert("PYTHON_TOOLS", text(layout.target.join("python"))?);
    variables.insert("ZIG_GLOBAL_CACHE_DIR", text(layout.target.join("zig-cache"))?);
    for inherited in ["HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"] {
        if let Ok(value) = env::var(inherited) {
            variables.insert(inherited, value);
        }
    }
    let file = folder.join("environment.json");
    fs::write(&file, serde_json::to_vec_pretty(&variables)?).with_context(|| format!("writing {}", file.display()))
}

fn link(program: &Path, name: &Path) -> Result<()> {
    if name.symlink_metadata().is_ok() {
        fs::remove_file(name)?;
    }
    symlink(program, name).with_context(|| format!("linking {}", name.display()))
}

fn text(path: impl Into<OsString>) -> Result<String> {
    path.into().into_string().map_err(|path| anyhow!("{path:?} is no text"))
}
