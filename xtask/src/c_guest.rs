//! A function in C: bindings from the WIT, Zig's C compiler, and the component around the module.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;
use wit_component::ComponentEncoder;

use crate::command::run;
use crate::layout::{Layout, files};
use crate::toolchain::python_tools;

/// Compiles the C files of `dir` and returns the component.
pub(crate) fn build(layout: &Layout, dir: &Path) -> Result<Vec<u8>> {
    let generated = layout.guests_build().join("c-bindings");
    generate_bindings(&layout.wit(), &generated)?;
    let module = layout.guests_build().join("c-guest.wasm");
    compile(layout, dir, &generated, &module)?;
    let bytes = fs::read(&module).with_context(|| format!("reading {}", module.display()))?;
    ComponentEncoder::default()
        .validate(true)
        .module(&bytes)?
        .encode()
        .with_context(|| format!("making a component of {}", module.display()))
}

/// Writes `function.h`, `function.c` and an object file with the types of the world.
fn generate_bindings(wit: &Path, into: &Path) -> Result<()> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some("function"))?;
    let mut bindings = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut bindings)?;
    fs::create_dir_all(into)?;
    for (name, bytes) in bindings.iter() {
        fs::write(into.join(name), bytes)?;
    }
    Ok(())
}

fn compile(layout: &Layout, dir: &Path, generated: &Path, module: &Path) -> Result<()> {
    let mut cc = Command::new(python_tools(layout)?.join("python"));
    cc.args(["-m", "ziglang", "cc", "-target", "wasm32-wasi", "-mexec-model=reactor"]);
    cc.args(["-Os", "-s", "-Wall", "-Wextra", "-I"]).arg(generated);
    cc.args(files(dir)?.iter().filter(|file| file.extension().is_some_and(|it| it == "c")));
    cc.arg(generated.join("function.c"));
    cc.arg(generated.join("function_component_type.o"));
    cc.arg("-o").arg(module);
    cc.env("ZIG_GLOBAL_CACHE_DIR", layout.target.join("zig-cache"));
    cc.env("ZIG_LOCAL_CACHE_DIR", layout.target.join("zig-cache"));
    run(&mut cc, "the compiler's message above names the cause")
}
