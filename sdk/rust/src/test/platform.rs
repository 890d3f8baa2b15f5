//! A platform of a test's own, by the program `wasmway`.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};

use super::Answer;

/// How long a start may take, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The real thing, with its sandbox and its limits: `wasmway up` on ports and a folder of its own, gone when it is
/// dropped. The program is the one that the variable `WASMWAY` names, or else `wasmway` of the `PATH`.
///
/// ```no_run
/// use wasmway::test::{self, Platform};
///
/// // The folder of a project with its wasmway.toml, after `wasmway build`; or a component.
/// let platform = Platform::start();
/// platform.deploy("hello", ".");
/// platform.call("hello", test::get("/?name=Ada").map(|_| Vec::new())).expect(200);
/// ```
pub struct Platform {
    process: Child,
    folder: PathBuf,
}

impl Platform {
    /// Starts one and waits until it serves.
    ///
    /// # Panics
    /// When it does not; as do the others when their command fails.
    #[track_caller]
    pub fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("wasmway-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let log = folder.join("log");
        let log_file = File::create(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let mut up = wasmway(&folder);
        up.args(["up", "--listen", "127.0.0.1:0", "--control", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(log_file);
        let process = up.spawn().unwrap_or_else(|error| panic!("{up:?}: {error}; is wasmway installed?"));
        let mut platform = Self { process, folder };
        let end = Instant::now() + PATIENCE;
        while !platform.data().join("run.json").is_file() {
            let ended = platform.process.try_wait().is_ok_and(|status| status.is_some());
            let is_late = Instant::now() > end;
            assert!(!ended && !is_late, "no start: {}", fs::read_to_string(&log).unwrap_or_default());
            thread::sleep(Duration::from_millis(10));
        }
        platform
    }

    /// Deploys a component, or the component of a project's folder, under this name.
    #[track_caller]
    pub fn deploy(&self, name: &str, path: impl AsRef<Path>) {
        self.run([OsStr::new("deploy"), path.as_ref().as_os_str(), "--name".as_ref(), name.as_ref()], &[]);
    }

    /// Calls a function that was deployed.
    #[track_caller]
    pub fn call(&self, name: &str, request: Request<Vec<u8>>) -> Answer {
        let (head, body) = request.into_parts();
        let target = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let mut arguments = vec!["invoke", name, target, "--include", "-X", head.method.as_str()];
        let headers = head.headers.iter();
        let headers: Vec<_> =
            headers.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or_default())).collect();
        arguments.extend(headers.iter().flat_map(|header| ["-H", header]));
        if !body.is_empty() {
            arguments.extend(["--data", "@-"]);
        }
        answer(&self.run(arguments, &body))
    }

    /// The function's log so far.
    #[track_caller]
    pub fn logs(&self, name: &str) -> String {
        String::from_utf8_lossy(&self.run(["logs", name], &[])).into_owned()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    #[track_caller]
    fn run<I: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = I>, input: &[u8]) -> Vec<u8> {
        let mut command = wasmway(&self.folder);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let Output { status, stdout, stderr } = with_input(&mut command, input);
        assert!(
            status.success(),
            "{command:?}: {}{}",
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        );
        stdout
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        // Gone already, as far as one of these fails.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn wasmway(folder: &Path) -> Command {
    let mut command = Command::new(env::var_os("WASMWAY").unwrap_or_else(|| "wasmway".into()));
    command.arg("--data-dir").arg(folder.join("data"));
    command
}

#[track_caller]
fn with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut run = || -> std::io::Result<Output> {
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        thread::scope(|scope| {
            // Beside reading its output, since either pipe may fill; one that does not read all of it is no failure.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
            child.wait_with_output()
        })
    };
    let result = run();
    result.unwrap_or_else(|error| panic!("{error}: is wasmway installed?"))
}

/// What `wasmway invoke --include` prints: a line with the status, headers, an empty line, the body.
#[track_caller]
fn answer(printed: &[u8]) -> Answer {
    let end = printed.windows(2).position(|pair| pair == b"\n\n").expect("a head and a body");
    let head = String::from_utf8_lossy(&printed[..end]);
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse::<StatusCode>().ok());
    let headers: HeaderMap = lines
        .filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
        })
        .collect();
    let body = printed[end + 2..].to_vec().into();
    Answer { status: status.expect("a status"), headers, body, broke_off: None }
}
