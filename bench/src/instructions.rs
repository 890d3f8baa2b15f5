//! Instructions that a request takes: the figure that a noisy machine moves least. Counted by callgrind.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::client::{Connection, Target};
use crate::latency::median;
use crate::report::{Verdict, print_verdicts, write_json};
use crate::server::{self, Program};
use crate::{Bench, eventually};

/// Before anything is counted: the program is loaded, its slot is warm.
const WARM_UP: u32 = 100;
/// A server on an emulated processor takes its time to start.
const START: Duration = Duration::from_secs(120);
/// What the processor that callgrind emulates can run, and a pool that it has room for.
const SETTINGS: &[&str] = &["--target-cpu=baseline", "--max-instances=4", "--memory-pressure=0"];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Requests that are counted, one after the other
    #[arg(long, default_value_t = 500)]
    requests: u32,
    /// Times that it is counted; the median is what counts
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// The guest that is called
    #[arg(long, default_value = "hello")]
    guest: String,
    /// How many it took before, by guest, as JSON: more than 3% above it fails
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
}

/// Requests that may be taken for long ones, as a share, in a round that counts.
const DEMOTED_MAX: f64 = 0.05;
/// Tries for each round that is asked for.
const TRIES: u32 = 5;
/// Growth over the baseline that is let pass: other processors and libraries move the count by less.
const TOLERANCE: f64 = 0.03;

#[derive(Serialize)]
struct Report {
    guest: String,
    server: Program,
    rounds: Vec<f64>,
    instructions: f64,
    verdicts: Vec<Verdict>,
}

/// Counts, prints and writes.
pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<bool> {
    let server = bench.wasmway()?;
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds * TRIES {
        match count(bench, arguments, &server).await? {
            Some(count) => {
                rounds.push(count);
                println!("round {}: {count:.0} instructions a request", rounds.len());
            }
            None => println!("once more: requests were so slow that they were taken for long ones"),
        }
        if rounds.len() == arguments.rounds as usize {
            break;
        }
    }
    if rounds.is_empty() {
        let why = "in every try requests were taken for long ones: the machine is too busy, or too slow, to count";
        ensure!(arguments.baseline.is_some(), why);
        // No finding: it says nothing about the code.
        println!("WARNING: INSTRUCTIONS WERE NOT COUNTED: {why}");
        return Ok(true);
    }
    let instructions = median(rounds.clone());
    println!("{}: {instructions:.0} instructions a request, of this process, without the kernel", arguments.guest);
    let verdicts = match &arguments.baseline {
        // The least: what others do to the machine only adds, since clocks tick while the emulator waits.
        Some(baseline) => {
            let least = rounds.iter().copied().fold(f64::INFINITY, f64::min);
            vec![verdict(&arguments.guest, least, baseline)?]
        }
        None => Vec::new(),
    };
    let met = print_verdicts(&verdicts);
    let guest = arguments.guest.clone();
    write_json(&bench.json("instructions"), &Report { guest, server, rounds, instructions, verdicts })?;
    Ok(met)
}

fn verdict(guest: &str, instructions: f64, baseline: &Path) -> Result<Verdict> {
    let text = fs::read(baseline).with_context(|| format!("reading {}", baseline.display()))?;
    let counts: BTreeMap<String, f64> = serde_json::from_slice(&text)?;
    let before = counts.get(guest).with_context(|| format!("{} says nothing of {guest}", baseline.display()))?;
    let seen = format!("{:+.1}%", 100.0 * (instructions / before - 1.0));
    if instructions < before * (1.0 - TOLERANCE) {
        println!("it has become less: write {instructions:.0} to {}, so that it stays so", baseline.display());
    }
    Ok(Verdict {
        goal: format!("at most {:.0}% more instructions than {before:.0}", 100.0 * TOLERANCE),
        seen,
        met: instructions <= before * (1.0 + TOLERANCE),
    })
}

/// `None` when the emulator was so slow that requests were taken for long ones, which go another way.
async fn count(bench: &Bench, arguments: &Arguments, program: &Program) -> Result<Option<f64>> {
    let folder = tempfile::tempdir()?;
    deploy(bench, arguments, program, folder.path()).await?;
    let counts = folder.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--instr-atstart=no"]).arg(format!("--callgrind-out-file={}", counts.display()));
    let mut counted = Counted(up(command.arg(&program.binary), folder.path())?);
    let address = address(&mut counted.0, folder.path(), START).await?;
    let target = Target::get(address, "/counted/");
    let mut client = Connection::default();
    call(&mut client, &target, WARM_UP).await?;
    counted.control(&["-i", "on"])?;
    call(&mut client, &target, arguments.requests).await?;
    counted.control(&["-i", "off"])?;
    counted.control(&["-d"])?;
    let control = server::of_run_file(&folder.path().join("run.json"))?.and_then(|(_, control)| control);
    let control = crate::control::Control::new(control.context("it does not say where its control plane is")?);
    let demoted = control.metric("wasmway_demotions_total", "").await?;
    let dump = eventually(Duration::from_secs(10), async || dumped(&counts)).await?;
    let total = dump.context("callgrind has written nothing")?;
    let each = total as f64 / f64::from(arguments.requests);
    Ok((demoted <= f64::from(arguments.requests) * DEMOTED_MAX).then_some(each))
}

/// Deploys by a server that runs as it is: a compiler on an emulated processor would take minutes.
async fn deploy(bench: &Bench, arguments: &Arguments, program: &Program, folder: &Path) -> Result<()> {
    let mut native = Counted(up(&mut Command::new(&program.binary), folder)?);
    address(&mut native.0, folder, START).await?;
    let control = server::of_run_file(&folder.join("run.json"))?.and_then(|(_, control)| control);
    let control = crate::control::Control::new(control.context("it does not say where its control plane is")?);
    control.deploy("counted", &bench.guest(&arguments.guest), "").await?;
    drop(native);
    // So that the next one's is not taken for this one's.
    fs::remove_file(folder.join("run.json")).context("removing run.json")
}

/// Large copies and fills go by vectors, and not by the one instruction that callgrind counts anew for each byte.
const NO_BYTE_BY_BYTE: &str =
    "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000";

fn up(command: &mut Command, folder: &Path) -> Result<Child> {
    command.env("GLIBC_TUNABLES", NO_BYTE_BY_BYTE);
    command.args(["up", "--dev", "--listen=127.0.0.1:0", "--control=127.0.0.1:0", "--log-format=json"]).args(SETTINGS);
    command.arg("--data-dir").arg(folder).stdout(Stdio::null()).stderr(fs::File::create(folder.join("log"))?);
    command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
}

async fn address(child: &mut Child, folder: &Path, limit: Duration) -> Result<SocketAddr> {
    let said = || fs::read_to_string(folder.join("log")).unwrap_or_default();
    let found = eventually(limit, async || {
        ensure!(child.try_wait()?.is_none(), "it ended at its start; it says: {}", said());
        server::of_run_file(&folder.join("run.json"))
    });
    Ok(found.await?.with_context(|| format!("it does not start; it says: {}", said()))?.0)
}

async fn call(client: &mut Connection, target: &Target, times: u32) -> Result<()> {
    for _ in 0..times {
        let status = client.call(target).await?;
        ensure!(status == hyper::StatusCode::OK, "the answer was {status}");
    }
    Ok(())
}

/// A server that ends with this value.
struct Counted(Child);

impl Counted {
    fn control(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("callgrind_control");
        command.args(arguments).arg(self.0.id().to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = command.status().context("cannot run callgrind_control; Debian's package `valgrind` has it")?;
        ensure!(status.success(), "callgrind_control {arguments:?}: {status}");
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        server::stop(&mut self.0);
    }
}

/// The sum in the file that callgrind writes when it is told to; `None` before it has.
fn dumped(counts: &Path) -> Result<Option<u64>> {
    let first = PathBuf::from(format!("{}.1", counts.display()));
    let Ok(text) = fs::read_to_string(first) else { return Ok(None) };
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    total.map(|total| total.trim().parse().context("a sum that is no number")).transpose()
}
