//! `wasmway check`: what a machine lacks is named with the fix.

use std::process::Output;

use serde_json::Value;

use crate::harness::{Platform, binary};

fn check(arguments: &[&str]) -> Output {
    binary().arg("check").args(arguments).output().unwrap()
}

/// Whether the machine will do, and what was found, by name.
fn found(output: &Output) -> (bool, impl Fn(&str) -> Value + use<>) {
    let all: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat())));
    let ok = all["ok"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!ok)), "{all}");
    let by_name = move |name: &str| {
        let checks = all["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {all}")).clone()
    };
    (ok, by_name)
}

#[test]
fn a_machine_that_will_do_is_looked_at_from_all_sides() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join("data");
    let data_dir = folder.to_str().unwrap();
    let free = ["--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"];
    let output = check(&[&["--data-dir", data_dir, "-o", "json"], &free[..]].concat());
    let (ok, by_name) = found(&output);
    assert!(ok);
    for name in [
        "data directory",
        "disk space",
        "disk writes",
        "open files",
        "memory",
        "data plane",
        "control plane",
        "landlock",
    ] {
        assert_ne!(by_name(name)["verdict"], "bad", "{}", by_name(name));
        assert!(!by_name(name)["seen"].as_str().unwrap().is_empty());
    }
    if cfg!(target_os = "linux") {
        assert_eq!(by_name("memory mappings")["verdict"], "fine", "{}", by_name("memory mappings"));
        assert_eq!(by_name("seccomp")["verdict"], "fine", "{}", by_name("seccomp"));
    }
    assert!(!folder.exists(), "looking changes nothing");
}

#[test]
fn what_is_wrong_is_named_with_the_fix() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    std::fs::write(&file, "").unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = check(&[
        "--data-dir",
        file.to_str().unwrap(),
        "--listen",
        &address,
        "--control",
        "127.0.0.1:0",
        "--max-instances",
        "100000",
        "--max-connections",
        "1000000",
        "--database",
        "postgres://nobody:secret@127.0.0.1:9/none",
        "--artifacts",
        "file:///nowhere/at/all",
        "-o",
        "json",
    ]);
    let (ok, by_name) = found(&output);
    assert!(!ok);
    for (name, verdict, fix) in [
        ("data directory", "bad", "--data-dir"),
        ("data plane", "bad", "--listen"),
        ("database", "bad", "--database"),
        ("memory mappings", "poor", "vm.max_map_count=1000000"),
        ("open files", "poor", "LimitNOFILE"),
    ] {
        assert_eq!(by_name(name)["verdict"], verdict, "{}", by_name(name));
        assert!(by_name(name)["fix"].as_str().unwrap().contains(fix), "{}", by_name(name));
    }
    assert_eq!(by_name("control plane")["verdict"], "fine");
    assert!(!String::from_utf8(output.stdout).unwrap().contains("secret"), "the password is nobody's business");
}

#[tokio::test]
async fn beside_a_server_that_runs_its_addresses_are_its_own() {
    let platform = Platform::start().await;
    let folder = platform.folder();
    let run = |more: &[&str]| check(&[&["--data-dir", folder.to_str().unwrap(), "-o", "json"], more].concat());
    let (ok, by_name) = found(&run(&["--server", platform.control_url()]));
    assert!(ok);
    assert!(by_name("addresses")["seen"].as_str().unwrap().contains(platform.control_url()));
    assert_eq!(by_name("clock")["verdict"], "fine");
    assert_eq!(by_name("data directory")["verdict"], "fine");

    // As a gateway that would follow it: with the wrong token file, then with the right one.
    let registry = ["--registry", platform.control_url()];
    let (ok, by_name) = found(&run(&[&registry[..], &["--node-token-file", "/nowhere"]].concat()));
    assert!(!ok);
    assert_eq!(by_name("registry")["verdict"], "fine");
    assert_eq!(by_name("node token")["verdict"], "bad");
    let token = folder.join("node.token");
    let (ok, by_name) = found(&run(&[&registry[..], &["--node-token-file", token.to_str().unwrap()]].concat()));
    assert!(ok, "{}", by_name("node token"));
}
