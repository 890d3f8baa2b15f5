//! `wasi:cli` and `wasi:random`.

use super::Functions;
use crate::host::Host;
use wasmtime::component::Resource;
use wasmtime_wasi::{
    cli::WasiCliView,
    p2::bindings::{
        cli::{
            environment, exit, stderr, stdin, stdout,
            terminal_input::{HostTerminalInput, TerminalInput},
            terminal_output::{HostTerminalOutput, TerminalOutput},
            terminal_stderr, terminal_stdin, terminal_stdout,
        },
        random::{insecure, insecure_seed, random},
    },
    random::WasiRandomView,
};

pub(super) fn add(to: &mut Functions) {
    surroundings(to);
    streams(to);
    terminals(to);
    numbers(to);
}

fn surroundings(to: &mut Functions) {
    const ENVIRONMENT: &str = "wasi:cli/environment";
    const EXIT: &str = "wasi:cli/exit";
    to.now(ENVIRONMENT, "get-environment", |host: &mut Host, ()| environment::Host::get_environment(&mut host.cli()));
    to.now(ENVIRONMENT, "get-arguments", |host: &mut Host, ()| environment::Host::get_arguments(&mut host.cli()));
    to.now(ENVIRONMENT, "initial-cwd", |host: &mut Host, ()| environment::Host::initial_cwd(&mut host.cli()));
    to.now(EXIT, "exit", |host: &mut Host, (status,): (Result<(), ()>,)| exit::Host::exit(&mut host.cli(), status));
    to.now(EXIT, "exit-with-code", |host: &mut Host, (code,): (u8,)| exit::Host::exit_with_code(&mut host.cli(), code));
}

fn streams(to: &mut Functions) {
    to.now("wasi:cli/stdin", "get-stdin", |host: &mut Host, ()| stdin::Host::get_stdin(&mut host.cli()));
    to.now("wasi:cli/stdout", "get-stdout", |host: &mut Host, ()| stdout::Host::get_stdout(&mut host.cli()));
    to.now("wasi:cli/stderr", "get-stderr", |host: &mut Host, ()| stderr::Host::get_stderr(&mut host.cli()));
}

fn terminals(to: &mut Functions) {
    to.now("wasi:cli/terminal-stdin", "get-terminal-stdin", |host: &mut Host, ()| {
        terminal_stdin::Host::get_terminal_stdin(&mut host.cli())
    });
    to.now("wasi:cli/terminal-stdout", "get-terminal-stdout", |host: &mut Host, ()| {
        terminal_stdout::Host::get_terminal_stdout(&mut host.cli())
    });
    to.now("wasi:cli/terminal-stderr", "get-terminal-stderr", |host: &mut Host, ()| {
        terminal_stderr::Host::get_terminal_stderr(&mut host.cli())
    });
    to.now(
        "wasi:cli/terminal-input",
        "[resource-drop]terminal-input",
        |host: &mut Host, (this,): (Resource<TerminalInput>,)| HostTerminalInput::drop(&mut host.cli(), this),
    );
    to.now(
        "wasi:cli/terminal-output",
        "[resource-drop]terminal-output",
        |host: &mut Host, (this,): (Resource<TerminalOutput>,)| HostTerminalOutput::drop(&mut host.cli(), this),
    );
}

fn numbers(to: &mut Functions) {
    to.now("wasi:random/random", "get-random-bytes", |host: &mut Host, (len,): (u64,)| {
        random::Host::get_random_bytes(host.random(), len)
    });
    to.now("wasi:random/random", "get-random-u64", |host: &mut Host, ()| random::Host::get_random_u64(host.random()));
    to.now("wasi:random/insecure", "get-insecure-random-bytes", |host: &mut Host, (len,): (u64,)| {
        insecure::Host::get_insecure_random_bytes(host.random(), len)
    });
    to.now("wasi:random/insecure", "get-insecure-random-u64", |host: &mut Host, ()| {
        insecure::Host::get_insecure_random_u64(host.random())
    });
    to.now("wasi:random/insecure-seed", "insecure-seed", |host: &mut Host, ()| {
        insecure_seed::Host::insecure_seed(host.random())
    });
}
