//! Building `guests/` into `target/guests/NAME.wasm`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::c_guest;
use crate::command::{run, step};
use crate::component;
use crate::layout::{Layout, folders, is_up_to_date};
use crate::toolchain::{RustForWasm, StdSupport};

/// A folder of `guests/` that a component is built from.
pub(crate) struct Guest {
    pub(crate) name: String,
    language: Language,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Language {
    Rust(StdSupport),
    C,
}

/// Builds the guests of these names, or all of them; those that are up to date are left alone.
pub(crate) fn build(layout: &Layout, names: &[String]) -> Result<()> {
    let all = all(layout)?;
    for name in names {
        let known = all.iter().any(|guest| guest.name == *name);
        ensure!(known, "there is no guest `{name}`; guests are the folders of guests/");
    }
    let mut outdated = Vec::new();
    for guest in all {
        let wanted = names.is_empty() || names.contains(&guest.name);
        let sources = sources(layout, &guest);
        if wanted && !is_up_to_date(&layout.guest_component(&guest.name), &sources)? {
            outdated.push(guest);
        }
    }
    if outdated.is_empty() {
        step("guests: up to date");
        return Ok(());
    }
    for std in [StdSupport::Minimal, StdSupport::Full] {
        let written_so = |guest: &&Guest| guest.language == Language::Rust(std);
        build_rust(layout, std, &outdated.iter().filter(written_so).collect::<Vec<_>>())?;
    }
    for guest in outdated.iter().filter(|guest| guest.language == Language::C) {
        step(&format!("guest in C: {}", guest.name));
        let built = c_guest::build(layout, &layout.guests().join(&guest.name))?;
        component::publish_bytes(&built, &layout.guest_component(&guest.name))?;
    }
    Ok(())
}

/// All guests, by name. The folder `respond` holds code that they share.
pub(crate) fn all(layout: &Layout) -> Result<Vec<Guest>> {
    let mut guests = Vec::new();
    for name in folders(&layout.guests())? {
        if let Some(language) = language(&layout.guests().join(&name))? {
            guests.push(Guest { name, language });
        }
    }
    Ok(guests)
}

/// What the guest in `dir` is written in; `None` when the folder makes no component.
fn language(dir: &Path) -> Result<Option<Language>> {
    let manifest = dir.join("Cargo.toml");
    if manifest.is_file() {
        let text = fs::read_to_string(&manifest)?;
        let parsed: toml::Table = text.parse().with_context(|| format!("reading {}", manifest.display()))?;
        return Ok(rust_language(&parsed));
    }
    let is_c = |entry: &PathBuf| entry.extension().is_some_and(|it| it == "c");
    Ok(crate::layout::files(dir)?.iter().any(is_c).then_some(Language::C))
}

/// A Rust guest is a `cdylib`; one that needs all of the standard library says so by
/// `[package.metadata.wasmway] full-std = true`.
fn rust_language(manifest: &toml::Table) -> Option<Language> {
    let crate_types = manifest.get("lib")?.get("crate-type")?.as_array()?;
    crate_types.iter().find(|it| it.as_str() == Some("cdylib"))?;
    let full = manifest
        .get("package")
        .and_then(|package| package.get("metadata")?.get("wasmway")?.get("full-std")?.as_bool())
        .unwrap_or(false);
    let std = if full { StdSupport::Full } else { StdSupport::Minimal };
    Some(Language::Rust(std))
}

/// What the guest's component is made of.
fn sources(layout: &Layout, guest: &Guest) -> Vec<PathBuf> {
    let guests = layout.guests();
    let mut sources = vec![guests.join(&guest.name)];
    match guest.language {
        Language::C => sources.push(layout.wit()),
        Language::Rust(_) => {
            sources.extend(["Cargo.toml", "Cargo.lock", "respond"].map(|it| guests.join(it)));
            let manifest = fs::read_to_string(guests.join(&guest.name).join("Cargo.toml"));
            if manifest.is_ok_and(|text| text.contains("wasmway-sdk")) {
                sources.push(layout.rust_sdk());
            }
        }
    }
    sources
}

fn build_rust(layout: &Layout, std: StdSupport, guests: &[&Guest]) -> Result<()> {
    if guests.is_empty() {
        return Ok(());
    }
    let rust = RustForWasm::ensure()?;
    let names: Vec<_> = guests.iter().map(|guest| guest.name.as_str()).collect();
    step(&format!("guests in Rust: {}", names.join(" ")));
    let target_dir = layout.guests_build();
    let mut cargo = rust.cargo_build(&layout.guests(), &target_dir, std)?;
    for name in &names {
        cargo.arg("--package").arg(package(name));
    }
    let hint =
        "the message above names the cause; a new guest enters the lockfile by `cargo update --workspace` in guests/";
    run(&mut cargo, hint)?;
    for name in names {
        let built = rust.built(&target_dir, std, &package(name));
        component::publish(&built, &layout.guest_component(name))?;
    }
    Ok(())
}

/// The cargo package of a guest: `loop` for one may not be the name of a package.
fn package(name: &str) -> String {
    format!("guest-{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language_of(manifest: &str) -> Option<Language> {
        rust_language(&manifest.parse().unwrap())
    }

    #[test]
    fn a_guest_is_a_cdylib_and_says_when_it_needs_all_of_std() {
        let minimal = "[lib]\ncrate-type = [\"cdylib\"]";
        assert!(language_of(minimal) == Some(Language::Rust(StdSupport::Minimal)));
        let full = format!("[package.metadata.wasmway]\nfull-std = true\n{minimal}");
        assert!(language_of(&full) == Some(Language::Rust(StdSupport::Full)));
        assert!(language_of("[package]\nname = \"respond\"").is_none());
    }

    #[test]
    fn an_unknown_guest_is_refused_by_name() {
        let error = build(&Layout::of_this_repository(), &["nobody".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("no guest `nobody`"), "{error}");
    }
}
