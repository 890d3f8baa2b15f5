//! Writes the module of a flat component anew: its imports are the host's functions themselves, by the names that they
//! have here, and in front of those whose result wants room stands a function that finds it.

mod changeable;

use super::{
    HANDLE, INITIALIZE, MEMORY,
    abi::Flat,
    functions::{Function as HostFunction, PLACE},
    outline::Outline,
    restore::{self, GLOBAL},
};
use changeable::{Changeable, changeable};
use std::convert::Infallible;
use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection, Module,
    TypeSection, ValType,
    reencode::{Error, Reencode, utils},
};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, ExportSectionReader, FunctionSectionReader, ImportSectionReader, Parser,
    TypeRef, TypeSectionReader,
};

type Result<T> = std::result::Result<T, Error<Infallible>>;

/// The module of `outline`, rewritten.
pub(super) fn rewrite(outline: &Outline) -> Result<Vec<u8>> {
    let mut rewriting = Rewriting { outline, types: 0, import_types: Vec::new(), defined: 0 };
    let mut module = Module::new();
    rewriting.parse_core_module(&mut module, Parser::new(0), &outline.module)?;
    Ok(module.finish())
}

struct Rewriting<'a> {
    outline: &'a Outline,
    /// Types that the module had; ours come after them.
    types: u32,
    /// Of its imports.
    import_types: Vec<u32>,
    /// Functions that it had itself.
    defined: u32,
}

impl Rewriting<'_> {
    fn imported(&self) -> u32 {
        self.outline.imports.len() as u32
    }

    /// The imports whose results want room, by their index.
    fn pointing(&self) -> impl Iterator<Item = (u32, &HostFunction)> {
        let imports = self.outline.imports.iter().enumerate();
        imports.filter(|(_, function)| function.signature.points).map(|(index, function)| (index as u32, *function))
    }

    /// [`PLACE`], the last import, if it is needed.
    fn place(&self) -> u32 {
        self.imported()
    }

    fn places(&self) -> u32 {
        u32::from(self.pointing().next().is_some())
    }

    /// Its type; those of the pointing functions come after it.
    fn place_type(&self) -> u32 {
        self.types
    }
}

impl Reencode for Rewriting<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32> {
        Ok(match self.pointing().position(|(index, _)| index == function) {
            Some(finder) => self.imported() + self.places() + self.defined + finder as u32,
            None if function < self.imported() => function,
            None => function + self.places(),
        })
    }

    fn parse_type_section(&mut self, types: &mut TypeSection, section: TypeSectionReader<'_>) -> Result<()> {
        self.types = 0;
        for group in section.clone() {
            self.types += group?.types().len() as u32;
        }
        utils::parse_type_section(self, types, section)?;
        types.ty().function([ValType::I32], [ValType::I64]);
        for (_, function) in self.pointing() {
            let params = function.signature.params.iter().map(|flat| match flat {
                Flat::I32 => ValType::I32,
                Flat::I64 => ValType::I64,
            });
            types.ty().function(params, [ValType::I64]);
        }
        Ok(())
    }

    fn parse_import_section(&mut self, imports: &mut ImportSection, section: ImportSectionReader<'_>) -> Result<()> {
        let mut pointing = self.place_type();
        for (import, function) in section.into_imports().zip(&self.outline.imports) {
            let TypeRef::Func(mut ty) = import?.ty else { return Err(Error::UnexpectedNonCoreModuleSection) };
            self.import_types.push(ty);
            if function.signature.points {
                pointing += 1;
                ty = pointing;
            }
            imports.import(function.name.0, function.name.1, EntityType::Function(ty));
        }
        if self.places() > 0 {
            imports.import(PLACE.0, PLACE.1, EntityType::Function(self.place_type()));
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<()> {
        self.defined = section.count();
        utils::parse_function_section(self, functions, section)?;
        for (index, _) in self.pointing() {
            functions.function(self.import_types[index as usize]);
        }
        Ok(())
    }

    fn parse_code_section(&mut self, code: &mut CodeSection, section: CodeSectionReader<'_>) -> Result<()> {
        utils::parse_code_section(self, code, section)?;
        if let Some(realloc) = self.outline.realloc {
            let realloc = self.function_index(realloc)?;
            for (index, function) in self.pointing() {
                code.function(&finder(function.signature.params.len() as u32, index, realloc, self.place()));
            }
        }
        Ok(())
    }

    fn parse_export_section(&mut self, exports: &mut ExportSection, _: ExportSectionReader<'_>) -> Result<()> {
        exports.export(MEMORY, ExportKind::Memory, 0);
        exports.export(HANDLE, ExportKind::Func, self.function_index(self.outline.handle)?);
        if let Some(initialize) = self.outline.initialize {
            exports.export(INITIALIZE, ExportKind::Func, self.function_index(initialize)?);
        }
        if let Some(Changeable { variables, filled }) = changeable(&self.outline.module)? {
            // The names say what a restorer has to know: nothing else of the module is there when it is run.
            exports.export(&restore::name(&filled), ExportKind::Memory, 0);
            for variable in variables {
                exports.export(&format!("{GLOBAL}{variable}"), ExportKind::Global, variable);
            }
        }
        Ok(())
    }

    fn parse_custom_section(&mut self, module: &mut Module, section: CustomSectionReader<'_>) -> Result<()> {
        // Names are for the traces of those who trap; the rest is for tools.
        if section.name() == "name" { utils::parse_custom_section(self, module, section) } else { Ok(()) }
    }
}

/// Calls `host`, and finds room with `realloc` for as long as it or `place` says that some is wanted.
fn finder(params: u32, host: u32, realloc: u32, place: u32) -> Function {
    let wanted = params;
    let mut function = Function::new([(1, ValType::I64)]);
    let mut code = function.instructions();
    for param in 0..params {
        code.local_get(param);
    }
    code.call(host).local_set(wanted);
    code.block(BlockType::Empty).loop_(BlockType::Empty);
    code.local_get(wanted).i64_eqz().br_if(1);
    code.i32_const(0).i32_const(0);
    code.local_get(wanted).i64_const(32).i64_shr_u().i32_wrap_i64();
    code.local_get(wanted).i32_wrap_i64();
    code.call(realloc).call(place).local_set(wanted).br(0);
    code.end().end().end();
    function
}
