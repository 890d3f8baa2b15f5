//! One process, put together: registry, scheduler, both planes, and their end.

use crate::{
    access_log::AccessLog,
    catalog::Catalog,
    config::Config,
    control::{self, Attempts, ControlPlane},
    invoke::DataPlane,
    listener::{ConnectionLimits, Drain, Plane},
    metrics::Metrics,
    pace::Pace,
    pressure::{self, Pressure},
    token::AdminToken,
};
use anyhow::{Context, bail};
use prometheus::IntGauge;
use serde::{Deserialize, Serialize};
use std::{fs, io::Write, net::SocketAddr, os::unix::fs::DirBuilderExt, path::Path, sync::Arc};
use tokio::net::TcpListener;
use wasmway_registry::Registry;
use wasmway_scheduler::{CompileLimits, Scheduler, SchedulerConfig};

/// What `run.json` in the data folder says about a process that serves.
#[derive(Debug, Serialize, Deserialize)]
struct RunFile {
    data: String,
    control: String,
    pid: u32,
}

/// Runs everything until `shutdown` comes, then drains. An error is one of the start.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    if config.dev && !config.control.ip().is_loopback() {
        bail!("--dev turns the token off, so that --control must be a loopback address; it is {}", config.control);
    }
    let folder = &config.data_dir;
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| format!("the data folder {} cannot be made", folder.display()))?;
    let metrics = Arc::new(Metrics::new()?);
    let registry = Registry::open(folder)
        .await
        .with_context(|| format!("the registry in {} cannot be opened", folder.display()))?;
    let catalog = Arc::new(Catalog::new(registry.clone(), metrics.clone(), &config));
    catalog.refresh().await.context("the functions cannot be read from the registry")?;
    let drain = Drain::default();
    let data = bind(config.listen, "--listen").await?;
    let control = bind(config.control, "--control").await?;
    let (data_address, control_address) = (data.local_addr()?, control.local_addr()?);
    let scheduler = Arc::new(Scheduler::start(&scheduler_config(&config, control_address))?);

    let data_plane = DataPlane {
        catalog: catalog.clone(),
        scheduler: scheduler.clone(),
        metrics: metrics.clone(),
        access_log: Arc::new(AccessLog::start(config.access_log, metrics.access_log_dropped())?),
        drain: drain.clone(),
        pressure: Pressure::watch(config.memory_pressure, metrics.memory_used()),
        own_address: data_address,
        trust_forwarded: config.trust_forwarded,
        pace: pace(&config),
    };
    let token = AdminToken::read_or_make(folder).context("the admin token cannot be read or made")?;
    let control_plane = ControlPlane {
        registry,
        catalog,
        scheduler,
        metrics: metrics.clone(),
        drain: drain.clone(),
        token: (!config.dev).then_some(token),
        attempts: Attempts::default(),
        data_url: format!("http://{}", reachable(data_address)),
        max_upload: config.max_upload,
        max_memory: config.max_memory,
        pace: pace(&config),
    };
    drain.track(plane(data, Arc::new(data_plane), metrics.connections("data"), &config, &drain).serve());
    let control_plane = control::router(Arc::new(control_plane));
    drain.track(plane(control, control_plane, metrics.connections("control"), &config, &drain).serve());
    announce(folder, data_address, control_address)?;

    shutdown.await;
    tracing::info!(timeout = ?config.drain_timeout, "draining: requests under way get to finish");
    if drain.finish(config.drain_timeout).await {
        tracing::info!("drained: every request was finished");
    } else {
        tracing::warn!("requests were cut at the end of the drain timeout");
    }
    // Gone already when somebody tidied up: nothing to do then.
    let _ = fs::remove_file(folder.join("run.json"));
    Ok(())
}

fn plane<H>(listener: TcpListener, handler: H, open: IntGauge, config: &Config, drain: &Drain) -> Plane<H> {
    Plane { listener, handler, limits: connection_limits(config), open, drain: drain.clone() }
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{flag} {address} cannot be bound; name another address"))
}

/// The address under which this machine reaches a listener on all its addresses.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}

/// Of the memory that there is, what instances may keep that run no request.
const IDLE_SHARE: u64 = 8;
/// Bytes of it, where nobody says how much memory there is.
const IDLE_MEMORY: u64 = 1 << 30;

fn scheduler_config(config: &Config, control: SocketAddr) -> SchedulerConfig {
    SchedulerConfig {
        code_cache: config.data_dir.join("code"),
        max_instances: config.max_instances,
        max_requests: config.max_requests,
        max_memory: config.max_memory,
        idle_memory: pressure::memory_limit().map_or(IDLE_MEMORY, |limit| limit / IDLE_SHARE),
        program_cache: config.program_cache,
        target_cpu: config.target_cpu,
        compile: CompileLimits {
            memory: config.compile_memory,
            cpu: config.compile_cpu,
            timeout: config.compile_timeout,
        },
        control,
    }
}

fn connection_limits(config: &Config) -> ConnectionLimits {
    ConnectionLimits {
        connections: config.max_connections,
        header_timeout: config.header_timeout,
        write_timeout: config.body_idle_timeout,
        header_bytes: config.max_header_bytes,
    }
}

fn pace(config: &Config) -> Pace {
    Pace { min_rate: config.min_body_rate, grace: config.header_timeout, idle: config.body_idle_timeout }
}

/// Tells people and programs where everything is. The file is whole whenever it is there.
fn announce(folder: &Path, data: SocketAddr, control: SocketAddr) -> anyhow::Result<()> {
    let (data, control) = (format!("http://{}", reachable(data)), format!("http://{}", reachable(control)));
    let run = RunFile { data, control, pid: std::process::id() };
    let scratch = folder.join("run.json.new");
    fs::write(&scratch, serde_json::to_vec(&run)?)?;
    fs::rename(scratch, folder.join("run.json"))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "data plane   {}", run.data)?;
    writeln!(out, "control plane {}", run.control)?;
    Ok(out.flush()?)
}
