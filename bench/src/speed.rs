//! How many requests a second, and what each costs, beside other servers on the same machine in the same minutes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use serde::Serialize;

use crate::case::Case;
use crate::chart::{self, Bar};
use crate::client::Target;
use crate::closed_loop::{Client, Run};
use crate::latency::{median, shown};
use crate::load::Plan;
use crate::placement::Placement;
use crate::report::{Verdict, print_verdicts, table, write_json};
use crate::server::{Kind, Program, Server};
use crate::{Bench, poller, usage};

/// Connections of the open loop.
const OPEN_LOOP_CONNECTIONS: u32 = 64;
/// Before the first round, so that nobody's first requests count.
const WARM_UP_SECONDS: u64 = 1;
/// Most CPU time of the server for one request of hello.
const CPU_MAX_US: f64 = 16.0;
/// The p99 of hello over that of bare hyper, both at half of what Wasmway can do.
const P99_RATIO_MAX: f64 = 2.0;
/// Requests a second of hello on one processor, over those of another server.
const RATIOS_MIN: &[(Kind, f64)] = &[
    (Kind::WasmtimeServe, 3.5),
    (Kind::WasmtimeServeDefaults, 5.5),
    (Kind::Node, 2.0),
    (Kind::Workerd, 3.0),
    (Kind::BareHyper, 0.33),
];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What is asked for
    #[arg(long, value_enum, default_value_t = Case::Hello)]
    case: Case,
    /// Times that every server is measured; they take turns
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Who sends the requests of the closed loop
    #[arg(long, value_enum, default_value_t = Client::Poller)]
    client: Client,
    /// Connections of the closed loop [default: 32; 4 for `stream`]
    #[arg(long)]
    connections: Option<u32>,
    /// Which processors the server gets, and which the load
    #[arg(long, value_enum, default_value_t = Placement::Apart)]
    pub(crate) placement: Placement,
    /// Another build of Wasmway to measure beside the first
    #[arg(long, value_name = "PATH")]
    beside: Option<PathBuf>,
    /// The wasmtime to compare with, instead of one on the path
    #[arg(long, value_name = "PATH", default_value = "wasmtime")]
    wasmtime: PathBuf,
}

#[derive(Serialize)]
struct Report {
    environment: crate::Environment,
    case: Case,
    client: Client,
    placement: Placement,
    connections: u32,
    servers: Vec<Measured>,
    verdicts: Vec<Verdict>,
}

/// A server with all that was measured of it.
#[derive(Serialize)]
struct Measured {
    name: String,
    program: Program,
    arguments: Vec<String>,
    rounds: Vec<Round>,
    /// Open loop at half of what Wasmway can do, or the server itself where that is less: the p99 of each round.
    half_load_p99_us: Vec<f64>,
    #[serde(skip)]
    running: Running,
}

#[derive(Serialize)]
struct Round {
    #[serde(flatten)]
    run: Run,
    /// CPU time of the server for one request.
    cpu_us: f64,
}

struct Running {
    server: Server,
    target: Target,
}

impl Arguments {
    fn connections(&self) -> u32 {
        self.connections.unwrap_or(self.case.connections())
    }
}

impl Measured {
    fn of(&self, what: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(what).collect())
    }

    fn per_second(&self) -> f64 {
        self.of(|round| round.run.per_second)
    }
}

/// Measures, prints and writes; true when every goal was met.
pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<bool> {
    ensure!(arguments.rounds > 0 && arguments.seconds > 0, "there must be a round of a second");
    let environment = bench.environment()?;
    let mut servers = Vec::new();
    for (name, program) in programs(bench, arguments)? {
        servers.push(start(bench, arguments, name, program).await?);
    }
    for server in &servers {
        arguments.client.run(&server.running.target, arguments.connections(), WARM_UP_SECONDS)?;
    }
    for round in 1..=arguments.rounds {
        for server in &mut servers {
            server.rounds.push(closed_loop(&server.running, arguments)?);
        }
        println!("closed loop: round {round} of {}", arguments.rounds);
    }
    for round in 1..=arguments.rounds {
        let most = ours(&servers).per_second();
        for server in &mut servers {
            let plan = Plan {
                rate: server.per_second().min(most) / 2.0,
                time: Duration::from_secs(arguments.seconds),
                seed: u64::from(round),
            };
            let latency = poller::run_open(&server.running.target, OPEN_LOOP_CONNECTIONS, plan)?;
            server.half_load_p99_us.push(latency.p99_us);
        }
        println!("half load: round {round} of {}", arguments.rounds);
    }
    print_table(&servers);
    let verdicts = if arguments.case == Case::Hello { verdicts(&servers, arguments.placement) } else { Vec::new() };
    let met = print_verdicts(&verdicts);
    let json = bench.json(&format!("speed-{}", arguments.case.name()));
    let bars: Vec<_> = servers.iter().map(bar).collect();
    let title =
        format!("{}: requests a second ({})", arguments.case.name(), environment.described(arguments.placement));
    chart::write(&json.with_extension("svg"), &title, "/s", &bars)?;
    let connections = arguments.connections();
    let Arguments { case, client, placement, .. } = *arguments;
    write_json(&json, &Report { environment, case, client, placement, connections, servers, verdicts })?;
    Ok(met)
}

/// Every server that is there.
fn programs(bench: &Bench, arguments: &Arguments) -> Result<Vec<(String, Program)>> {
    let own = std::env::current_exe()?;
    let mut programs = vec![(Kind::BareHyper.name().to_owned(), Program::new(Kind::BareHyper, &own)?)];
    programs.push((Kind::Wasmway.name().to_owned(), bench.wasmway()?));
    if let Some(binary) = &arguments.beside {
        programs.push((format!("{}", binary.display()), Program::new(Kind::Wasmway, binary)?));
    }
    let peers = [
        (Kind::WasmtimeServe, &*arguments.wasmtime),
        (Kind::WasmtimeServeDefaults, &*arguments.wasmtime),
        (Kind::Node, Path::new("node")),
        (Kind::Deno, Path::new("deno")),
        (Kind::Bun, Path::new("bun")),
        (Kind::Workerd, Path::new("workerd")),
    ];
    for (kind, binary) in peers {
        match Program::new(kind, binary) {
            Ok(program) => programs.push((kind.name().to_owned(), program)),
            Err(error) => println!("NOT RUN: {}: {error:#}", kind.name()),
        }
    }
    programs.retain(|(_, program)| arguments.case.is_for(program.kind));
    Ok(programs.into_iter().map(|(name, program)| (name, arguments.case.settings(program))).collect())
}

async fn start(bench: &Bench, arguments: &Arguments, name: String, program: Program) -> Result<Measured> {
    let case = arguments.case;
    let component = case.component(bench);
    let server = Server::start(&program, &component, arguments.placement).await;
    let server = server.with_context(|| format!("starting {name}"))?;
    let mut path = "/".to_owned();
    if program.kind == Kind::Wasmway {
        server.control()?.deploy(case.name(), &component, case.manifest()).await?;
        path = format!("/{}/", case.name());
    }
    let target = case.request(server.at(&path));
    let (rounds, half_load_p99_us) = (Vec::new(), Vec::new());
    let arguments = program.arguments();
    Ok(Measured { name, program, arguments, rounds, half_load_p99_us, running: Running { server, target } })
}

fn closed_loop(running: &Running, arguments: &Arguments) -> Result<Round> {
    let before = usage::cpu(running.server.pid())?;
    let run = arguments.client.run(&running.target, arguments.connections(), arguments.seconds)?;
    let used = usage::cpu(running.server.pid())?.saturating_sub(before);
    Ok(Round { run, cpu_us: used.as_secs_f64() * 1e6 / run.requests.max(1) as f64 })
}

fn ours(servers: &[Measured]) -> &Measured {
    servers.iter().find(|server| server.program.kind == Kind::Wasmway).expect("Wasmway is always among them")
}

fn print_table(servers: &[Measured]) {
    let most = ours(servers).per_second();
    let row = |server: &Measured| {
        vec![
            server.name.clone(),
            server.program.version.clone(),
            format!("{:.0}", server.per_second()),
            format!("{:.2}", most / server.per_second()),
            format!("{:.1}", server.of(|round| round.cpu_us)),
            shown(server.of(|round| round.run.p50_us)),
            shown(server.of(|round| round.run.p99_us)),
            shown(median(server.half_load_p99_us.clone())),
        ]
    };
    let header = ["server", "version", "requests/s", "wasmway's over", "CPU us", "p50", "p99", "half load p99"];
    println!("{}", table(&header, 2, servers.iter().map(row).collect()));
}

fn verdicts(servers: &[Measured], placement: Placement) -> Vec<Verdict> {
    let ours = ours(servers);
    let peer = |kind: Kind| servers.iter().find(|server| server.program.kind == kind);
    let mut verdicts = Vec::new();
    for &(kind, least) in RATIOS_MIN.iter().filter(|_| placement == Placement::Apart) {
        let Some(peer) = peer(kind) else { continue };
        let ratio = ours.per_second() / peer.per_second();
        verdicts.push(Verdict {
            goal: format!("at least {least} times the requests a second of {}", kind.name()),
            seen: format!("{ratio:.2}"),
            met: ratio >= least,
        });
    }
    let cpu = ours.of(|round| round.cpu_us);
    verdicts.push(Verdict {
        goal: format!("at most {CPU_MAX_US} us of CPU time a request"),
        seen: format!("{cpu:.1} us"),
        met: cpu <= CPU_MAX_US,
    });
    if let Some(hyper) = peer(Kind::BareHyper) {
        let ratio = median(ours.half_load_p99_us.clone()) / median(hyper.half_load_p99_us.clone());
        verdicts.push(Verdict {
            goal: format!("p99 at half load at most {P99_RATIO_MAX} times that of bare hyper"),
            seen: format!("{ratio:.2}"),
            met: ratio <= P99_RATIO_MAX,
        });
    }
    verdicts
}

fn bar(server: &Measured) -> Bar {
    Bar { name: server.name.clone(), value: server.per_second(), ours: server.program.kind == Kind::Wasmway }
}
