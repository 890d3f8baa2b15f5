//! `wasmway completions`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output;

/// Print the completions of a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway completions bash > ~/.local/share/bash-completion/completions/wasmway")]
pub(crate) struct Completions {
    shell: Shell,
}

pub(crate) fn run(arguments: Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "wasmway", &mut script);
    output::bytes(&script)
}
