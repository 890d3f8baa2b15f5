//! The languages that a function can be started in.

use std::fs;
use std::path::Path;

use clap::ValueEnum;
use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    Rust,
    #[value(name = "javascript", alias = "js")]
    JavaScript,
    #[value(name = "typescript", alias = "ts")]
    TypeScript,
    #[value(alias = "py")]
    Python,
    C,
    Go,
    Zig,
}

impl Language {
    pub(crate) fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// As it is written in a sentence.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Rust => "Rust",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Python => "Python",
            Self::C => "C",
            Self::Go => "Go",
            Self::Zig => "Zig",
        }
    }

    /// What a function in it is made with.
    pub(crate) fn made_with(self) -> &'static str {
        match self {
            Self::Rust => "cargo and the Rust SDK",
            Self::JavaScript => "npm and componentize-js",
            Self::TypeScript => "npm, esbuild and componentize-js",
            Self::Python => "pip and componentize-py",
            Self::C => "make, Zig's C compiler and wasm-tools",
            Self::Go => "Go and wasm-tools",
            Self::Zig => "Zig and wasm-tools",
        }
    }

    /// The command that gets what a new project needs once; `None` when its build gets all of it.
    pub(crate) fn install(self) -> Option<&'static str> {
        match self {
            Self::Rust => Some("rustup target add wasm32-wasip2"),
            Self::JavaScript | Self::TypeScript => Some("npm install"),
            Self::Python => Some(PYTHON_INSTALL),
            Self::C | Self::Go | Self::Zig => None,
        }
    }

    /// The language of the project in `folder`, by the file that its projects are known by.
    pub(crate) fn of_project(folder: &Path) -> Option<Self> {
        let has = |file: &str| folder.join(file).is_file();
        if has("Cargo.toml") {
            Some(Self::Rust)
        } else if has("tsconfig.json") {
            Some(Self::TypeScript)
        } else if has("package.json") {
            Some(Self::JavaScript)
        } else if has("requirements.txt") || has("pyproject.toml") {
            Some(Self::Python)
        } else if has("go.mod") {
            Some(Self::Go)
        } else if has("build.zig") || has_source(folder, "zig") {
            Some(Self::Zig)
        } else {
            has_source(folder, "c").then_some(Self::C)
        }
    }
}

pub(crate) const PYTHON_INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";

/// Whether the folder or its `src` has a file of this extension. Of one that cannot be read nothing could be compiled.
fn has_source(folder: &Path, extension: &str) -> bool {
    let files = [folder.to_owned(), folder.join("src")].into_iter().filter_map(|folder| fs::read_dir(folder).ok());
    files.flatten().flatten().any(|file| file.path().extension().is_some_and(|it| it == extension))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_known_by_its_files() {
        for (files, language) in [
            (&["Cargo.toml", "package.json"][..], Some(Language::Rust)),
            (&["package.json"], Some(Language::JavaScript)),
            (&["package.json", "tsconfig.json"], Some(Language::TypeScript)),
            (&["requirements.txt"], Some(Language::Python)),
            (&["pyproject.toml"], Some(Language::Python)),
            (&["go.mod", "Makefile"], Some(Language::Go)),
            (&["build.zig", "hello.c"], Some(Language::Zig)),
            (&["src/main.zig"], Some(Language::Zig)),
            (&["Makefile", "hello.c"], Some(Language::C)),
            (&["Makefile"], None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("src")).unwrap();
            for file in files {
                fs::write(folder.path().join(file), "").unwrap();
            }
            assert_eq!(Language::of_project(folder.path()), language, "{files:?}");
        }
    }
}
