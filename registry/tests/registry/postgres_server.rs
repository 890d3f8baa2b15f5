//! A Postgres server for tests, started by themselves.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Where `initdb`, `pg_ctl` and `psql` are: Debian keeps them out of the path, in a folder per version.
fn postgres_programs() -> Option<PathBuf> {
    let on_path = std::env::split_paths(&std::env::var_os("PATH")?).collect::<Vec<_>>();
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let installed = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    installed.chain(on_path).find(|folder| folder.join("initdb").is_file())
}

/// A server in a folder of its own that listens on a socket there, and stops when it is dropped.
pub(crate) struct Postgres {
    bin: PathBuf,
    dir: tempfile::TempDir,
    /// Whether this process is root, which Postgres refuses to run as: `run` runs it as nobody then.
    as_nobody: bool,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let bin = postgres_programs().expect("initdb is needed: `cargo xtask toolchain` installs Postgres");
        let dir = tempfile::Builder::new().prefix("wasmway-pg-").tempdir_in("/tmp").unwrap();
        // Whoever makes a folder owns it.
        let as_nobody = dir.path().metadata().unwrap().uid() == 0;
        let server = Self { bin, dir, as_nobody };
        if as_nobody {
            expect_success(&mut command("chown", &["nobody", &server.path("")]));
        }
        server.run("initdb", &["-D", &server.path("data"), "-U", "postgres", "-A", "trust", "--no-sync"]);
        server.resume();
        server
    }

    /// Starts it again after [`Self::stop`].
    pub(crate) fn resume(&self) {
        let options = format!("-c listen_addresses= -c fsync=off -c max_connections=300 -k {}", self.path(""));
        let (data, log) = (self.path("data"), self.path("log"));
        self.run("pg_ctl", &["-D", &data, "-l", &log, "-w", "-o", &options, "start"]);
    }

    /// Stops it as a power cut would.
    pub(crate) fn stop(&self) {
        self.run("pg_ctl", &["-D", &self.path("data"), "-m", "immediate", "stop"]);
    }

    /// The address of a new, empty database on it.
    pub(crate) fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.psql(&["-c", &format!("CREATE DATABASE {name}")]);
        format!("postgres:///{name}?host={}&user=postgres", self.path(""))
    }

    /// Everything in that database, as statements.
    pub(crate) fn dump(&self, database: &str) -> String {
        let output = expect_success(&mut command(&self.program("pg_dump"), &["--clean", "-d", database]));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sets that database back to what [`Self::dump`] found.
    pub(crate) fn restore(&self, database: &str, dump: &str) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), dump).unwrap();
        self.psql(&["-d", database, "-f", file.path().to_str().unwrap()]);
    }

    /// The one server of all tests of this process. It stops when none of them needs it any more.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// What `psql` with these arguments prints, unaligned and without headings.
    pub(crate) fn psql(&self, arguments: &[&str]) -> String {
        let socket = self.path("");
        let mut all = vec!["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-h", &socket];
        all.extend(arguments);
        // As oneself, who can read the migrations wherever they are.
        let output = expect_success(&mut command(&self.program("psql"), &all));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A program that came with the server, or else one on the path.
    fn program(&self, name: &str) -> String {
        let own = self.bin.join(name);
        if own.is_file() { own.to_str().unwrap().to_owned() } else { name.to_owned() }
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().trim_end_matches('/').to_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let program = self.bin.join(program);
        let program = program.to_str().unwrap();
        let mut command = if self.as_nobody {
            let mut as_nobody = command("runuser", &["-u", "nobody", "--", program]);
            as_nobody.args(arguments);
            as_nobody
        } else {
            command(program, arguments)
        };
        expect_success(command.current_dir(self.dir.path()));
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
            return;
        }
        // It may be stopped already: another panic would hide the first.
        let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.stop()));
        drop(stopped);
    }
}

fn command(program: &str, arguments: &[impl AsRef<std::ffi::OsStr>]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

fn expect_success(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
