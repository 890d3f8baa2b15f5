//! What a node with many functions costs: memory for each, and speed when each call may be another's.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use rand::Rng as _;
use rand::rngs::StdRng;
use serde::Serialize;
use tempfile::TempDir;

use crate::client::Target;
use crate::latency::{median, shown};
use crate::placement::Placement;
use crate::poller::{self, Mix};
use crate::report::{Verdict, print_verdicts, table, write_json};
use crate::server::Server;
use crate::{Bench, usage};

const CONNECTIONS: u32 = 32;
/// Of the throughput of a single function.
const RANDOM_MIN: f64 = 0.9;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Functions that are deployed
    #[arg(long, default_value_t = 1000)]
    functions: usize,
    /// Components that they are made of, each different from the others
    #[arg(long, default_value_t = 1000)]
    components: usize,
    /// Times that every kind of load is measured; they take turns
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 2)]
    seconds: u64,
}

#[derive(Serialize)]
struct Report {
    environment: crate::Environment,
    functions: usize,
    components: usize,
    deploy_ms: f64,
    /// Of a start with all of them deployed, until requests are taken.
    start_ms: f64,
    memory: Memory,
    loads: Vec<Load>,
    verdicts: Vec<Verdict>,
}

/// Resident bytes of the server.
#[derive(Serialize)]
struct Memory {
    empty: u64,
    /// All functions deployed, none of them called since the start.
    idle: u64,
    /// Each of them called.
    loaded: u64,
}

#[derive(Serialize)]
struct Load {
    name: &'static str,
    per_second: Vec<f64>,
    p99_us: Vec<f64>,
}

/// Measures, prints and writes; true when every goal was met.
pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<bool> {
    let Arguments { functions, components, .. } = *arguments;
    ensure!((1..=functions).contains(&components), "there are at least as many functions as components, and one");
    let environment = bench.environment()?;
    let mut server = Server::start(&bench.wasmway()?, &bench.guest("hello"), Placement::Apart).await?;
    let empty = usage::memory(server.pid())?;
    let deploy_ms = deploy(bench, &server, arguments).await?;
    server = server.again().await?;
    let start_ms = server.started_in.as_secs_f64() * 1e3;
    let idle = usage::memory(server.pid())?;
    let targets: Vec<_> = (0..functions).map(|number| server.function(&name(number), "/")).collect();
    poller::run(Mix::each_once(&targets), CONNECTIONS, Duration::MAX)?;
    let memory = Memory { empty, idle, loaded: usage::memory(server.pid())? };
    let loads = loads(&targets, arguments)?;
    let of_memory = |bytes: u64, of: usize| format!("{:.1} KiB each", bytes as f64 / 1024.0 / of as f64);
    println!("deploy to the end of its answer: {deploy_ms:.1} ms (median)");
    println!("start with {functions} functions: {start_ms:.0} ms");
    println!("idle: {}", of_memory(memory.idle.saturating_sub(memory.empty), functions));
    println!("loaded: {}", of_memory(memory.loaded.saturating_sub(memory.idle), components));
    print_table(&loads);
    let verdicts = verdicts(&loads);
    let met = print_verdicts(&verdicts);
    let report = Report { environment, functions, components, deploy_ms, start_ms, memory, loads, verdicts };
    write_json(&bench.json("functions"), &report)?;
    Ok(met)
}

fn name(number: usize) -> String {
    format!("f{number}")
}

/// Deploys them all; the time of one, in milliseconds.
async fn deploy(bench: &Bench, server: &Server, arguments: &Arguments) -> Result<f64> {
    let control = server.control()?;
    let folder = tempfile::tempdir()?;
    let files = components(bench, &folder, arguments.components)?;
    let mut times = Vec::new();
    for number in 0..arguments.functions {
        let file = &files[number % files.len()];
        let began = Instant::now();
        control.deploy(&name(number), file, "").await?;
        // What is compiled already is another matter.
        if number < files.len() {
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
        if (number + 1) % 1000 == 0 {
            println!("{} functions are deployed", number + 1);
        }
    }
    Ok(median(times))
}

/// Components that do what hello does, each with a custom section of its own.
fn components(bench: &Bench, folder: &TempDir, count: usize) -> Result<Vec<PathBuf>> {
    let hello = bench.guest("hello");
    let hello = std::fs::read(&hello)
        .with_context(|| format!("reading {}; build it by `cargo xtask guests`", hello.display()))?;
    let component = |number: usize| {
        // Section 0, its length, the length of its name, its name, its content.
        let section = [&[0, 10, 1, b'n'][..], &(number as u64).to_le_bytes()].concat();
        let path = folder.path().join(format!("{number}.wasm"));
        std::fs::write(&path, [&hello[..], &section].concat())?;
        Ok(path)
    };
    (0..count).map(component).collect()
}

fn loads(targets: &[Target], arguments: &Arguments) -> Result<Vec<Load>> {
    let load = |name| Load { name, per_second: Vec::new(), p99_us: Vec::new() };
    let mut loads = [load("one function"), load("all, at random"), load("all, by Zipf's law")];
    let shares = zipf(targets.len());
    for round in 1..=arguments.rounds {
        let mixes = [
            Mix::one(&targets[0]),
            Mix::random(targets, u64::from(round), |random| random.random_range(0..targets.len())),
            Mix::random(targets, u64::from(round), |random| drawn(&shares, random)),
        ];
        for (load, mix) in loads.iter_mut().zip(mixes) {
            let run = poller::run(mix, CONNECTIONS, Duration::from_secs(arguments.seconds))?;
            load.per_second.push(run.per_second);
            load.p99_us.push(run.p99_us);
        }
        println!("round {round} of {}", arguments.rounds);
    }
    Ok(loads.into())
}

/// The share of calls that go to the first function, to the first two, and so on, when the n-th is called a n-th as
/// often as the first.
fn zipf(count: usize) -> Vec<f64> {
    let mut sum = 0.0;
    let sums: Vec<f64> = (1..=count)
        .map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        })
        .collect();
    sums.iter().map(|part| part / sum).collect()
}

fn drawn(shares: &[f64], random: &mut StdRng) -> usize {
    let at: f64 = random.random();
    shares.partition_point(|share| *share < at).min(shares.len() - 1)
}

fn print_table(loads: &[Load]) {
    let one = median(loads[0].per_second.clone());
    let row = |load: &Load| {
        let per_second = median(load.per_second.clone());
        let share = format!("{:.2}", per_second / one);
        vec![load.name.to_owned(), format!("{per_second:.0}"), share, shown(median(load.p99_us.clone()))]
    };
    println!("{}", table(&["called", "requests/s", "of one's", "p99"], 1, loads.iter().map(row).collect()));
}

fn verdicts(loads: &[Load]) -> Vec<Verdict> {
    let ratios = loads[1].per_second.iter().zip(&loads[0].per_second).map(|(random, one)| random / one);
    let ratio = median(ratios.collect());
    vec![Verdict {
        goal: format!("called at random, at least {RANDOM_MIN} of what one function reaches"),
        seen: format!("{ratio:.2}"),
        met: ratio >= RANDOM_MIN,
    }]
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    #[test]
    fn by_zipfs_law_the_second_is_called_half_as_often_as_the_first() {
        let shares = zipf(3);
        assert!((shares[0] - 6.0 / 11.0).abs() < 1e-9 && (shares[1] - 9.0 / 11.0).abs() < 1e-9, "{shares:?}");
        let mut random = StdRng::seed_from_u64(1);
        let mut counts = [0; 3];
        (0..11_000).for_each(|_| counts[drawn(&shares, &mut random)] += 1);
        assert!((5800..6200).contains(&counts[0]) && (2800..3200).contains(&counts[1]), "{counts:?}");
    }
}
