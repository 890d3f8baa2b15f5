//! A developer's first day: a function is made from each template, built, deployed, called, changed and taken back, by the
//! commands that a person would type.
//!
//! CI has the toolchains of Rust, C and Zig for it. Those of JavaScript, TypeScript and Python take longer, and Go may
//! not be there: `cargo xtask templates` has all of them.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Builder, Platform, binary, eventually};

/// Variables for builds, as `cargo xtask toolchain` wrote them down.
fn variables() -> HashMap<String, String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/templates/environment.json");
    let text = fs::read(file).unwrap_or_else(|error| panic!("{file}: {error}; `cargo xtask toolchain` writes it"));
    serde_json::from_slice(&text).unwrap()
}

/// Runs a program to its good end.
async fn done(mut command: Command) -> Output {
    let output = tokio::task::spawn_blocking(move || {
        let shown = format!("{command:?}");
        (shown, command.output().unwrap())
    });
    let (shown, output) = output.await.unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{shown}: {}{}", said(&output.stdout), said(&output.stderr));
    output
}

/// A developer who starts a function in a language.
struct Beginner<'a> {
    platform: &'a Platform,
    language: &'a str,
    variables: HashMap<String, String>,
}

impl Beginner<'_> {
    async fn wasmway(&self, folder: &Path, arguments: &[&str]) -> String {
        let mut command = binary();
        command.envs(&self.variables).current_dir(folder);
        command.arg("--data-dir").arg(self.platform.folder()).args(arguments);
        String::from_utf8(done(command).await.stdout).unwrap()
    }

    async fn shell(&self, folder: &Path, line: &str) {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", line]).env_clear().envs(&self.variables).current_dir(folder);
        done(shell).await;
    }

    /// Makes a function and gets what it is built with, runs its tests, builds, deploys and calls it, changes it,
    /// deploys it again, looks at its log and takes the change back; then changes it under `wasmway dev`. Answers with
    /// the seconds of each.
    async fn goes_all_the_way(&self, install: &str, tests: &str) -> String {
        let mut clock = Clock::default();
        let folder = self.makes_a_project().await;
        clock.stop("new");
        self.shell(&folder, install).await;
        clock.stop("install");
        self.shell(&folder, tests).await;
        clock.stop("test");
        let built = self.wasmway(&folder, &["build", "-o", "json"]).await;
        let built: Value = serde_json::from_str(&built).unwrap();
        assert!(built["export"].as_str().unwrap().starts_with("wasi:http/incoming-handler@0.2."), "{built}");
        assert!(built["needs"].as_array().unwrap().contains(&"HTTP messages".into()), "{built}");
        clock.stop("build");
        self.wasmway(&folder, &["deploy"]).await;
        self.is_greeted("Hello, ").await;
        clock.stop("deploy, call");
        edit(&folder, "Hello, ", "Good day, ");
        self.wasmway(&folder, &["deploy", "--build"]).await;
        self.is_greeted("Good day, ").await;
        clock.stop("edit, deploy, call");
        let name = self.name();
        self.wasmway(&folder, &["logs", &name]).await;
        clock.stop("logs");
        self.wasmway(&folder, &["rollback", &name]).await;
        self.is_greeted("Hello, ").await;
        clock.stop("rollback, call");
        self.develops(&folder, &mut clock).await;
        clock.row(self.language, built["size"].as_u64().unwrap())
    }

    fn name(&self) -> String {
        format!("in-{}", self.language)
    }

    async fn makes_a_project(&self) -> PathBuf {
        let (home, language, name) = (self.platform.scratch(), self.language, self.name());
        let made = self.wasmway(home, &["new", &name, "--lang", language, "-o", "json"]).await;
        let made: Value = serde_json::from_str(&made).unwrap();
        assert_eq!((&made["name"], &made["language"]), (&name.as_str().into(), &language.into()), "{made}");
        let folder = home.join(&name);
        if language == "python" {
            symlink(&self.variables["PYTHON_TOOLS"], folder.join(".venv")).unwrap();
        }
        folder
    }

    async fn is_greeted(&self, greeting: &str) {
        let (language, name) = (self.language, self.name());
        for (path, whom) in [("/a/path?x=1&name=Ada", "Ada"), ("/", "world")] {
            let answer = self.platform.get(&format!("/{name}{path}")).await.expect(200);
            assert!(answer.text().starts_with(&format!("{greeting}{whom}! This is ")), "{language}: {answer}");
            let asked = path.split('?').next().unwrap();
            assert!(answer.text().ends_with(&format!(", and you asked for {asked}\n")), "{language}: {answer}");
        }
    }

    /// Saves a change while `wasmway dev` runs.
    async fn develops(&self, folder: &Path, clock: &mut Clock) {
        let mut builder = patient().role("dev").arg(folder.display().to_string());
        for (name, value) in &self.variables {
            builder = builder.env(name, value);
        }
        let dev = builder.start().await;
        let answers = async |greeting: &str| {
            let path = format!("/{}/", self.name());
            let right = async || dev.get(&path).await.text().starts_with(greeting).then_some(());
            eventually(&format!("{}: {greeting}", self.language), BUILD_PATIENCE, right).await;
        };
        answers("Good day, ").await;
        clock.stop("dev");
        edit(folder, "Good day, ", "Good night, ");
        answers("Good night, ").await;
        clock.stop("dev, save, call");
    }
}

/// How long a save may take to be served, where the compiler of a large engine shares a busy machine.
const BUILD_PATIENCE: Duration = Duration::from_secs(600);

/// Changes a text wherever it is in a project's own sources.
fn edit(folder: &Path, old: &str, new: &str) {
    let folders = ["", "src", "test"].map(|name| folder.join(name));
    let files =
        folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().map(|file| file.unwrap().path());
    let mut changed = 0;
    for file in files.filter(|file| file.is_file()) {
        if let Some(text) = fs::read_to_string(&file).ok().filter(|text| text.contains(old)) {
            fs::write(&file, text.replace(old, new)).unwrap();
            changed += 1;
        }
    }
    assert!(changed > 0, "{old:?} is nowhere in {}", folder.display());
}

/// The seconds of each step.
struct Clock {
    since: Instant,
    steps: Vec<(&'static str, f64)>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { since: Instant::now(), steps: Vec::new() }
    }
}

impl Clock {
    fn stop(&mut self, step: &'static str) {
        self.steps.push((step, self.since.elapsed().as_secs_f64()));
        self.since = Instant::now();
    }

    /// As a table of two rows for a document.
    fn row(&self, language: &str, bytes: u64) -> String {
        let names: Vec<_> = self.steps.iter().map(|(name, _)| *name).collect();
        let seconds: Vec<_> = self.steps.iter().map(|(_, seconds)| format!("{seconds:.1}")).collect();
        let (names, seconds) = (names.join(" | "), seconds.join(" | "));
        format!("| | KiB | {names} |\n| {language} | {} | {seconds} |", bytes / 1024)
    }
}

fn patient() -> Builder {
    Platform::builder().arg("--compile-timeout=10m").arg("--compile-cpu=10m")
}

async fn from_nothing_to_an_answer(language: &str, install: &str, tests: &str) {
    let platform = patient().start().await;
    let beginner = Beginner { platform: &platform, language, variables: variables() };
    println!("{}", beginner.goes_all_the_way(install, tests).await);
}

// The tests of a template in Rust are compiled for this machine, which takes as long again: not here.
#[tokio::test]
async fn a_function_in_rust_goes_all_the_way() {
    from_nothing_to_an_answer("rust", "true", "true").await;
}

#[tokio::test]
async fn a_function_in_c_goes_all_the_way() {
    from_nothing_to_an_answer("c", "true", "true").await;
}

#[tokio::test]
async fn a_function_in_zig_goes_all_the_way() {
    from_nothing_to_an_answer("zig", "true", "zig test src/greeting.zig").await;
}

#[tokio::test]
#[ignore = "takes a minute: cargo xtask templates"]
async fn a_function_in_javascript_goes_all_the_way() {
    from_nothing_to_an_answer("javascript", "npm install", "npm test").await;
}

#[tokio::test]
#[ignore = "takes a minute: cargo xtask templates"]
async fn a_function_in_typescript_goes_all_the_way() {
    from_nothing_to_an_answer("typescript", "npm install", "npm test").await;
}

#[tokio::test]
#[ignore = "takes a minute: cargo xtask templates"]
async fn a_function_in_python_goes_all_the_way() {
    from_nothing_to_an_answer("python", "true", ".venv/bin/python -m unittest").await;
}

#[tokio::test]
#[ignore = "needs Go 1.24: cargo xtask templates"]
async fn a_function_in_go_goes_all_the_way() {
    let mut go = Command::new("go");
    if go.arg("version").env("PATH", &variables()["PATH"]).output().is_err() {
        println!("go: LEFT OUT, since there is no Go on this machine");
        return;
    }
    from_nothing_to_an_answer("go", "true", "go test ./...").await;
}
