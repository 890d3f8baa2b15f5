//! Finds the control plane to talk to, and the token that it asks for.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Deserialize;
use url::Url;

use super::is_loopback;
use crate::cli::Globals;
use crate::dev;
use crate::failure::Failure;
use crate::settings::default_dir;

/// A control plane, and the token to show to it if there is one.
#[derive(Debug, PartialEq)]
pub(super) struct Target {
    pub(super) server: Url,
    pub(super) token: Option<String>,
}

/// What a running platform writes to `run.json`, as far as it matters here.
#[derive(Debug, Deserialize)]
pub(crate) struct Running {
    pub(crate) control: Url,
}

/// The control plane that is named, else the one that runs on the data directory.
///
/// The data directory's own token goes to the platform that runs there and to nobody else, whatever `--server` says.
pub(super) fn control_plane(globals: &Globals) -> Result<Target, Failure> {
    let (data_dir, local) = local(&globals.data_dir.data_dir)?;
    let server = match (&globals.server, &local) {
        (Some(server), _) => checked(server)?,
        (None, Some(local)) => local.control.clone(),
        (None, None) => return Err(Failure::NotRunning { data_dir }),
    };
    let is_local = local.is_some_and(|local| local.control.origin() == server.origin());
    let token = match &globals.token {
        Some(token) => Some(token.clone()),
        None if is_local => read_if_there(&data_dir.join("admin.token"))?.map(|token| token.trim().to_owned()),
        None => None,
    };
    Ok(Target { server, token })
}

/// The platform that runs on the data directory. Where none does and nobody has named another directory, that which
/// `wasmway dev` runs for the project that this folder is in.
fn local(data_dir: &Path) -> Result<(PathBuf, Option<Running>), Failure> {
    let running = running_on(data_dir)?;
    if running.is_none() && *data_dir == default_dir::data_dir() {
        let here = env::current_dir().context("cannot find the current folder")?;
        for folder in here.ancestors().map(|folder| folder.join(dev::FOLDER)) {
            // A file that came with somebody's project must not send ours to somebody's server.
            if let Some(running) = running_on(&folder)?.filter(|running| is_loopback(&running.control)) {
                return Ok((folder, Some(running)));
            }
        }
    }
    Ok((data_dir.to_owned(), running))
}

fn checked(server: &Url) -> Result<Url, Failure> {
    if matches!(server.scheme(), "http" | "https") && server.has_host() {
        Ok(server.clone())
    } else {
        Err(Failure::Usage(format!("{server} is no server: write a URL such as http://127.0.0.1:8081")))
    }
}

pub(crate) fn running_on(data_dir: &Path) -> Result<Option<Running>, Failure> {
    let file: PathBuf = data_dir.join("run.json");
    let Some(text) = read_if_there(&file)? else {
        return Ok(None);
    };
    let running = serde_json::from_str(&text).with_context(|| format!("{} is damaged", file.display()))?;
    Ok(Some(running))
}

fn read_if_there(file: &Path) -> Result<Option<String>, Failure> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Other(anyhow::Error::new(error).context(format!("cannot read {}", file.display())))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;
    use crate::settings::DataDir;
    use wasmway_registry::Namespace;

    const CONTROL: &str = "http://127.0.0.1:8081";

    fn globals(data_dir: &Path, server: Option<&str>, token: Option<&str>) -> Globals {
        Globals {
            output: Format::Text,
            namespace: Namespace::default(),
            server: server.map(|server| server.parse().unwrap()),
            token: token.map(str::to_owned),
            data_dir: DataDir { data_dir: data_dir.to_owned() },
        }
    }

    fn started() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let run = format!(r#"{{"data":"http://127.0.0.1:8080","control":"{CONTROL}","pid":1}}"#);
        fs::write(dir.path().join("run.json"), run).unwrap();
        fs::write(dir.path().join("admin.token"), "secret\n").unwrap();
        dir
    }

    #[test]
    fn the_local_platform_is_found_with_its_token() {
        let dir = started();
        let target = control_plane(&globals(dir.path(), None, None)).unwrap();
        assert_eq!(target, Target { server: CONTROL.parse().unwrap(), token: Some("secret".to_owned()) });
        let target = control_plane(&globals(dir.path(), Some(CONTROL), None)).unwrap();
        assert_eq!(target.token.as_deref(), Some("secret"));
    }

    #[test]
    fn the_local_token_goes_nowhere_else() {
        let dir = started();
        for elsewhere in ["http://127.0.0.1:9999", "https://wasmway.example.com"] {
            let target = control_plane(&globals(dir.path(), Some(elsewhere), None)).unwrap();
            assert_eq!(target.token, None, "{elsewhere}");
        }
        let target = control_plane(&globals(dir.path(), Some("http://a.example"), Some("given"))).unwrap();
        assert_eq!(target.token.as_deref(), Some("given"));
    }

    #[test]
    fn what_does_not_run_is_said_so() {
        let dir = tempfile::tempdir().unwrap();
        let failure = control_plane(&globals(dir.path(), None, None)).unwrap_err();
        assert!(matches!(failure, Failure::NotRunning { .. }), "{failure}");
        let failure = control_plane(&globals(dir.path(), Some("localhost:8081"), None)).unwrap_err();
        assert!(matches!(failure, Failure::Usage(_)), "{failure}");
    }
}
