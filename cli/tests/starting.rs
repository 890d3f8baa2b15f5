//! How a function is started: `new`, `doctor` and `build`, where no platform is needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

const LANGUAGES: [&str; 7] = ["rust", "javascript", "typescript", "python", "c", "go", "zig"];

/// The binary in a folder, with programs of `bin/` there and no others.
fn wasmway(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmway"));
    command.env_clear().env("HOME", home).env("PATH", home.join("bin")).current_dir(home).args(arguments);
    command.output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Puts a program that prints a text into `bin/`.
fn program(home: &Path, name: &str, prints: &str) {
    script(home, name, &format!("echo '{prints}'"));
}

fn script(home: &Path, name: &str, lines: &str) {
    let file = home.join("bin").join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, format!("#!/bin/sh\n{lines}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn every_language_makes_a_project_with_the_next_commands() {
    let home = tempfile::tempdir().unwrap();
    let list = stdout(&wasmway(home.path(), &["new", "--list"]));
    for language in LANGUAGES {
        assert!(list.lines().any(|line| line.starts_with(language)), "{language}: {list}");
        let output = wasmway(home.path(), &["new", &format!("my-{language}"), "--lang", language]);
        assert_eq!(output.status.code(), Some(0), "{language}: {}", stderr(&output));
        let said = stdout(&output);
        for part in [&format!("\n  cd my-{language}\n"), "\n  wasmway deploy --build\n"] {
            assert!(said.contains(part), "{language}: no {part:?} in {said}");
        }
        let folder = home.path().join(format!("my-{language}"));
        let manifest = fs::read_to_string(folder.join("wasmway.toml")).unwrap();
        assert!(manifest.starts_with(&format!("name = \"my-{language}\"\n")), "{manifest}");
        assert!(folder.join(".gitignore").is_file(), "{language}");
        assert_eq!(folder.join("wit/wasmway.wit").is_file(), language != "rust", "{language}");
    }
    let output = wasmway(home.path(), &["new", "shop", "--lang", "js", "--dir", "deep/it", "-o", "json"]);
    let made: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&made["name"], &made["language"]), (&"shop".into(), &"javascript".into()), "{made}");
    assert_eq!(made["next"][0], "cd deep/it");
    for file in made["files"].as_array().unwrap() {
        assert!(home.path().join("deep/it").join(file.as_str().unwrap()).is_file(), "{file}");
    }
}

#[test]
fn what_cannot_be_started_is_refused_with_the_reason() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("full")).unwrap();
    fs::write(home.path().join("full/mine"), "").unwrap();
    for (arguments, code, reason) in [
        (&["new", "Not_A_Name", "--lang", "rust"][..], 2, "lower-case letters, digits and hyphens"),
        (&["new", "hello"], 2, "--lang"),
        (&["new", "hello", "--lang", "cobol"], 2, "typescript"),
        (&["new", "full", "--lang", "rust"], 1, "full is not empty"),
        (&["new", "hello", "--lang", "rust", "--dir", "full/mine"], 1, "is a file"),
    ] {
        let output = wasmway(home.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}");
        assert!(stderr(&output).contains(reason), "{arguments:?}: {}", stderr(&output));
    }
    assert_eq!(fs::read_dir(home.path().join("full")).unwrap().count(), 1);
}

#[test]
fn the_doctor_names_what_is_missing_with_the_command_for_this_system() {
    let home = tempfile::tempdir().unwrap();
    let doctor = |arguments: &[&str]| wasmway(home.path(), &[&["doctor"], arguments].concat());
    assert_eq!(doctor(&[]).status.code(), Some(2), "neither a project nor a language");
    let line_of = |output: &Output, tool: &str| {
        let said = stdout(output);
        let line = said.lines().find(|line| line.starts_with(tool)).unwrap_or_else(|| panic!("no {tool} in {said}"));
        line.to_owned()
    };

    program(home.path(), "apt-get", "apt");
    program(home.path(), "node", "v18.1.0");
    let output = doctor(&["--lang", "javascript"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("2 things are missing"), "{}", stderr(&output));
    assert!(line_of(&output, "node").contains("18.1, too old"));
    let npm = line_of(&output, "npm");
    assert!(npm.contains("missing") && npm.contains("sudo apt-get install -y nodejs npm"), "{npm}");

    program(home.path(), "node", "v22.11.0");
    program(home.path(), "npm", "10.9.0");
    let output = doctor(&["--lang", "javascript", "-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let view: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&view["good"], &view["tools"][0]["found"]), (&true.into(), &"22.11".into()), "{view}");

    fs::remove_file(home.path().join("bin/apt-get")).unwrap();
    program(home.path(), "brew", "brew");
    let output = doctor(&["--lang", "zig"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(line_of(&output, "zig").contains("brew install zig"), "{}", stdout(&output));
    assert!(line_of(&output, "wasm-tools").contains("brew install wasm-tools"), "{}", stdout(&output));
}

#[test]
fn in_a_project_the_doctor_looks_at_its_language_and_its_packages() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("requirements.txt"), "componentize-py\n").unwrap();
    script(home.path(), "python3", "case $1 in --version) echo Python 3.12.1;; *) echo there;; esac");
    let output = wasmway(home.path(), &["doctor"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("3.12") && said.contains(".venv/bin/pip install -r requirements.txt"), "{said}");
    fs::create_dir_all(home.path().join(".venv/bin")).unwrap();
    fs::write(home.path().join(".venv/bin/componentize-py"), "").unwrap();
    let output = wasmway(home.path(), &["doctor"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
    // A target of Rust is there when its libraries are.
    program(home.path(), "cargo", "cargo 1.95.0");
    program(home.path(), "rustc", &home.path().join("libraries").display().to_string());
    let rust = || wasmway(home.path(), &["doctor", "--lang", "rust"]);
    assert!(stdout(&rust()).contains("rustup target add wasm32-wasip2"));
    fs::create_dir(home.path().join("libraries")).unwrap();
    assert_eq!(rust().status.code(), Some(0));
}

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/prebuilt/hello.wasm");

/// A project whose build is this command of a shell, which finds no program but its own.
fn project(home: &Path, command: &str) {
    let manifest = format!("name = \"it\"\n[build]\ncommand = '''{command}'''\ncomponent = \"it.wasm\"\n");
    fs::write(home.join("wasmway.toml"), manifest).unwrap();
}

/// As [`wasmway`], with the programs of the machine.
fn build(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmway"));
    command.env_clear().env("PATH", "/usr/bin:/bin").current_dir(home).args(arguments);
    command.output().unwrap()
}

#[test]
fn a_build_says_what_came_of_it() {
    let home = tempfile::tempdir().unwrap();
    project(home.path(), &format!("echo compiling; cp {EXAMPLE} it.wasm"));
    let output = build(home.path(), &["build"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    for part in ["it.wasm, ", "KiB", "HTTP, by wasi:http/incoming-handler@0.2.", "HTTP messages", "streams"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    assert!(stderr(&output).contains("compiling") && !said.contains("compiling"), "{}", stderr(&output));
    let view: Value = serde_json::from_slice(&build(home.path(), &["build", "it.wasm", "-o", "json"]).stdout).unwrap();
    assert_eq!(view["size"], fs::metadata(EXAMPLE).unwrap().len());
    assert!(view["imports"].as_array().unwrap().iter().any(|it| it.as_str().unwrap().starts_with("wasi:http/types@")));
}

#[test]
fn a_build_that_makes_nothing_of_use_is_told_why() {
    let home = tempfile::tempdir().unwrap();
    for (command, reason) in [
        ("exit 3", "exit status: 3"),
        ("true", "made no "),
        ("printf '\\0asm\\1\\0\\0\\0' > it.wasm", "core WebAssembly module"),
        ("printf '\\0asm\\15\\0\\1\\0' > it.wasm", "exports no HTTP handler"),
    ] {
        project(home.path(), command);
        let output = build(home.path(), &["build"]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        assert!(stderr(&output).contains(reason), "{command}: {}", stderr(&output));
    }
    // A deploy says the same, with no platform to ask.
    let output = build(home.path(), &["deploy"]);
    assert!(stderr(&output).contains("exports no HTTP handler"), "{}", stderr(&output));
    fs::write(home.path().join("wasmway.toml"), "[build]\ncomponent = \"it.wasm\"\n").unwrap();
    assert!(stderr(&build(home.path(), &["build"])).contains("set `command`"));
}
