//! The templates of `sdk/templates`, which ride along in this program.

use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
use wasmway_registry::FunctionName;

use crate::language::Language;

/// A file of a project: its path, and its content.
type File = (&'static str, &'static [u8]);

/// Files of `sdk/FOLDER`, each by its name: what somebody's build leaves there does not ride along.
macro_rules! files {
    ($folder:literal: $($name:literal)*) => {
        &[$(($name, include_bytes!(concat!("../../sdk/", $folder, "/", $name)) as &[u8])),*]
    };
}

const RUST: &[File] = files!("templates/rust": ".gitignore" "Cargo.toml" "README.md" "src/lib.rs" "wasmway.toml");
const JAVASCRIPT: &[File] = files!("templates/javascript":
    ".gitignore" "README.md" "package.json" "src/index.js" "test/index.test.js" "wasmway.toml");
const TYPESCRIPT: &[File] = files!("templates/typescript":
    ".gitignore" "README.md" "package.json" "src/greeting.ts" "src/index.ts" "test/greeting.test.ts" "tsconfig.json"
    "wasmway.toml");
const PYTHON: &[File] = files!("templates/python":
    ".gitignore" "README.md" "app.py" "greeting.py" "requirements.txt" "test_greeting.py" "wasmway.toml");
const C: &[File] = files!("templates/c":
    ".gitignore" "Makefile" "README.md" "src/hello.c" "src/http.c" "src/http.h" "wasmway.toml");
const GO: &[File] = files!("templates/go":
    ".gitignore" "README.md" "go.mod" "main.go" "main_test.go" "wasihttp/handler.go" "wasihttp/wasihttp.go"
    "wasmway.toml");
const ZIG: &[File] = files!("templates/zig":
    ".gitignore" "README.md" "src/greeting.zig" "src/http.zig" "src/main.zig" "wasmway.toml");

/// The world of a function, and the WASI packages that it names.
const WIT: &[File] = files!("wit":
    "wasmway.wit" "deps/LICENSE" "deps/cli.wit" "deps/clocks.wit" "deps/filesystem.wit" "deps/http.wit" "deps/io.wit"
    "deps/random.wit" "deps/sockets.wit");

/// The crate that functions in Rust are written with, without its own tests.
const RUST_SDK: &[File] = files!("rust":
    "Cargo.toml" "README.md" "macros/Cargo.toml" "macros/src/lib.rs" "src/body.rs" "src/call.rs" "src/client.rs"
    "src/config.rs" "src/error.rs" "src/executor.rs" "src/extract.rs" "src/handler.rs" "src/lib.rs" "src/logging.rs"
    "src/native.rs" "src/respond.rs" "src/router.rs" "src/sse.rs" "src/test.rs" "src/test/platform.rs" "src/time.rs"
    "src/wasi.rs");

/// What WASI preview 1, as C libraries and Go call it, becomes calls of WASI 0.2 by.
const ADAPTER: &[File] = &[("wasi_snapshot_preview1.wasm", WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)];

/// The project's name, wherever a template has it.
const NAME: &str = "{{name}}";

fn files(language: Language) -> &'static [File] {
    match language {
        Language::Rust => RUST,
        Language::JavaScript => JAVASCRIPT,
        Language::TypeScript => TYPESCRIPT,
        Language::Python => PYTHON,
        Language::C => C,
        Language::Go => GO,
        Language::Zig => ZIG,
    }
}

/// What a project gets beside its own files, with the folder for each: what no registry has.
fn brought_along(language: Language) -> &'static [(&'static str, &'static [File])] {
    match language {
        Language::Rust => &[("wasmway-sdk", RUST_SDK)],
        Language::JavaScript | Language::TypeScript | Language::Python | Language::Zig => &[("wit", WIT)],
        Language::C | Language::Go => &[("wit", WIT), ("wit", ADAPTER)],
    }
}

/// Writes a project into `folder`, which must be empty or not be there; answers with the paths of its files.
pub(crate) fn write(language: Language, name: &FunctionName, folder: &Path) -> anyhow::Result<Vec<String>> {
    must_be_free(folder)?;
    let own = files(language).iter().map(|(path, text)| ((*path).to_owned(), with_name(text, name)));
    let brought = brought_along(language).iter().flat_map(|(folder, files)| {
        files.iter().map(move |(path, content)| (format!("{folder}/{path}"), content.to_vec()))
    });
    let mut written = Vec::new();
    for (path, content) in own.chain(brought) {
        let file = folder.join(&path);
        let cannot_write = || format!("cannot write {}", file.display());
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent).with_context(cannot_write)?;
        }
        fs::write(&file, content).with_context(cannot_write)?;
        written.push(path);
    }
    Ok(written)
}

/// A template's text for a function of this name.
fn with_name(text: &[u8], name: &FunctionName) -> Vec<u8> {
    String::from_utf8_lossy(text).replace(NAME, name.as_str()).into_bytes()
}

fn must_be_free(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() && !folder.is_dir() {
        bail!("{} is a file; name another folder by --dir", folder.display());
    }
    let is_empty = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => true,
        Err(error) => return Err(error).with_context(|| format!("cannot look into {}", folder.display())),
    };
    if !is_empty {
        bail!(
            "{} is not empty, and nothing in it shall be written over; name another folder by --dir",
            folder.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const SDK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk");

    /// What the repository has below a folder of `sdk`.
    fn kept(folder: &str) -> Vec<String> {
        let mut git = Command::new("git");
        git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(Path::new(SDK).join(folder));
        let output = git.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut files: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        files.sort();
        files
    }

    #[test]
    fn every_file_of_every_template_rides_along() {
        for language in Language::all() {
            let mut here: Vec<_> = files(*language).iter().map(|(path, _)| (*path).to_owned()).collect();
            here.sort();
            assert_eq!(here, kept(&format!("templates/{}", language.title().to_lowercase())), "{language:?}");
        }
        let mut here: Vec<_> = WIT.iter().map(|(path, _)| (*path).to_owned()).collect();
        here.push("README.md".to_owned());
        here.sort();
        assert_eq!(here, kept("wit"));

        let mut here: Vec<_> = RUST_SDK.iter().map(|(path, _)| (*path).to_owned()).collect();
        here.sort();
        let of_the_crate = |path: &String| !path.starts_with("tests/") && path != ".gitignore" && path != "Cargo.lock";
        assert_eq!(here, kept("rust").into_iter().filter(of_the_crate).collect::<Vec<_>>());
    }

    #[test]
    fn a_project_has_its_own_name_and_a_manifest_that_can_be_used() {
        for language in Language::all() {
            let home = tempfile::tempdir().unwrap();
            let folder = home.path().join("deep/shop");
            let written = write(*language, &"shop-7".parse().unwrap(), &folder).unwrap();
            for file in &written {
                let text = fs::read(folder.join(file)).unwrap();
                assert!(!String::from_utf8_lossy(&text).contains(NAME), "{language:?} {file}");
            }
            let project = crate::project::Project::locate(&folder).unwrap();
            assert_eq!(project.name(None).unwrap().as_str(), "shop-7");
            assert!(project.build_command().is_some(), "{language:?}");
            assert_eq!(Language::of_project(&folder), Some(*language));
            assert!(fs::read_to_string(folder.join("README.md")).unwrap().lines().count() <= 45, "{language:?}");
        }
    }

    #[test]
    fn nothing_is_written_over() {
        let home = tempfile::tempdir().unwrap();
        let name: FunctionName = "shop".parse().unwrap();
        write(Language::Rust, &name, home.path()).unwrap();
        fs::write(home.path().join("Cargo.toml"), "mine").unwrap();
        let error = write(Language::Rust, &name, home.path()).unwrap_err().to_string();
        assert!(error.contains("is not empty") && error.contains("--dir"), "{error}");
        let error = write(Language::Rust, &name, &home.path().join("Cargo.toml")).unwrap_err().to_string();
        assert!(error.contains("is a file"), "{error}");
        assert_eq!(fs::read_to_string(home.path().join("Cargo.toml")).unwrap(), "mine");
    }
}
