//! A closed loop by wrk.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::NamedTempFile;

use crate::client::Target;
use crate::closed_loop::Run;

/// Loads `target` for `seconds` over so many connections. One failed answer fails the run.
pub(crate) fn run(target: &Target, connections: u32, seconds: u64) -> Result<Run> {
    let script = NamedTempFile::new()?;
    let mut command = Command::new("wrk");
    command.args(["--latency", "--threads=1", "--timeout=5s"]).arg(format!("--connections={connections}"));
    command.arg(format!("--duration={seconds}s"));
    if let Some(body) = &target.body {
        write_script(script.path(), body.len())?;
        command.arg("--script").arg(script.path());
    }
    command.arg(format!("http://{}{}", target.address, target.path));
    let output = command.output().context("cannot run wrk; Debian's package `wrk` has it")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk: {}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    read(&said).with_context(|| format!("wrk said: {said}"))
}

fn write_script(path: &Path, bytes: usize) -> Result<()> {
    let script = format!("wrk.method = \"POST\"\nwrk.body = string.rep(\"x\", {bytes})\n");
    fs::write(path, script).context("writing wrk's script")
}

fn read(said: &str) -> Result<Run> {
    for line in said.lines().map(str::trim) {
        if line.starts_with("Non-2xx") || line.starts_with("Socket errors") {
            bail!("{line}");
        }
    }
    let value = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in ")).context("no requests")?;
    Ok(Run {
        requests: requests.0.parse()?,
        per_second: value("Requests/sec:").context("no rate")?.parse()?,
        p50_us: microseconds(value("50%").context("no median")?)?,
        p99_us: microseconds(value("99%").context("no p99")?)?,
    })
}

fn microseconds(text: &str) -> Result<f64> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "us" => Duration::from_micros(1),
        "ms" => Duration::from_millis(1),
        "s" => Duration::from_secs(1),
        other => bail!("{other:?} is no unit of time"),
    };
    Ok(number.parse::<f64>()? * unit.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "  Latency Distribution\n     50%  838.00us\n     75%  900.00us\n     99%    1.96ms\n  \
                        71234 requests in 2.00s, 9.50MB read\nRequests/sec:  35617.25\n";

    #[test]
    fn reads_what_wrk_says() {
        let run = read(SAID).unwrap();
        assert_eq!((run.requests, run.per_second, run.p50_us), (71234, 35617.25, 838.0));
        assert!((run.p99_us - 1960.0).abs() < 1e-6);
    }

    #[test]
    fn a_failed_answer_fails_the_run() {
        assert!(read(&format!("{SAID}  Non-2xx or 3xx responses: 7\n")).is_err());
        assert!(read("").is_err());
    }
}
