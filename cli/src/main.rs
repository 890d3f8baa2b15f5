//! `wasmway`: one binary that is the platform (`wasmway up`) and the developer's way to talk to it.

mod api;
mod cli;
mod client;
mod commands;
mod component;
mod dev;
mod failure;
mod language;
mod output;
mod project;
mod settings;
mod template;
mod toolchain;
mod up;

use std::process::ExitCode;

use crate::cli::{Cli, Invocation, Verb};
use crate::failure::Failure;

/// Many short-lived allocations on many threads: mimalloc serves them faster, and gives memory back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Before the arguments are read: an object store among them sets its client up. An error says that a provider is
    // installed already, which serves just as well.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let arguments: Vec<_> = std::env::args_os().collect();
    let invocation = match cli::parse(&arguments) {
        Ok(invocation) => invocation,
        Err(error) => error.exit(),
    };
    match run(invocation) {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}

fn run(invocation: Invocation) -> Result<ExitCode, Failure> {
    let Invocation { cli: Cli { globals, verb }, settings } = invocation;
    let done = match verb {
        Verb::Up(arguments) => up::run(*arguments, &globals),
        Verb::Dev(arguments) => dev::run(*arguments, &settings, &globals),
        Verb::Registry(arguments) => up::registry(arguments.server),
        Verb::Gateway(arguments) => up::gateway(arguments.server),
        Verb::CompileWorker => return Ok(wasmway_gateway::run_compile_worker()),
        Verb::Check(arguments) => return block_on(commands::check::run(*arguments, &globals)),
        Verb::Migrate(arguments) => return block_on(commands::migrate::run(arguments, &globals)),
        Verb::Config(_) => commands::config::show(&settings, globals.output),
        Verb::Backup(arguments) => block_on(commands::backup::run(arguments, &globals)),
        Verb::Restore(arguments) => block_on(commands::backup::back(arguments, &globals)),
        Verb::Completions(arguments) => commands::completions::run(arguments),
        Verb::Man(arguments) => commands::man::run(&arguments),
        Verb::Explain(arguments) => commands::explain::run(&arguments, globals.output),
        Verb::New(arguments) => commands::new::run(arguments, globals.output),
        Verb::Doctor(arguments) => commands::doctor::run(&arguments, globals.output),
        Verb::Build(arguments) => commands::build::run(&arguments, globals.output),
        Verb::Deploy(arguments) => block_on(commands::deploy::run(arguments, &globals)),
        Verb::List(arguments) => block_on(commands::list::run(arguments, &globals)),
        Verb::Show(arguments) => block_on(commands::show::run(arguments, &globals)),
        Verb::Invoke(arguments) => block_on(commands::invoke::run(arguments, &globals)),
        Verb::Versions(arguments) => block_on(commands::versions::run(arguments, &globals)),
        Verb::Rollback(arguments) => block_on(commands::rollback::run(arguments, &globals)),
        Verb::Traffic(arguments) => block_on(commands::traffic::run(arguments, &globals)),
        Verb::Promote(arguments) => block_on(commands::promote::run(arguments, &globals)),
        Verb::Namespaces(_) => block_on(commands::namespace::list(&globals)),
        Verb::Quota(arguments) => block_on(commands::namespace::set(arguments, &globals)),
        Verb::Token(arguments) => block_on(commands::token::run(arguments, &globals)),
        Verb::Audit(arguments) => block_on(commands::audit::run(arguments, &globals)),
        Verb::Nodes(_) => block_on(commands::nodes::run(&globals)),
        Verb::Delete(arguments) => block_on(commands::delete::run(arguments, &globals)),
        Verb::Logs(arguments) => block_on(commands::logs::run(arguments, &globals)),
        Verb::Invocations(arguments) => block_on(commands::invocations::run(arguments, &globals)),
        Verb::Trace(arguments) => block_on(commands::trace::run(arguments, &globals)),
        Verb::Record(arguments) => block_on(commands::record::run(arguments, &globals)),
        Verb::Replay(arguments) => return Ok(commands::replay::run(&arguments, &globals)),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// Runs a command that talks to a platform; one thread is plenty for one conversation.
fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(anyhow::Error::new(error).context("cannot start the runtime")))?;
    let done = runtime.block_on(command);
    // A pending read of standard input cannot be cancelled; without this, the process would wait for it.
    runtime.shutdown_background();
    done
}
