//! Programs: components loaded, linked and ready to be instantiated, kept in memory by how much of it
//! they take and how lately they were used.

use crate::{
    code_cache::{Code, CodeCache, CodeId},
    compile::{CompileError, Compiled, Compiler},
    component::{Refusal, World},
    engine::{self, PoolSize, TargetCpu},
    flat::{self, FlatPre},
    host::{self, Host},
    meter::Meter,
    trace::Step,
};
use moka::future::Cache;
use std::{
    hash::{BuildHasherDefault, Hasher},
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread,
    time::{Duration, Instant},
};
use tokio::sync::Semaphore;
use wasmtime::{Engine, Module, ResourcesRequired, component::Component};
use wasmtime_wasi_http::{p2::bindings::ProxyPre, p3::bindings::ServicePre};

/// A component that can be instantiated without any further work.
pub(crate) struct Program {
    pub(crate) pre: Pre,
    /// Bytes of memory that an instance begins with, in its largest memory.
    pub(crate) initial_memory: u64,
    /// Bytes of native code and data.
    size: u64,
    source: LoadSource,
}

/// By how it is run.
pub(crate) enum Pre {
    /// Of WASI 0.2, [flat](crate::flat).
    Flat(Arc<FlatPre>),
    /// Of WASI 0.2.
    P2(ProxyPre<Host>),
    /// Of WASI 0.3.
    P3(ServicePre<Host>),
}

impl Pre {
    pub(crate) fn engine(&self) -> &Engine {
        match self {
            Self::Flat(pre) => pre.engine(),
            Self::P2(pre) => pre.engine(),
            Self::P3(pre) => pre.engine(),
        }
    }
}

/// An engine with everything that is linked into its components.
pub(crate) struct Runtime {
    pub(crate) engine: Engine,
    linker: wasmtime::component::Linker<Host>,
    for_flat: wasmtime::Linker<Host>,
    world: World,
    pool: PoolSize,
}

impl Runtime {
    pub(crate) fn new(world: World, cpu: TargetCpu, pool: PoolSize) -> wasmtime::Result<Self> {
        let engine = engine::pooled(world, cpu, pool)?;
        let linker = host::linker(&engine, world)?;
        let for_flat = flat::linker(&engine)?;
        Ok(Self { engine, linker, for_flat, world, pool })
    }

    fn link(&self, code: &Code, source: LoadSource) -> Result<Program, Refusal> {
        let (pre, needs, code) = match code {
            Code::Component(component) => {
                (self.link_component(component)?, component.resources_required(), component.image_range())
            }
            Code::Flat(module) => (self.link_flat(module)?, Some(module.resources_required()), module.image_range()),
        };
        if let Some(needs) = &needs {
            self.fits(needs)?;
        }
        let initial_memory = needs.as_ref().map_or(0, initial_memory);
        Ok(Program { pre, initial_memory, size: code.end as u64 - code.start as u64, source })
    }

    fn link_flat(&self, module: &Module) -> Result<Pre, Refusal> {
        let pre = FlatPre::new(module, &self.for_flat);
        pre.map(|pre| Pre::Flat(Arc::new(pre))).map_err(|error| Refusal::UnknownImport(format!("{error:#}")))
    }

    fn link_component(&self, component: &Component) -> Result<Pre, Refusal> {
        let pre =
            self.linker.instantiate_pre(component).map_err(|error| Refusal::UnknownImport(format!("{error:#}")))?;
        let missing = |error: wasmtime::Error| Refusal::MissingExport(format!("a handler of another shape: {error:#}"));
        Ok(match self.world {
            World::Http02 => Pre::P2(ProxyPre::new(pre).map_err(missing)?),
            World::Http03 => Pre::P3(ServicePre::new(pre).map_err(missing)?),
        })
    }

    /// Refuses at deploy what the pool could never hold.
    fn fits(&self, needs: &ResourcesRequired) -> Result<(), Refusal> {
        let over = |what: &str, has: u64, limit: u64| {
            Err(Refusal::OverLimits(format!("the component has {what} of {has}; this node allows {limit}")))
        };
        if needs.num_memories > engine::MEMORIES_PER_COMPONENT {
            return over("a number of memories", needs.num_memories.into(), engine::MEMORIES_PER_COMPONENT.into());
        }
        if needs.num_tables > engine::TABLES_PER_COMPONENT {
            return over("a number of tables", needs.num_tables.into(), engine::TABLES_PER_COMPONENT.into());
        }
        if initial_memory(needs) > self.pool.memory {
            return over("an initial memory in bytes", initial_memory(needs), self.pool.memory);
        }
        if let Some(elements) = needs.max_initial_table_size
            && elements > engine::TABLE_ELEMENTS as u64
        {
            return over("an initial table in elements", elements, engine::TABLE_ELEMENTS as u64);
        }
        Ok(())
    }
}

/// Bytes of a WebAssembly page.
const PAGE_BYTES: u64 = 64 << 10;

/// Bytes that the largest memory begins with; the engine counts in pages.
fn initial_memory(needs: &ResourcesRequired) -> u64 {
    needs.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE_BYTES)
}

/// Where a program came from when it was loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoadSource {
    /// Its native code was on disk.
    Cache,
    /// It had to be compiled.
    Compile,
}

/// Why there is no program.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Refused(Refusal),
    #[error("{0}")]
    Failed(String),
}

impl From<CompileError> for LoadError {
    fn from(error: CompileError) -> Self {
        match error {
            CompileError::Refused(refusal) => LoadError::Refused(refusal),
            CompileError::Worker(error) => LoadError::Failed(error.to_string()),
        }
    }
}

/// Bytes that a loaded program takes beside its code (types, tables of the engine), about.
const PROGRAM_OVERHEAD: u64 = 64 << 10;

/// Loads that share a processor: one may have to wait for the disk.
const LOADS_PER_PROCESSOR: usize = 2;

/// All that is needed to make a program out of a component.
pub(crate) struct Loader {
    runtimes: [Arc<Runtime>; 2],
    compiler: Compiler,
    cache: CodeCache,
    /// Loads at once: each has a thread to itself, which takes memory of its own.
    turns: Semaphore,
    loads_from_cache: AtomicU64,
    loads_by_compiling: AtomicU64,
}

impl Loader {
    pub(crate) fn new(runtimes: [Arc<Runtime>; 2], compiler: Compiler, cache: CodeCache) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self {
            runtimes,
            compiler,
            cache,
            turns: Semaphore::new(processors * LOADS_PER_PROCESSOR),
            loads_from_cache: AtomicU64::new(0),
            loads_by_compiling: AtomicU64::new(0),
        }
    }

    pub(crate) fn runtime(&self, world: World) -> &Arc<Runtime> {
        match world {
            World::Http02 => &self.runtimes[0],
            World::Http03 => &self.runtimes[1],
        }
    }

    pub(crate) fn loads(&self, source: LoadSource) -> u64 {
        match source {
            LoadSource::Cache => self.loads_from_cache.load(Relaxed),
            LoadSource::Compile => self.loads_by_compiling.load(Relaxed),
        }
    }

    /// Whether the code of a component is there.
    pub(crate) fn has_code(&self, digest: &[u8; 32], world: World) -> bool {
        self.cache.has(CodeId { digest, world, engine: &self.runtime(world).engine })
    }

    /// Compiles the component in `path` and keeps the code.
    pub(crate) async fn compile(&self, digest: &[u8; 32], path: &Path) -> Result<Compiled, LoadError> {
        let scratch = self.cache.scratch();
        let compiled = self.compiler.compile(digest, path, &scratch).await?;
        let world = compiled.summary.world;
        let id = CodeId { digest, world, engine: &self.runtime(world).engine };
        self.cache
            .adopt(id, &scratch)
            .map_err(|error| LoadError::Failed(format!("the code cannot be kept: {error}")))?;
        Ok(compiled)
    }

    /// Removes native code that nobody needs from the disk; see [`CodeCache::forget`].
    pub(crate) async fn forget_code(
        self: &Arc<Self>,
        kept: Duration,
        is_needed: impl Fn(&[u8; 32]) -> bool + Send + 'static,
    ) -> io::Result<u64> {
        let this = self.clone();
        let forgetting = tokio::task::spawn_blocking(move || this.cache.forget(kept, is_needed));
        forgetting.await.map_err(io::Error::other)?
    }

    /// Loads the program from the code cache, compiling it first when its code is not there or is damaged.
    pub(crate) async fn load(
        self: &Arc<Self>,
        digest: [u8; 32],
        world: World,
        path: &Path,
    ) -> Result<Arc<Program>, LoadError> {
        if let Some(program) = self.load_cached(digest, world, LoadSource::Cache).await? {
            self.loads_from_cache.fetch_add(1, Relaxed);
            return Ok(program);
        }
        self.compile(&digest, path).await?;
        self.loads_by_compiling.fetch_add(1, Relaxed);
        let program = self.load_cached(digest, world, LoadSource::Compile).await?;
        program.ok_or_else(|| LoadError::Failed("the code was compiled but cannot be loaded".into()))
    }

    async fn load_cached(
        self: &Arc<Self>,
        digest: [u8; 32],
        world: World,
        source: LoadSource,
    ) -> Result<Option<Arc<Program>>, LoadError> {
        // Never closed: a turn always comes.
        let _turn = self.turns.acquire().await;
        let this = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let runtime = this.runtime(world);
            let code = this.cache.load(CodeId { digest: &digest, world, engine: &runtime.engine });
            let code = code.map_err(|why| {
                Refusal::OverLimits(format!("the component needs more than an instance may have on this node: {why}"))
            })?;
            code.map(|code| runtime.link(&code, source)).transpose()
        });
        match task.await {
            Ok(Ok(program)) => Ok(program.map(Arc::new)),
            Ok(Err(refusal)) => Err(LoadError::Refused(refusal)),
            Err(error) => Err(LoadError::Failed(error.to_string())),
        }
    }
}

/// Hashes what is the hash of something already.
#[derive(Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn write(&mut self, digest: &[u8]) {
        let first = digest.first_chunk().map_or(0, |first| u64::from_ne_bytes(*first));
        self.0 = self.0.rotate_left(1) ^ first;
    }

    fn write_usize(&mut self, length: usize) {
        self.0 ^= length as u64;
    }

    fn write_isize(&mut self, variant: isize) {
        self.0 ^= variant as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The programs in memory. The least useful make room for new ones; what a request holds stays alive.
pub(crate) struct Programs {
    loader: Arc<Loader>,
    loaded: Cache<([u8; 32], World), Arc<Program>, BuildHasherDefault<DigestHasher>>,
}

impl Programs {
    pub(crate) fn new(loader: Arc<Loader>, max_bytes: u64) -> Self {
        let weigh = |_: &_, program: &Arc<Program>| {
            // In KiB, since a weight has 32 bits.
            u32::try_from((program.size + PROGRAM_OVERHEAD) >> 10).unwrap_or(u32::MAX)
        };
        let loaded = Cache::builder().weigher(weigh).max_capacity(max_bytes >> 10);
        Self { loader, loaded: loaded.build_with_hasher(BuildHasherDefault::default()) }
    }

    pub(crate) fn loader(&self) -> &Arc<Loader> {
        &self.loader
    }

    pub(crate) fn loaded(&self) -> u64 {
        self.loaded.entry_count()
    }

    /// The program, loaded if it is not there; requests that come meanwhile wait for the one load.
    pub(crate) async fn get(
        &self,
        digest: [u8; 32],
        world: World,
        path: &Path,
        meter: &Meter,
    ) -> Result<Arc<Program>, LoadError> {
        if let Some(program) = self.loaded.get(&(digest, world)).await {
            return Ok(program);
        }
        meter.cold();
        let came = Instant::now();
        // Boxed: the way of those who find it in memory is not to carry the place for this.
        let program = Box::pin(self.load(digest, world, path)).await;
        meter.queued(came.elapsed());
        meter.step_ended(Step::Load(program.as_ref().ok().map(|program| program.source)), Some(came));
        program
    }

    /// Loads the program into memory.
    pub(crate) async fn load(&self, digest: [u8; 32], world: World, path: &Path) -> Result<Arc<Program>, LoadError> {
        let load = self.loader.load(digest, world, path);
        self.loaded.try_get_with((digest, world), load).await.map_err(Arc::unwrap_or_clone)
    }
}
