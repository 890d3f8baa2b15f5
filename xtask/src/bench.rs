//! Running the benchmarks of `bench/`, on what they measure.

use std::process::Command;

use anyhow::Result;

use crate::command::{self, step};
use crate::guests;
use crate::layout::Layout;
use crate::test::{PRODUCT, cargo};
use crate::toolchain;

/// Builds guests, benchmarks and, unless `arguments` name one, the server, optimised; then measures.
pub(crate) fn run(layout: &Layout, arguments: &[String]) -> Result<()> {
    guests::build(layout, &[])?;
    step("benchmark");
    let brings_server = arguments.iter().any(|it| it == "--server-binary" || it.starts_with("--server-binary="));
    let built: &[&str] = if brings_server { &["--package", "wasmway-bench"] } else { &PRODUCT };
    let mut build = cargo();
    build.args(["build", "--release", "--locked"]).args(built).current_dir(&layout.root);
    command::run(&mut build, "the message above names the cause")?;
    let mut bench = Command::new(layout.target.join("release/wasmway-bench"));
    command::run(bench.args(arguments), "what was missed is said above")
}

/// Builds guests and the product as the tests do, and counts.
pub(crate) fn instructions(layout: &Layout) -> Result<()> {
    toolchain::ensure_valgrind()?;
    // What rustc makes depends on the standard library that is there; the compiler of this one is pinned.
    let guest = "hello-c".to_owned();
    guests::build(layout, std::slice::from_ref(&guest))?;
    step("instructions of a request");
    let mut build = cargo();
    build.args(["build", "--locked"]).args(PRODUCT).current_dir(&layout.root);
    command::run(&mut build, "the message above names the cause")?;
    let folder = layout.target.join("debug");
    let mut bench = Command::new(folder.join("wasmway-bench"));
    bench.args(["instructions", "--rounds=3", "--baseline"]).arg(layout.root.join("bench/baseline.json"));
    bench.arg("--server-binary").arg(folder.join("wasmway")).arg("--guest").arg(guest);
    command::run(&mut bench, "a request has become more expensive, or could not be counted, as said above")
}
