//! How functions share the CPU when both want all of it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::client::{Connection, Target};
use crate::control::Control;
use crate::placement::{Placement, processors};
use crate::report::{Verdict, print_verdicts, table, write_json};
use crate::server::{NEIGHBOURS, Program, Server};
use crate::{Bench, eventually};

/// Away from the share that is due, in parts of the whole.
const TOLERANCE: f64 = 0.05;
/// From the last answer until all of it is accounted for.
const PATIENCE: Duration = Duration::from_secs(30);
const ACCOUNTED: &str = "wasmway_invocation_cpu_seconds_sum";
const ENDED: &str = "wasmway_invocation_cpu_seconds_count";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Seconds that both functions spin
    #[arg(long, default_value_t = 5)]
    seconds: u32,
}

/// Two functions: how many requests each has open, and the weight of it or of its namespace.
#[derive(Clone, Copy)]
struct Case {
    name: &'static str,
    functions: [&'static str; 2],
    open: [usize; 2],
    weight: [u32; 2],
}

const OF_ONE_NAMESPACE: [&str; 2] = ["first", "second"];
const OF_TWO_NAMESPACES: [&str; 2] = ["first.small", "second.large"];

const CASES: &[Case] = &[
    Case { name: "1 request and 100", functions: OF_ONE_NAMESPACE, open: [1, 100], weight: [100, 100] },
    Case { name: "100 requests each", functions: OF_ONE_NAMESPACE, open: [100, 100], weight: [100, 100] },
    Case { name: "weights 100 and 300", functions: OF_ONE_NAMESPACE, open: [100, 100], weight: [100, 300] },
    Case {
        name: "namespaces of weights 100 and 300",
        functions: OF_TWO_NAMESPACES,
        open: [100, 20],
        weight: [100, 300],
    },
];

#[derive(Serialize)]
struct Report {
    environment: crate::Environment,
    shared: Vec<Shared>,
    verdicts: Vec<Verdict>,
}

#[derive(Serialize)]
struct Shared {
    case: &'static str,
    /// CPU time that the server accounts for, in seconds, of both.
    cpu_s: [f64; 2],
    /// CPU time that there was.
    available_s: f64,
    /// Of the first.
    due: f64,
    share: f64,
}

/// Measures, prints and writes; true when every goal was met.
pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<bool> {
    ensure!((1..=300).contains(&arguments.seconds), "--seconds is from 1 to 300");
    let environment = bench.environment()?;
    let program = bench.wasmway()?;
    let mut shared = Vec::new();
    for case in CASES {
        shared.push(measure(bench, &program, *case, arguments.seconds).await?);
    }
    let rows = shared.iter().map(|it| {
        let used = format!("{:.0}%", 100.0 * (it.cpu_s[0] + it.cpu_s[1]) / it.available_s);
        let times = it.cpu_s.map(|cpu| format!("{cpu:.2} s"));
        let shares = [it.share, it.due].map(|share| format!("{:.1}%", 100.0 * share));
        [it.case.to_owned()].into_iter().chain(times).chain([used]).chain(shares).collect()
    });
    let header = ["case", "CPU of the first", "of the second", "of the machine", "share of the first", "due"];
    println!("{}", table(&header, 1, rows.collect()));
    let verdicts: Vec<_> = shared.iter().map(verdict).collect();
    let met = print_verdicts(&verdicts);
    write_json(&bench.json("shares"), &Report { environment, shared, verdicts })?;
    Ok(met)
}

async fn measure(bench: &Bench, program: &Program, case: Case, seconds: u32) -> Result<Shared> {
    let component = bench.guest(NEIGHBOURS);
    let server = Server::start(program, &component, Placement::Together).await?;
    let control = server.control()?;
    let names = case.functions;
    let mut clients = Vec::new();
    for ((name, open), weight) in names.into_iter().zip(case.open).zip(case.weight) {
        let of_namespace = name.split_once('.').map(|(_, namespace)| namespace);
        if let Some(namespace) = of_namespace {
            control.weigh(namespace, weight).await?;
        }
        let weight = if of_namespace.is_some() { 100 } else { weight };
        // Their deadline ends them, all at nearly one moment, since they begin at one.
        let manifest =
            format!("[limits]\ncpu = \"5m\"\ntimeout = \"{seconds}s\"\nconcurrency = {open}\ncpu_weight = {weight}\n");
        control.deploy(name, &component, &manifest).await?;
        for _ in 0..open {
            clients.push((ready(&server.function(name, "/hello")).await?, server.function(name, "/loop")));
        }
    }
    let mut before = [0.0; 2];
    for (before, (name, open)) in before.iter_mut().zip(names.into_iter().zip(case.open)) {
        *before = accounted(&control, name, open).await?;
    }
    let calls: Vec<_> =
        clients.into_iter().map(|(connection, target)| tokio::spawn(spin(connection, target))).collect();
    for call in calls {
        call.await.context("a client failed")??;
    }
    let mut cpu_s = [0.0; 2];
    for index in 0..2 {
        cpu_s[index] = accounted(&control, names[index], 2 * case.open[index]).await? - before[index];
    }
    let weights = case.weight.map(f64::from);
    Ok(Shared {
        case: case.name,
        cpu_s,
        available_s: f64::from(seconds) * processors()?.len() as f64,
        due: weights[0] / (weights[0] + weights[1]),
        share: cpu_s[0] / (cpu_s[0] + cpu_s[1]).max(f64::MIN_POSITIVE),
    })
}

/// A connection that is open.
async fn ready(target: &Target) -> Result<Connection> {
    let mut connection = Connection::default();
    let status = connection.call(target).await?;
    ensure!(status == 200, "{} answers {status}", target.path);
    Ok(connection)
}

async fn spin(mut connection: Connection, target: Target) -> Result<()> {
    let status = connection.call(&target).await?;
    ensure!(status == 504, "{} answers {status} where its deadline should end it", target.path);
    Ok(())
}

/// CPU seconds of a function, when as many of its calls as this are over.
async fn accounted(control: &Control, name: &str, calls: usize) -> Result<f64> {
    let label = format!("function=\"{}\"", name.split('.').next().unwrap_or(name));
    let settled = async || Ok((control.metric(ENDED, &label).await? >= calls as f64).then_some(()));
    eventually(PATIENCE, settled).await?.with_context(|| format!("{name}: {calls} calls should be over"))?;
    control.metric(ACCOUNTED, &label).await
}

fn verdict(shared: &Shared) -> Verdict {
    Verdict {
        goal: format!("{}: the first gets {:.0}% of the CPU, give or take 5", shared.case, 100.0 * shared.due),
        seen: format!("{:.1}%", 100.0 * shared.share),
        met: (shared.share - shared.due).abs() <= TOLERANCE,
    }
}
