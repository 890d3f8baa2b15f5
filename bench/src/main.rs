//! Measurements of what the platform promises about neighbours and limits, each by one command. See README.md.

mod bare_hyper;
mod busy;
mod case;
mod chart;
mod client;
mod closed_loop;
mod control;
mod functions;
mod instructions;
mod latency;
mod limits;
mod load;
mod noisy_neighbour;
mod outbound;
mod placement;
mod poller;
mod pressure;
mod report;
mod server;
mod shares;
mod soak;
mod speed;
mod starts;
mod usage;
mod watched;
mod wrk;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use serde::Serialize;

use crate::placement::Placement;
use crate::server::{Kind, Program};

/// The load average of a machine that does nothing else.
const QUIET: f64 = 0.5;

/// Measures a Wasmway server from outside
#[derive(Debug, Parser)]
#[command(name = "wasmway-bench", version)]
struct Arguments {
    #[command(flatten)]
    bench: Bench,
    #[command(subcommand)]
    measurement: Measurement,
}

/// What all measurements have in common.
#[derive(Debug, clap::Args)]
pub(crate) struct Bench {
    /// The wasmway to measure
    #[arg(long, global = true, value_name = "PATH", default_value_os_t = in_target("release/wasmway"))]
    server_binary: PathBuf,
    /// The folder of built guests
    #[arg(long, global = true, value_name = "DIR", default_value_os_t = in_target("guests"))]
    guests: PathBuf,
    /// Where the JSON with all figures goes [default: target/bench-MEASUREMENT.json]
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Measurement {
    /// hello's latency alone and beside neighbours that spin, churn memory and flood
    NoisyNeighbour(noisy_neighbour::Arguments),
    /// How exactly the limits on CPU time and wall-clock time are kept
    Limits,
    /// How two functions that spin share the CPU
    Shares(shares::Arguments),
    /// Requests a second and CPU time a request, beside other servers
    Speed(speed::Arguments),
    /// Instructions that a request takes, by callgrind
    Instructions(instructions::Arguments),
    /// Memory and speed of a node with many functions
    Functions(functions::Arguments),
    /// Time to the first answer after a deploy, and of calls of functions that are not in memory
    Starts(starts::Arguments),
    /// Calls of a function that calls a server, at a steady rate
    Outbound(outbound::Arguments),
    /// Requests a second while the dashboard is open and Prometheus scrapes, over those without
    Watched(watched::Arguments),
    /// A server that is hyper and nothing else, for `speed` to compare with
    #[command(hide = true)]
    BareHyper,
    /// What keeps processors busy while `noisy-neighbour` measures without a neighbour
    #[command(hide = true)]
    Busy,
    /// Attacks and normal load for a while: no leak, no stuck slot, no failed request
    Soak(soak::Arguments),
}

/// Where it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Environment {
    processors: usize,
    kernel: String,
    /// Threads that wanted to run over the minute before: what others did to the figures.
    load_average: f64,
}

impl Environment {
    /// In a few words.
    fn described(&self, placement: Placement) -> String {
        let server = match placement {
            Placement::Apart => format!("server on {} of {} processors", (self.processors / 2).max(1), self.processors),
            Placement::Together => format!("server and load on {} processors", self.processors),
        };
        format!("{server}, Linux {}", self.kernel)
    }
}

impl Bench {
    pub(crate) fn wasmway(&self) -> Result<Program> {
        Program::new(Kind::Wasmway, &self.server_binary)
    }

    /// The component of a guest.
    pub(crate) fn guest(&self, name: &str) -> PathBuf {
        self.guests.join(name).with_extension("wasm")
    }

    /// The component of an example, which `cargo xtask examples` builds.
    pub(crate) fn example(&self, name: &str) -> PathBuf {
        in_target("examples").join(name).with_extension("wasm")
    }

    pub(crate) fn json(&self, measurement: &str) -> PathBuf {
        self.json.clone().unwrap_or_else(|| in_target(&format!("bench-{measurement}.json")))
    }

    /// Says where it is measured; asked for before anything is.
    pub(crate) fn environment(&self) -> Result<Environment> {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").context("reading the kernel's version")?;
        let load = fs::read_to_string("/proc/loadavg").context("reading the load average")?;
        let load_average = load.split(' ').next().unwrap_or_default().parse().context("reading the load average")?;
        let environment =
            Environment { processors: placement::processors()?.len(), kernel: kernel.trim().to_owned(), load_average };
        println!("{environment:?}");
        if load_average > QUIET {
            println!("NOT QUIET: other programs keep this machine busy, and the figures will say so");
        }
        Ok(environment)
    }
}

/// A path in `target/` of this repository.
fn in_target(path: &str) -> PathBuf {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    bench.parent().unwrap_or(bench).join("target").join(path)
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// True when every goal was met.
fn run(arguments: &Arguments) -> Result<bool> {
    raise_file_limit()?;
    let bench = &arguments.bench;
    // Counted before any of them is left.
    placement::processors()?;
    match &arguments.measurement {
        Measurement::NoisyNeighbour(arguments) => arguments.placement.move_load()?,
        Measurement::Speed(arguments) => arguments.placement.move_load()?,
        Measurement::Functions(_) | Measurement::Outbound(_) | Measurement::Watched(_) => {
            Placement::Apart.move_load()?
        }
        Measurement::BareHyper => return bare_hyper::run().map(|()| true),
        Measurement::Busy => return busy::run().map(|()| true),
        Measurement::Limits
        | Measurement::Shares(_)
        | Measurement::Soak(_)
        | Measurement::Starts(_)
        | Measurement::Instructions(_) => {}
    }
    // One thread: the load of one connection must not wait for another thread to be woken.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match &arguments.measurement {
        Measurement::NoisyNeighbour(arguments) => runtime.block_on(noisy_neighbour::run(bench, arguments)),
        Measurement::Speed(arguments) => runtime.block_on(speed::run(bench, arguments)),
        Measurement::Instructions(arguments) => runtime.block_on(instructions::run(bench, arguments)),
        Measurement::Functions(arguments) => runtime.block_on(functions::run(bench, arguments)),
        Measurement::Starts(arguments) => runtime.block_on(starts::run(bench, arguments)),
        Measurement::Outbound(arguments) => runtime.block_on(outbound::run(bench, arguments)),
        Measurement::Watched(arguments) => runtime.block_on(watched::run(bench, arguments)),
        Measurement::BareHyper | Measurement::Busy => unreachable!("done above"),
        Measurement::Limits => runtime.block_on(limits::run(bench)),
        Measurement::Shares(arguments) => runtime.block_on(shares::run(bench, arguments)),
        Measurement::Soak(arguments) => runtime.block_on(soak::run(bench, arguments)),
    }
}

/// A connection is a file, here and in the server, which inherits the limit.
fn raise_file_limit() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).context("cannot raise the limit of open files")
}

/// Asks again and again until there is an answer; `None` when there is none within `limit`.
pub(crate) async fn eventually<T>(
    limit: Duration,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let end = Instant::now() + limit;
    loop {
        let answer = ask().await?;
        if answer.is_some() || Instant::now() > end {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
