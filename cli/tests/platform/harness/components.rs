//! Components to deploy: the built guests and examples, and tiny ones made on the spot.

use std::path::PathBuf;

/// The built guest `name`.
pub(crate) fn guest(name: &str) -> Vec<u8> {
    built("guests", name)
}

/// The built example `name`.
pub(crate) fn example(name: &str) -> Vec<u8> {
    built("examples", name)
}

fn built(kind: &str, name: &str) -> Vec<u8> {
    let root = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let file = root.join("target").join(kind).join(format!("{name}.wasm"));
    std::fs::read(&file)
        .unwrap_or_else(|error| panic!("{}: {error}; build it by `cargo xtask {kind} {name}`", file.display()))
}

/// The first bytes of every component.
const MAGIC: &[u8] = b"\0asm\x0d\0\x01\0";

/// A component with nothing in it.
pub(crate) fn empty_component() -> Vec<u8> {
    MAGIC.to_vec()
}

/// A valid component that imports `interface`, with an empty instance for its HTTP handler:
///
/// ```wat
/// (component
///   (import "INTERFACE" (instance (export "send" (func))))
///   (instance $handler)
///   (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))
/// ```
pub(crate) fn importing(interface: &str) -> Vec<u8> {
    // One instance type with two declarations: a function type without parameters and results, and the export
    // `send` of that type.
    let types = [&[1, 0x42, 2, 0x01, 0x40, 0, 1, 0, 0x04, 0][..], &text("send"), &[1, 0]].concat();
    let imports = [&[1, 0][..], &text(interface), &[5, 0]].concat();
    let exports = [&[1, 0][..], &text("wasi:http/incoming-handler@0.2.0"), &[5, 1, 0]].concat();
    [MAGIC, &section(7, &types), &section(10, &imports), &section(5, &[1, 1, 0]), &section(11, &exports)].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[short(text.len())], text.as_bytes()].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id, short(content.len())], content].concat()
}

/// A length as LEB128, where one byte is enough.
fn short(length: usize) -> u8 {
    u8::try_from(length).ok().filter(|length| *length < 128).unwrap()
}
