//! Bringing an instance back to where it began, in place of making another one.
//!
//! A guest can change its memory, its global variables and its tables, and nothing else; what it holds of the host goes
//! with the host's table. Modules that change tables, drop segments or run code when they start are not restored, and an
//! instance that has grown its memory is not either. What is left is memory and numbers: the pages that were written to
//! since are found in the kernel's page map (`/proc/self/pagemap`), and get their first contents back, as the pool itself
//! does with the slots of instances that are gone.

use crate::host::Host;
use std::{
    collections::BTreeSet,
    fs::{self, File},
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, LazyLock, OnceLock},
};
use wasmtime::{AsContext, AsContextMut, Extern, Global, Instance, Memory, Module, ModuleExport, Store, Val};

/// Bytes of memory that an instance may begin with: each of its pages has to be looked up after every request.
const MEMORY_BYTES: usize = 4 << 20;
/// Pages that a request may write to: past it another instance is not much dearer.
const WRITTEN_PAGES: usize = 256;

/// How the names of global variables begin in a rewritten module that can be restored.
pub(super) const GLOBAL: &str = "global-";
/// How the second name of its memory begins.
const RESTORABLE: &str = "restorable";

/// The second name of the memory, which says where it is filled at first.
pub(super) fn name(filled: &[(u32, usize)]) -> String {
    let filled = filled.iter().map(|(at, bytes)| format!(" {at}+{bytes}"));
    std::iter::once(RESTORABLE.to_owned()).chain(filled).collect()
}

/// How the instances of a module can be restored.
pub(super) struct Restorable {
    variables: Vec<ModuleExport>,
    /// Pages that are not zero at first, by their number, in order.
    filled: BTreeSet<usize>,
    /// Learnt from the first instance.
    beginning: OnceLock<Option<Arc<Beginning>>>,
}

impl Restorable {
    /// None where they cannot be.
    pub(super) fn of(module: &Module) -> Option<Self> {
        let page = PAGE_MAP.as_ref()?.page;
        let filled = module.exports().find_map(|export| export.name().strip_prefix(RESTORABLE))?;
        let filled = filled.split_whitespace().map(|piece| pages(piece, page)).collect::<Option<Vec<_>>>()?;
        let variables = module.exports().filter(|export| export.name().starts_with(GLOBAL));
        let variables = variables.map(|export| module.get_export_index(export.name())).collect::<Option<_>>()?;
        Some(Self { variables, filled: filled.into_iter().flatten().collect(), beginning: OnceLock::new() })
    }

    /// What an instance that has not run yet is brought back to, and what of it.
    pub(super) fn look_at(&self, store: &mut Store<Host>, instance: Instance, memory: Memory) -> Option<Restoring> {
        let global = |export| instance.get_module_export(&mut *store, export).and_then(Extern::into_global);
        let variables = self.variables.iter().map(global).collect::<Option<Vec<_>>>()?;
        let look = || Beginning::of(store, memory, &variables, &self.filled).map(Arc::new);
        let beginning = self.beginning.get_or_init(look).clone()?;
        Some(Restoring { memory, variables, beginning })
    }
}

/// The pages of a piece of the memory, which is written as in [`name`].
fn pages(piece: &str, page: usize) -> Option<Range<usize>> {
    let (at, bytes) = piece.split_once('+')?;
    let (at, bytes): (usize, usize) = (at.parse().ok()?, bytes.parse().ok()?);
    Some(at / page..at.checked_add(bytes)?.div_ceil(page))
}

/// How every instance of a module begins.
struct Beginning {
    variables: Vec<Val>,
    bytes: usize,
    /// Pages that are not zero, by their number.
    pages: Vec<(usize, Box<[u8]>)>,
}

impl Beginning {
    /// None where restoring it would take too long.
    fn of(store: &mut Store<Host>, memory: Memory, variables: &[Global], filled: &BTreeSet<usize>) -> Option<Self> {
        let variables = variables.iter().map(|variable| variable.get(store.as_context_mut())).collect();
        let memory = memory.data(store.as_context());
        let bytes = PAGE_MAP.as_ref()?.page;
        if memory.len() > MEMORY_BYTES {
            return None;
        }
        // No other page is read: one that is read has its place in the page map, and looks like one that was written.
        let page = |number: &usize| Some((*number, memory.get(number * bytes..)?.get(..bytes)?.into()));
        Some(Self { variables, bytes: memory.len(), pages: filled.iter().map(page).collect::<Option<_>>()? })
    }
}

/// An instance that can be restored.
pub(super) struct Restoring {
    memory: Memory,
    variables: Vec<Global>,
    beginning: Arc<Beginning>,
}

impl Restoring {
    /// Brings it back to its beginning. False when that cannot be done, or is not worth it.
    pub(super) fn restore(&self, store: &mut Store<Host>) -> bool {
        let beginning = &self.beginning;
        for (variable, value) in self.variables.iter().zip(&beginning.variables) {
            if variable.set(store.as_context_mut(), *value).is_err() {
                return false;
            }
        }
        let memory = self.memory.data_mut(store.as_context_mut());
        if memory.len() != beginning.bytes {
            return false;
        }
        let Some(map) = &*PAGE_MAP else { return false };
        let Some(written) = map.written(memory) else { return false };
        for number in written {
            let page = &mut memory[number * map.page..][..map.page];
            match beginning.pages.binary_search_by_key(&number, |(number, _)| *number) {
                Ok(found) => page.copy_from_slice(&beginning.pages[found].1),
                // One that was only read is the kernel's own page of zeros, and stays that.
                Err(_) if is_zero(page) => {}
                Err(_) => page.fill(0),
            }
        }
        true
    }
}

fn is_zero(page: &[u8]) -> bool {
    let (lines, rest) = page.as_chunks::<64>();
    lines.iter().all(|line| *line == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}

/// What the kernel says of this process's pages.
struct PageMap {
    file: File,
    /// Bytes of a page.
    page: usize,
}

static PAGE_MAP: LazyLock<Option<PageMap>> =
    LazyLock::new(|| Some(PageMap { file: File::open("/proc/self/pagemap").ok()?, page: page_bytes()? }));

/// Bytes of a page, as the kernel tells every program at its start (`getauxval(3)`).
fn page_bytes() -> Option<usize> {
    const AT_PAGESZ: usize = 6;
    let vector = fs::read("/proc/self/auxv").ok()?;
    let (words, _) = vector.as_chunks::<{ size_of::<usize>() }>();
    let words = words.iter().map(|word| usize::from_ne_bytes(*word)).collect::<Vec<_>>();
    words.chunks_exact(2).find(|entry| entry[0] == AT_PAGESZ).map(|entry| entry[1])
}

/// Bytes of a page's entry in the page map.
const ENTRY: usize = 8;
/// Of a page that is mapped from a file: a guest's memory that it has not written to.
const OF_FILE: u64 = 1 << 61;
const SWAPPED: u64 = 1 << 62;
const PRESENT: u64 = 1 << 63;

impl PageMap {
    /// The numbers of the pages that the process has for itself. None when there are too many, or the kernel does not say.
    fn written(&self, memory: &[u8]) -> Option<Vec<usize>> {
        let mut written = Vec::with_capacity(WRITTEN_PAGES);
        let first = memory.as_ptr() as usize / self.page;
        let pages = memory.len() / self.page;
        let mut entries = [0; 512 * ENTRY];
        for from in (0..pages).step_by(512) {
            let entries = &mut entries[..(pages - from).min(512) * ENTRY];
            self.file.read_exact_at(entries, ((first + from) * ENTRY) as u64).ok()?;
            let (entries, _) = entries.as_chunks::<ENTRY>();
            for (index, entry) in entries.iter().enumerate() {
                let entry = u64::from_ne_bytes(*entry);
                if entry & SWAPPED != 0 || entry & (PRESENT | OF_FILE) == PRESENT {
                    written.push(from + index);
                }
            }
            if written.len() > WRITTEN_PAGES {
                return None;
            }
        }
        Some(written)
    }
}
