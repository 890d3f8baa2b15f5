//! Everything that the tests need, then the tests.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{self, step};
use crate::layout::Layout;
use crate::{examples, guests, toolchain};

/// Prepares toolchains, guests and examples, and runs the tests; `arguments` go to `cargo test`.
pub(crate) fn run(layout: &Layout, arguments: &[String]) -> Result<()> {
    toolchain::install(layout)?;
    guests::build(layout, &[])?;
    examples::build(layout, &[])?;
    step("tests");
    cargo_test(layout, &PRODUCT, arguments)?;
    cargo_test(layout, &["--package", "xtask"], arguments)?;
    rust_sdk(layout)
}

/// The crate that functions in Rust are written with: a workspace of its own, tried out by itself and on the platform
/// that was built for the tests before.
fn rust_sdk(layout: &Layout) -> Result<()> {
    step("the Rust SDK");
    let product = env::var_os("CARGO_TARGET_DIR").map_or_else(|| layout.target.clone(), PathBuf::from);
    let wasmway = product.join("debug/wasmway");
    let in_sdk = |arguments: &[&str]| {
        let mut cargo = cargo();
        cargo.args(arguments).current_dir(layout.rust_sdk());
        cargo.env("CARGO_TARGET_DIR", layout.target.join("sdk")).env("WASMWAY", &wasmway);
        command::run(&mut cargo, "what does not hold is said above")
    };
    in_sdk(&["fmt", "--all", "--check"])?;
    in_sdk(&["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"])?;
    in_sdk(&["test", "--locked", "--workspace", "--", "--include-ignored"])
}

/// Kills the platform at random moments of deploys, `rounds` times, and checks that nothing was lost.
pub(crate) fn crash_loop(layout: &Layout, rounds: u32) -> Result<()> {
    guests::build(layout, &["inspect".to_owned()])?;
    step("crash loop");
    // Picked by its name and not by `--test`: a smaller choice of what to build is built with other features.
    let loop_alone = ["--", "--ignored", "--nocapture", "nothing_acknowledged_is_lost"];
    let mut cargo = cargo();
    cargo.arg("test").args(PRODUCT).args(loop_alone).env("CRASH_LOOP_ROUNDS", rounds.to_string());
    command::run(cargo.current_dir(&layout.root), "what was lost is said above")
}

/// Runs the fleet through its long tests, for so many seconds each, one after the other.
pub(crate) fn fleet(layout: &Layout, seconds: u64, names: &[String]) -> Result<()> {
    toolchain::install(layout)?;
    guests::build(layout, &["hello".to_owned(), "inspect".to_owned()])?;
    step("fleet");
    let mut cargo = cargo();
    cargo.arg("test").args(PRODUCT).args(["--test", "fleet", "--", "--ignored", "--nocapture", "--test-threads=1"]);
    cargo.args(names).env("FLEET_SECONDS", seconds.to_string()).current_dir(&layout.root);
    command::run(&mut cargo, "what does not hold is said above")
}

/// Attacks a server of its own, or the one that `arguments` name.
pub(crate) fn siege(layout: &Layout, arguments: &[String]) -> Result<()> {
    guests::build(layout, &[])?;
    step("siege");
    let mut cargo = cargo();
    cargo.arg("test").args(PRODUCT).args(["--test", "siege", "--", "--attack"]).args(arguments);
    command::run(cargo.current_dir(&layout.root), "the case that does not hold is shown above")
}

/// Everything but these tasks. Their dependencies would change features of the product's, and have it built twice.
pub(crate) const PRODUCT: [&str; 3] = ["--workspace", "--exclude", "xtask"];

/// `cargo`, without what the cargo that runs us says about this package: build scripts that look at it (ring's does)
/// would run again, and half of the product be built again, whenever a person's own cargo and ours take turns.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let of_this_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(of_this_package) {
            cargo.env_remove(name);
        }
    }
    cargo
}

fn cargo_test(layout: &Layout, packages: &[&str], arguments: &[String]) -> Result<()> {
    let mut cargo = cargo();
    cargo.arg("test").args(packages).args(arguments).current_dir(&layout.root);
    command::run(&mut cargo, "the failed tests are named above")
}
