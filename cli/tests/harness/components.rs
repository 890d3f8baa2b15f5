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

/// A valid component with an empty instance for its HTTP handler, and a module beside it that takes the compiler much
/// more time and memory than its size would make one think: a loop with many variables and many ways back to its
/// beginning, each of which hands over every variable.
pub(crate) fn compile_bomb() -> Vec<u8> {
    const VARIABLES: usize = 1000;
    const WAYS_BACK: usize = 20_000;
    let mut code = vec![0x03, 0x40]; // loop
    for number in 0..WAYS_BACK {
        let variable = |factor: usize| leb128((number * factor + factor) % VARIABLES);
        // local.get, local.get, i32.add, local.tee, br_if 0
        code.extend(
            [&[0x20][..], &variable(1), &[0x20], &variable(7), &[0x6a, 0x22], &variable(13), &[0x0d, 0]].concat(),
        );
    }
    code.extend([0x0b, 0x0b]); // the ends of the loop and of the function
    let body = [&[1][..], &leb128(VARIABLES), &[0x7f], &code].concat(); // all variables are i32
    let types = section(1, &[1, 0x60, 0, 0]);
    let functions = section(3, &[1, 0]);
    let module =
        [b"\0asm\x01\0\0\0", &types[..], &functions, &section(10, &[&[1][..], &leb128(body.len()), &body].concat())];
    let exports = [&[1, 0][..], &text("wasi:http/incoming-handler@0.2.0"), &[5, 0, 0]].concat();
    [MAGIC, &section(1, &module.concat()), &section(5, &[1, 1, 0]), &section(11, &exports)].concat()
}

fn text(text: &str) -> Vec<u8> {
    [&leb128(text.len()), text.as_bytes()].concat()
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    [&[id], &leb128(content.len())[..], content].concat()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}
