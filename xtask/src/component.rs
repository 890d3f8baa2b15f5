//! Looking into what was built: is it a component that answers HTTP?

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use wasmparser::{Parser, Validator, WasmFeatures};
use wit_component::DecodedWasm;

/// Puts a freshly built component at `output` after looking into it, and prints what it is.
///
/// # Errors
/// When the bytes are no valid component or export no HTTP handler.
pub(crate) fn publish(built: &Path, output: &Path) -> Result<()> {
    let bytes = fs::read(built).with_context(|| format!("reading {}", built.display()))?;
    publish_bytes(&bytes, output)
}

/// As [`publish`], from memory.
pub(crate) fn publish_bytes(bytes: &[u8], output: &Path) -> Result<()> {
    let world = World::of(bytes).with_context(|| format!("looking into {}", output.display()))?;
    ensure!(
        world.exports.iter().any(|name| answers_http(name)),
        "{} exports no HTTP handler, only {:?}",
        output.display(),
        world.exports
    );
    if let Some(parent) = output.parent() {
        fs::create_dir_all(parent)?;
    }
    // Renamed into place, so that a test never reads half a component.
    let unfinished = output.with_extension("wasm.new");
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, output).with_context(|| format!("writing {}", output.display()))?;
    println!(
        "    {}: {} KiB, exports {}, imports {}",
        output.display(),
        bytes.len().div_ceil(1024),
        world.exports.join(" "),
        world.imports.join(" "),
    );
    Ok(())
}

/// What a component imports and exports, by the names of its interfaces.
#[derive(Debug)]
struct World {
    imports: Vec<String>,
    exports: Vec<String>,
}

impl World {
    fn of(bytes: &[u8]) -> Result<Self> {
        ensure!(Parser::is_component(bytes), "it is not a component");
        Validator::new_with_features(WasmFeatures::all()).validate_all(bytes)?;
        let DecodedWasm::Component(resolve, world) = wit_component::decode(bytes)? else {
            anyhow::bail!("it is a WIT package, not a component");
        };
        let world = &resolve.worlds[world];
        let names = |items: Vec<_>| items.into_iter().map(|key| resolve.name_world_key(key));
        Ok(Self {
            imports: names(world.imports.keys().collect()).collect(),
            exports: names(world.exports.keys().collect()).collect(),
        })
    }
}

fn answers_http(export: &str) -> bool {
    export.starts_with("wasi:http/incoming-handler@0.2.") || export.starts_with("wasi:http/handler@0.3.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_module_and_garbage_are_refused() {
        assert!(World::of(b"\0asm\x01\0\0\0").is_err());
        assert!(World::of(b"not wasm").is_err());
    }

    #[test]
    fn a_component_without_a_handler_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let output = dir.path().join("empty.wasm");
        let error = publish_bytes(b"\0asm\x0d\0\x01\0", &output).unwrap_err();
        assert!(error.to_string().contains("no HTTP handler"), "{error:#}");
        assert!(!output.exists());
    }

    #[test]
    fn both_generations_of_the_handler_count() {
        assert!(answers_http("wasi:http/incoming-handler@0.2.10"));
        assert!(answers_http("wasi:http/handler@0.3.2"));
        assert!(!answers_http("wasi:cli/run@0.2.0"));
    }
}
