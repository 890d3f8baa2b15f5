//! Running a recorded call once more, offline: by the scheduler that runs all others, with what a capture holds in place
//! of the world.

use crate::problem::Problem;
use anyhow::{Context, bail};
use http_body_util::BodyExt;
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::oneshot;
use wasmway_registry::Digest;
use wasmway_scheduler::{
    Answer, Capture, CapturedBody, CapturedFunction, CapturedResponse, CompileLimits, Data, End, Function, Invocation,
    Limits, LogSink, OutboundPolicy, OutputStream, Player, PrepareError, Receipt, ResponseBody, Scheduler,
    SchedulerConfig, Tape, TargetCpu, Tenant, World,
};

/// What came of a replay.
pub struct Replayed {
    /// The function's answer, if it gave one.
    pub response: Option<CapturedResponse>,
    pub end: End,
    /// Where it asked for something that the recorded run had not asked for.
    pub differences: Vec<String>,
    /// The lines that it wrote, each with the name of its stream.
    pub output: Vec<(&'static str, String)>,
}

/// Runs the call in `capture` once more, by the component in the file `component`. Native code and other files of its are
/// made in the folder `scratch`. No network is touched.
pub fn replay(capture: &Capture, component: &Path, digest: Digest, scratch: &Path) -> anyhow::Result<Replayed> {
    if capture.function.wasi != World::Http02.as_str() {
        bail!(
            "the call is one of a function for WASI {}; only those for WASI 0.2 can be replayed",
            capture.function.wasi
        );
    }
    let player = Player::new(capture, digest.to_string() == capture.function.digest);
    let playing = player.clone();
    // Of a single thread, so that there is one order of things, and it is known when nothing is left to do but to wait.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_park(move || playing.idle())
        .build()
        .context("the runtime cannot be started")?;
    runtime.block_on(run(capture, player, component, digest, scratch))
}

/// What compiling a component for a replay may take: as much as a server's defaults allow.
const COMPILE: CompileLimits =
    CompileLimits { memory: 2 << 30, cpu: Duration::from_secs(120), timeout: Duration::from_secs(300) };

fn start(capture: &Capture, scratch: &Path) -> anyhow::Result<Scheduler> {
    let config = SchedulerConfig {
        code_cache: scratch.join("code"),
        max_instances: 1,
        fresh_instances: true,
        max_requests: 1,
        max_memory: capture.function.limits.memory_bytes.min(MEMORY_MAX),
        idle_memory: 0,
        program_cache: 1 << 30,
        target_cpu: TargetCpu::Native,
        compile: COMPILE,
        // Nothing listens, and nothing is called.
        control: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    };
    Ok(Scheduler::start(&config)?)
}

async fn run(
    capture: &Capture,
    player: Arc<Player>,
    component: &Path,
    digest: Digest,
    scratch: &Path,
) -> anyhow::Result<Replayed> {
    let scheduler = start(capture, scratch)?;
    let prepared = scheduler.prepare("replay", *digest.as_bytes(), component).await;
    let prepared = prepared.map_err(|error| match error {
        PrepareError::Refused(refusal) => anyhow::anyhow!("the component cannot run: {refusal}"),
        PrepareError::Queued(cause) | PrepareError::Failed(cause) => anyhow::anyhow!(cause),
    })?;
    let world = prepared.summary.map_or(World::Http02, |summary| summary.world);
    if world == World::Http03 {
        bail!("the component is written for WASI 0.3; only those for WASI 0.2 can be replayed");
    }
    let function = function(&capture.function, (*digest.as_bytes(), world, component.to_owned()));
    let request = player.request().context("the capture's request is none")?;
    let (output, (ended, end)) = (Arc::new(Output::default()), oneshot::channel());
    let invocation = Invocation {
        logs: output.clone(),
        trace: None,
        tape: Some(Tape::Playing(player.clone())),
        // Nobody waits for it when the replay was given up.
        on_end: move |receipt| drop(ended.send(receipt)),
    };
    let Answer { result, usage } = scheduler.invoke(&function, request, invocation).await;
    let refused = result.as_ref().err().map(|failure| Problem::of_failure(failure).status().as_u16());
    let response = match result {
        Ok(response) => Some(read(response).await),
        Err(_) => None,
    };
    drop(usage);
    let receipt: Receipt = end.await.context("the replay was given up")?;
    let status = refused.or(response.as_ref().map(|response| response.status)).unwrap_or_default();
    let lines = std::mem::take(&mut *output.0.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Replayed { response, end: of(&receipt, status), differences: player.differences(), output: lines })
}

/// The most that a capture, which may be anybody's, can ask for.
const MEMORY_MAX: u64 = 4 << 30;
const TIME_MAX: Duration = Duration::from_secs(60 * 60);

fn function(recorded: &CapturedFunction, program: ([u8; 32], World, std::path::PathBuf)) -> Function {
    let limits = &recorded.limits;
    Function::new(
        Arc::new(Tenant::new(&recorded.namespace)),
        recorded.name.clone(),
        recorded.version,
        program,
        Limits {
            memory: limits.memory_bytes.min(MEMORY_MAX),
            cpu: Duration::from_micros(limits.cpu_us).min(TIME_MAX),
            timeout: Duration::from_micros(limits.timeout_us).min(TIME_MAX),
            cpu_weight: 100,
            concurrency: 1,
            request_body: limits.request_body_bytes,
            response_body: limits.response_body_bytes,
        },
        recorded.env.clone(),
        // Whatever it calls is answered from the capture, before this is asked.
        OutboundPolicy::new(recorded.namespace.clone(), Box::new(|_, _, _| false), false),
    )
}

/// Bytes of an answer's body that are kept, as many as in a capture.
const BODY_BYTES: usize = 256 << 10;

async fn read(response: http::Response<ResponseBody>) -> CapturedResponse {
    let (head, mut body) = response.into_parts();
    let mut read = CapturedBody::default();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Some(piece) = frame.data_ref() {
                    let room = BODY_BYTES - read.data.0.len();
                    read.data.0.extend_from_slice(&piece[..piece.len().min(room)]);
                    read.bytes += piece.len() as u64;
                } else if let Some(trailers) = frame.trailers_ref() {
                    read.trailers = headers(trailers);
                }
            }
            Some(Err(_)) => break,
            None => {
                read.complete = true;
                break;
            }
        }
    }
    CapturedResponse { status: head.status.as_u16(), headers: headers(&head.headers), body: read }
}

fn headers(headers: &http::HeaderMap) -> wasmway_scheduler::Headers {
    headers.iter().map(|(name, value)| (name.as_str().to_owned(), Data(value.as_bytes().to_vec()))).collect()
}

fn of(receipt: &Receipt, status: u16) -> End {
    End {
        status,
        outcome: receipt.outcome().as_str().to_owned(),
        error: receipt.failure.as_ref().map(ToString::to_string),
        cpu_us: receipt.cpu.as_micros() as u64,
        wall_us: receipt.wall.as_micros() as u64,
        memory_bytes: receipt.memory_bytes,
    }
}

/// Lines of a replay that are kept.
const LINES: usize = 1000;

/// What the guest writes.
#[derive(Default)]
struct Output(Mutex<Vec<(&'static str, String)>>);

impl LogSink for Output {
    fn line(&self, stream: OutputStream, text: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES {
            lines.push((stream.as_str(), text.to_owned()));
        }
    }
}
