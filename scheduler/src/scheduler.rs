//! Admission and dispatch: who may run, on what, and for how long.

use crate::{
    body::ResponseBody,
    cdn_loop::CameBy,
    code_cache::CodeCache,
    compile::{CompileLimits, Compiled, Compiler},
    component::{ComponentSummary, Refusal, World},
    deploy_queue::DeployQueue,
    engine::{self, EpochClock, PoolSize, TargetCpu},
    function::Function,
    guest::Guest,
    instance::{self, Setup},
    lane::Lane,
    limits::Limits,
    meter::{Meter, Receipt, Usage},
    outbound::{Outbound, RequestOutbound},
    outcome::Failure,
    places::{Place, Places},
    program::{LoadError, LoadSource, Loader, Programs, Runtime},
    recorder::Recorder,
    response::{drained, streamed, without_body},
    seats::{EngineUsage, Seats},
    spare::Seat,
    stdio::LogSink,
    tape::Tape,
    trace::Trace,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body::Body;
use std::{
    future::poll_fn,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    task::Poll,
    thread,
    time::Duration,
};
use wasmtime_wasi_http::WasiBody;

/// How a scheduler is set up.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// The folder of native code; nobody but the service's user may enter it.
    pub code_cache: PathBuf,
    /// Instances at once, for each of the two engines.
    pub max_instances: u32,
    /// No instance of WASI 0.2 is restored to serve another request of its function.
    pub fresh_instances: bool,
    /// Requests at once on the node.
    pub max_requests: u32,
    /// The largest memory limit that a function may have, in bytes.
    pub max_memory: u64,
    /// Bytes of memory that the slots of both pools may keep for their next request.
    pub idle_memory: u64,
    /// Bytes of native code kept loaded.
    pub program_cache: u64,
    /// The processor that native code is made for.
    pub target_cpu: TargetCpu,
    /// What one compilation may take.
    pub compile: CompileLimits,
    /// The address of the control plane, which no function reaches.
    pub control: SocketAddr,
}

/// What belongs to one call beside the request.
pub struct Invocation<F> {
    /// Where the guest's output goes.
    pub logs: Arc<dyn LogSink>,
    /// Who wants to know what the request takes time for, if anybody does.
    pub trace: Option<Arc<dyn Trace>>,
    /// Where it is recorded to, or played from.
    pub tape: Option<Tape>,
    /// Gets the receipt when everything of the request is over, on whatever thread that happens.
    pub on_end: F,
}

/// What a call came to.
pub struct Answer {
    /// The response, whose body goes on from here, or why there is none.
    pub result: Result<Response<ResponseBody>, Failure>,
    /// What the request uses.
    pub usage: Usage,
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
    /// The namespace has as many deploys waiting as it may.
    #[error("{0}")]
    Queued(String),
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
    #[error("the engine cannot be made for {instances} instances; lower --max-instances: {cause:#}")]
    Engine { instances: u32, cause: wasmtime::Error },
    #[error("the code cache cannot be used: {0}")]
    CodeCache(std::io::Error),
    #[error("the clock of the engine cannot be started: {0}")]
    Clock(std::io::Error),
    #[error("the threads for long requests cannot be started: {0}")]
    Threads(std::io::Error),
    #[error("TLS for outbound requests cannot be set up: {0}")]
    Tls(String),
}

/// Runs functions.
pub struct Scheduler {
    programs: Programs,
    deploys: DeployQueue,
    clock: EpochClock,
    lane: Arc<Lane>,
    outbound: Arc<Outbound>,
    node: Arc<Places>,
    /// Of both engines.
    seats: [Seats; 2],
    fresh_instances: bool,
}

impl Scheduler {
    /// Sets up the engines and reserves their pools (address space, not memory).
    pub fn start(config: &SchedulerConfig) -> Result<Self, StartError> {
        let idle_memory = config.idle_memory / 2 / u64::from(config.max_instances.max(1));
        let pool = PoolSize { instances: config.max_instances, memory: config.max_memory, idle_memory };
        let unfit = |cause| StartError::Engine { instances: config.max_instances, cause };
        let runtime = |world| Runtime::new(world, config.target_cpu, pool).map(Arc::new).map_err(unfit);
        engine::look_at_mappings(config.max_instances);
        let runtimes = [runtime(World::Http02)?, runtime(World::Http03)?];
        let engines = [&runtimes[0].engine, &runtimes[1].engine];
        let clock = EpochClock::start(engines.map(Clone::clone).to_vec()).map_err(StartError::Clock)?;
        let cache = CodeCache::open(&config.code_cache, engines).map_err(StartError::CodeCache)?;
        let compiler = Compiler::new(config.compile.clone(), config.target_cpu).map_err(StartError::CodeCache)?;
        let loader = Arc::new(Loader::new(runtimes, compiler, cache));
        Ok(Self {
            programs: Programs::new(loader, config.program_cache),
            deploys: DeployQueue::default(),
            clock,
            lane: Arc::new(
                Lane::start(thread::available_parallelism().map_or(1, usize::from)).map_err(StartError::Threads)?,
            ),
            outbound: Arc::new(Outbound::new(config.control).map_err(|error| StartError::Tls(error.to_string()))?),
            node: Places::new(config.max_requests),
            // Half of the memory for each, as of the slots' own.
            seats: [World::Http02, World::Http03]
                .map(|world| Seats::new(world, config.max_instances, config.idle_memory / 2)),
            fresh_instances: config.fresh_instances,
        })
    }

    /// Checks the component in `path`, compiles it and links it, so that its first call is a warm one. Namespaces take
    /// turns; of one namespace, one is compiled at a time.
    pub async fn prepare(&self, namespace: &str, digest: [u8; 32], path: &Path) -> Result<Prepared, PrepareError> {
        let turn = self.deploys.turn(namespace).await;
        let _turn = turn.map_err(|full| PrepareError::Queued(full.to_string()))?;
        let Compiled { summary, took } = self.programs.loader().compile(&digest, path).await?;
        let loaded = self.load(digest, summary.world, path).await?;
        Ok(Prepared { summary: Some(summary), compiled_in: Some(took), ..loaded })
    }

    /// Loads a component that was prepared before, from its native code if that is still there.
    pub async fn load(&self, digest: [u8; 32], world: World, path: &Path) -> Result<Prepared, PrepareError> {
        let program = self.programs.load(digest, world, path).await?;
        Ok(Prepared { summary: None, compiled_in: None, initial_memory: program.initial_memory })
    }

    /// Whether the native code of a component is on this disk, whoever made it when.
    pub fn has_code(&self, digest: [u8; 32], world: World) -> bool {
        self.programs.loader().has_code(&digest, world)
    }

    /// Removes the native code of components that `is_needed` does not name from the disk, if it has been there for longer
    /// than `kept`. Whoever does need it has it made again. Answers how many bytes are gone.
    pub async fn forget_code(
        &self,
        kept: Duration,
        is_needed: impl Fn(&[u8; 32]) -> bool + Send + 'static,
    ) -> io::Result<u64> {
        self.programs.loader().forget_code(kept, is_needed).await
    }

    /// Programs in memory.
    pub fn programs_loaded(&self) -> u64 {
        self.programs.loaded()
    }

    /// Programs that were loaded since the start, by where they came from.
    pub fn program_loads(&self, source: LoadSource) -> u64 {
        self.programs.loader().loads(source)
    }

    /// Requests that are ready to run and wait for their turn on the CPU.
    pub fn cpu_queue(&self) -> usize {
        self.lane.waiting()
    }

    /// Requests since the start that needed more than a slice of CPU time, or were expected to.
    pub fn demotions(&self) -> u64 {
        self.lane.demoted()
    }

    /// What is in use of both pools.
    pub fn usage(&self) -> [EngineUsage; 2] {
        self.seats.each_ref().map(Seats::usage)
    }

    fn seats(&self, world: World) -> &Seats {
        match world {
            World::Http02 => &self.seats[0],
            World::Http03 => &self.seats[1],
        }
    }

    /// Runs one request of `function` in an instance of its own. Returns when the guest has given its
    /// response head; the body goes on from there. Dropping the future or the body ends the guest.
    pub async fn invoke<B, F>(&self, function: &Function, request: Request<B>, invocation: Invocation<F>) -> Answer
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display,
        F: FnOnce(Receipt) + Send + 'static,
    {
        let meter = Meter::new(function.limits.cpu, invocation.trace, invocation.on_end);
        let result = self.run(function, request, (invocation.logs, invocation.tape), &meter).await;
        if let Err(failure) = &result {
            meter.end(Some(failure.clone()));
        }
        Answer { result, usage: Usage(meter) }
    }

    async fn run<B>(
        &self,
        function: &Function,
        request: Request<B>,
        (logs, tape): (Arc<dyn LogSink>, Option<Tape>),
        meter: &Arc<Meter>,
    ) -> Result<Response<ResponseBody>, Failure>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: std::fmt::Display,
    {
        let limits = &function.limits;
        if announced_length(request.headers()) > limits.request_body {
            return Err(Failure::RequestTooLarge { limit: limits.request_body });
        }
        let (places, seat) = self.admit(function, tape.is_some(), meter)?;
        let program = self.programs.get(function.digest, function.world, &function.artifact, meter).await;
        let program = program.map_err(|error| Failure::Unloadable(error.to_string()))?;
        let head_only = request.method() == Method::HEAD;
        let (outbound, came_by) = (self.outbound.clone(), CameBy::of(request.headers()));
        let setup = Setup {
            function,
            outbound: RequestOutbound::new(outbound, function.outbound.clone(), meter.clone(), came_by, logs.clone()),
            logs,
            meter: meter.clone(),
            tape: tape.clone(),
            places,
            seat,
            clock: self.clock.run(),
        };
        let player = tape.as_ref().and_then(Tape::player);
        let running = instance::start(&program, setup, request);
        let mut guest = Guest::new(running, function, self.lane.clone(), player);
        let (response, done) = first_answer(&mut guest, meter, limits).await?;
        let response = if done {
            drained(response, guest.take_spare(), meter, limits)?
        } else {
            streamed(response, guest, function.reuse.is_some(), meter, limits)
        };
        let response =
            if let Some(Tape::Recording(recorder)) = &tape { recorded(response, recorder) } else { response };
        meter.answered(response.status());
        Ok(if head_only { without_body(response) } else { response })
    }

    /// Takes every place that a request needs, before any work is done for it.
    fn admit(&self, function: &Function, is_taped: bool, meter: &Meter) -> Result<([Place; 3], Seat), Failure> {
        let busy = Failure::FunctionBusy { limit: function.limits.concurrency };
        let tenant = &function.share.tenant;
        let own = function.places.take().ok_or(busy)?;
        let of_namespace = tenant.enter()?;
        let of_node = self.node.take().ok_or(Failure::NodeBusy)?;
        let is_alone = is_taped || self.fresh_instances && function.world == World::Http02;
        let reuse = function.reuse.as_ref().filter(|_| !is_alone);
        let seat = self.seats(function.world).take(reuse).ok_or(Failure::NodeBusy)?;
        match tenant.count(meter.started()) {
            Ok(()) => Ok(([own, of_namespace, of_node], seat)),
            Err(failure) => {
                seat.give_back();
                Err(failure)
            }
        }
    }
}

/// Runs the guest until it has given its response head. True when it is over by then.
async fn first_answer(
    guest: &mut Guest,
    meter: &Meter,
    limits: &Limits,
) -> Result<(Response<WasiBody>, bool), Failure> {
    let mut guest = pin!(guest);
    poll_fn(|cx| {
        let ended = guest.as_mut().poll(cx);
        if let Poll::Ready(Err(failure)) = &ended {
            return Poll::Ready(Err(failure.clone()));
        }
        // A body that was cut for its length may leave the function without an answer, or with one to what it got.
        let too_large = Failure::RequestTooLarge { limit: limits.request_body };
        match guest.take_answer() {
            Some(_) if meter.was_request_too_large() => Poll::Ready(Err(too_large)),
            Some(Ok(response)) => Poll::Ready(Ok((response, ended.is_ready()))),
            Some(Err(code)) => Poll::Ready(Err(Failure::ErrorCode(code))),
            None if ended.is_ready() && meter.was_request_too_large() => Poll::Ready(Err(too_large)),
            None if ended.is_ready() => Poll::Ready(Err(Failure::NoResponse)),
            None => Poll::Pending,
        }
    })
    .await
}

/// Writes down what the function answers.
fn recorded(response: Response<ResponseBody>, recorder: &Arc<Recorder>) -> Response<ResponseBody> {
    let (head, mut body) = response.into_parts();
    body.record(recorder.response(&head));
    Response::from_parts(head, body)
}

/// Bytes that the body has as the client says; 0 when it says nothing. A body that was wrapped on its way here may
/// have forgotten it.
fn announced_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

/// How long a client should wait before it tries again, after `429` and `503`.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);
