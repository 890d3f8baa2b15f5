//! The process under test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde::Deserialize;

use super::{Memory, PATIENCE, Server, eventually};

/// Lines of its log that are shown when a test fails.
const LOG_LINES_SHOWN: usize = 30;

/// The program, with an environment that holds nothing of this machine's.
pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmway"));
    command.env_clear();
    command
}

/// What a process that serves says of itself in `run.json`.
#[derive(Debug, Deserialize)]
pub(crate) struct RunFile {
    /// Empty of a registry, where no function is called.
    #[serde(default)]
    pub(crate) data: String,
    /// Empty without TLS.
    #[serde(default)]
    pub(crate) tls: String,
    pub(crate) control: String,
    pub(crate) pid: u32,
}

/// How a process is started.
#[derive(Default)]
pub(super) struct Start {
    /// Another command than `up`.
    pub(super) role: Option<&'static str>,
    /// Its arguments.
    pub(super) arguments: Vec<String>,
    /// Beside these its environment is empty.
    pub(super) variables: Vec<(String, String)>,
    /// Commands of a shell that becomes the process.
    pub(super) shell: Option<String>,
}

impl Start {
    /// Whether an argument sets the flag.
    fn names(&self, flag: &str) -> bool {
        self.arguments.iter().any(|argument| argument.split('=').next() == Some(flag))
    }

    /// The program, or the shell that becomes it.
    fn command(&self, data_dir: &Path) -> Command {
        let Some(commands) = &self.shell else { return binary() };
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(format!("{commands}\nexec \"$0\" \"$@\"")).arg(binary().get_program());
        shell.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DATA", data_dir);
        shell
    }
}

/// A process that serves.
pub(crate) struct Process {
    child: Child,
    data_dir: PathBuf,
    log: PathBuf,
    printed: PathBuf,
    run: RunFile,
}

impl Process {
    /// Starts it and waits until it serves.
    pub(super) async fn start(data_dir: &Path, start: &Start) -> Self {
        let mut child = Self::spawn(data_dir, start);
        let (log, printed) = (beside(data_dir, "log"), beside(data_dir, "printed"));
        let run_file = data_dir.join("run.json");
        let run = eventually("the platform to serve", PATIENCE, async || {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("the platform ended at its start: {status}\n{}", fs::read_to_string(&log).unwrap());
            }
            let run: RunFile = serde_json::from_slice(&fs::read(&run_file).ok()?).unwrap();
            // One that was killed has left its own behind.
            (run.pid == child.id()).then_some(run)
        })
        .await;
        Self { child, data_dir: data_dir.to_owned(), log, printed, run }
    }

    /// Starts it, without waiting for anything.
    fn spawn(data_dir: &Path, start: &Start) -> Child {
        start
            .command(data_dir)
            .arg(start.role.unwrap_or("up"))
            .args(["--log-format", "json", "--data-dir"])
            .arg(data_dir)
            .args(&start.arguments)
            .args(
                ["--listen", "--control"]
                    .iter()
                    .filter(|flag| !start.names(flag))
                    .flat_map(|flag| [flag, "127.0.0.1:0"]),
            )
            .envs(start.variables.iter().map(|(name, value)| (name, value)))
            .env("RUST_BACKTRACE", "1")
            .stdout(File::create(beside(data_dir, "printed")).unwrap())
            .stderr(File::create(beside(data_dir, "log")).unwrap())
            .spawn()
            .unwrap()
    }

    pub(crate) fn run(&self) -> &RunFile {
        &self.run
    }

    /// It as its clients see it.
    pub(super) fn server(&self, token: Option<&str>) -> Server {
        // A gateway of a fleet has none.
        let own = || fs::read_to_string(self.data_dir.join("admin.token")).unwrap_or_default();
        let token = token.map_or_else(own, str::to_owned);
        Server::at(&self.run.data, &self.run.control, token.trim())
    }

    /// What it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// What it wrote to standard output.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(&self.printed).unwrap()
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends SIGTERM.
    pub(crate) fn ask_to_stop(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(&self) {
        kill_process(self.pid(), Signal::KILL).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        let child = &mut self.child;
        eventually("the platform to end", PATIENCE, async || child.try_wait().unwrap()).await
    }

    /// Lets it open so many files and connections more than it has open now.
    pub(crate) fn may_open(&self, more: u64) {
        let open = fs::read_dir(format!("/proc/{}/fd", self.child.id())).unwrap().count() as u64;
        let limit = Rlimit { current: Some(open + more), maximum: Some(open + more) };
        prlimit(Some(self.pid()), Resource::Nofile, limit).unwrap();
    }

    /// CPU time that it has used.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // The name, in parentheses, may have blanks in it. See proc_pid_stat(5); a tick is 10 ms for every program.
        let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn memory_of(&self) -> Memory {
        Memory(self.child.id())
    }

    /// Bytes of memory that it has now.
    pub(crate) fn memory(&self) -> u64 {
        self.memory_of().now().unwrap()
    }

    /// Most bytes of memory that it had since [`Self::forget_memory_peak`].
    pub(crate) fn memory_peak(&self) -> u64 {
        self.memory_of().peak().unwrap()
    }

    pub(crate) fn forget_memory_peak(&self) {
        self.memory_of().forget_peak().unwrap();
    }

    /// The end of its log, without the lines of requests that went well.
    pub(crate) fn end_of_log(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().filter(|line| !line.contains("\"outcome\":\"ok\"")).collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

fn beside(data_dir: &Path, name: &str) -> PathBuf {
    data_dir.with_file_name(name)
}

impl Drop for Process {
    fn drop(&mut self) {
        // Gone already, as far as either fails.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the end of the platform's log\n{}\n---", self.end_of_log());
        }
    }
}
