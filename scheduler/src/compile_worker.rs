//! The process that compiles: `wasmway compile-worker`. It gets one component, limits itself, writes the
//! native code and says what it found. Compiling is the largest attack surface that there is here, so
//! that it never happens in the process that serves.

use crate::{
    component::{self, ComponentSummary, Refusal},
    engine,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What the worker is asked for, as one JSON document on its standard input.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The component to compile.
    pub(crate) component: PathBuf,
    /// Where the native code goes.
    pub(crate) code: PathBuf,
    /// Bytes of address space (RLIMIT_AS).
    pub(crate) memory: u64,
    /// Seconds of CPU time (RLIMIT_CPU).
    pub(crate) cpu_seconds: u64,
}

/// What the worker answers, as one JSON document on its standard output.
pub(crate) type Answer = Result<ComponentSummary, Refusal>;

/// Bytes of a file that the worker may write: more than any code that it makes.
const FILE_BYTES: u64 = 4 << 30;

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
    let answer = compile(&job)?;
    io::stdout().lock().write_all(&serde_json::to_vec(&answer)?)
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
    Ok(())
}

fn compile(job: &Job) -> io::Result<Answer> {
    let bytes = fs::read(&job.component)?;
    let summary = match component::inspect(&bytes) {
        Ok(summary) => summary,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let engine = engine::compiling(summary.world).map_err(io::Error::other)?;
    match engine.precompile_component(&bytes) {
        Ok(code) => {
            write(&job.code, &code)?;
            Ok(Ok(summary))
        }
        Err(error) => Ok(Err(Refusal::CompileFailed(format!("{error:#}")))),
    }
}

fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(code)
}
