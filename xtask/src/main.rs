//! The repository's own tasks: `cargo xtask --help`.

mod bench;
mod book;
mod browser;
mod c_guest;
mod command;
mod component;
mod examples;
mod fuzz;
mod guests;
mod layout;
mod templates;
mod test;
mod tidy;
mod toolchain;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::layout::Layout;

#[derive(Parser)]
#[command(about = "Builds the guests and examples, runs all tests, checks the repository's habits")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Installs what guests and examples are built with, where it is missing
    Toolchain,
    /// Builds test guests into target/guests
    Guests {
        /// Folders of guests/; all of them when none is named
        names: Vec<String>,
    },
    /// Builds the examples into target/examples
    Examples {
        /// Folders of examples/; all of them when none is named
        names: Vec<String>,
        /// Rebuild the copy of hello-rust that the repository carries
        #[arg(long, conflicts_with = "names")]
        prebuilt: bool,
    },
    /// Makes, builds, deploys, calls and changes a function from every template of sdk/templates, and prints how long each
    /// step took
    Templates,
    /// Builds the book of docs/ into target/book, with mdBook, which it installs where it is missing
    Book,
    /// Checks habits that the compiler does not: sizes, names, dependencies, untested guests, links of the book
    Tidy,
    /// Kills the platform in the middle of deploys, again and again: what it acknowledged must be there
    CrashLoop {
        /// Times to kill it
        #[arg(long, default_value_t = 200)]
        rounds: u32,
    },
    /// Runs a fleet of three gateways and two registries through deploys, kills, outages and restarts, with figures
    Fleet {
        /// Tests by parts of their names; all of them when none is named
        names: Vec<String>,
        /// Seconds of each
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Attacks a server in every way that is known, and prints what came of it
    Siege {
        /// Passed on to the siege: --only 9,10, --keep-going, --server URL --control URL --token TOKEN [--pid N]
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Measures a server from outside: `cargo xtask bench --help` names the measurements
    Bench {
        /// Passed on to wasmway-bench; with --server-binary PATH, no server is built
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Tries every page and every action of the dashboard out in Chromium
    Browser {
        /// Folder for a picture of every page
        #[arg(long, value_name = "FOLDER")]
        screenshots: Option<PathBuf>,
    },
    /// Counts the instructions of a request by the development build, and compares with bench/baseline.json
    Instructions,
    /// Feeds made-up input to everything that reads what strangers send
    Fuzz {
        /// Targets, the files of fuzz/fuzz_targets; all of them when none is named
        names: Vec<String>,
        /// Seconds for each of them
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Prepares everything, then runs all tests
    Test {
        /// Passed on to `cargo test`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Its causes, but no backtrace: what failed is nearly always a program that we ran.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    let layout = Layout::of_this_repository();
    match task {
        Task::Toolchain => toolchain::install(&layout),
        Task::Guests { names } => guests::build(&layout, &names),
        Task::Examples { prebuilt: true, .. } => examples::build_prebuilt(&layout),
        Task::Examples { names, .. } => examples::build(&layout, &names),
        Task::Templates => templates::run(&layout),
        Task::Book => book::build(&layout),
        Task::Tidy => tidy::check(&layout),
        Task::CrashLoop { rounds } => test::crash_loop(&layout, rounds),
        Task::Fleet { names, seconds } => test::fleet(&layout, seconds, &names),
        Task::Siege { arguments } => test::siege(&layout, &arguments),
        Task::Bench { arguments } => bench::run(&layout, &arguments),
        Task::Browser { screenshots } => browser::try_out(&layout, screenshots),
        Task::Instructions => bench::instructions(&layout),
        Task::Fuzz { names, seconds } => fuzz::run(&layout, seconds, &names),
        Task::Test { arguments } => test::run(&layout, &arguments),
    }
}
