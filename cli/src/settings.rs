//! The server's settings: each declared once, here, with its unit, default and limits.
//!
//! A value comes from the flag, else from the environment, else from the file that `--config` names, else from a variable
//! that OpenTelemetry has for it, else from the default. Flag, variable and key of one setting have one name:
//! `--max-upload`, `WASMWAY_MAX_UPLOAD`, `max-upload`.

pub(crate) mod default_dir;
mod file;
mod origin;
mod otlp;
mod reading;
mod standard;
mod tls;
mod values;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use tracing_subscriber::filter::Targets;
use url::Url;
use wasmway_registry::manifest::ByteSize;
use wasmway_registry::{Bucket, PostgresUrl};

pub(crate) use origin::{Origin, Resolved};
use otlp::OtlpSettings;
pub(crate) use reading::read;
use tls::TlsSettings;
pub(crate) use values::{Domain, LogFormat, TargetCpu, lasting};
use values::{address, between, log_filter, switch};

/// What `wasmway up` and `wasmway config show` take.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServerArguments {
    /// TOML file with settings; a key is a flag's name without the dashes
    #[arg(long, env = "WASMWAY_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// The folder of everything that is kept. A setting of the server, and where clients find a server of this machine.
#[derive(Debug, Clone, Args)]
pub(crate) struct DataDir {
    /// Folder of everything that is kept: functions, their versions, the admin token
    #[arg(long, global = true, env = "WASMWAY_DATA_DIR", value_name = "DIR", default_value_os_t = default_dir::data_dir())]
    pub(crate) data_dir: PathBuf,
}

/// Every setting of the server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Settings {
    #[command(flatten)]
    pub(crate) data_dir: DataDir,

    /// Address of the data plane, where functions are called
    #[arg(long, env = "WASMWAY_LISTEN", value_name = "ADDRESS", default_value = "127.0.0.1:8080", value_parser = address)]
    pub(crate) listen: SocketAddr,

    #[command(flatten)]
    pub(crate) tls: TlsSettings,

    /// Address of the control plane, where functions are deployed and watched
    #[arg(long, env = "WASMWAY_CONTROL", value_name = "ADDRESS", default_value = "127.0.0.1:8081", value_parser = address)]
    pub(crate) control: SocketAddr,

    /// Postgres database that holds what is known of functions, as postgres://USER:PASSWORD@HOST/DATABASE, in place of an
    /// SQLite file in the data directory: several registries can share it
    #[arg(long, env = "WASMWAY_DATABASE", hide_env_values = true, value_name = "URL")]
    pub(crate) database: Option<PostgresUrl>,

    /// Object store that holds the components, as s3://BUCKET/PREFIX, gs://, az:// or file:///, in place of the data
    /// directory; what it asks for is read from the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT, ...)
    #[arg(long, env = "WASMWAY_ARTIFACTS", value_name = "URL")]
    pub(crate) artifacts: Option<Bucket>,

    /// Of a gateway: control plane of the registry that says what to serve
    #[arg(long, env = "WASMWAY_REGISTRY", value_name = "URL")]
    pub(crate) registry: Option<Url>,

    /// Of a gateway: its name among the nodes [default: the host's name and the data plane's port]
    #[arg(long, env = "WASMWAY_NODE_NAME", value_name = "NAME")]
    pub(crate) node_name: Option<String>,

    /// File with the token that people show [default: admin.token in the data directory, which is made]
    #[arg(long, env = "WASMWAY_ADMIN_TOKEN_FILE", value_name = "FILE")]
    pub(crate) admin_token_file: Option<PathBuf>,

    /// File with the token that nodes show [default: node.token in the data directory, which a registry makes]
    #[arg(long, env = "WASMWAY_NODE_TOKEN_FILE", value_name = "FILE")]
    pub(crate) node_token_file: Option<PathBuf>,

    /// Address at which clients call functions, such as that of a load balancer [default: the data plane's]
    #[arg(long, env = "WASMWAY_DATA_URL", value_name = "URL")]
    pub(crate) data_url: Option<Url>,

    /// Development: no token needed on the control plane, which must listen on loopback
    #[arg(
        long, env = "WASMWAY_DEV", value_name = "BOOL", default_value = "false", value_parser = switch,
        action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true",
    )]
    pub(crate) dev: bool,

    /// Domain below which functions answer by host, as FUNCTION.NAMESPACE.DOMAIN
    #[arg(long, env = "WASMWAY_DOMAIN", value_name = "DOMAIN")]
    pub(crate) domain: Option<Domain>,

    /// Take x-forwarded-for, -host and -proto of clients for true: a proxy of yours sets them
    #[arg(
        long, env = "WASMWAY_TRUST_FORWARDED", value_name = "BOOL", default_value = "false", value_parser = switch,
        action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true",
    )]
    pub(crate) trust_forwarded: bool,

    /// Form of the log on standard error; auto is human on a terminal, json elsewhere
    #[arg(long, env = "WASMWAY_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Auto)]
    pub(crate) log_format: LogFormat,

    /// Least level that is logged: error, warn, info, debug or trace; also per module, as in info,wasmway_gateway=debug
    #[arg(long, env = "WASMWAY_LOG_LEVEL", value_name = "LEVEL", default_value = "info", value_parser = log_filter)]
    pub(crate) log_level: Targets,

    /// Threads that serve requests [default: one for each core]
    #[arg(
        long, env = "WASMWAY_WORKERS", value_name = "N", default_value_t = values::cores(),
        hide_default_value = true, value_parser = between(1..=1024_usize),
    )]
    pub(crate) workers: usize,

    /// Time that requests under way get to finish when the server is told to stop
    #[arg(
        long, env = "WASMWAY_DRAIN_TIMEOUT", value_name = "TIME", default_value = "30s",
        value_parser = lasting("0s", "1h"),
    )]
    pub(crate) drain_timeout: Duration,

    /// Requests that may run in one engine (WASI 0.2, WASI 0.3) at once: slots of its instance pool
    #[arg(
        long, env = "WASMWAY_MAX_INSTANCES", value_name = "N", default_value = "1000",
        value_parser = between(1..=100_000_u32),
    )]
    pub(crate) max_instances: u32,

    /// Make an instance for every request, in place of restoring one of its function to how it began
    #[arg(long, env = "WASMWAY_FRESH_INSTANCES")]
    pub(crate) fresh_instances: bool,

    /// Largest memory limit that a function may ask for
    #[arg(
        long, env = "WASMWAY_MAX_MEMORY", value_name = "SIZE", default_value = "512MiB",
        value_parser = between(ByteSize::mib(1)..=ByteSize::gib(4)),
    )]
    pub(crate) max_memory: ByteSize,

    /// Largest component that is accepted
    #[arg(
        long, env = "WASMWAY_MAX_UPLOAD", value_name = "SIZE", default_value = "100MiB",
        value_parser = between(ByteSize::kib(64)..=ByteSize::gib(4)),
    )]
    pub(crate) max_upload: ByteSize,

    /// Connections that each plane holds open at once
    #[arg(
        long, env = "WASMWAY_MAX_CONNECTIONS", value_name = "N", default_value = "10000",
        value_parser = between(1..=1_000_000_u32),
    )]
    pub(crate) max_connections: u32,

    /// Requests that the node serves at once; more are answered 503
    #[arg(
        long, env = "WASMWAY_MAX_REQUESTS", value_name = "N", default_value = "4096",
        value_parser = between(1..=1_000_000_u32),
    )]
    pub(crate) max_requests: u32,

    /// Native code that is kept loaded; beyond it, the programs unused for longest are let go; 0MiB keeps none
    #[arg(
        long, env = "WASMWAY_PROGRAM_CACHE", value_name = "SIZE", default_value = "1GiB",
        value_parser = between(ByteSize::mib(0)..=ByteSize::gib(1024)),
    )]
    pub(crate) program_cache: ByteSize,

    /// Processor that functions are compiled for
    #[arg(long, env = "WASMWAY_TARGET_CPU", value_name = "CPU", value_enum, default_value_t = TargetCpu::Native)]
    pub(crate) target_cpu: TargetCpu,

    /// Memory that compiling one component may use
    #[arg(
        long, env = "WASMWAY_COMPILE_MEMORY", value_name = "SIZE", default_value = "2GiB",
        value_parser = between(ByteSize::mib(256)..=ByteSize::gib(64)),
    )]
    pub(crate) compile_memory: ByteSize,

    /// CPU time, over all threads, that compiling one component may use
    #[arg(
        long, env = "WASMWAY_COMPILE_CPU", value_name = "TIME", default_value = "120s",
        value_parser = lasting("1s", "1h"),
    )]
    pub(crate) compile_cpu: Duration,

    /// Time that compiling one component may take, which stands back behind the requests that are served
    #[arg(
        long, env = "WASMWAY_COMPILE_TIMEOUT", value_name = "TIME", default_value = "5m",
        value_parser = lasting("1s", "1h"),
    )]
    pub(crate) compile_timeout: Duration,

    /// Time that a client may take to send a request's headers
    #[arg(
        long, env = "WASMWAY_HEADER_TIMEOUT", value_name = "TIME", default_value = "10s",
        value_parser = lasting("100ms", "10m"),
    )]
    pub(crate) header_timeout: Duration,

    /// Time that a body may stand still, on its way in or out, before the request is given up
    #[arg(
        long, env = "WASMWAY_BODY_IDLE_TIMEOUT", value_name = "TIME", default_value = "30s",
        value_parser = lasting("100ms", "1h"),
    )]
    pub(crate) body_idle_timeout: Duration,

    /// Least rate, per second, at which a client must send a body that is waited for; 0B asks for none
    #[arg(
        long, env = "WASMWAY_MIN_BODY_RATE", value_name = "SIZE", default_value = "1KiB",
        value_parser = between(ByteSize::bytes(0)..=ByteSize::mib(1)),
    )]
    pub(crate) min_body_rate: ByteSize,

    /// Percent of the memory in use (of the machine's, or of the control group's limit) from which on new requests are
    /// answered 503; 0 answers none so
    #[arg(
        long, env = "WASMWAY_MEMORY_PRESSURE", value_name = "PERCENT", default_value = "90",
        value_parser = between(0..=100_u8),
    )]
    pub(crate) memory_pressure: u8,

    /// Largest head of a request: its line and headers
    #[arg(
        long, env = "WASMWAY_MAX_HEADER_BYTES", value_name = "SIZE", default_value = "64KiB",
        value_parser = between(ByteSize::kib(8)..=ByteSize::mib(1)),
    )]
    pub(crate) max_header_bytes: ByteSize,

    /// Development: let functions reach private and loopback addresses that their allow-list names
    #[arg(
        long, env = "WASMWAY_OUTBOUND_ALLOW_PRIVATE", value_name = "BOOL", default_value = "false",
        value_parser = switch, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
        default_missing_value = "true",
    )]
    pub(crate) outbound_allow_private: bool,

    /// Lines of each function's output that are kept for `wasmway logs`
    #[arg(
        long, env = "WASMWAY_LOG_LINES", value_name = "N", default_value = "1000",
        value_parser = between(0..=100_000_u32),
    )]
    pub(crate) log_lines: u32,

    #[command(flatten)]
    pub(crate) otlp: OtlpSettings,
}
