//! Flat components: those that are one core module, as the compilers of C, Rust and Zig make them, and around it only what
//! every encoder puts there. They are run as that module, without the component around it.
//!
//! For a function that answers at once most of a request's time is making the sandbox and going in and out of it. A
//! component costs three instances instead of one, a context of its own, and an interpreter of types at every call of the
//! host. None of that is needed when the module imports the host's functions directly, which read and write its memory by
//! the canonical ABI (`abi.rs`). The functions are the same; so are the limits, and the tests run over both ways. See
//! `docs/decisions/011-flat-components.md`.

mod abi;
mod functions;
mod outline;
mod restore;
mod rewrite;

use crate::host::Host;
pub(crate) use abi::CallTooLarge;
pub(crate) use functions::Calls;
use restore::{Restorable, Restoring};
use wasmtime::{
    Engine, Extern, InstancePre, Linker, Module, ModuleExport, Result, Store, TypedFunc, component::Resource,
    format_err,
};
use wasmtime_wasi_http::p2::bindings::http::types::{IncomingRequest, ResponseOutparam};

/// What a rewritten module exports.
const MEMORY: &str = "memory";
const HANDLE: &str = "handle";
const INITIALIZE: &str = "initialize";

/// The one module of `component`, rewritten, if that is all that the component is.
pub(crate) fn flatten(component: &[u8]) -> Option<Vec<u8>> {
    rewrite::rewrite(&outline::outline(component)?).ok()
}

/// Everything that a flat component may import.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<Host>> {
    functions::all().link(engine)
}

/// A flat component that can be instantiated without any further work.
pub(crate) struct FlatPre {
    pre: InstancePre<Host>,
    memory: ModuleExport,
    handle: ModuleExport,
    initialize: Option<ModuleExport>,
    restorable: Option<Restorable>,
}

impl FlatPre {
    pub(crate) fn new(module: &Module, linker: &Linker<Host>) -> Result<Self> {
        let export = |name| module.get_export_index(name).ok_or_else(|| format_err!("no export `{name}`"));
        Ok(Self {
            pre: linker.instantiate_pre(module)?,
            memory: export(MEMORY)?,
            handle: export(HANDLE)?,
            initialize: module.get_export_index(INITIALIZE),
            restorable: Restorable::of(module),
        })
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.pre.module().engine()
    }

    /// Makes an instance.
    pub(crate) async fn instantiate(&self, store: &mut Store<Host>) -> Result<FlatInstance> {
        let instance = self.pre.instantiate_async(&mut *store).await?;
        let memory = instance.get_module_export(&mut *store, &self.memory).and_then(Extern::into_memory);
        let memory = memory.ok_or_else(|| format_err!("no memory `{MEMORY}`"))?;
        store.data_mut().calls().begin(memory);
        let mut function = |export, name| {
            let function = instance.get_module_export(&mut *store, export).and_then(Extern::into_func);
            function.ok_or_else(|| format_err!("no function `{name}`"))
        };
        let handle = function(&self.handle, HANDLE)?;
        let initialize = self.initialize.as_ref().map(|export| function(export, INITIALIZE)).transpose()?;
        let handle = handle.typed(&store)?;
        let initialize = initialize.map(|initialize| initialize.typed(&store)).transpose()?;
        let restoring = self.restorable.as_ref().and_then(|how| how.look_at(store, instance, memory));
        Ok(FlatInstance { handle, initialize, restoring })
    }
}

/// An instance of a flat component.
pub(crate) struct FlatInstance {
    handle: TypedFunc<(u32, u32), ()>,
    initialize: Option<TypedFunc<(), ()>>,
    restoring: Option<Restoring>,
}

impl FlatInstance {
    /// Lets it handle a request: as one that has just been made, or restored.
    pub(crate) async fn handle(
        &self,
        store: &mut Store<Host>,
        request: Resource<IncomingRequest>,
        out: Resource<ResponseOutparam>,
    ) -> Result<()> {
        if let Some(initialize) = &self.initialize {
            initialize.call_async(&mut *store, ()).await?;
        }
        self.handle.call_async(store, (abi::handle(&request), abi::handle(&out))).await
    }

    /// Brings it back to how it was made, after a good end. False when it has to go.
    pub(crate) fn restore(&self, store: &mut Store<Host>) -> bool {
        let Some(restoring) = &self.restoring else { return false };
        store.data_mut().begin_again();
        restoring.restore(store)
    }
}
