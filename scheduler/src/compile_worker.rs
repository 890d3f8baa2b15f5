//! The process that compiles: `wasmway compile-worker`. It gets one component, limits itself, locks itself in, writes
//! the native code and says what it found. Compiling is the largest attack surface that there is here, so
//! that it never happens in the process that serves.

use crate::{
    component::{self, ComponentSummary, Refusal, World},
    engine::{self, TargetCpu},
    flat,
    jail::{self, Jail},
};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
    process::ExitCode,
};

/// What the worker is asked for, as one JSON document on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// SHA-256 of the component.
    pub(crate) digest: [u8; 32],
    /// The component to compile.
    pub(crate) component: PathBuf,
    /// Where the native code goes.
    pub(crate) code: PathBuf,
    /// What it is made for.
    pub(crate) target_cpu: TargetCpu,
    /// Bytes of address space (RLIMIT_AS).
    pub(crate) memory: u64,
    /// Seconds of CPU time (RLIMIT_CPU).
    pub(crate) cpu_seconds: u64,
}

/// What the worker answers, as one JSON document on its standard output.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// What it was locked in by.
    pub(crate) jail: Jail,
    /// What it found.
    pub(crate) found: Result<ComponentSummary, Refusal>,
}

/// Bytes of a file that the worker may write: more than any code that it makes.
const FILE_BYTES: u64 = 4 << 30;
/// How far below the process that serves it stands when both want a core, in steps of `nice`.
const NICENESS: i32 = 10;
/// Bytes of the compiler's reason that are kept.
const CAUSE_BYTES: usize = 4 << 10;

/// The whole life of the worker: reads a job from standard input, does it, answers on standard output.
/// The exit code is not zero only when it could not even answer.
pub fn run_compile_worker() -> ExitCode {
    match work() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compile worker: {error}");
            ExitCode::FAILURE
        }
    }
}

fn work() -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().lock().take(64 << 10).read_to_end(&mut input)?;
    let job: Job = serde_json::from_slice(&input)?;
    limit_self(&job)?;
    // Open before the door closes: these two are all that it ever gets.
    let component = File::open(&job.component)?;
    let code = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&job.code)?;
    let jail = jail::enter(&component, &code);
    let found = compile(&job, component, code)?;
    io::stdout().lock().write_all(&serde_json::to_vec(&Answer { jail, found })?)
}

/// Bounds what this process may take, before it has read a byte of the component.
fn limit_self(job: &Job) -> io::Result<()> {
    // A process that serves and is killed takes its workers along.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let fixed = |limit| Rlimit { current: Some(limit), maximum: Some(limit) };
    setrlimit(Resource::As, fixed(job.memory))?;
    // One second between the signal that can be caught and the one that cannot.
    setrlimit(Resource::Cpu, Rlimit { current: Some(job.cpu_seconds), maximum: Some(job.cpu_seconds + 1) })?;
    setrlimit(Resource::Fsize, fixed(FILE_BYTES))?;
    setrlimit(Resource::Nofile, fixed(32))?;
    setrlimit(Resource::Core, fixed(0))?;
    // Requests that are served go first; its threads inherit this.
    rustix::process::nice(NICENESS)?;
    Ok(())
}

fn compile(job: &Job, mut component: File, mut code: File) -> io::Result<Result<ComponentSummary, Refusal>> {
    let mut bytes = Vec::new();
    component.read_to_end(&mut bytes)?;
    // The file may have been damaged since it was deployed: what nobody deployed must not run.
    if Sha256::digest(&bytes)[..] != job.digest[..] {
        return Err(io::Error::other("the component is not what was deployed; deploy it again"));
    }
    let summary = match component::inspect(&bytes) {
        Ok(summary) => summary,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let engine = engine::compiling(summary.world, job.target_cpu).map_err(io::Error::other)?;
    let flat = if summary.world == World::Http02 { flat::flatten(&bytes) } else { None };
    let native = match flat {
        Some(module) => engine.precompile_module(&module),
        None => engine.precompile_component(&bytes),
    };
    match native {
        Ok(native) => {
            code.write_all(&native)?;
            Ok(Ok(summary))
        }
        Err(error) => {
            let mut why = format!("{error:#}");
            why.truncate(why.floor_char_boundary(CAUSE_BYTES));
            Ok(Err(Refusal::CompileFailed(why)))
        }
    }
}
