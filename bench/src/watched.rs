//! What being watched costs: hello's requests a second with the dashboard open and Prometheus scraping, over without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::Args;
use serde::Serialize;

use crate::Bench;
use crate::closed_loop::{Client, Run};
use crate::control::Control;
use crate::latency::median;
use crate::placement::Placement;
use crate::report::{Verdict, print_verdicts, table, write_json};
use crate::server::Server;

const CONNECTIONS: u32 = 32;
const WARM_UP_SECONDS: u64 = 1;
/// Of the requests a second that there are when nobody watches.
const RATIO_MIN: f64 = 0.97;
/// How often a page brings itself up to date, and Prometheus comes by.
const EVERY: Duration = Duration::from_secs(1);
/// A scrape, and what the pages of the overview, of all functions and of one ask for.
const LOOKS: [&str; 4] =
    ["/metrics", "/live/overview", "/live/functions?k=default%2Fhello", "/live/functions/default/hello"];

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Times that both are measured; they take turns
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// Seconds of each measurement
    #[arg(long, default_value_t = 5)]
    seconds: u64,
}

#[derive(Serialize)]
struct Report {
    environment: crate::Environment,
    alone: Vec<Run>,
    watched: Vec<Run>,
    /// Of each round, watched over alone.
    ratios: Vec<f64>,
    verdicts: Vec<Verdict>,
}

/// Measures, prints and writes; true when the goal was met.
pub(crate) async fn run(bench: &Bench, arguments: &Arguments) -> Result<bool> {
    ensure!(arguments.rounds > 0 && arguments.seconds > 0, "there must be a round of a second");
    let environment = bench.environment()?;
    let component = bench.guest("hello");
    let server = Server::start(&bench.wasmway()?, &component, Placement::Apart).await?;
    server.control()?.deploy("hello", &component, "").await?;
    let target = server.function("hello", "/");
    let load = |seconds| Client::Poller.run(&target, CONNECTIONS, seconds);
    load(WARM_UP_SECONDS)?;
    let (mut alone, mut watched) = (Vec::new(), Vec::new());
    for _ in 0..arguments.rounds {
        alone.push(load(arguments.seconds)?);
        let watcher = Watcher::start(server.control()?)?;
        watched.push(load(arguments.seconds)?);
        watcher.stop(arguments.seconds)?;
    }
    let ratios: Vec<f64> = alone.iter().zip(&watched).map(|(alone, with)| with.per_second / alone.per_second).collect();
    let rows = alone.iter().zip(&watched).zip(&ratios).map(|((alone, with), ratio)| {
        vec![format!("{:.0}", alone.per_second), format!("{:.0}", with.per_second), format!("{ratio:.3}")]
    });
    println!("{}", table(&["alone, a second", "watched, a second", "ratio"], 0, rows.collect()));
    let ratio = median(ratios.clone());
    let verdicts = vec![Verdict {
        goal: format!("at least {RATIO_MIN} of the requests a second with the dashboard open and a scrape each second"),
        seen: format!("{ratio:.3}"),
        met: ratio >= RATIO_MIN,
    }];
    let met = print_verdicts(&verdicts);
    write_json(&bench.json("watched"), &Report { environment, alone, watched, ratios, verdicts })?;
    Ok(met)
}

/// Somebody who looks once a second, on a thread of their own: the load keeps this one busy.
struct Watcher {
    stopped: Arc<AtomicBool>,
    thread: thread::JoinHandle<Result<u64>>,
}

impl Watcher {
    fn start(control: Control) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = stopped.clone();
        let watch = move || runtime.block_on(watch(&control, &seen));
        Ok(Self { stopped, thread: thread::Builder::new().name("watcher".to_owned()).spawn(watch)? })
    }

    /// Fails when it has not looked about every second.
    fn stop(self, seconds: u64) -> Result<()> {
        self.stopped.store(true, Relaxed);
        let looks = self.thread.join().map_err(|_| anyhow!("the watcher panicked"))??;
        ensure!(2 * looks >= seconds, "in {seconds} s the watcher came to look {looks} times");
        Ok(())
    }
}

async fn watch(control: &Control, stopped: &AtomicBool) -> Result<u64> {
    let mut tick = tokio::time::interval(EVERY);
    let mut looks = 0;
    while !stopped.load(Relaxed) {
        tick.tick().await;
        for path in LOOKS {
            control.get(path).await.with_context(|| format!("looking at {path}"))?;
        }
        looks += 1;
    }
    Ok(looks)
}
