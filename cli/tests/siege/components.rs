//! Components that no toolchain makes.

use wasm_encoder::{
    Alias, BlockType, CanonicalFunctionSection, CodeSection, Component, ComponentAliasSection, ComponentExportKind,
    ComponentExportSection, ComponentImportSection, ComponentInstanceSection, ComponentTypeRef, ComponentTypeSection,
    ComponentValType, CustomSection, ExportKind, ExportSection, Function, FunctionSection, InstanceSection,
    InstanceType, InstructionSink, MemArg, MemorySection, MemoryType, Module, ModuleArg, ModuleSection, RefType,
    TableSection, TableType, TypeBounds, TypeSection, ValType,
};

const PAGE_BYTES: u64 = 64 << 10;

/// An HTTP handler in one module, of which `instances` are made. The first of them answers.
pub(crate) fn handler(module: &Module, instances: usize) -> Vec<u8> {
    let mut component = Component::new();
    let mut http = InstanceType::new();
    for name in ["incoming-request", "response-outparam"] {
        http.export(name, ComponentTypeRef::Type(TypeBounds::SubResource));
    }
    component.section(ComponentTypeSection::new().instance(&http));
    component.section(ComponentImportSection::new().import("wasi:http/types@0.2.0", ComponentTypeRef::Instance(0)));
    let mut aliases = ComponentAliasSection::new();
    for name in ["incoming-request", "response-outparam"] {
        aliases.alias(Alias::InstanceExport { instance: 0, kind: ComponentExportKind::Type, name });
    }
    component.section(&aliases);
    let mut types = ComponentTypeSection::new();
    types.defined_type().own(1);
    types.defined_type().own(2);
    let parameters = [("request", ComponentValType::Type(3)), ("response-out", ComponentValType::Type(4))];
    types.function().params(parameters).result(None);
    component.section(&types);
    component.section(&ModuleSection(module));
    let mut made = InstanceSection::new();
    for _ in 0..instances {
        made.instantiate::<_, &str>(0, [] as [(&str, ModuleArg); 0]);
    }
    component.section(&made);
    let handle = Alias::CoreInstanceExport { instance: 0, kind: ExportKind::Func, name: "handle" };
    component.section(ComponentAliasSection::new().alias(handle));
    component.section(CanonicalFunctionSection::new().lift(0, 5, []));
    component.section(ComponentInstanceSection::new().export_items([("handle", ComponentExportKind::Func, 0)]));
    let mut exports = ComponentExportSection::new();
    exports.export("wasi:http/incoming-handler@0.2.0", ComponentExportKind::Instance, 1, None);
    component.section(&exports);
    component.finish()
}

/// A module that handles a request by `body`, with `memories` of one page each, and one table with nothing in it.
pub(crate) fn module(memories: u32, body: impl FnOnce(&mut InstructionSink<'_>)) -> Module {
    let mut handle = Function::new([(1, ValType::I32)]);
    body(&mut handle.instructions());
    handle.instructions().end();
    with_code(TypeSection::new().clone(), memories, CodeSection::new().function(&handle))
}

/// A module with these types behind its own, and the code of `handle`.
fn with_code(mut types: TypeSection, memories: u32, code: &CodeSection) -> Module {
    let handle = types.len();
    types.ty().function([ValType::I32, ValType::I32], []);
    let mut all = MemorySection::new();
    for _ in 0..memories {
        all.memory(MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None });
    }
    let table = TableType { element_type: RefType::FUNCREF, table64: false, minimum: 0, maximum: None, shared: false };
    let mut module = Module::new();
    module.section(&types).section(FunctionSection::new().function(handle)).section(TableSection::new().table(table));
    module.section(&all).section(ExportSection::new().export("handle", ExportKind::Func, 0)).section(code);
    module
}

/// Takes `pages` of each of its memories; it traps when it gets them all, and ends without a response otherwise.
pub(crate) fn many_memories(memories: u32, pages: i32) -> Vec<u8> {
    let body = |code: &mut InstructionSink<'_>| {
        for memory in 0..memories {
            code.i32_const(pages).memory_grow(memory).i32_const(-1).i32_eq().if_(BlockType::Empty).return_().end();
        }
        code.unreachable();
    };
    handler(&module(memories, body), 1)
}

/// Grows its table by a thousand elements until it gets no more, then tries it by `at_once` as well; it traps when it
/// gets those, and ends without a response otherwise.
pub(crate) fn table_bomb(at_once: i32) -> Vec<u8> {
    let body = |code: &mut InstructionSink<'_>| {
        let func = wasm_encoder::HeapType::FUNC;
        code.loop_(BlockType::Empty);
        code.ref_null(func).i32_const(1000).table_grow(0).i32_const(-1).i32_ne().br_if(0).end();
        code.ref_null(func).i32_const(at_once).table_grow(0).i32_const(-1).i32_eq().if_(BlockType::Empty);
        code.return_().end().unreachable();
    };
    handler(&module(1, body), 1)
}

/// Takes 16 MiB and traps when a byte of it is not zero; then leaves a mark all over it, and ends without a response.
pub(crate) fn ghost() -> Vec<u8> {
    const PAGES: i32 = 256;
    let end = (PAGE_BYTES as i32) * (PAGES + 1);
    let body = |code: &mut InstructionSink<'_>| {
        code.i32_const(PAGES).memory_grow(0).i32_const(-1).i32_eq().if_(BlockType::Empty).unreachable().end();
        code.loop_(BlockType::Empty);
        code.local_get(2).i64_load(MemArg { offset: 0, align: 3, memory_index: 0 });
        code.i64_const(0).i64_ne().if_(BlockType::Empty).unreachable().end();
        code.local_get(2).i32_const(8).i32_add().local_tee(2).i32_const(end).i32_lt_u().br_if(0).end();
        code.i32_const(0).i32_const(0xa5).i32_const(end).memory_fill(0);
    };
    handler(&module(1, body), 1)
}

/// A module whose only function has a body of about `bytes` bytes, each of which costs the compiler.
pub(crate) fn giant_function(bytes: usize) -> Vec<u8> {
    let step = |code: &mut InstructionSink<'_>| {
        code.local_get(2).local_get(0).i32_mul().local_get(1).i32_xor().if_(BlockType::Empty);
        code.local_get(2).i32_const(1).i32_add().local_set(2).end();
    };
    let mut one = Vec::new();
    step(&mut InstructionSink::new(&mut one));
    let mut handle = Function::new([(1, ValType::I32)]);
    handle.raw(one.repeat(bytes / one.len()));
    handle.instructions().end();
    handler(&with_code(TypeSection::new(), 1, CodeSection::new().function(&handle)), 1)
}

/// A module with so many types.
pub(crate) fn many_types(count: u32) -> Vec<u8> {
    let mut types = TypeSection::new();
    for _ in 0..count {
        types.ty().function([], []);
    }
    let mut handle = Function::new([]);
    handle.instructions().end();
    handler(&with_code(types, 1, CodeSection::new().function(&handle)), 1)
}

/// A component with so many sections, all empty.
pub(crate) fn many_sections(count: usize) -> Vec<u8> {
    let mut component = Component::new();
    for _ in 0..count {
        component.section(&ComponentTypeSection::new());
    }
    component.finish()
}

/// A memory that begins with so many pages.
pub(crate) fn large_memory(pages: u64) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([ValType::I32, ValType::I32], []);
    let memory = MemoryType { minimum: pages, maximum: None, memory64: false, shared: false, page_size_log2: None };
    let mut handle = Function::new([]);
    handle.instructions().end();
    let mut module = Module::new();
    module.section(&types).section(FunctionSection::new().function(0)).section(MemorySection::new().memory(memory));
    module.section(ExportSection::new().export("handle", ExportKind::Func, 0));
    module.section(CodeSection::new().function(&handle));
    handler(&module, 1)
}

/// The component, longer by a section without meaning: another one, of about `bytes` bytes more.
pub(crate) fn padded(component: &[u8], bytes: usize, mark: u8) -> Vec<u8> {
    let mut padded = component.to_vec();
    let section = CustomSection { name: "padding".into(), data: vec![mark; bytes].into() };
    padded.push(0);
    wasm_encoder::Encode::encode(&section, &mut padded);
    padded
}
