//! Functions that call a server: at a steady rate, without running out of ports.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;

use crate::Bench;
use crate::latency::{Summary, shown};
use crate::load::Plan;
use crate::placement::Placement;
use crate::poller;
use crate::report::{Verdict, print_verdicts, write_json};
use crate::server::{Kind, Program, Server};

const CONNECTIONS: u32 = 64;
/// Connections that were closed and whose ports cannot be used for a minute, for each thousand calls.
const CLOSED_MAX: f64 = 10.0;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Calls a second, each of which makes one outbound request
    #[arg(long, default_value_t = 1000)]
    rate: u32,
    /// Seconds of it
    #[arg(long, default_value_t = 40)]
    seconds: u64,
}

#[derive(Serialize)]
struct Report {
    environment: crate::Environment,
    rate: u32,
    seconds: u64,
    latency: Summary,
    /// Connections in TIME_WAIT that there are more of at the end.
    closed: f64,
    verdicts: Vec<Verdict>,
}

/// Measures, prints and writes; true when every goal was met. A call that fails fails the measurement.
pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<bool> {
    let environment = bench.environment()?;
    let guest = bench.guest("outbound");
    let hyper = Program::new(Kind::BareHyper, &std::env::current_exe()?)?;
    let called = Server::start(&hyper, &guest, Placement::Apart).await?;
    let program = bench.wasmway()?.with("--outbound-allow-private");
    let server = Server::start(&program, &guest, Placement::Apart).await?;
    let origin = format!("http://{}", called.at("/").address);
    server.control()?.deploy("outbound", &guest, &format!("[outbound]\nallow = [{origin:?}]\n")).await?;
    let target = server.function("outbound", &format!("/?url={origin}/"));
    let before = waiting_ports()?;
    let plan =
        Plan { rate: arguments.rate.into(), time: Duration::from_secs(arguments.seconds), seed: arguments.rate.into() };
    let latency = poller::run_open(&target, CONNECTIONS, plan)?;
    let closed = waiting_ports()? - before;
    println!("{} calls, p50 {}, p99 {}", latency.count, shown(latency.p50_us), shown(latency.p99_us));
    let each = closed * 1000.0 / latency.count.max(1) as f64;
    let verdicts = vec![
        Verdict {
            goal: format!("{} calls a second, none of which fails", arguments.rate),
            seen: format!("{:.0}", latency.count as f64 / arguments.seconds as f64),
            met: true,
        },
        Verdict {
            goal: format!("at most {CLOSED_MAX} ports used up by a thousand calls"),
            seen: format!("{each:.1}"),
            met: each <= CLOSED_MAX,
        },
    ];
    let met = print_verdicts(&verdicts);
    let Arguments { rate, seconds } = *arguments;
    write_json(&bench.json("outbound"), &Report { environment, rate, seconds, latency, closed, verdicts })?;
    Ok(met)
}

/// Connections in TIME_WAIT, of the whole machine (proc_net(5)).
fn waiting_ports() -> Result<f64> {
    let text = fs::read_to_string("/proc/net/sockstat").context("reading /proc/net/sockstat")?;
    let line = text.lines().find_map(|line| line.strip_prefix("TCP:")).context("no TCP in sockstat")?;
    let mut words = line.split_whitespace().skip_while(|word| *word != "tw");
    words.nth(1).context("no tw in sockstat")?.parse().context("tw is no number")
}
