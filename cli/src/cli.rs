//! The command line: which commands there are, and which options all of them share.

use std::ffi::OsString;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, FromArgMatches, Parser, Subcommand};
use url::Url;
use wasmway_registry::Namespace;

use crate::commands;
use crate::dev;
use crate::output::Format;
use crate::settings::{self, DataDir, Resolved, ServerArguments};

/// Serverless functions as WebAssembly components: deploy a component, call it over HTTP.
#[derive(Debug, Parser)]
#[command(
    name = "wasmway",
    version,
    max_term_width = 110,
    after_help = "Example:\n  wasmway up --example\n  wasmway new greet --lang rust\n  wasmway deploy greet/ --build\n  wasmway invoke greet"
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options that every command takes, before or after its name.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// How to print what the platform says
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    pub(crate) output: Format,
    /// Namespace of the functions
    #[arg(short, long, global = true, env = "WASMWAY_NAMESPACE", value_name = "NAME", default_value_t)]
    pub(crate) namespace: Namespace,
    /// Control plane to talk to [default: the one that runs on the data directory]
    #[arg(long, global = true, env = "WASMWAY_SERVER", value_name = "URL")]
    pub(crate) server: Option<Url>,
    /// Token to show to it [default: the data directory's admin token]
    #[arg(
        long, global = true, env = "WASMWAY_TOKEN", hide_env_values = true, value_name = "TOKEN",
        value_parser = NonEmptyStringValueParser::new(),
    )]
    pub(crate) token: Option<String>,
    #[command(flatten)]
    pub(crate) data_dir: DataDir,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Up(Box<UpArguments>),
    Dev(Box<dev::Dev>),
    Registry(Box<RegistryArguments>),
    Gateway(Box<GatewayArguments>),
    New(commands::new::New),
    Doctor(commands::doctor::Doctor),
    Build(commands::build::Build),
    Deploy(commands::deploy::Deploy),
    List(commands::list::List),
    Show(commands::show::Show),
    Invoke(commands::invoke::Invoke),
    Versions(commands::versions::Versions),
    Rollback(commands::rollback::Rollback),
    Traffic(commands::traffic::SetTraffic),
    Promote(commands::promote::Promote),
    Delete(commands::delete::Delete),
    Logs(commands::logs::Logs),
    Invocations(commands::invocations::Invocations),
    Trace(commands::trace::Trace),
    Record(commands::record::Record),
    Replay(commands::replay::Replay),
    Explain(commands::explain::Explain),
    Nodes(commands::nodes::Nodes),
    Namespaces(commands::namespace::Namespaces),
    Quota(commands::namespace::SetQuota),
    Token(commands::token::Tokens),
    Audit(commands::audit::Audit),
    Check(Box<commands::check::Check>),
    Migrate(commands::migrate::Migrate),
    #[command(visible_alias = "export")]
    Backup(commands::backup::Backup),
    #[command(visible_alias = "import")]
    Restore(commands::backup::Restore),
    Config(commands::config::Config),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
    /// Compiles one component, fed by the server that started it
    #[command(hide = true)]
    CompileWorker,
}

/// Run the platform: data plane, control plane and storage in this one process
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway up --example\n  wasmway up --listen 0.0.0.0:80 --max-memory 1GiB")]
pub(crate) struct UpArguments {
    /// Deploy an example function named `hello`, unless a function of that name is there
    #[arg(long)]
    pub(crate) example: bool,
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// Run the registry of a fleet: control plane, database and components, which gateways follow
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway registry --database postgres://wasmway@db/wasmway --artifacts s3://functions --control 0.0.0.0:8081"
)]
pub(crate) struct RegistryArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// Run a gateway of a fleet: the data plane, which serves what a registry says, also while that one is away
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  wasmway gateway --registry http://registry:8081 --node-token-file /run/secrets/node.token --listen 0.0.0.0:8080"
)]
pub(crate) struct GatewayArguments {
    #[command(flatten)]
    pub(crate) server: ServerArguments,
}

/// What one start of the program was asked to do.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) cli: Cli,
    /// Every setting with its origin; empty for commands that take no settings.
    pub(crate) settings: Vec<Resolved>,
}

/// Reads the arguments, the environment and, for the server, its configuration file.
pub(crate) fn parse(arguments: &[OsString]) -> Result<Invocation, clap::Error> {
    let (matches, settings) = settings::read(arguments)?;
    Ok(Invocation { cli: Cli::from_arg_matches(&matches)?, settings })
}
