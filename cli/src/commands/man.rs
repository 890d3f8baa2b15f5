//! `wasmway man`.

mod markdown;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Command, CommandFactory};

use crate::cli::Cli;
use crate::failure::Failure;

/// Write the manual pages of every command into a folder
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway man ~/.local/share/man/man1")]
pub(crate) struct Man {
    /// Folder, which is made if it is not there
    folder: PathBuf,
    /// Write one page of Markdown in place of them, cli.md
    #[arg(long)]
    markdown: bool,
}

pub(crate) fn run(arguments: &Man) -> Result<(), Failure> {
    let folder = &arguments.folder;
    let command = everywhere(Cli::command());
    std::fs::create_dir_all(folder)
        .and_then(|()| match arguments.markdown {
            true => std::fs::write(folder.join("cli.md"), markdown::page(command)),
            false => clap_mangen::generate_to(command, folder),
        })
        .with_context(|| format!("cannot write manual pages to {}", folder.display()))?;
    Ok(())
}

/// The command without the default of its data directory, which is one of this user and this machine.
fn everywhere(command: Command) -> Command {
    let command = command.mut_args(|argument| {
        let is_here = argument.get_id() == "data_dir" || argument.get_id() == "workers";
        argument.hide_default_value(is_here)
    });
    command.mut_subcommands(everywhere)
}
