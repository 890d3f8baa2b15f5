//! Compiling, as the serving process sees it: a child with limits that answers or dies.

use crate::{
    compile_worker::{Answer, Job},
    component::{ComponentSummary, Refusal},
    engine::TargetCpu,
    jail::Jail,
};
use std::{
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Once,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    process::{Child, Command},
    sync::Semaphore,
};

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
    target_cpu: TargetCpu,
    /// First come, first served.
    turn: Semaphore,
    jail_told: Once,
}

/// Address space that the worker's allocator asks the system for at a time.
const ARENA_KIBIBYTES: &str = "32768";
/// Bytes that the worker may say. It reads what strangers wrote: more than it needs is not listened to.
const ANSWER_BYTES: u64 = 1 << 20;

/// Why there is no code: the component's fault, or ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CompileError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("the compile worker could not be run: {0}")]
    Worker(#[from] io::Error),
}

impl Compiler {
    pub(crate) fn new(limits: CompileLimits, target_cpu: TargetCpu) -> io::Result<Self> {
        // On Linux the link goes on naming this very program after an upgrade has replaced its file.
        let own = Path::new("/proc/self/exe");
        let program = if own.exists() { own.to_owned() } else { std::env::current_exe()? };
        Ok(Self { program, limits, target_cpu, turn: Semaphore::new(1), jail_told: Once::new() })
    }

    /// Compiles `component`, which has this SHA-256, into the new file `code`. Leaves no file behind when it fails.
    pub(crate) async fn compile(
        &self,
        digest: &[u8; 32],
        component: &Path,
        code: &Path,
    ) -> Result<Compiled, CompileError> {
        let _turn = self.turn.acquire().await.map_err(io::Error::other)?;
        let started = Instant::now();
        let result = self.run(digest, component, code).await;
        if result.is_err() {
            // Absent when the worker never came to write it.
            let _ = std::fs::remove_file(code);
        }
        Ok(Compiled { summary: result?, took: started.elapsed() })
    }

    async fn run(&self, digest: &[u8; 32], component: &Path, code: &Path) -> Result<ComponentSummary, CompileError> {
        let job = Job {
            digest: *digest,
            component: component.to_owned(),
            code: code.to_owned(),
            target_cpu: self.target_cpu,
            memory: self.limits.memory,
            cpu_seconds: self.limits.cpu.as_secs().max(1),
        };
        let mut child = Command::new(&self.program)
            .arg("compile-worker")
            .env_clear()
            // It could not find out for itself: what a container may use is written in files.
            .env("RAYON_NUM_THREADS", std::thread::available_parallelism().map_or(1, usize::from).to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Set aside by its allocator at its start, a gigabyte would count against its limit from then on.
            .env("MIMALLOC_ARENA_RESERVE", ARENA_KIBIBYTES)
            .kill_on_drop(true)
            .spawn()?;
        let mut input = child.stdin.take().ok_or_else(|| io::Error::other("the worker has no standard input"))?;
        input.write_all(&serde_json::to_vec(&job).map_err(io::Error::other)?).await?;
        drop(input);
        match tokio::time::timeout(self.limits.timeout, listen(&mut child)).await {
            Ok(end) => self.read(&end?),
            // Dropping the child kills it.
            Err(_) => Err(self.too_complex("time", &format!("{:?}", self.limits.timeout)).into()),
        }
    }

    /// What the worker said, or what its death means.
    fn read(&self, end: &End) -> Result<ComponentSummary, CompileError> {
        if end.status.success() {
            let answer: Answer = serde_json::from_slice(&end.answer).map_err(io::Error::other)?;
            self.jail_told.call_once(|| tell(&answer.jail));
            return Ok(answer.found?);
        }
        let said = String::from_utf8_lossy(&end.complaint);
        let said = said.trim();
        match end.status.signal().map(rustix::process::Signal::from_named_raw) {
            Some(Some(rustix::process::Signal::XCPU)) => {
                Err(self.too_complex("CPU time", &format!("{:?}", self.limits.cpu)).into())
            }
            // The worker aborts when an allocation fails; the kernel kills when its limits are passed.
            Some(Some(
                rustix::process::Signal::ABORT | rustix::process::Signal::KILL | rustix::process::Signal::SEGV,
            )) => Err(self
                .too_complex("memory or CPU time", &format!("{} bytes, {:?}", self.limits.memory, self.limits.cpu))
                .into()),
            _ if end.status.code() == Some(101) => {
                Err(Refusal::CompileFailed(format!("the compiler failed: {said}")).into())
            }
            _ => Err(io::Error::other(format!("{}: {said}", end.status)).into()),
        }
    }

    fn too_complex(&self, what: &str, limit: &str) -> Refusal {
        Refusal::TooComplex(format!(
            "compiling it needs more {what} than it may take here ({limit}); make it smaller, or raise the compile limits"
        ))
    }
}

/// How a worker ended, and what it said before.
struct End {
    status: ExitStatus,
    answer: Vec<u8>,
    complaint: Vec<u8>,
}

async fn listen(child: &mut Child) -> io::Result<End> {
    let (answer, complaint) = (child.stdout.take(), child.stderr.take());
    let (answer, complaint, status) = tokio::try_join!(read_some(answer), read_some(complaint), child.wait())?;
    Ok(End { status, answer, complaint })
}

/// Reads to the end or to the limit; then the pipe is closed, and who goes on writing fails.
async fn read_some(pipe: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    let pipe = pipe.ok_or_else(|| io::Error::other("a pipe of the worker is missing"))?;
    pipe.take(ANSWER_BYTES).read_to_end(&mut read).await?;
    Ok(read)
}

fn tell(jail: &Jail) {
    let holds = jail.holds.join(", ");
    if jail.lacks.is_empty() {
        tracing::info!(%holds, "components are compiled in a jail");
    } else {
        let lacks = jail.lacks.join("; ");
        tracing::warn!(%holds, %lacks, "components are compiled in a jail that this kernel cannot close");
    }
}
