//! What the siege was asked to do.

use std::collections::BTreeSet;

use crate::harness::Server;

pub(crate) const USAGE: &str = "\
usage: cargo xtask siege [--only 9,10] [--keep-going] [--server URL --control URL --token TOKEN [--pid N]]

  --only 9,10     these cases alone
  --keep-going    do not stop at the first case that does not hold
  --server URL    attack the server whose data plane is there, in place of one of its own;
                  cases that need a server of their own, to kill it for one, are then not run
  --control URL   its control plane
  --token TOKEN   the token of its administrator
  --pid N         its process, on this machine: without it, its memory is not watched";

#[derive(Default)]
pub(crate) struct Arguments {
    pub(crate) only: BTreeSet<u8>,
    pub(crate) keep_going: bool,
    data: Option<String>,
    control: Option<String>,
    token: Option<String>,
    pub(crate) pid: Option<u32>,
}

impl Arguments {
    /// `None` when no attack was asked for: then the arguments are meant for other tests.
    pub(crate) fn read(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut arguments = arguments.peekable();
        if arguments.next_if_eq("--attack").is_none() {
            return Ok(None);
        }
        let mut read = Self::default();
        while let Some(flag) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{flag} needs a value"));
            match flag.as_str() {
                "--keep-going" => read.keep_going = true,
                "--only" => read.only = numbers(&value()?)?,
                "--server" => read.data = Some(value()?),
                "--control" => read.control = Some(value()?),
                "--token" => read.token = Some(value()?),
                "--pid" => read.pid = Some(value()?.parse().map_err(|error| format!("--pid: {error}"))?),
                _ => return Err(format!("{flag} is no flag of the siege")),
            }
        }
        Ok(Some(read))
    }

    /// The server to attack, when it is not to be one of our own.
    pub(crate) fn server(&self) -> Result<Option<Server>, String> {
        match (&self.data, &self.control, &self.token) {
            (Some(data), Some(control), Some(token)) => Ok(Some(Server::at(data, control, token))),
            (None, None, None) => Ok(None),
            _ => Err("--server, --control and --token belong together".to_owned()),
        }
    }
}

fn numbers(list: &str) -> Result<BTreeSet<u8>, String> {
    let number = |text: &str| text.trim().parse().map_err(|error| format!("--only {text}: {error}"));
    list.split(',').map(number).collect()
}
