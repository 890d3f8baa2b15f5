//! What an upload is, found out from its bytes before anything is compiled.

use serde::{Deserialize, Serialize};
use std::fmt;
use wasmparser::{ComponentExternalKind, Encoding, Parser, Payload, WasmFeatures};

/// The world that a component is written for: which export is called, and by which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum World {
    /// Exports `wasi:http/incoming-handler@0.2.x`.
    Http02,
    /// Exports `wasi:http/handler@0.3.x`.
    Http03,
}

impl World {
    /// `0.2` or `0.3`: the WASI version, as a metric label and a command-line word.
    pub fn as_str(self) -> &'static str {
        match self {
            World::Http02 => "0.2",
            World::Http03 => "0.3",
        }
    }

    /// The world by the name of the export, as in `wasi:http/incoming-handler@0.2.10`.
    pub fn of_export(name: &str) -> Option<Self> {
        let (interface, version) = name.split_once('@')?;
        match interface {
            "wasi:http/incoming-handler" if version.starts_with("0.2.") => Some(World::Http02),
            "wasi:http/handler" if version.starts_with("0.3.") && !version.contains('-') => Some(World::Http03),
            _ => None,
        }
    }
}

impl fmt::Display for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A component that may be served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentSummary {
    /// Which export is called.
    pub world: World,
    /// The name of that export, as in `wasi:http/incoming-handler@0.2.10`.
    pub export: String,
    /// The names of the imports, in order of appearance.
    pub imports: Vec<String>,
}

/// Why an upload is not accepted. The text says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// Not a WebAssembly component at all.
    #[error("{0}")]
    NotAComponent(String),
    /// Native code of an engine: never loaded from outside.
    #[error(
        "this is native code, for one kind of machine; it cannot be checked, so it is never taken. Upload the component that it was made from, or build one: for the target wasm32-wasip2, if it is written in Rust"
    )]
    Precompiled,
    /// A component that exports nothing that can be called.
    #[error(
        "the component exports no HTTP handler. It must export `wasi:http/incoming-handler@0.2.x` or `wasi:http/handler@0.3.x`; it exports {0}"
    )]
    MissingExport(String),
    /// A component that needs what the platform does not give.
    #[error("the component imports what this platform does not provide: {0}")]
    UnknownImport(String),
    /// Larger than what is compiled here.
    #[error("the component is too complex: {0}")]
    TooComplex(String),
    /// The component asks for more than its limits or the node give.
    #[error("{0}")]
    OverLimits(String),
    /// The compiler did not accept it, or died over it.
    #[error("the component cannot be compiled: {0}")]
    CompileFailed(String),
}

impl Refusal {
    /// The stable code of its problem, and its title. Without a wildcard: a new refusal must be given both.
    pub fn code_and_title(&self) -> (&'static str, &'static str) {
        match self {
            Self::NotAComponent(_) => ("not-a-component", "Not a component"),
            Self::Precompiled => ("precompiled-refused", "Native code is not taken"),
            Self::MissingExport(_) => ("missing-export", "No HTTP handler"),
            Self::UnknownImport(_) => ("unknown-import", "Unknown import"),
            Self::TooComplex(_) => ("too-complex", "Too complex"),
            Self::OverLimits(_) => ("limits-refused", "Over the limits"),
            Self::CompileFailed(_) => ("compile-failed", "It does not compile"),
        }
    }
}

/// Bytes of one function body: larger ones take the compiler minutes.
const FUNCTION_BODY_BYTES: usize = 8 << 20;
/// Functions with a body over all core modules.
const FUNCTIONS: u32 = 400_000;
/// Core modules and nested components.
const MODULES: u32 = 128;
/// Types, imports and exports, each over all modules.
const ENTRIES: u32 = 200_000;
/// Bytes of the names of what a component itself imports and exports: they go into answers and into the registry.
const NAME_BYTES: u32 = 64 << 10;

/// Reads what a component imports and exports, within caps on its complexity. `bytes` need not be valid:
/// the compiler validates later; this only looks at the outline.
pub(crate) fn inspect(bytes: &[u8]) -> Result<ComponentSummary, Refusal> {
    recognise(bytes)?;
    let mut outline = Outline::default();
    let mut parser = Parser::new(0);
    parser.set_features(WasmFeatures::all());
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(|error| Refusal::NotAComponent(malformed(&error)))?;
        outline.take(payload)?;
    }
    let Some((world, export)) = outline.handler() else {
        return Err(Refusal::MissingExport(listed(&outline.exports)));
    };
    Ok(ComponentSummary { world, export, imports: outline.imports })
}

pub(crate) fn malformed(error: &wasmparser::BinaryReaderError) -> String {
    format!(
        "this begins like a WebAssembly component, but is damaged or cut short: {}, at byte {}",
        error.message(),
        error.offset()
    )
}

fn listed(names: &[String]) -> String {
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}

/// Tells a component from everything else that people upload, by the first bytes.
fn recognise(bytes: &[u8]) -> Result<(), Refusal> {
    let what = match bytes {
        [b'\0', b'a', b's', b'm', 0x0d, 0, 1, 0, ..] => return Ok(()),
        [b'\0', b'a', b's', b'm', 1, 0, 0, 0, ..] => {
            "this is a core WebAssembly module, not a component. Make a component of it with `wasm-tools component new`, or build for the target wasm32-wasip2"
        }
        [b'\0', b'a', b's', b'm', ..] => "this is WebAssembly of a version that is not known here",
        // What the engine makes ahead of time is ELF too: all of that is refused, whatever is in it.
        [0x7f, b'E', b'L', b'F', ..] => return Err(Refusal::Precompiled),
        [0x1f, 0x8b, ..] => "this is compressed with gzip. Upload the component itself",
        [b'P', b'K', 3, 4, ..] => "this is a zip archive. Upload the component itself",
        [b'(', ..] => "this is WebAssembly text. Make a binary of it with `wasm-tools parse`",
        [] => "the upload is empty. Send the component's bytes as the body",
        _ => "this is not WebAssembly. Upload a component (its first bytes are 00 61 73 6d 0d 00 01 00)",
    };
    Err(Refusal::NotAComponent(what.into()))
}

/// The outline of a component as it is read.
#[derive(Default)]
struct Outline {
    depth: u32,
    modules: u32,
    functions: u32,
    entries: u32,
    name_bytes: u32,
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Outline {
    fn take(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::Version { encoding, .. } => {
                if self.depth == 0 && encoding == Encoding::Module {
                    return Err(Refusal::NotAComponent("this is a core module, not a component".into()));
                }
                self.depth += 1;
                self.modules += 1;
                cap(self.modules, MODULES, "modules and nested components")?;
            }
            Payload::End(_) => self.depth -= 1,
            Payload::ComponentImportSection(reader) if self.depth == 1 => {
                for import in reader {
                    let import = import.map_err(|error| Refusal::NotAComponent(malformed(&error)))?;
                    self.add_name(import.name.name)?;
                    self.imports.push(import.name.name.to_owned());
                }
                cap(self.imports.len() as u32, 1000, "imports")?;
            }
            Payload::ComponentExportSection(reader) if self.depth == 1 => {
                for export in reader {
                    let export = export.map_err(|error| Refusal::NotAComponent(malformed(&error)))?;
                    if export.kind == ComponentExternalKind::Instance {
                        self.add_name(export.name.name)?;
                        self.exports.push(export.name.name.to_owned());
                    }
                }
                cap(self.exports.len() as u32, 1000, "exports")?;
            }
            Payload::TypeSection(reader) => self.add_entries(reader.count())?,
            Payload::ImportSection(reader) => self.add_entries(reader.count())?,
            Payload::ExportSection(reader) => self.add_entries(reader.count())?,
            Payload::ComponentTypeSection(reader) => self.add_entries(reader.count())?,
            Payload::CodeSectionStart { count, .. } => {
                self.functions = self.functions.saturating_add(count);
                cap(self.functions, FUNCTIONS, "functions")?;
            }
            Payload::CodeSectionEntry(body) if body.range().len() > FUNCTION_BODY_BYTES => {
                return Err(Refusal::TooComplex(format!(
                    "a function of {} bytes; {FUNCTION_BODY_BYTES} are the most that is compiled here. Split it, or optimise for size",
                    body.range().len()
                )));
            }
            _ => {}
        }
        Ok(())
    }

    fn add_entries(&mut self, count: u32) -> Result<(), Refusal> {
        self.entries = self.entries.saturating_add(count);
        cap(self.entries, ENTRIES, "types, imports and exports")
    }

    fn add_name(&mut self, name: &str) -> Result<(), Refusal> {
        // The length of an upload is far below four gigabytes, and so is that of a name in it.
        self.name_bytes = self.name_bytes.saturating_add(u32::try_from(name.len()).unwrap_or(u32::MAX));
        cap(self.name_bytes, NAME_BYTES, "bytes of names of imports and exports")
    }

    /// The handler to call; a component that has both is served by the newer.
    fn handler(&self) -> Option<(World, String)> {
        let find = |world| self.exports.iter().find(|name| World::of_export(name) == Some(world));
        [World::Http03, World::Http02].into_iter().find_map(|world| Some((world, find(world)?.clone())))
    }
}

fn cap(count: u32, limit: u32, what: &str) -> Result<(), Refusal> {
    if count > limit {
        return Err(Refusal::TooComplex(format!("over {limit} {what}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8]) -> String {
        inspect(bytes).expect_err("must be refused").to_string()
    }

    #[test]
    fn says_what_an_upload_is_instead() {
        assert!(refused(b"").contains("empty"));
        assert!(refused(b"hello").contains("not WebAssembly"));
        assert!(refused(b"\x1f\x8b\x08\0").contains("gzip"));
        assert!(refused(b"PK\x03\x04").contains("zip"));
        assert!(refused(b"(component)").contains("text"));
        assert!(refused(b"\0asm\x01\0\0\0").contains("core WebAssembly module"));
        assert_eq!(inspect(b"\x7fELF\x02"), Err(Refusal::Precompiled));
    }

    #[test]
    fn an_empty_component_lacks_a_handler() {
        assert_eq!(inspect(b"\0asm\x0d\0\x01\0"), Err(Refusal::MissingExport("nothing".into())));
    }

    #[test]
    fn a_cut_component_is_damaged() {
        assert!(refused(b"\0asm\x0d\0\x01\0\x07\xff").contains("damaged"));
    }

    #[test]
    fn knows_its_worlds() {
        assert_eq!(World::of_export("wasi:http/incoming-handler@0.2.10"), Some(World::Http02));
        assert_eq!(World::of_export("wasi:http/handler@0.3.2"), Some(World::Http03));
        assert_eq!(World::of_export("wasi:http/handler@0.3.0-rc-2025-09-16"), None);
        assert_eq!(World::of_export("wasi:http/incoming-handler@0.3.0"), None);
        assert_eq!(World::of_export("wasi:http/incoming-handler"), None);
    }
}
