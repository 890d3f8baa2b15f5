//! Finds out whether a component is flat: one core module, and around it nothing but what encoders put there.
//!
//! The engine's own translation takes the component apart, so that what is seen here is what would run. What an encoder
//! puts around the module that was compiled is known (`wit-component`): a *shim*, whose functions call what is in a table,
//! since the host's functions want the module's memory, which is not there yet when its imports are; a *fixup*, which
//! puts them into that table; and sometimes a module that only calls an initialiser.

use super::functions::{self, Function};
use std::collections::HashMap;
use wasmparser::{ConstExpr, ElementItems, ElementKind, ElementSectionReader, FunctionBody, Operator, Parser, Payload};
use wasmparser::{TableInit, TypeRef, Validator, WasmFeatures};
use wasmtime_environ::{
    EntityIndex, EntityRef, FuncIndex, Memory, MemoryIndex, ModuleTranslation, PrimaryMap, ScopeVec, StaticModuleIndex,
    TableIndex, Tunables,
    component::{
        CanonicalOptionsDataModel, Component, ComponentTranslation, ComponentTypes, ComponentTypesBuilder, CoreDef,
        CoreExport, Export, ExportItem, GlobalInitializer, InstantiateModule, RuntimeImportIndex, StringEncoding,
        Trampoline, TrampolineIndex, Translator, TypeResourceTable,
    },
};

/// A flat component.
pub(super) struct Outline {
    /// Its module.
    pub(super) module: Vec<u8>,
    /// What the module imports, in its order. All are functions.
    pub(super) imports: Vec<&'static Function>,
    /// Indices of the module's functions.
    pub(super) handle: u32,
    pub(super) realloc: Option<u32>,
    pub(super) initialize: Option<u32>,
}

/// The outline of `component`, or none where it is not flat; whether it is a component at all is for others to say.
pub(super) fn outline(component: &[u8]) -> Option<Outline> {
    let tunables = Tunables::default_host();
    let mut validator = Validator::new_with_features(WasmFeatures::default());
    let mut types = ComponentTypesBuilder::new(&validator);
    let scope = ScopeVec::new();
    let translator = Translator::new(&tunables, &mut validator, &mut types, &scope);
    let (translation, modules) = translator.translate(component).ok()?;
    let (types, _) = types.finish(&translation.component);
    let parts = Parts::of(&translation.component, &modules)?;
    Reading { translation: &translation, types: &types, parts: &parts }.outline()
}

/// A core instance that the component makes.
struct Part<'a> {
    module: &'a ModuleTranslation<'a>,
    args: &'a [CoreDef],
}

/// What happens when the component is instantiated.
struct Parts<'a> {
    instances: Vec<Part<'a>>,
    /// By the index of the lowering.
    lowered: Vec<RuntimeImportIndex>,
    memory: Option<&'a CoreExport<MemoryIndex>>,
    realloc: Option<&'a CoreDef>,
}

impl<'a> Parts<'a> {
    /// None where anything happens that does not in a flat component.
    fn of(component: &'a Component, modules: &'a PrimaryMap<StaticModuleIndex, ModuleTranslation<'a>>) -> Option<Self> {
        let mut parts = Self { instances: Vec::new(), lowered: Vec::new(), memory: None, realloc: None };
        for step in &component.initializers {
            match step {
                GlobalInitializer::InstantiateModule(InstantiateModule::Static(module, args), _) => {
                    parts.instances.push(Part { module: &modules[*module], args });
                }
                GlobalInitializer::LowerImport { index, import } => {
                    if index.index() != parts.lowered.len() {
                        return None;
                    }
                    parts.lowered.push(*import);
                }
                // One memory, and one way to get room in it, for all.
                GlobalInitializer::ExtractMemory(memory) if parts.memory.is_none() => {
                    parts.memory = Some(&memory.export)
                }
                GlobalInitializer::ExtractRealloc(realloc) if parts.realloc.is_none() => {
                    parts.realloc = Some(&realloc.def)
                }
                GlobalInitializer::ExtractRealloc(realloc) if parts.realloc == Some(&realloc.def) => {}
                _ => return None,
            }
        }
        Some(parts)
    }
}

struct Reading<'a> {
    translation: &'a ComponentTranslation,
    types: &'a ComponentTypes,
    parts: &'a Parts<'a>,
}

impl Reading<'_> {
    fn outline(&self) -> Option<Outline> {
        let (main, handle) = self.handler()?;
        let module = self.parts.instances.get(main)?.module;
        let memory = &module.module.memories;
        let has_one = memory.len() == 1 && module.module.num_imported_memories == 0;
        if !has_one || !is_plain(&memory[MemoryIndex::new(0)]) || has_lines(module.wasm) {
            return None;
        }
        if self.parts.memory.is_some_and(|memory| memory.instance.index() != main) {
            return None;
        }
        let around = self.around(main)?;
        let args = &self.parts.instances[main].args;
        let imports = args.iter().map(|arg| self.import(arg, &around)).collect::<Option<Vec<_>>>()?;
        let realloc = match self.parts.realloc {
            Some(def) => Some(function_of(def, main)?),
            None if imports.iter().any(|function| function.signature.points) => return None,
            None => None,
        };
        Some(Outline { module: module.wasm.to_vec(), imports, handle, realloc, initialize: around.initialize })
    }

    /// The instance that has the handler, and which function it is: the one function that the component exports.
    fn handler(&self) -> Option<(usize, u32)> {
        let mut lifted = self.translation.component.export_items.values().filter_map(|export| match export {
            Export::LiftedFunction { func, options, .. } => Some((func, *options)),
            _ => None,
        });
        let (func, options) = lifted.next()?;
        let options = &self.translation.component.options[options];
        if lifted.next().is_some() || options.async_ || options.post_return.is_some() {
            return None;
        }
        let CoreDef::Export(export) = func else { return None };
        let main = export.instance.index();
        Some((main, function_of(func, main)?))
    }

    /// What there is around the main module.
    fn around(&self, main: usize) -> Option<Around> {
        let mut around = Around::default();
        for (index, part) in self.parts.instances.iter().enumerate().filter(|(index, _)| *index != main) {
            let wasm = part.module.wasm;
            if let (true, true, Some(slots)) = (around.shim.is_none(), part.args.is_empty(), shim(wasm)) {
                around.shim = Some((index, slots));
            } else if let (None, [function], true) = (around.initialize, part.args, is_starter(wasm)) {
                around.initialize = Some(function_of(function, main)?);
            } else if let (true, Some(filled)) = (around.filled.is_empty(), fixup(wasm)) {
                around.fill(filled, part)?;
            } else {
                return None;
            }
        }
        Some(around)
    }

    /// The function of the host that an import of the main module is.
    fn import(&self, arg: &CoreDef, around: &Around) -> Option<&'static Function> {
        match arg {
            CoreDef::Trampoline(trampoline) => self.host_function(*trampoline),
            CoreDef::Export(CoreExport { instance, item: ExportItem::Index(EntityIndex::Function(function)) }) => {
                let (shim, slots) = around.shim.as_ref()?;
                let slot = slots.get(function.index()).filter(|_| instance.index() == *shim)?;
                self.host_function(*around.filled.get(slot)?)
            }
            _ => None,
        }
    }

    fn host_function(&self, trampoline: TrampolineIndex) -> Option<&'static Function> {
        let component = &self.translation.component;
        match &self.translation.trampolines[trampoline] {
            Trampoline::LowerImport { index, lower_ty, options } => {
                let options = &component.options[*options];
                let CanonicalOptionsDataModel::LinearMemory(_) = options.data_model else { return None };
                if options.async_ || options.string_encoding != StringEncoding::Utf8 {
                    return None;
                }
                let (interface, name) = self.name(*self.parts.lowered.get(index.index())?)?;
                let function = functions::all().get(interface, name)?;
                (function.is)(&self.types[*lower_ty], self.types).then_some(function)
            }
            Trampoline::ResourceDrop { ty, .. } => {
                let TypeResourceTable::Concrete { ty, .. } = self.types[*ty] else { return None };
                let (interface, resource) = self.name(*component.imported_resources.get(ty)?)?;
                functions::all().get(interface, &format!("[resource-drop]{resource}"))
            }
            _ => None,
        }
    }

    /// Interface, without its version, and name of what is imported.
    fn name(&self, import: RuntimeImportIndex) -> Option<(&str, &str)> {
        let component = &self.translation.component;
        let (import, path) = &component.imports[import];
        let ([name], (interface, version)) = (&path[..], component.import_types[*import].0.split_once('@')?) else {
            return None;
        };
        version.starts_with("0.2.").then_some((interface, name))
    }
}

/// The index of a function that the main module has.
fn function_of(def: &CoreDef, main: usize) -> Option<u32> {
    match def {
        CoreDef::Export(CoreExport { instance, item: ExportItem::Index(EntityIndex::Function(function)) }) => {
            (instance.index() == main).then_some(function.as_u32())
        }
        _ => None,
    }
}

fn is_plain(memory: &Memory) -> bool {
    memory.idx_type == wasmtime_environ::IndexType::I32 && !memory.shared && memory.page_size() == 1 << 16
}

/// Whether it has lines of source for its code, whose places in it a rewritten module has not.
fn has_lines(wasm: &[u8]) -> bool {
    let is_line = |payload| matches!(payload, Ok(Payload::CustomSection(section)) if section.name() == ".debug_line");
    Parser::new(0).parse_all(wasm).any(is_line)
}

/// What encoders put around a module.
#[derive(Default)]
struct Around {
    /// The instance, and which slot of the table its functions call.
    shim: Option<(usize, Vec<u32>)>,
    /// What is in the slots.
    filled: HashMap<u32, TrampolineIndex>,
    initialize: Option<u32>,
}

impl Around {
    fn fill(&mut self, filled: Vec<(u32, u32)>, part: &Part<'_>) -> Option<()> {
        let (shim, _) = self.shim.as_ref()?;
        let mut functions = Vec::new();
        for arg in part.args {
            match arg {
                CoreDef::Trampoline(trampoline) => functions.push(*trampoline),
                CoreDef::Export(CoreExport { instance, item: ExportItem::Index(EntityIndex::Table(table)) })
                    if instance.index() == *shim && *table == TableIndex::new(0) => {}
                _ => return None,
            }
        }
        for (slot, import) in filled {
            self.filled.insert(slot, *functions.get(FuncIndex::from_u32(import).index())?);
        }
        Some(())
    }
}

/// The slots that the functions of a shim call, in their order; none when the module is something else.
fn shim(wasm: &[u8]) -> Option<Vec<u32>> {
    let (mut slots, mut tables) = (Vec::new(), 0);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::TableSection(section) => {
                for table in section {
                    matches!(table.ok()?.init, TableInit::RefNull).then_some(())?;
                    tables += 1;
                }
            }
            Payload::CodeSectionEntry(body) => slots.push(called_slot(&body)?),
            Payload::Version { .. }
            | Payload::TypeSection(_)
            | Payload::FunctionSection(_)
            | Payload::ExportSection(_)
            | Payload::CodeSectionStart { .. }
            | Payload::CustomSection(_)
            | Payload::End(_) => {}
            _ => return None,
        }
    }
    (tables == 1).then_some(slots)
}

/// The slot of a function that hands all of its parameters on to what is in it, and nothing else.
fn called_slot(body: &FunctionBody<'_>) -> Option<u32> {
    if body.get_locals_reader().ok()?.get_count() != 0 {
        return None;
    }
    let mut operators = body.get_operators_reader().ok()?;
    let mut params = 0;
    // That these are all the parameters, the types say: a call with fewer would not be valid.
    let slot = loop {
        match operators.read().ok()? {
            Operator::LocalGet { local_index } if local_index == params => params += 1,
            Operator::I32Const { value } => break value.cast_unsigned(),
            _ => return None,
        }
    };
    let calls = matches!(operators.read().ok()?, Operator::CallIndirect { table_index: 0, .. });
    (calls && matches!(operators.read().ok()?, Operator::End) && operators.eof()).then_some(slot)
}

/// Which slots a fixup fills with which of its imported functions; none when the module is something else.
fn fixup(wasm: &[u8]) -> Option<Vec<(u32, u32)>> {
    let mut filled = None;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.ok()? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    matches!(import.ok()?.ty, TypeRef::Func(_) | TypeRef::Table(_)).then_some(())?;
                }
            }
            Payload::ElementSection(section) => filled = Some(elements(section)?),
            Payload::Version { .. } | Payload::TypeSection(_) | Payload::CustomSection(_) | Payload::End(_) => {}
            _ => return None,
        }
    }
    filled
}

fn elements(section: ElementSectionReader<'_>) -> Option<Vec<(u32, u32)>> {
    let mut filled = Vec::new();
    for element in section {
        let element = element.ok()?;
        let ElementKind::Active { table_index: None | Some(0), offset_expr } = element.kind else { return None };
        let ElementItems::Functions(functions) = element.items else { return None };
        let first = constant(&offset_expr)?;
        for (index, function) in functions.into_iter().enumerate() {
            filled.push((first.checked_add(u32::try_from(index).ok()?)?, function.ok()?));
        }
    }
    Some(filled)
}

fn constant(expression: &ConstExpr<'_>) -> Option<u32> {
    let mut operators = expression.get_operators_reader();
    let Operator::I32Const { value } = operators.read().ok()? else { return None };
    matches!(operators.read().ok()?, Operator::End).then_some(value.cast_unsigned())
}

/// Whether all that a module does is to call its one import when it starts.
fn is_starter(wasm: &[u8]) -> bool {
    let mut starts = false;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload {
            Ok(Payload::StartSection { func: 0, .. }) => starts = true,
            Ok(
                Payload::Version { .. }
                | Payload::TypeSection(_)
                | Payload::ImportSection(_)
                | Payload::CustomSection(_)
                | Payload::End(_),
            ) => {}
            _ => return false,
        }
    }
    starts
}
