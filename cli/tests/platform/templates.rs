//! From nothing to an answer: a function is made from each template, built, deployed and called, by the commands that a
//! person would type.
//!
//! CI has the toolchains of Rust, C and Zig for it. Those of JavaScript, TypeScript and Python take longer, and Go may
//! not be there: `cargo xtask templates` has all of them.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Platform, binary};

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

    /// Makes a function, runs its tests, builds, deploys and calls it; answers with the seconds of each.
    async fn goes_all_the_way(&self, install: &str, tests: &str) -> String {
        let started = Instant::now();
        let home = self.platform.scratch();
        let (language, name) = (self.language, format!("in-{}", self.language));
        let made = self.wasmway(home, &["new", &name, "--lang", language, "-o", "json"]).await;
        let made: Value = serde_json::from_str(&made).unwrap();
        assert_eq!((&made["name"], &made["language"]), (&name.as_str().into(), &language.into()), "{made}");
        let folder = home.join(&name);
        if language == "python" {
            symlink(&self.variables["PYTHON_TOOLS"], folder.join(".venv")).unwrap();
        }
        self.shell(&folder, install).await;
        let installed = started.elapsed();
        self.shell(&folder, tests).await;
        let tested = started.elapsed();

        let built = self.wasmway(&folder, &["build", "-o", "json"]).await;
        let built: Value = serde_json::from_str(&built).unwrap();
        assert!(built["export"].as_str().unwrap().starts_with("wasi:http/incoming-handler@0.2."), "{built}");
        assert!(built["needs"].as_array().unwrap().contains(&"HTTP messages".into()), "{built}");
        let built_after = started.elapsed();
        self.wasmway(&folder, &["deploy"]).await;
        for (path, greeting) in [("/a/path?x=1&name=Ada", "Hello, Ada! This is "), ("/", "Hello, world! This is ")] {
            let answer = self.platform.get(&format!("/{name}{path}")).await.expect(200);
            assert!(answer.text().starts_with(greeting), "{language}: {answer}");
            let asked = path.split('?').next().unwrap();
            assert!(answer.text().ends_with(&format!(", and you asked for {asked}\n")), "{language}: {answer}");
        }
        format!(
            "{language}: installed after {:.1}s, tested after {:.1}s, built after {:.1}s, answered after {:.1}s, {} KiB",
            installed.as_secs_f64(),
            tested.as_secs_f64(),
            built_after.as_secs_f64(),
            started.elapsed().as_secs_f64(),
            built["size"].as_u64().unwrap() / 1024,
        )
    }
}

async fn from_nothing_to_an_answer(language: &str, install: &str, tests: &str) {
    let platform = Platform::builder().arg("--compile-timeout=10m").arg("--compile-cpu=10m").start().await;
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
    if go.arg("version").output().is_err() {
        println!("go: LEFT OUT, since there is no Go on this machine");
        return;
    }
    from_nothing_to_an_answer("go", "true", "go test ./...").await;
}
