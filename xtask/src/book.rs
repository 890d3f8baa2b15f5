//! The book of `docs/`, as pages to read in a browser.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{on_path, run, step};
use crate::layout::Layout;
use crate::test::cargo;

/// The release that is installed where mdBook is missing.
const MDBOOK: &str = "0.5.4";

/// Builds it into `target/book`.
pub(crate) fn build(layout: &Layout) -> Result<()> {
    let mdbook = mdbook(layout)?;
    step("book");
    run(Command::new(mdbook).arg("build").arg(layout.root.join("docs")), "the page at fault is named above")?;
    println!("    {}", layout.target.join("book/index.html").display());
    Ok(())
}

/// mdBook, which is built when it is not on this machine.
fn mdbook(layout: &Layout) -> Result<PathBuf> {
    let tools = layout.target.join("ci-tools");
    let own = tools.join("bin/mdbook");
    if let Some(found) = on_path("mdbook").or_else(|| own.is_file().then(|| own.clone())) {
        return Ok(found);
    }
    step("mdBook");
    let mut install = cargo();
    // Without its server and its watching.
    install.args(["install", "mdbook", "--locked", "--no-default-features", "--features", "search"]);
    install.args(["--version", MDBOOK, "--root"]).arg(tools);
    run(&mut install, "is crates.io reachable?")?;
    Ok(own)
}
