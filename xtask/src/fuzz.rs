//! Fuzzing: the targets of `fuzz/`, one after another.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};

use crate::command::{self, is_there, step};
use crate::guests;
use crate::layout::{Layout, files};
use crate::test::cargo;

/// Bytes of the longest input: that of a small component.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Fuzzes the targets of these names, or all of them, `seconds` each, beginning with the seeds and with what earlier
/// runs found.
pub(crate) fn run(layout: &Layout, seconds: u64, names: &[String]) -> Result<()> {
    ensure!(is_there("cargo-fuzz"), "cargo-fuzz is not installed; `cargo install --locked cargo-fuzz` does it");
    let all = targets(layout)?;
    for name in names {
        ensure!(all.contains(name), "there is no target `{name}`; targets are {}", all.join(", "));
    }
    guests::build(layout, &["hello".to_owned(), "hello-p3".to_owned()])?;
    for name in all.iter().filter(|name| names.is_empty() || names.contains(name)) {
        step(&format!("fuzz {name}"));
        fuzz(layout, seconds, name)?;
    }
    Ok(())
}

/// The names of the files that have one target each.
fn targets(layout: &Layout) -> Result<Vec<String>> {
    let names = files(&layout.root.join("fuzz/fuzz_targets"))?;
    Ok(names.iter().filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect())
}

fn fuzz(layout: &Layout, seconds: u64, name: &str) -> Result<()> {
    let target = layout.target.join("fuzz");
    // Found inputs are kept beside what cargo builds: the first folder is the one that is written to.
    let found = target.join("corpus").join(name);
    fs::create_dir_all(&found).with_context(|| format!("making {}", found.display()))?;
    let mut cargo = cargo();
    // On a stable compiler there is no sanitizer; there is no unsafe code that one would watch either.
    cargo.args(["fuzz", "run", "--sanitizer", "none", "--target-dir"]).arg(&target).arg(name).arg(found);
    cargo.args(seeds(layout, name)).arg("--");
    cargo.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={INPUT_BYTES_MAX}"));
    cargo.args(["-timeout=10", "-rss_limit_mb=2048", "-print_final_stats=1"]);
    command::run(cargo.current_dir(&layout.root), "the input that failed is named above: make a test of it first")
}

fn seeds(layout: &Layout, name: &str) -> Vec<PathBuf> {
    let mut seeds = vec![layout.root.join("fuzz/seeds").join(name)];
    if name == "upload" {
        seeds.push(layout.target.join("guests"));
    }
    seeds
}
