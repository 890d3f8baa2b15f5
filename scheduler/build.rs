//! Hands on the target, and the exact wasmtime version out of the workspace's lock file: the code cache is keyed on it,
//! since wasmtime itself checks only the major version of what it loads.
use std::{env, fs, path::Path};

fn main() {
    let root = env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR");
    let lock = Path::new(&root).join("../Cargo.lock");
    println!("cargo:rerun-if-changed={}", lock.display());
    let text = fs::read_to_string(&lock).expect("the workspace has a Cargo.lock");
    let version = text
        .split("[[package]]")
        .find(|package| package.contains("name = \"wasmtime\"\n"))
        .and_then(|package| package.split("version = \"").nth(1))
        .and_then(|rest| rest.split('"').next())
        .expect("Cargo.lock names wasmtime");
    println!("cargo:rustc-env=WASMTIME_VERSION={version}");
    println!("cargo:rustc-env=TARGET={}", env::var("TARGET").expect("cargo sets TARGET"));
}
