//! Where a process that serves is found.

use serde::{Deserialize, Serialize};
use std::{fs, io::Write, net::SocketAddr, path::Path};

/// What `run.json` in the data folder says about a process that serves.
#[derive(Debug, Serialize, Deserialize)]
struct RunFile {
    /// None of a registry, where no function is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// The data plane over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<String>,
    control: String,
    pid: u32,
}

/// Tells people and programs where everything is. The file is whole whenever it is there.
pub(super) fn announce(
    folder: &Path,
    data: Option<SocketAddr>,
    tls: Option<SocketAddr>,
    control: SocketAddr,
) -> anyhow::Result<()> {
    let url = |address| format!("http://{}", reachable(address));
    let tls = tls.map(|address| format!("https://{}", reachable(address)));
    let run = RunFile { data: data.map(url), tls, control: url(control), pid: std::process::id() };
    let scratch = folder.join("run.json.new");
    fs::write(&scratch, serde_json::to_vec(&run)?)?;
    fs::rename(scratch, folder.join("run.json"))?;
    let mut out = std::io::stdout().lock();
    for data in run.data.iter().chain(&run.tls) {
        writeln!(out, "data plane   {data}")?;
    }
    writeln!(out, "control plane {}", run.control)?;
    Ok(out.flush()?)
}

/// The address under which this machine reaches a listener on all its addresses.
pub(super) fn reachable(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    address
}
