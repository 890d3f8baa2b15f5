//! What a gateway is told at its start.

use crate::{access_log::AccessLogForm, otlp::OtlpConfig, tls::TlsConfig};
use reqwest::Url;
use std::{net::SocketAddr, path::PathBuf, time::Duration};
use wasmway_registry::Stores;
use wasmway_scheduler::TargetCpu;

/// What a process does.
#[derive(Clone, Debug)]
pub enum Role {
    /// Everything.
    All,
    /// The control plane, with database and artifacts; functions are called on other nodes.
    Registry,
    /// The data plane; what it serves it learns from the registry at this address.
    Gateway(Url),
}

/// The settings of one process. The command line has their defaults and explains each.
#[derive(Clone, Debug)]
pub struct Config {
    /// What the process does.
    pub role: Role,
    /// Where the registry keeps what it is told.
    pub stores: Stores,
    /// File with the token of people and their programs; one in the data folder is made when none is named.
    pub admin_token_file: Option<PathBuf>,
    /// File with the token of nodes; one in the data folder is made when none is named.
    pub node_token_file: Option<PathBuf>,
    /// Name of this node among others.
    pub node_name: String,
    /// Where clients call functions, when that is not the data plane's own address.
    pub data_url: Option<Url>,
    /// Folder of everything that is kept.
    pub data_dir: PathBuf,
    /// Address of the data plane; port 0 takes any.
    pub listen: SocketAddr,
    /// TLS of the data plane.
    pub tls: Option<TlsConfig>,
    /// Address of the control plane; port 0 takes any.
    pub control: SocketAddr,
    /// No token is asked for on the control plane, which must be on loopback.
    pub dev: bool,
    /// Domain below which functions answer by host: `FUNCTION.NAMESPACE.DOMAIN`.
    pub domain: Option<String>,
    /// Take `x-forwarded-*` of the client for true: a proxy of ours sets them.
    pub trust_forwarded: bool,
    /// Time that requests under way get to finish at the end.
    pub drain_timeout: Duration,
    /// Instances at once, for each of the two engines.
    pub max_instances: u32,
    /// No instance of WASI 0.2 is restored to serve another request.
    pub fresh_instances: bool,
    /// Largest memory limit that a function may have, in bytes.
    pub max_memory: u64,
    /// Largest component that is taken, in bytes.
    pub max_upload: u64,
    /// Connections that each plane holds open at once.
    pub max_connections: u32,
    /// Requests that run at once.
    pub max_requests: u32,
    /// Bytes of native code kept loaded.
    pub program_cache: u64,
    /// The processor that functions are compiled for.
    pub target_cpu: TargetCpu,
    /// Bytes of memory that compiling one component may use.
    pub compile_memory: u64,
    /// CPU time that compiling one component may use.
    pub compile_cpu: Duration,
    /// Wall-clock time that compiling one component may take.
    pub compile_timeout: Duration,
    /// Time that a client may take to send a request's head, and a kept connection may rest.
    pub header_timeout: Duration,
    /// Time that a body may stand still in either direction.
    pub body_idle_timeout: Duration,
    /// Bytes a second that a client must send of a body that is waited for; 0 asks for none.
    pub min_body_rate: u64,
    /// Share of the memory, in percent, from which on new invocations are turned away; 0 turns none away.
    pub memory_pressure: u8,
    /// Bytes of a request's head.
    pub max_header_bytes: usize,
    /// Functions may reach private addresses that their allow-list names: for development only.
    pub outbound_allow_private: bool,
    /// How the access log is written.
    pub access_log: AccessLogForm,
    /// Where traces, logs and metrics are sent, if anywhere.
    pub otlp: Option<OtlpConfig>,
    /// Lines of output that are kept for each function.
    pub log_lines: usize,
}
