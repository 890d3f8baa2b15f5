//! Attacks and normal load at once, for a while: what stays behind.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use clap::Args;
use serde::Serialize;

use crate::client::Target;
use crate::control::Control;
use crate::latency::shown;
use crate::load::{Generator, Plan};
use crate::placement::Placement;
use crate::pressure::{Ends, Pressing, Pressure};
use crate::report::{Verdict, print_verdicts, write_json};
use crate::server::{NEIGHBOURS, Server};
use crate::{Bench, eventually, usage};

/// Between two lines of the report.
const STEP: Duration = Duration::from_secs(10);
/// After this time memory is looked at for the first time.
const WARM_UP: Duration = Duration::from_secs(60);
/// From the end of the attacks until memory is looked at.
const REST: Duration = Duration::from_secs(5);
/// Longest time until the pool may be empty after the attacks.
const PATIENCE: Duration = Duration::from_secs(60);
/// Memory at the end, over that after the warm-up.
const GROWTH_MAX: f64 = 1.05;
/// Clients of the normal load.
const CONNECTIONS: usize = 16;
/// For the first half of the warm-up clients of the attacks are many and impatient, so that what is kept of the latest
/// calls of each function is full by its end.
const IMPATIENT: (usize, Duration) = (48, Duration::from_millis(100));
/// Clients of the attacks. One goes away from a request that takes longer than its patience.
const ATTACKERS: usize = 16;
const ATTACKERS_PATIENCE: Duration = Duration::from_secs(3);
/// Bytes of a body that is sent to a function, whether it wants one or not.
const BODY_BYTES: usize = 64 << 10;
/// What an attacking function may use: little, so that all of them reach their limits.
const LIMITS: &str = "[limits]\nmemory = \"64MiB\"\ncpu = \"200ms\"\ntimeout = \"2s\"\nconcurrency = 32\n\
                      request_body = \"128KiB\"\nresponse_body = \"8MiB\"\n";
/// Lines of output that the server keeps of each function: so few that they are full before memory is first looked at.
const LOG_LINES: &str = "--log-lines=100";
const POOL: &str = "wasmway_pool_slots_used";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Minutes of it; the first is the warm-up
    #[arg(long, default_value_t = 10)]
    minutes: u32,
    /// Normal requests a second
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
}

#[derive(Serialize)]
struct Report {
    environment: crate::Environment,
    attacks: Vec<String>,
    steps: Vec<Step>,
    ends: Ends,
    memory_warm: u64,
    memory_end: u64,
    verdicts: Vec<Verdict>,
}

#[derive(Serialize)]
struct Step {
    after_s: u64,
    memory: u64,
    slots: f64,
    answered: usize,
    failed: usize,
    p99_us: f64,
}

/// The server, its normal load and its attackers.
struct Soak {
    server: Server,
    control: Control,
    generator: Generator,
    attacks: Vec<Target>,
    rate: f64,
    start: Instant,
    steps: Vec<Step>,
    ends: Ends,
}

/// Measures, prints and writes; true when every goal was met.
pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<bool> {
    ensure!(arguments.minutes > 1, "--minutes must be 2 at least: the first is the warm-up");
    let environment = bench.environment()?;
    let mut soak = Soak::start(bench, arguments.rate).await?;
    soak.attack_until(WARM_UP / 2, IMPATIENT).await?;
    soak.attack_until(WARM_UP, (ATTACKERS, ATTACKERS_PATIENCE)).await?;
    let memory_warm = soak.at_rest().await?;
    let end = Duration::from_secs(60 * u64::from(arguments.minutes));
    soak.attack_until(end, (ATTACKERS, ATTACKERS_PATIENCE)).await?;
    let memory_end = soak.at_rest().await?;
    let verdicts = soak.verdicts(memory_warm, memory_end).await?;
    println!("the attackers' requests: {:?}", soak.ends);
    let met = print_verdicts(&verdicts);
    let attacks = soak.attacks.iter().map(|target| target.path.clone()).collect();
    let Soak { steps, ends, .. } = soak;
    let report = Report { environment, attacks, steps, ends, memory_warm, memory_end, verdicts };
    write_json(&bench.json("soak"), &report)?;
    Ok(met)
}

impl Soak {
    async fn start(bench: &Bench, rate: f64) -> Result<Self> {
        let server =
            Server::start(&bench.wasmway()?.with(LOG_LINES), &bench.guest(NEIGHBOURS), Placement::Together).await?;
        let control = server.control()?;
        control.deploy("normal", &bench.guest(NEIGHBOURS), "").await?;
        let mut attacks = Vec::new();
        for guest in guests(bench)? {
            let name = guest.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if let Err(error) = control.deploy(&name, &guest, LIMITS).await {
                println!("not among the attacks: {error:#}");
                continue;
            }
            let plain = server.function(&name, attack_path(&name));
            let body = Some(Bytes::from(vec![b'x'; BODY_BYTES]));
            attacks.extend([plain.clone(), Target { body, ..plain }]);
        }
        ensure!(!attacks.is_empty(), "no attack can be deployed");
        println!("{} attacks, {ATTACKERS} at once", attacks.len());
        let generator = Generator::new(server.function("normal", "/hello"), CONNECTIONS);
        let (steps, ends) = (Vec::new(), Ends::new());
        Ok(Self { server, control, generator, attacks, rate, start: Instant::now(), steps, ends })
    }

    /// Attacks and calls normally until this time has passed since the start.
    async fn attack_until(&mut self, time: Duration, (in_flight, patience): (usize, Duration)) -> Result<()> {
        let pressure = Pressure::start(Pressing { targets: self.attacks.clone(), in_flight, patience }).await?;
        while self.start.elapsed() < time {
            let seed = self.steps.len() as u64;
            let outcome = self.generator.run(Plan { rate: self.rate, time: STEP, seed }).await?;
            let step = Step {
                after_s: self.start.elapsed().as_secs(),
                memory: usage::memory(self.server.pid())?,
                slots: self.control.metric(POOL, "").await?,
                answered: outcome.answered,
                failed: outcome.failed(),
                p99_us: outcome.latency.p99_us,
            };
            println!(
                "{:5} s  {:6.1} MiB  {:3} slots  normal: {} answered, {} failed, p99 {}",
                step.after_s,
                mib(step.memory),
                step.slots,
                step.answered,
                step.failed,
                shown(step.p99_us),
            );
            if !outcome.errors.is_empty() {
                println!("         {:?}", outcome.errors);
            }
            self.steps.push(step);
        }
        for (end, count) in pressure.stop()? {
            *self.ends.entry(end).or_default() += count;
        }
        Ok(())
    }

    /// Bytes of memory when nothing runs.
    async fn at_rest(&self) -> Result<u64> {
        // Where the pool does not become empty, the end says so.
        eventually(PATIENCE, async || Ok((self.control.metric(POOL, "").await? == 0.0).then_some(()))).await?;
        tokio::time::sleep(REST).await;
        let memory = usage::memory(self.server.pid())?;
        println!("at rest: {:.1} MiB", mib(memory));
        Ok(memory)
    }

    async fn verdicts(&self, memory_warm: u64, memory_end: u64) -> Result<Vec<Verdict>> {
        let growth = memory_end as f64 / memory_warm as f64;
        let slots = self.control.metric(POOL, "").await?;
        let failed: usize = self.steps.iter().map(|step| step.failed).sum();
        let answered: usize = self.steps.iter().map(|step| step.answered).sum();
        Ok(vec![
            Verdict {
                goal: "memory at the end within 5% of that after the first minute".into(),
                seen: format!("{:.1} MiB after {:.1} MiB", mib(memory_end), mib(memory_warm)),
                met: growth <= GROWTH_MAX,
            },
            Verdict {
                goal: "no slot of the pool stays taken".into(),
                seen: format!("{slots} are taken"),
                met: slots == 0.0,
            },
            Verdict {
                goal: "no normal request fails".into(),
                seen: format!("{failed} failed, {answered} were answered"),
                met: failed == 0 && answered > 0,
            },
        ])
    }
}

/// Every component of the guests' folder: those that behave take part too.
fn guests(bench: &Bench) -> Result<Vec<PathBuf>> {
    let folder = &bench.guests;
    let entries = std::fs::read_dir(folder);
    let entries = entries.with_context(|| format!("reading {}; `cargo xtask guests` makes it", folder.display()))?;
    let mut guests = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    guests.retain(|path| path.extension().is_some_and(|it| it == "wasm"));
    guests.sort();
    Ok(guests)
}

/// What to ask a guest for that does several things.
fn attack_path(guest: &str) -> &'static str {
    match guest {
        "sleep" => "/600000",
        NEIGHBOURS => "/churn",
        _ => "/",
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
