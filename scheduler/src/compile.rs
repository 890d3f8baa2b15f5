//! Compiling, as the serving process sees it: a child with limits that answers or dies.

use crate::{
    compile_worker::{Answer, Job},
    component::{ComponentSummary, Refusal},
};
use std::{
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};
use tokio::{io::AsyncWriteExt, process::Command, sync::Semaphore};

/// What one compilation may take.
#[derive(Clone, Debug)]
pub struct CompileLimits {
    /// Bytes of address space.
    pub memory: u64,
    /// CPU time over all threads.
    pub cpu: Duration,
    /// Wall-clock time.
    pub timeout: Duration,
}

/// A component with the native code that was made of it.
#[derive(Clone, Debug)]
pub(crate) struct Compiled {
    /// What the component is.
    pub(crate) summary: ComponentSummary,
    /// How long the compiler took.
    pub(crate) took: Duration,
}

/// Compiles in child processes, one at a time: the compiler itself uses all cores.
pub(crate) struct Compiler {
    program: PathBuf,
    limits: CompileLimits,
    turn: Semaphore,
}

/// Why there is no code: the component's fault, or ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the compile worker could not be run: {0}")]
    Worker(#[from] io::Error),
}

impl Compiler {
    pub(crate) fn new(limits: CompileLimits) -> io::Result<Self> {
        // On Linux the link goes on naming this very program after an upgrade has replaced its file.
        let own = Path::new("/proc/self/exe");
        let program = if own.exists() { own.to_owned() } else { std::env::current_exe()? };
        Ok(Self { program, limits, turn: Semaphore::new(1) })
    }

    /// Compiles `component` into the new file `code`. Leaves no file behind when it fails.
    pub(crate) async fn compile(&self, component: &Path, code: &Path) -> Result<Compiled, CompileError> {
        let _turn = self.turn.acquire().await.map_err(io::Error::other)?;
        let started = Instant::now();
        let result = self.run(component, code).await;
        if result.is_err() {
            // Absent when the worker never came to write it.
            let _ = std::fs::remove_file(code);
        }
        Ok(Compiled { summary: result?, took: started.elapsed() })
    }

    async fn run(&self, component: &Path, code: &Path) -> Result<ComponentSummary, CompileError> {
        let job = Job {
            component: component.to_owned(),
            code: code.to_owned(),
            memory: self.limits.memory,
            cpu_seconds: self.limits.cpu.as_secs().max(1),
        };
        let mut child = Command::new(&self.program)
            .arg("compile-worker")
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut input = child.stdin.take().ok_or_else(|| io::Error::other("the worker has no standard input"))?;
        input.write_all(&serde_json::to_vec(&job).map_err(io::Error::other)?).await?;
        drop(input);
        match tokio::time::timeout(self.limits.timeout, child.wait_with_output()).await {
            Ok(output) => self.read(&output?),
            Err(_) => Err(self.too_complex("time", &format!("{:?}", self.limits.timeout)).into()),
        }
    }

    /// What the worker said, or what its death means.
    fn read(&self, output: &Output) -> Result<ComponentSummary, CompileError> {
        if output.status.success() {
            let answer: Answer = serde_json::from_slice(&output.stdout).map_err(io::Error::other)?;
            return Ok(answer?);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.trim();
        match output.status.signal().map(rustix::process::Signal::from_named_raw) {
            Some(Some(rustix::process::Signal::XCPU)) => {
                Err(self.too_complex("CPU time", &format!("{:?}", self.limits.cpu)).into())
            }
            // The worker aborts when an allocation fails; the kernel kills when its limits are passed.
            Some(Some(
                rustix::process::Signal::ABORT | rustix::process::Signal::KILL | rustix::process::Signal::SEGV,
            )) => Err(self
                .too_complex("memory or CPU time", &format!("{} bytes, {:?}", self.limits.memory, self.limits.cpu))
                .into()),
            _ if output.status.code() == Some(101) => {
                Err(Refusal::CompileFailed(format!("the compiler failed: {said}")).into())
            }
            _ => Err(io::Error::other(format!("{}: {said}", output.status)).into()),
        }
    }

    fn too_complex(&self, what: &str, limit: &str) -> Refusal {
        Refusal::TooComplex(format!(
            "compiling it needs more {what} than it may take here ({limit}); make it smaller, or raise the compile limits"
        ))
    }
}
