//! The servers under test: each a process of its own, started for one measurement.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::client::Target;
use crate::control::Control;
use crate::eventually;
use crate::placement::Placement;

/// Longest time that a server may take to start.
const START: Duration = Duration::from_secs(60);

/// Slots of the pool: more than the most requests that any measurement holds open, on every server.
const SLOTS: u32 = 2000;

/// The program that holds all neighbours, and its folder.
pub(crate) const NEIGHBOURS: &str = "neighbours";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Wasmway,
    WasmtimeServe,
    /// With the settings that it has when nobody says anything.
    WasmtimeServeDefaults,
    /// hyper and nothing else: what no server on this stack can be faster than.
    BareHyper,
    Node,
    Deno,
    Bun,
    /// One isolate for all requests.
    Workerd,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Wasmway => "wasmway",
            Kind::WasmtimeServe => "wasmtime serve",
            Kind::WasmtimeServeDefaults => "wasmtime serve, defaults",
            Kind::BareHyper => "bare hyper",
            Kind::Node => "node",
            Kind::Deno => "deno",
            Kind::Bun => "bun",
            Kind::Workerd => "workerd",
        }
    }
}

/// A program that can be started as a server.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Program {
    pub(crate) kind: Kind,
    pub(crate) binary: PathBuf,
    /// What it says to `--version`.
    pub(crate) version: String,
    /// Arguments beside those that every measurement uses.
    pub(crate) more: Vec<String>,
}

/// With all of WASI, which a guest imports if the standard library of its language does.
const WASMTIME_SERVE: [&str; 2] = ["serve", "-Scli"];

/// node's own HTTP server with the answer of the guest `hello`.
const NODE_HELLO: &str = "const server = require('http').createServer((_, response) => {
    response.setHeader('content-type', 'text/plain; charset=utf-8');
    response.end('Hello from Wasmway!\\n');
}).listen(0, '127.0.0.1', () => console.log(`Serving HTTP on http://127.0.0.1:${server.address().port}/`));";

/// The same for deno and for bun.
const DENO_HELLO: &str = "Deno.serve({ hostname: '127.0.0.1', port: 0,
    onListen: ({ port }) => console.log(`Serving HTTP on http://127.0.0.1:${port}/`),
}, () => new Response('Hello from Wasmway!\\n', { headers: { 'content-type': 'text/plain; charset=utf-8' } }));";
const BUN_HELLO: &str = "const server = Bun.serve({ hostname: '127.0.0.1', port: 0,
    fetch: () => new Response('Hello from Wasmway!\\n', { headers: { 'content-type': 'text/plain; charset=utf-8' } }),
});
console.log(`Serving HTTP on http://127.0.0.1:${server.port}/`);";
/// And for workerd, with the configuration that it asks for.
const WORKERD_HELLO: &str = r#"using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [(name = "main", worker = .hello)],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const hello :Workerd.Worker = (
  modules = [(name = "hello", esModule = "export default { fetch() { return new Response('Hello from Wasmway!\\n', { headers: { 'content-type': 'text/plain; charset=utf-8' } }); } };")],
  compatibilityDate = "2026-01-01",
);
"#;

impl Program {
    pub(crate) fn new(kind: Kind, binary: &Path) -> Result<Self> {
        let output = Command::new(binary).arg("--version").output();
        let output = output.with_context(|| format!("cannot run {} --version", binary.display()))?;
        if !output.status.success() {
            bail!("{} --version: {}", binary.display(), output.status);
        }
        let version = String::from_utf8_lossy(&output.stdout);
        // Some name their parts below.
        let version = version.trim().lines().next().unwrap_or_default().to_owned();
        Ok(Self { kind, binary: binary.to_owned(), version, more: Vec::new() })
    }

    /// The same with an argument more.
    pub(crate) fn with(mut self, argument: &str) -> Self {
        self.more.push(argument.to_owned());
        self
    }

    /// The arguments of a measurement; where it keeps things and listens is added.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = self.settings();
        arguments.extend(self.more.iter().cloned());
        arguments
    }

    fn settings(&self) -> Vec<String> {
        match self.kind {
            Kind::Wasmway => vec!["up".into(), format!("--max-instances={SLOTS}"), "--max-requests=4096".into()],
            // Its fastest settings, with slots for as many requests as Wasmway has.
            Kind::WasmtimeServe => {
                let pool = [
                    "allocator=y".to_owned(),
                    "memory-keep-resident=1048576".into(),
                    "table-keep-resident=65536".into(),
                    "pagemap-scan=auto".into(),
                    format!("max-unused-warm-slots={SLOTS}"),
                    format!("total-component-instances={SLOTS}"),
                    format!("total-memories={SLOTS}"),
                    format!("total-stacks={SLOTS}"),
                    format!("total-core-instances={}", 8 * SLOTS),
                    format!("total-tables={}", 8 * SLOTS),
                ];
                let pool = pool.iter().map(|it| format!("-Opooling-{it}"));
                WASMTIME_SERVE.map(Into::into).into_iter().chain(pool).collect()
            }
            Kind::WasmtimeServeDefaults => WASMTIME_SERVE.map(Into::into).to_vec(),
            Kind::BareHyper => vec!["bare-hyper".into()],
            Kind::Node => vec!["-e".into(), NODE_HELLO.into()],
            Kind::Deno => vec!["eval".into(), DENO_HELLO.into()],
            Kind::Bun => vec!["-e".into(), BUN_HELLO.into()],
            // It says where it listens on the standard output.
            Kind::Workerd => vec!["serve".into(), "--control-fd=1".into()],
        }
    }
}

/// A server that runs. Ends with this value.
pub(crate) struct Server {
    child: Process,
    address: SocketAddr,
    control: Option<SocketAddr>,
    /// Its data, and what it printed.
    folder: TempDir,
    program: Program,
    component: PathBuf,
    placement: Placement,
    /// From its start as a process until it took requests.
    pub(crate) started_in: Duration,
}

/// Killed with this value: nothing is kept of it, so it need not end in order.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        stop(&mut self.0);
    }
}

/// Asks a server to end, and waits until it has.
async fn end(process: &mut Process) -> Result<()> {
    let pid = Pid::from_raw(process.0.id().cast_signed()).context("a process has a number")?;
    kill_process(pid, Signal::TERM)?;
    let ended = eventually(START, async || Ok(process.0.try_wait()?)).await?;
    ended.context("the server does not end").map(drop)
}

/// What a Wasmway process says of itself.
#[derive(Deserialize)]
struct RunFile {
    data: String,
    control: String,
}

impl Server {
    /// Starts `program` and waits until it takes requests. `wasmtime serve` holds `component`; on Wasmway nothing
    /// is deployed yet.
    pub(crate) async fn start(program: &Program, component: &Path, placement: Placement) -> Result<Self> {
        Self::start_in(tempfile::tempdir()?, program.clone(), component.to_owned(), placement).await
    }

    /// Ends it, and starts it again with what it has kept.
    pub(crate) async fn again(self) -> Result<Self> {
        let Self { mut child, folder, program, component, placement, .. } = self;
        end(&mut child).await?;
        Self::start_in(folder, program, component, placement).await
    }

    async fn start_in(folder: TempDir, program: Program, component: PathBuf, placement: Placement) -> Result<Self> {
        let (log, data) = (folder.path().join("log"), folder.path().join("data"));
        let printed = folder.path().join("printed");
        let mut command = Command::new(&program.binary);
        command.args(program.arguments()).stdout(File::create(&printed)?);
        command.stderr(File::create(&log)?);
        match program.kind {
            Kind::Wasmway => command
                .args(["--dev", "--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--log-format=json", "--data-dir"])
                .arg(&data),
            Kind::WasmtimeServe | Kind::WasmtimeServeDefaults => command.arg("--addr=127.0.0.1:0").arg(&component),
            Kind::Workerd => {
                let config = folder.path().join("hello.capnp");
                fs::write(&config, WORKERD_HELLO)?;
                command.arg(config)
            }
            Kind::BareHyper | Kind::Node | Kind::Deno | Kind::Bun => &mut command,
        };
        let began = Instant::now();
        let mut child = Process(placement.spawn_server(command)?);
        let (address, control) = match addresses(program.kind, &mut child.0, &data, [&log, &printed]).await {
            Ok(addresses) => addresses,
            Err(error) => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                return Err(error.context(format!("{} does not serve; it says: {said}", program.kind.name())));
            }
        };
        let started_in = began.elapsed();
        Ok(Self { child, address, control, folder, program, component, placement, started_in })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Wasmway's control plane.
    pub(crate) fn control(&self) -> Result<Control> {
        Ok(Control::new(self.control.with_context(|| format!("{} has no control plane", self.program.kind.name()))?))
    }

    /// The address of a path.
    pub(crate) fn at(&self, path: &str) -> Target {
        Target::get(self.address, path)
    }

    /// The address of `path` of the function `name`.
    pub(crate) fn function(&self, name: &str, path: &str) -> Target {
        Target::get(self.address, format!("/{name}{path}"))
    }

    /// The neighbour of this name, which on Wasmway is a function of its own.
    pub(crate) fn neighbour(&self, name: &str) -> Target {
        match self.program.kind {
            Kind::Wasmway => self.function(name, &format!("/{name}")),
            _ => Target::get(self.address, format!("/{name}")),
        }
    }
}

/// Nothing is kept of it, so it need not end in order.
pub(crate) fn stop(child: &mut Child) {
    // Gone already, as far as either fails.
    let _ = child.kill();
    let _ = child.wait();
}

/// Waits until the process says where it listens: data plane, control plane.
async fn addresses(
    kind: Kind,
    child: &mut Child,
    data: &Path,
    printed: [&Path; 2],
) -> Result<(SocketAddr, Option<SocketAddr>)> {
    let end = Instant::now() + START;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            bail!("it ended at its start: {status}");
        }
        let found = match kind {
            Kind::Wasmway => of_run_file(&data.join("run.json"))?,
            _ => of_printed(&(fs::read_to_string(printed[0])? + &fs::read_to_string(printed[1])?))?,
        };
        if let Some(found) = found {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("it does not within {START:?}")
}

pub(crate) fn of_run_file(path: &Path) -> Result<Option<(SocketAddr, Option<SocketAddr>)>> {
    // Written whole, after both listeners are there.
    let Ok(text) = fs::read(path) else { return Ok(None) };
    let run: RunFile = serde_json::from_slice(&text)?;
    Ok(Some((address(&run.data)?, Some(address(&run.control)?))))
}

fn of_printed(text: &str) -> Result<Option<(SocketAddr, Option<SocketAddr>)>> {
    let url = text.lines().find_map(|line| line.strip_prefix("Serving HTTP on "));
    let port = text.lines().find_map(|line| line.strip_prefix(r#"{"event":"listen","socket":"http","port":"#));
    let port = port.map(|rest| format!("127.0.0.1:{}", rest.trim_end_matches('}')));
    url.or(port.as_deref()).map(|url| Ok((address(url)?, None))).transpose()
}

fn address(url: &str) -> Result<SocketAddr> {
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    address.parse().with_context(|| format!("{url} is no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_where_a_server_listens_in_what_it_prints() {
        let printed = "warning: x\nServing HTTP on http://127.0.0.1:4242/\n";
        assert_eq!(of_printed(printed).unwrap(), Some(("127.0.0.1:4242".parse().unwrap(), None)));
        let of_workerd = "{\"event\":\"listen\",\"socket\":\"http\",\"port\":4242}\n";
        assert_eq!(of_printed(of_workerd).unwrap(), Some(("127.0.0.1:4242".parse().unwrap(), None)));
        assert_eq!(of_printed("").unwrap(), None);
    }
}
