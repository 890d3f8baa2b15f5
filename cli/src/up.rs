//! `wasmway up`, `registry` and `gateway`: the platform, or a part of it, in this process.

mod example;
mod logging;
mod shutdown;

pub(crate) use example::started;
pub(crate) use shutdown::requested;

use anyhow::{Context, anyhow};
use wasmway_gateway::{AccessLogForm, Role, Stores};

use crate::cli::{Globals, UpArguments};
use crate::failure::Failure;
use crate::settings::{ServerArguments, Settings};

/// Serves until it is told to stop, and has drained.
pub(crate) fn run(arguments: UpArguments, globals: &Globals) -> Result<(), Failure> {
    let settings = arguments.server.settings;
    if settings.registry.is_some() {
        return Err(anyhow!(
            "`wasmway up` has a registry of its own; for one elsewhere run `wasmway gateway --registry URL`"
        )
        .into());
    }
    run_as(Role::All, settings, arguments.example.then_some(globals))
}

/// Runs the registry of a fleet.
pub(crate) fn registry(arguments: ServerArguments) -> Result<(), Failure> {
    run_as(Role::Registry, arguments.settings, None)
}

/// Runs a gateway of a fleet.
pub(crate) fn gateway(arguments: ServerArguments) -> Result<(), Failure> {
    let settings = arguments.settings;
    let Some(registry) = settings.registry.clone() else {
        return Err(
            anyhow!("--registry is missing: name the registry's control plane, such as http://registry:8081").into()
        );
    };
    run_as(Role::Gateway(registry), settings, None)
}

fn run_as(role: Role, settings: Settings, example: Option<&Globals>) -> Result<(), Failure> {
    let access_log = logging::start(settings.log_format, settings.log_level.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(role, settings, access_log, example))?;
    Ok(())
}

/// Runs the platform; `example` is set when the example function is wanted, and says whose it is.
async fn serve(
    role: Role,
    settings: Settings,
    access_log: AccessLogForm,
    example: Option<&Globals>,
) -> anyhow::Result<()> {
    let data_dir = settings.data_dir.data_dir.clone();
    let platform = wasmway_gateway::run(config(role, settings, access_log)?, shutdown::requested());
    tokio::pin!(platform);
    if let Some(globals) = example {
        tokio::select! {
            ended = &mut platform => return ended,
            deployed = example::deploy(globals, &data_dir) => {
                if let Err(failure) = deployed {
                    // A platform without its example still is a platform.
                    tracing::error!("the example was not deployed: {failure:#}");
                }
            }
        }
    }
    platform.await
}

/// What is said of the access log where none is written.
pub(crate) const NO_ACCESS_LOG: AccessLogForm = AccessLogForm::Off;

/// The gateway's view of the settings.
pub(crate) fn config(
    role: Role,
    settings: Settings,
    access_log: AccessLogForm,
) -> anyhow::Result<wasmway_gateway::Config> {
    let node_name = settings.node_name.unwrap_or_else(|| format!("{}:{}", host_name(), settings.listen.port()));
    Ok(wasmway_gateway::Config {
        role,
        stores: Stores { database: settings.database, bucket: settings.artifacts },
        admin_token_file: settings.admin_token_file,
        node_token_file: settings.node_token_file,
        node_name,
        data_url: settings.data_url,
        data_dir: settings.data_dir.data_dir,
        listen: settings.listen,
        tls: settings.tls.config()?,
        control: settings.control,
        dev: settings.dev,
        domain: settings.domain.map(|domain| domain.to_string()),
        trust_forwarded: settings.trust_forwarded,
        drain_timeout: settings.drain_timeout,
        max_instances: settings.max_instances,
        fresh_instances: settings.fresh_instances,
        max_memory: settings.max_memory.as_u64(),
        max_upload: settings.max_upload.as_u64(),
        max_connections: settings.max_connections,
        max_requests: settings.max_requests,
        program_cache: settings.program_cache.as_u64(),
        target_cpu: settings.target_cpu.into(),
        compile_memory: settings.compile_memory.as_u64(),
        compile_cpu: settings.compile_cpu,
        compile_timeout: settings.compile_timeout,
        header_timeout: settings.header_timeout,
        body_idle_timeout: settings.body_idle_timeout,
        min_body_rate: settings.min_body_rate.as_u64(),
        memory_pressure: settings.memory_pressure,
        max_header_bytes: settings.max_header_bytes.as_u64() as usize,
        outbound_allow_private: settings.outbound_allow_private,
        access_log,
        otlp: settings.otlp.config(),
        log_lines: settings.log_lines as usize,
    })
}

/// What this machine is called: a container by its orchestrator, another by its administrator.
fn host_name() -> String {
    let named = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/proc/sys/kernel/hostname").ok());
    named.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}
