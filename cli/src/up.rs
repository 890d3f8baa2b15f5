//! `wasmway up`: the platform in this process.

mod example;
mod logging;
mod shutdown;

use anyhow::Context;
use wasmway_gateway::AccessLogForm;

use crate::cli::{Globals, UpArguments};
use crate::failure::Failure;
use crate::settings::Settings;

/// Serves until it is told to stop, and has drained.
pub(crate) fn run(arguments: UpArguments, globals: &Globals) -> Result<(), Failure> {
    let settings = arguments.server.settings;
    let access_log = logging::start(settings.log_format, settings.log_level.clone());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(settings.workers)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(serve(settings, access_log, arguments.example.then_some(globals)))?;
    Ok(())
}

/// Runs the platform; `example` is set when the example function is wanted, and says whose it is.
async fn serve(settings: Settings, access_log: AccessLogForm, example: Option<&Globals>) -> anyhow::Result<()> {
    let data_dir = settings.data_dir.data_dir.clone();
    let platform = wasmway_gateway::run(config(settings, access_log), shutdown::requested());
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

/// The gateway's view of the settings.
fn config(settings: Settings, access_log: AccessLogForm) -> wasmway_gateway::Config {
    wasmway_gateway::Config {
        data_dir: settings.data_dir.data_dir,
        listen: settings.listen,
        control: settings.control,
        dev: settings.dev,
        domain: settings.domain.map(|domain| domain.to_string()),
        trust_forwarded: settings.trust_forwarded,
        drain_timeout: settings.drain_timeout,
        max_instances: settings.max_instances,
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
        log_lines: settings.log_lines as usize,
    }
}
