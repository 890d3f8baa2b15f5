//! The dashboard in a real browser.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::command::{run, step};
use crate::layout::Layout;
use crate::test::{PRODUCT, cargo};
use crate::{guests, toolchain};

/// The functions that pages are looked at with.
const GUESTS: [&str; 6] = ["hello", "hello-std", "trap", "forge-log", "echo", "inspect"];

/// Tries every page and every action of the dashboard out; pictures of the pages go to `screenshots`, if it is named.
pub(crate) fn try_out(layout: &Layout, screenshots: Option<PathBuf>) -> Result<()> {
    let chromium = toolchain::ensure_chromium()?;
    toolchain::ensure_npm()?;
    let modules = modules(layout)?;
    guests::build(layout, &GUESTS.map(str::to_owned))?;
    step("browser");
    let mut cargo = cargo();
    cargo.arg("test").args(PRODUCT).args(["--test", "platform", "--", "--ignored", "--nocapture"]);
    cargo.arg("pages_work_in_a_browser").env("CHROMIUM", chromium).env("MODULES", modules);
    if let Some(folder) = screenshots {
        cargo.env("SCREENSHOTS", folder);
    }
    run(cargo.current_dir(&layout.root), "the page that does not hold is named above")
}

/// The folder with what drives the browser, installed as the lock file beside the tests says.
fn modules(layout: &Layout) -> Result<PathBuf> {
    let folder = layout.target.join("browser");
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for file in ["package.json", "package-lock.json"] {
        let from = layout.root.join("gateway/dashboard/tests").join(file);
        fs::copy(&from, folder.join(file)).with_context(|| format!("copying {}", from.display()))?;
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--silent", "--ignore-scripts"]).current_dir(&folder);
    run(&mut npm, "is npm's registry reachable?")?;
    Ok(folder)
}
