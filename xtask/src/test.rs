//! Everything that the tests need, then the tests.

use std::env;
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
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["test", "--workspace"]).args(arguments).current_dir(&layout.root);
    command::run(&mut cargo, "the failed tests are named above")
}
