//! How long until a function answers: after its deploy, and when its code is on disk but not in memory.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::Bench;
use crate::case::Case;
use crate::client::Connection;
use crate::closed_loop::Run;
use crate::latency::{median, shown};
use crate::placement::Placement;
use crate::poller::{self, Mix};
use crate::report::{Verdict, print_verdicts, table, write_json};
use crate::server::{Program, Server};

const CASES: [Case; 4] = [Case::Hello, Case::Wasi3, Case::Javascript, Case::Python];
/// Native code that has just been written is verified at each load, for so long.
const SETTLED: Duration = Duration::from_secs(3);
/// The p99 of hello's cold calls.
const COLD_P99_MAX: Duration = Duration::from_millis(1);
/// Deploy to first answer.
const FIRST_ANSWER_MAX: [(Case, Duration); 2] =
    [(Case::Hello, Duration::from_millis(150)), (Case::Javascript, Duration::from_secs(15))];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Times that everything is deployed to a server without any function
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each measurement of cold and of warm calls
    #[arg(long, default_value_t = 3)]
    seconds: u64,
}

#[derive(Serialize)]
struct Report {
    environment: crate::Environment,
    cases: Vec<Measured>,
    verdicts: Vec<Verdict>,
}

#[derive(Serialize)]
struct Measured {
    case: Case,
    /// From the first byte of the upload to the last of the first answer.
    first_answer_ms: Vec<f64>,
    /// Of it, the compiler.
    compile_ms: Vec<f64>,
    cold: Vec<Run>,
    warm: Vec<Run>,
}

impl Measured {
    fn new(case: Case) -> Self {
        Self { case, first_answer_ms: Vec::new(), compile_ms: Vec::new(), cold: Vec::new(), warm: Vec::new() }
    }
}

fn p50(runs: &[Run]) -> f64 {
    median(runs.iter().map(|run| run.p50_us).collect())
}

fn p99(runs: &[Run]) -> f64 {
    median(runs.iter().map(|run| run.p99_us).collect())
}

/// Measures, prints and writes; true when every goal was met.
pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<bool> {
    ensure!(arguments.rounds > 0 && arguments.seconds > 0, "there must be a round of a second");
    let environment = bench.environment()?;
    let mut cases = CASES.map(Measured::new);
    for round in 1..=arguments.rounds {
        for measured in &mut cases {
            deploy(bench, measured).await?;
        }
        println!("deploys: round {round} of {}", arguments.rounds);
    }
    let mut servers = Vec::new();
    for case in CASES {
        let cold = serving(bench, case, bench.wasmway()?.with("--program-cache=0MiB")).await?;
        servers.push((cold, serving(bench, case, bench.wasmway()?).await?));
    }
    tokio::time::sleep(SETTLED).await;
    Placement::Apart.move_load()?;
    let time = Duration::from_secs(arguments.seconds);
    for round in 1..=arguments.rounds {
        for (measured, (cold, warm)) in cases.iter_mut().zip(&servers) {
            measured.cold.push(cold_calls(cold, measured.case, time).await?);
            measured.warm.push(poller::run(Mix::one(&warm.function(measured.case.name(), "/")), 1, time)?);
        }
        println!("calls: round {round} of {}", arguments.rounds);
    }
    print_table(&cases);
    let verdicts = verdicts(&cases);
    let met = print_verdicts(&verdicts);
    write_json(&bench.json("starts"), &Report { environment, cases: cases.into(), verdicts })?;
    Ok(met)
}

/// Deploys to a server that has nothing, with the whole machine for itself, and calls.
async fn deploy(bench: &Bench, measured: &mut Measured) -> Result<()> {
    let case = measured.case;
    let component = case.component(bench);
    let server = Server::start(&bench.wasmway()?, &component, Placement::Together).await?;
    let target = server.function(case.name(), "/");
    let began = Instant::now();
    server.control()?.deploy(case.name(), &component, "").await?;
    let status = Connection::default().call(&target).await?;
    ensure!(status.is_success(), "{} answers {status}", case.name());
    measured.first_answer_ms.push(began.elapsed().as_secs_f64() * 1e3);
    measured.compile_ms.push(server.control()?.metric("wasmway_compile_duration_seconds_sum", "").await? * 1e3);
    Ok(())
}

async fn serving(bench: &Bench, case: Case, program: Program) -> Result<Server> {
    let component = case.component(bench);
    let server = Server::start(&program, &component, Placement::Apart).await?;
    server.control()?.deploy(case.name(), &component, "").await?;
    Ok(server)
}

async fn cold_calls(server: &Server, case: Case, time: Duration) -> Result<Run> {
    let (control, target) = (server.control()?, server.function(case.name(), "/"));
    // The first load verifies the code, for the life of the process.
    poller::run(Mix::one(&target), 1, Duration::from_millis(100))?;
    let before = control.metric("wasmway_cold_starts_total", "").await?;
    let run = poller::run(Mix::one(&target), 1, time)?;
    let cold = control.metric("wasmway_cold_starts_total", "").await? - before;
    ensure!(cold >= run.requests as f64, "{cold} of {} calls were cold", run.requests);
    Ok(run)
}

fn print_table(cases: &[Measured]) {
    let ms = |times: &[f64]| shown(median(times.to_vec()) * 1e3);
    let row = |it: &Measured| {
        vec![
            it.case.name().to_owned(),
            ms(&it.first_answer_ms),
            ms(&it.compile_ms),
            shown(p50(&it.cold)),
            shown(p99(&it.cold)),
            shown(p50(&it.warm)),
            shown(p99(&it.warm)),
        ]
    };
    let header = ["function", "deploy to answer", "compiling", "cold p50", "cold p99", "warm p50", "warm p99"];
    println!("{}", table(&header, 1, cases.iter().map(row).collect()));
}

fn verdicts(cases: &[Measured]) -> Vec<Verdict> {
    let of = |case: Case| cases.iter().find(|it| it.case == case).expect("every case is measured");
    let most = COLD_P99_MAX.as_secs_f64() * 1e6;
    let cold = p99(&of(Case::Hello).cold);
    let mut verdicts = vec![Verdict {
        goal: format!("p99 of hello's cold calls under {}", shown(most)),
        seen: shown(cold),
        met: cold < most,
    }];
    for (case, most) in FIRST_ANSWER_MAX {
        let seen = median(of(case).first_answer_ms.clone());
        verdicts.push(Verdict {
            goal: format!("{}: deploy to first answer within {most:?}", case.name()),
            seen: shown(seen * 1e3),
            met: seen <= most.as_secs_f64() * 1e3,
        });
    }
    verdicts
}
