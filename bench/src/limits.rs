//! How exactly limits are kept while many requests want to go over them.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde::Serialize;

use crate::client::{Connection, Target};
use crate::control::{Control, Invocation};
use crate::latency::{Summary, shown};
use crate::placement::Placement;
use crate::pressure::{Pressing, Pressure};
use crate::report::{Verdict, print_verdicts, table, write_json};
use crate::server::{NEIGHBOURS, Server};
use crate::{Bench, eventually};

const CPU_BUDGET: Duration = Duration::from_millis(100);
const CPU_SPINNERS: usize = 32;
/// Over the budget, as a share of it.
const CPU_TOLERANCE: f64 = 0.2;
/// As many calls as the server remembers of a function.
const CPU_CALLS: usize = 200;
/// Longest time for them.
const PATIENCE: Duration = Duration::from_secs(300);

const TIMEOUT: Duration = Duration::from_millis(500);
const TIMEOUT_TOLERANCE: Duration = Duration::from_millis(20);
/// Calls, one after the other, on each connection.
const TIMEOUT_CALLS: usize = 5;

/// Requests that only their deadline ends.
struct Overdue {
    name: &'static str,
    guest: &'static str,
    path: &'static str,
    in_flight: usize,
}

const OVERDUE: &[Overdue] = &[
    Overdue { name: "8 spinning", guest: NEIGHBOURS, path: "/loop", in_flight: 8 },
    Overdue { name: "32 spinning", guest: NEIGHBOURS, path: "/loop", in_flight: 32 },
    Overdue { name: "100 sleeping", guest: "sleep", path: "/600000", in_flight: 100 },
];

#[derive(Serialize)]
struct Report {
    environment: crate::Environment,
    /// What went beyond each limit.
    over: Vec<Over>,
    verdicts: Vec<Verdict>,
}

#[derive(Serialize)]
struct Over {
    limit: &'static str,
    requests: &'static str,
    measured_by: &'static str,
    over: Summary,
}

/// Measures, prints and writes; true when every goal was met.
pub(crate) async fn run(bench: &Bench) -> Result<bool> {
    let environment = bench.environment()?;
    let server = Server::start(&bench.wasmway()?, &bench.guest(NEIGHBOURS), Placement::Together).await?;
    let mut over = vec![cpu(bench, &server).await?];
    for overdue in OVERDUE {
        over.extend(wall(bench, &server, overdue).await?);
    }
    print_table(&over);
    let verdicts: Vec<_> = over.iter().map(verdict).collect();
    let met = print_verdicts(&verdicts);
    write_json(&bench.json("limits"), &Report { environment, over, verdicts })?;
    Ok(met)
}

async fn cpu(bench: &Bench, server: &Server) -> Result<Over> {
    let control = server.control()?;
    let manifest = format!("[limits]\ncpu = \"{}ms\"\ntimeout = \"10m\"\n", CPU_BUDGET.as_millis());
    control.deploy("budget", &bench.guest(NEIGHBOURS), &manifest).await?;
    let targets = vec![server.function("budget", "/loop")];
    let pressure = Pressure::start(Pressing { targets, in_flight: CPU_SPINNERS, patience: Duration::MAX }).await?;
    let calls = ended(&control, "budget", "cpu-limit", CPU_CALLS).await?;
    let ends = pressure.stop()?;
    println!("CPU budget of {CPU_BUDGET:?}: {ends:?}");
    let over = calls.iter().map(|call| Duration::from_micros(call.cpu_us).saturating_sub(CPU_BUDGET));
    Ok(Over { limit: "cpu", requests: "32 spinning", measured_by: "server", over: Summary::of(over.collect()) })
}

/// The calls of a function that have ended so, when there are as many.
async fn ended(control: &Control, name: &str, outcome: &str, count: usize) -> Result<Vec<Invocation>> {
    let of_outcome = async || {
        let mut calls = control.invocations(name).await?;
        calls.retain(|call| call.outcome == outcome);
        Ok((calls.len() >= count).then_some(calls))
    };
    eventually(PATIENCE, of_outcome).await?.with_context(|| format!("no {count} calls of {name} end by {outcome}"))
}

async fn wall(bench: &Bench, server: &Server, overdue: &Overdue) -> Result<[Over; 2]> {
    let control = server.control()?;
    let name = overdue.name.replace(' ', "-");
    let name = format!("n{name}");
    let manifest = format!("[limits]\ncpu = \"5m\"\ntimeout = \"{}ms\"\n", TIMEOUT.as_millis());
    control.deploy(&name, &bench.guest(overdue.guest), &manifest).await?;
    // Answered at once: opens the connection, and the program is loaded.
    let (first, target) = (server.function(&name, "/0"), server.function(&name, overdue.path));
    let clients: Vec<_> =
        (0..overdue.in_flight).map(|_| tokio::spawn(overshoots(first.clone(), target.clone()))).collect();
    let mut seen = Vec::new();
    for client in clients {
        seen.extend(client.await.context("a client failed")??);
    }
    let count = (overdue.in_flight * TIMEOUT_CALLS).min(CPU_CALLS);
    let calls = ended(&control, &name, "timeout", count).await?;
    let counted = calls.iter().map(|call| Duration::from_micros(call.wall_us).saturating_sub(TIMEOUT)).collect();
    let over = |measured_by, over| Over { limit: "timeout", requests: overdue.name, measured_by, over };
    Ok([over("client", Summary::of(seen)), over("server", Summary::of(counted))])
}

/// How much later than its deadline each call was over.
async fn overshoots(first: Target, target: Target) -> Result<Vec<Duration>> {
    let mut connection = Connection::default();
    connection.call(&first).await?;
    let mut seen = Vec::new();
    for _ in 0..TIMEOUT_CALLS {
        let start = Instant::now();
        let status = connection.call(&target).await?;
        seen.push(start.elapsed().saturating_sub(TIMEOUT));
        ensure!(status == 504, "{} answers {status} where its deadline should end it", target.path);
    }
    Ok(seen)
}

fn print_table(over: &[Over]) {
    let rows = over.iter().map(|Over { limit, requests, measured_by, over }| {
        let times = [over.p50_us, over.p90_us, over.p99_us, over.max_us].map(shown);
        let words = [*limit, requests, measured_by].map(str::to_owned);
        words.into_iter().chain([over.count.to_string()]).chain(times).collect()
    });
    let header = ["limit", "requests", "measured by", "calls", "over by p50", "p90", "p99", "max"];
    println!("{}", table(&header, 3, rows.collect()));
}

/// CPU time is counted, so that its worst case is the server's own. Wall-clock time also passes while the machine does
/// something else: there it is 99 of 100.
fn verdict(over: &Over) -> Verdict {
    let Over { limit, requests, measured_by, over } = over;
    let (what, tolerance, seen) = match *limit {
        "cpu" => ("every", CPU_BUDGET.mul_f64(CPU_TOLERANCE), over.max_us),
        _ => ("99 of 100", TIMEOUT_TOLERANCE, over.p99_us),
    };
    Verdict {
        goal: format!("{limit} limit, {requests}, by the {measured_by}: {what} over by at most {tolerance:?}"),
        seen: shown(seen),
        met: seen <= tolerance.as_secs_f64() * 1e6,
    }
}
