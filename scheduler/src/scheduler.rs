//! Admission and dispatch: who may run, on what, and for how long.

use crate::{
    body::ResponseBody,
    code_cache::CodeCache,
    compile::{CompileLimits, Compiled, Compiler},
    component::{ComponentSummary, Refusal, World},
    engine::{EpochClock, PoolSize},
    instance::{self, Guest, Head, Setup},
    limits::Limits,
    meter::{Meter, Receipt},
    outbound::{Outbound, OutboundPolicy, RequestOutbound},
    outcome::Failure,
    program::{LoadError, LoadSource, Loader, Programs, Runtime},
    stdio::{GuestOutput, LogSink, OutputStream},
};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::{HeaderMap, Method, Request, Response, header};
use http_body::Body;
use http_body_util::BodyExt;
use std::{
    future::poll_fn,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wasmtime_wasi_http::WasiBody;

/// How a scheduler is set up.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// The folder of native code; nobody but the service's user may enter it.
    pub code_cache: PathBuf,
    /// Instances at once, for each of the two engines.
    pub max_instances: u32,
    /// Requests at once on the node.
    pub max_requests: u32,
    /// The largest memory limit that a function may have, in bytes.
    pub max_memory: u64,
    /// Bytes of native code kept loaded.
    pub program_cache: u64,
    /// What one compilation may take.
    pub compile: CompileLimits,
}

/// A function that can be called: one version of it, with all that the version says.
#[derive(Debug)]
pub struct Function {
    namespace: String,
    name: String,
    version: u32,
    /// SHA-256 of the component.
    digest: [u8; 32],
    world: World,
    /// Where the component's bytes are, for when the native code has to be made again.
    artifact: PathBuf,
    limits: Limits,
    env: Vec<(String, String)>,
    outbound: Arc<OutboundPolicy>,
    open_requests: Arc<AtomicU32>,
}

impl Function {
    /// A version of the function `name`, to be run from the component with `digest` in `artifact`.
    #[expect(clippy::too_many_arguments, reason = "a function is the sum of these, each of its own type")]
    pub fn new(
        namespace: String,
        name: String,
        version: u32,
        (digest, world, artifact): ([u8; 32], World, PathBuf),
        limits: Limits,
        env: Vec<(String, String)>,
        outbound: OutboundPolicy,
    ) -> Self {
        let open_requests = Arc::new(AtomicU32::new(0));
        Self {
            namespace,
            name,
            version,
            digest,
            world,
            artifact,
            limits,
            env,
            outbound: Arc::new(outbound),
            open_requests,
        }
    }

    /// The namespace that it belongs to.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Its name in the namespace.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, counted from 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The limits of each request.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// SHA-256 of its component.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }
}

/// What belongs to one call beside the request.
pub struct Invocation<F> {
    /// Where the guest's output goes.
    pub logs: Arc<dyn LogSink>,
    /// Gets the receipt when everything of the request is over, on whatever thread that happens.
    pub on_end: F,
}

/// A place in every queue that a request stands in, held until the guest is gone.
pub(crate) struct Permits {
    _function: FunctionPermit,
    _node: OwnedSemaphorePermit,
    _slot: OwnedSemaphorePermit,
}

struct FunctionPermit(Arc<AtomicU32>);

impl FunctionPermit {
    fn take(function: &Function) -> Result<Self, Failure> {
        let limit = function.limits.concurrency;
        let add = |open| (open < limit).then_some(open + 1);
        match function.open_requests.fetch_update(Relaxed, Relaxed, add) {
            Ok(_) => Ok(Self(function.open_requests.clone())),
            Err(_) => Err(Failure::FunctionBusy { limit }),
        }
    }
}

impl Drop for FunctionPermit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A component that is ready to run.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// What it is, when that had to be found out.
    pub summary: Option<ComponentSummary>,
    /// How long compiling took, when it was compiled.
    pub compiled_in: Option<Duration>,
    /// Bytes of memory that an instance begins with.
    pub initial_memory: u64,
}

/// Why a component cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The component's fault.
    #[error(transparent)]
    Refused(Refusal),
    /// The platform's fault.
    #[error("{0}")]
    Failed(String),
}

impl From<LoadError> for PrepareError {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Refused(refusal) => PrepareError::Refused(refusal),
            LoadError::Failed(cause) => PrepareError::Failed(cause),
        }
    }
}

/// Why a scheduler cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the engine cannot be made with these settings: {0:#}")]
    Engine(wasmtime::Error),
    #[error("the code cache cannot be used: {0}")]
    CodeCache(std::io::Error),
    #[error("the clock of the engine cannot be started: {0}")]
    Clock(std::io::Error),
    #[error("TLS for outbound requests cannot be set up: {0}")]
    Tls(String),
}

/// What of an engine's pool is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineUsage {
    /// Which engine.
    pub world: World,
    /// Instances that it can hold at once.
    pub slots: u32,
    /// Instances that it holds.
    pub used: u32,
}

/// Runs functions.
pub struct Scheduler {
    programs: Programs,
    clock: EpochClock,
    outbound: Arc<Outbound>,
    node: Arc<Semaphore>,
    slots: [Arc<Semaphore>; 2],
    max_instances: u32,
}

impl Scheduler {
    /// Sets up the engines and reserves their pools (address space, not memory).
    pub fn start(config: &SchedulerConfig) -> Result<Self, StartError> {
        let pool = PoolSize { instances: config.max_instances, memory: config.max_memory };
        let runtime = |world| Runtime::new(world, pool).map(Arc::new).map_err(StartError::Engine);
        let runtimes = [runtime(World::Http02)?, runtime(World::Http03)?];
        let engines = [&runtimes[0].engine, &runtimes[1].engine];
        let clock = EpochClock::start(engines.map(Clone::clone).to_vec()).map_err(StartError::Clock)?;
        let cache = CodeCache::open(&config.code_cache, engines).map_err(StartError::CodeCache)?;
        let compiler = Compiler::new(config.compile.clone()).map_err(StartError::CodeCache)?;
        let loader = Arc::new(Loader::new(runtimes, compiler, cache));
        let slots = || Arc::new(Semaphore::new(config.max_instances as usize));
        Ok(Self {
            programs: Programs::new(loader, config.program_cache),
            clock,
            outbound: Arc::new(Outbound::new().map_err(|error| StartError::Tls(error.to_string()))?),
            node: Arc::new(Semaphore::new(config.max_requests as usize)),
            slots: [slots(), slots()],
            max_instances: config.max_instances,
        })
    }

    /// Checks the component in `path`, compiles it and links it, so that its first call is a warm one.
    pub async fn prepare(&self, digest: [u8; 32], path: &Path) -> Result<Prepared, PrepareError> {
        let Compiled { summary, took } = self.programs.loader().compile(&digest, path).await?;
        let loaded = self.load(digest, summary.world, path).await?;
        Ok(Prepared { summary: Some(summary), compiled_in: Some(took), ..loaded })
    }

    /// Loads a component that was prepared before, from its native code if that is still there.
    pub async fn load(&self, digest: [u8; 32], world: World, path: &Path) -> Result<Prepared, PrepareError> {
        let program = self.programs.load(digest, world, path).await?;
        Ok(Prepared { summary: None, compiled_in: None, initial_memory: program.initial_memory })
    }

    /// Programs in memory.
    pub fn programs_loaded(&self) -> u64 {
        self.programs.loaded()
    }

    /// Programs that were loaded since the start, by where they came from.
    pub fn program_loads(&self, source: LoadSource) -> u64 {
        self.programs.loader().loads(source)
    }

    /// What is in use of both pools.
    pub fn usage(&self) -> [EngineUsage; 2] {
        [World::Http02, World::Http03].map(|world| {
            let free = self.slots(world).available_permits() as u32;
            EngineUsage { world, slots: self.max_instances, used: self.max_instances.saturating_sub(free) }
        })
    }

    fn slots(&self, world: World) -> &Arc<Semaphore> {
        match world {
            World::Http02 => &self.slots[0],
            World::Http03 => &self.slots[1],
        }
    }

    /// Runs one request of `function` in an instance of its own. Returns when the guest has given its
    /// response head; the body goes on from there. Dropping the future or the body ends the guest.
    pub async fn invoke<B, F>(
        &self,
        function: &Function,
        request: Request<B>,
        invocation: Invocation<F>,
    ) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display,
        F: FnOnce(Receipt) + Send + 'static,
    {
        let meter = Meter::new(function.limits.cpu, invocation.on_end);
        let result = self.run(function, request, invocation.logs, &meter).await;
        if let Err(failure) = &result {
            meter.end(Some(failure.clone()));
        }
        result
    }

    async fn run<B>(
        &self,
        function: &Function,
        request: Request<B>,
        logs: Arc<dyn LogSink>,
        meter: &Arc<Meter>,
    ) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display,
    {
        let limits = &function.limits;
        if request.body().size_hint().lower() > limits.request_body {
            return Err(Failure::RequestTooLarge { limit: limits.request_body });
        }
        let permits = self.admit(function)?;
        let program = self.programs.get(function.digest, function.world, &function.artifact, meter).await;
        let program = program.map_err(|error| Failure::Unloadable(error.to_string()))?;
        let head_only = request.method() == Method::HEAD;
        let setup = Setup {
            env: &function.env,
            limits,
            outbound: RequestOutbound::new(self.outbound.clone(), function.outbound.clone(), meter.clone()),
            stdout: GuestOutput::new(OutputStream::Stdout, logs.clone()),
            stderr: GuestOutput::new(OutputStream::Stderr, logs),
            meter: meter.clone(),
            permits,
            clock: self.clock.run(),
        };
        let (mut guest, mut head) = instance::start(&program, setup, request);
        let (response, done) = first_answer(&mut guest, &mut head, meter, limits).await?;
        let response = if done { drained(response, meter, limits)? } else { streamed(response, guest, meter, limits) };
        meter.answered(response.status());
        Ok(if head_only { without_body(response) } else { response })
    }

    /// Takes every permit that a request needs, before any work is done for it.
    fn admit(&self, function: &Function) -> Result<Permits, Failure> {
        let take = |permits: &Arc<Semaphore>| permits.clone().try_acquire_owned().map_err(|_| Failure::NodeBusy);
        Ok(Permits {
            _function: FunctionPermit::take(function)?,
            _node: take(&self.node)?,
            _slot: take(self.slots(function.world))?,
        })
    }
}

/// Runs the guest until it has given its response head. True when it is over by then.
async fn first_answer(
    guest: &mut Guest,
    head: &mut oneshot::Receiver<Head>,
    meter: &Meter,
    limits: &Limits,
) -> Result<(Response<WasiBody>, bool), Failure> {
    let mut guest = pin!(guest);
    poll_fn(|cx| {
        let ended = guest.as_mut().poll(cx);
        if let Poll::Ready(Err(failure)) = &ended {
            return Poll::Ready(Err(too_large(meter, limits).unwrap_or_else(|| failure.clone())));
        }
        match head.poll_unpin(cx) {
            Poll::Ready(_) if meter.was_request_too_large() => {
                Poll::Ready(Err(Failure::RequestTooLarge { limit: limits.request_body }))
            }
            Poll::Ready(Ok(Ok(response))) => Poll::Ready(Ok((response, ended.is_ready()))),
            Poll::Ready(Ok(Err(code))) => Poll::Ready(Err(Failure::ErrorCode(code))),
            Poll::Ready(Err(_)) => Poll::Ready(Err(Failure::NoResponse)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// A guest that fails over a request body which is too large fails because of the client.
fn too_large(meter: &Meter, limits: &Limits) -> Option<Failure> {
    meter.was_request_too_large().then_some(Failure::RequestTooLarge { limit: limits.request_body })
}

/// The response of a guest that is over: what it wrote is all here, and goes out in one piece.
fn drained(
    response: Response<WasiBody>,
    meter: &Arc<Meter>,
    limits: &Limits,
) -> Result<Response<ResponseBody>, Failure> {
    let (head, mut body) = response.into_parts();
    let mut whole = Bytes::new();
    loop {
        match body.frame().now_or_never() {
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => whole = joined(whole, data),
                Err(trailers) => {
                    return Ok(with_trailers(head, whole, trailers.into_trailers().unwrap_or_default(), meter, limits));
                }
            },
            Some(None) => break,
            Some(Some(Err(error))) => return Err(Failure::ErrorCode(error.to_string())),
            // A body that the guest passed through from elsewhere goes on without it.
            None => return Ok(passed_on(head, whole, body, meter, limits)),
        }
    }
    if meter.sent(whole.len()) > limits.response_body {
        return Err(Failure::ResponseTooLarge { limit: limits.response_body });
    }
    meter.body_done();
    Ok(Response::from_parts(head, ResponseBody::whole(whole)))
}

fn joined(first: Bytes, second: Bytes) -> Bytes {
    if first.is_empty() {
        return second;
    }
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(&first);
    both.extend_from_slice(&second);
    both.freeze()
}

fn with_trailers(
    head: http::response::Parts,
    whole: Bytes,
    trailers: HeaderMap,
    meter: &Arc<Meter>,
    limits: &Limits,
) -> Response<ResponseBody> {
    let last = futures::stream::iter([Ok(http_body::Frame::trailers(trailers))]);
    passed_on(head, whole, http_body_util::StreamBody::new(last).boxed_unsync(), meter, limits)
}

/// First what is here already, then the rest of `body`.
fn passed_on(
    head: http::response::Parts,
    first: Bytes,
    rest: WasiBody,
    meter: &Arc<Meter>,
    limits: &Limits,
) -> Response<ResponseBody> {
    let first = futures::stream::iter((!first.is_empty()).then(|| Ok(http_body::Frame::data(first))));
    let rest = futures::StreamExt::chain(first, http_body_util::BodyStream::new(rest));
    let body = http_body_util::StreamBody::new(rest).boxed_unsync();
    Response::from_parts(head, ResponseBody::streaming(body, None, meter.clone(), limits.response_body))
}

/// The response of a guest that goes on: it runs in a task of its own while its body is sent, so that
/// its deadline holds also when nobody reads.
fn streamed(response: Response<WasiBody>, guest: Guest, meter: &Arc<Meter>, limits: &Limits) -> Response<ResponseBody> {
    let task = tokio::spawn(async move {
        // How it ended is on the meter, which outlives it.
        let _ = guest.await;
    });
    response.map(|body| ResponseBody::streaming(body, Some(task), meter.clone(), limits.response_body))
}

/// The answer to HEAD. The body is read to its end and thrown away, so that the guest that writes it
/// comes to its own end.
fn without_body(response: Response<ResponseBody>) -> Response<ResponseBody> {
    let (mut head, mut body) = response.into_parts();
    if let Some(length) = body.size_hint().exact()
        && length > 0
    {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
    Response::from_parts(head, ResponseBody::whole(Bytes::new()))
}

/// How long a client should wait before it tries again, after `429` and `503`.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
