//! The binary as a person or script meets it, where no platform is needed.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// The binary with an environment that holds nothing of this machine's.
fn wasmway(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmway"));
    command.env_clear().env("HOME", home).current_dir(home);
    command
}

/// Runs it with arguments in an empty home.
fn run(arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    wasmway(home.path()).args(arguments).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let commands: &[&[&str]] = &[
        &["up"],
        &["dev"],
        &["new"],
        &["doctor"],
        &["build"],
        &["deploy"],
        &["list"],
        &["show"],
        &["invoke"],
        &["versions"],
        &["rollback"],
        &["delete"],
        &["logs"],
        &["config", "show"],
        &["trace"],
        &["record"],
        &["replay"],
        &["explain"],
        &["completions"],
        &["man"],
        &[],
    ];
    for command in commands {
        let output = run(&[*command, &["--help"]].concat());
        assert_eq!(output.status.code(), Some(0), "{command:?}");
        let example = format!("Example:\n  wasmway {}", command.join(" "));
        assert!(stdout(&output).contains(&example), "{command:?}: {}", stdout(&output));
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    let wrong: [&[&str]; 11] = [
        &[],
        &["fly"],
        &["show"],
        &["show", "Not_A_Name"],
        &["rollback", "hello", "0"],
        &["list", "-n", "-x"],
        &["deploy", "a.wasm", "--nmae", "a"],
        &["list", "--server", "localhost:8081"],
        &["logs", "hello", "--level", "loud"],
        &["invoke", "hello", "--repeat", "0"],
        &["invoke", "hello", "--repeat", "2", "--receipt"],
    ];
    for arguments in wrong {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        assert!(stdout(&output).contains("rollback"), "{shell}");
    }
}

#[test]
fn manual_pages_are_written_for_every_command() {
    let home = tempfile::tempdir().unwrap();
    let output = wasmway(home.path()).args(["man", "pages/man1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = |name: &str| fs::read_to_string(home.path().join("pages/man1").join(name)).unwrap();
    assert!(page("wasmway.1").contains("wasmway\\-trace(1)"), "{}", page("wasmway.1"));
    assert!(page("wasmway-dev.1").contains(".wasmway"), "{}", page("wasmway-dev.1"));
    let here = home.path().display().to_string();
    for entry in fs::read_dir(home.path().join("pages/man1")).unwrap() {
        let path = entry.unwrap().path();
        assert!(!fs::read_to_string(&path).unwrap().contains(&here), "{} tells where it was made", path.display());
    }
    assert!(!home.path().join("pages/man1/wasmway-compile-worker.1").exists());
}

#[test]
fn the_books_page_of_all_commands_is_what_the_program_says() {
    let home = tempfile::tempdir().unwrap();
    let output = wasmway(home.path()).args(["man", ".", "--markdown"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let made = fs::read_to_string(home.path().join("cli.md")).unwrap();
    let book = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli.md");
    let book = fs::read_to_string(book).unwrap_or_default();
    assert!(made == book, "it has changed: write it anew by `wasmway man docs/reference --markdown`");
    for part in ["## wasmway token create\n", "| `--traffic <PERCENT>` | `100` |", "wasmway explain quota-exceeded\n"] {
        assert!(book.contains(part), "{part}");
    }
    assert!(!book.contains("compile-worker"));
}

#[test]
fn codes_of_errors_are_explained() {
    for code in ["cpu-limit", "urn:wasmway:problem:cpu-limit"] {
        let output = run(&["explain", code]);
        assert_eq!(output.status.code(), Some(0), "{code}: {}", stderr(&output));
        let said = stdout(&output);
        assert!(said.starts_with("cpu-limit: 504 Gateway Timeout, of the function.\n\nThe request used up"), "{said}");
        assert!(said.contains("limits.cpu") && !said.contains("###"), "{said}");
    }
    let said = stdout(&run(&["explain", "quota-exceeded"]));
    assert!(said.contains("tokens and quotas (docs/how-to/tokens-and-quotas.md)."), "{said}");
    let said = stdout(&run(&["explain", "timeout", "-o", "json"]));
    assert!(said.contains(r#""code": "timeout""#), "{said}");

    let page = include_str!("../../docs/reference/errors.md");
    let codes = page.lines().filter(|line| line.starts_with("### ")).count();
    let list = stdout(&run(&["explain"]));
    assert_eq!(list.lines().count(), 1 + codes, "{list}");
    assert!(list.lines().any(|line| line.starts_with("storage-full ") && line.contains("507")), "{list}");

    let output = run(&["explain", "cpu-limits"]);
    assert_eq!((output.status.code(), stdout(&output).as_str()), (Some(2), ""));
    assert!(stderr(&output).contains("no code \"cpu-limits\"; the nearest are cpu-limit, "), "{}", stderr(&output));
}

#[test]
fn nothing_that_runs_is_said_with_the_way_to_start_it() {
    let output = run(&["list"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).starts_with("error: no platform runs on "), "{}", stderr(&output));
    assert!(stderr(&output).contains("wasmway up"), "{}", stderr(&output));
}

#[test]
fn a_refused_connection_is_said_with_the_way_to_start() {
    // A port that was free a moment ago: nobody listens there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);

    let by_flag = run(&["list", "--server", &server]);
    let home = tempfile::tempdir().unwrap();
    let by_variable = wasmway(home.path()).arg("list").env("WASMWAY_SERVER", &server).output().unwrap();
    let running = format!(r#"{{"data":"{server}","control":"{server}","pid":1}}"#);
    fs::write(home.path().join("run.json"), running).unwrap();
    let by_run_file = wasmway(home.path()).args(["list", "--data-dir", "."]).output().unwrap();
    for output in [by_flag, by_variable, by_run_file] {
        assert_eq!(output.status.code(), Some(1));
        let error = stderr(&output);
        assert!(error.starts_with(&format!("error: nothing answers at {server}")), "{error}");
        assert!(error.contains("Connection refused") && error.contains("`wasmway up`"), "{error}");
    }
}

#[test]
fn what_cannot_be_deployed_is_refused_before_anything_is_sent() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("my_shop.wasm"), "").unwrap();
    fs::create_dir(home.path().join("empty")).unwrap();
    fs::write(home.path().join("bad.toml"), "[limits]\nmemory = \"9TiB\"\n").unwrap();
    for (path, reason) in [
        ("gone.wasm", "gone.wasm is not there"),
        ("my_shop.wasm", "--name"),
        ("empty", "no wasmway.toml"),
        ("bad.toml", "memory"),
    ] {
        let output = wasmway(home.path()).args(["deploy", path]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{path}");
        assert!(stderr(&output).contains(reason), "{path}: {}", stderr(&output));
    }
}

#[test]
fn deleting_needs_a_yes() {
    let output = run(&["delete", "hello", "--server", "http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--yes"), "{}", stderr(&output));
}
