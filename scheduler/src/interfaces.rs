//! The interfaces that functions find here, by name: for tools that look at a component before it is uploaded. What
//! decides at a deploy is the linker itself; a test holds the two against each other.

use crate::component::{self, ComponentSummary, Refusal, World};
use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentOuterAliasKind, ComponentType, ComponentTypeRef,
    InstanceTypeDeclaration, Parser, Payload, TypeBounds, WasmFeatures,
};

/// Of WASI 0.2, for every component.
const OF_WASI_02: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/outgoing-handler",
    "wasi:http/types",
    "wasi:io/error",
    "wasi:io/poll",
    "wasi:io/streams",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// Of WASI 0.3, for components that are written for it.
const OF_WASI_03: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/monotonic-clock",
    "wasi:clocks/system-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:http/client",
    "wasi:http/types",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/types",
];

/// Looks at an upload before it is one: what it is, or why it would be refused, as far as its outline shows.
pub fn look(bytes: &[u8]) -> Result<ComponentSummary, Refusal> {
    let summary = component::inspect(bytes)?;
    let unknown: Vec<_> = summary.imports.iter().filter(|import| !provides(summary.world, import)).collect();
    // Most have none, and are not read twice.
    if !unknown.is_empty() {
        let wanting = wanting(bytes)?;
        let missing: Vec<_> = unknown.into_iter().filter(|import| wanting.contains(import)).cloned().collect();
        if !missing.is_empty() {
            return Err(Refusal::UnknownImport(format!(
                "{}. A function finds WASI 0.2's cli, clocks, filesystem, http, io, random and sockets here, and those of \
                 WASI 0.3 if it exports `wasi:http/handler@0.3.x`. Build without the others, or link what has them into \
                 the component (`wac plug`)",
                missing.join(", ")
            )));
        }
    }
    Ok(summary)
}

/// Whether a component of `world` finds `import`, such as `wasi:io/streams@0.2.6`, here. Any patch release will do,
/// but no release candidate.
fn provides(world: World, import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    let is_of = |line: &str| {
        let patch = version.strip_prefix(line).unwrap_or_default();
        !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit())
    };
    (is_of("0.2.") && OF_WASI_02.contains(&interface))
        || (world == World::Http03 && is_of("0.3.") && OF_WASI_03.contains(&interface))
}

/// The imports of a component that need something to run: a function or a resource. An interface of types alone is there
/// wherever it is named.
fn wanting(bytes: &[u8]) -> Result<Vec<String>, Refusal> {
    let damaged = |error: wasmparser::BinaryReaderError| Refusal::NotAComponent(component::malformed(&error));
    let mut depth = 0;
    // For every type of the outermost component, by its index: whether an instance of it must have something.
    let mut types = Vec::new();
    let mut wanting = Vec::new();
    let mut parser = Parser::new(0);
    parser.set_features(WasmFeatures::all());
    for payload in parser.parse_all(bytes) {
        match payload.map_err(damaged)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentTypeSection(section) if depth == 1 => {
                for ty in section {
                    types.push(is_wanting(&ty.map_err(damaged)?));
                }
            }
            Payload::ComponentAliasSection(section) if depth == 1 => {
                for alias in section {
                    if is_of_a_type(&alias.map_err(damaged)?) {
                        types.push(false);
                    }
                }
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    let import = import.map_err(damaged)?;
                    let wants = match import.ty {
                        // Of an index that is not there, the compiler will speak.
                        ComponentTypeRef::Instance(index) => types.get(index as usize).copied().unwrap_or(true),
                        ComponentTypeRef::Type(bounds) => {
                            types.push(false);
                            bounds == TypeBounds::SubResource
                        }
                        _ => true,
                    };
                    if wants {
                        wanting.push(import.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    if export.map_err(damaged)?.kind == ComponentExternalKind::Type {
                        types.push(false);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(wanting)
}

fn is_wanting(ty: &ComponentType<'_>) -> bool {
    let ComponentType::Instance(declarations) = ty else { return false };
    declarations.iter().any(|declaration| match declaration {
        InstanceTypeDeclaration::Export { ty: ComponentTypeRef::Type(bounds), .. } => {
            *bounds == TypeBounds::SubResource
        }
        InstanceTypeDeclaration::Export { .. } => true,
        _ => false,
    })
}

fn is_of_a_type(alias: &ComponentAlias<'_>) -> bool {
    match alias {
        ComponentAlias::InstanceExport { kind, .. } => *kind == ComponentExternalKind::Type,
        ComponentAlias::Outer { kind, .. } => *kind == ComponentOuterAliasKind::Type,
        ComponentAlias::CoreInstanceExport { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{self, TargetCpu};
    use crate::host;

    /// Whether the linker has something of this name: it takes no second definition.
    fn is_linked(world: World, import: &str) -> bool {
        let engine = engine::compiling(world, TargetCpu::Native).unwrap();
        let mut linker = host::linker(&engine, world).unwrap();
        linker.root().func_wrap(import, |_, ()| Ok(())).is_err()
    }

    /// Every interface of a folder of WIT, as `package/interface`.
    fn interfaces_of_wit() -> Vec<String> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/wit/deps");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut found = Vec::new();
        for file in files.filter(|file| file.extension().is_some_and(|it| it == "wit")) {
            let text = std::fs::read_to_string(&file).unwrap();
            let package = text.lines().find_map(|line| line.strip_prefix("package ")?.split('@').next()).unwrap();
            let names = text.lines().filter_map(|line| line.strip_prefix("interface ")?.split_whitespace().next());
            found.extend(names.map(|name| format!("{package}/{name}")));
        }
        found
    }

    #[test]
    fn what_is_listed_is_linked_and_the_rest_of_wasi_is_not() {
        let wit = interfaces_of_wit();
        assert!(wit.len() > OF_WASI_02.len(), "{wit:?}");
        for interface in wit.iter().map(String::as_str).chain(OF_WASI_02.iter().copied()) {
            let import = format!("{interface}@0.2.12");
            for world in [World::Http02, World::Http03] {
                assert_eq!(provides(world, &import), is_linked(world, &import), "{import} for {world}");
            }
        }
        for interface in OF_WASI_03 {
            let import = format!("{interface}@0.3.0");
            assert!(is_linked(World::Http03, &import) && provides(World::Http03, &import), "{import}");
            assert!(!provides(World::Http02, &import), "{import}");
        }
    }

    /// A component with an HTTP handler that imports an instance of `acme:queue/sender@1.0.0`, whose one export is a
    /// function, or a type.
    fn importing(export: &[u8]) -> Vec<u8> {
        let text = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
        let section = |id: u8, content: &[u8]| [&[id, content.len() as u8], content].concat();
        let types = [&[1, 0x42][..], export].concat();
        let imports = [&[1, 0][..], &text("acme:queue/sender@1.0.0"), &[5, 0]].concat();
        let exports = [&[1, 0][..], &text("wasi:http/incoming-handler@0.2.0"), &[5, 1, 0]].concat();
        let sections = [section(7, &types), section(10, &imports), section(5, &[1, 1, 0]), section(11, &exports)];
        [b"\0asm\x0d\0\x01\0", &sections.concat()[..]].concat()
    }

    #[test]
    fn an_import_counts_when_it_has_something_to_run() {
        // A function type without parameters and results, and the export `send` of it.
        let function = [2, 0x01, 0x40, 0, 1, 0, 0x04, 0, 4, b's', b'e', b'n', b'd', 1, 0];
        let refused = look(&importing(&function)).unwrap_err();
        assert!(refused.to_string().contains("acme:queue/sender@1.0.0"), "{refused}");
        // A type that is a number, and the export `send` that is it.
        let number = [2, 0x01, 0x79, 0x04, 0, 4, b's', b'e', b'n', b'd', 3, 0, 0];
        assert_eq!(look(&importing(&number)).unwrap().imports, ["acme:queue/sender@1.0.0"]);
        // A resource that is the host's.
        let resource = [1, 0x04, 0, 4, b's', b'e', b'n', b'd', 3, 1];
        assert!(look(&importing(&resource)).is_err());
    }

    #[test]
    fn releases_count_and_candidates_do_not() {
        for (import, is_there) in [
            ("wasi:http/types@0.2.0", true),
            ("wasi:http/types@0.2.99", true),
            ("wasi:http/types@0.2.0-rc-2023-12-05", false),
            ("wasi:http/types", false),
            ("wasi:http/handler@0.3.0", false),
            ("acme:queue/sender@0.2.0", false),
        ] {
            assert_eq!(provides(World::Http03, import), is_there, "{import}");
        }
    }
}
