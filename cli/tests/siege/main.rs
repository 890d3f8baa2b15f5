//! The siege: every attack that the platform must survive, one after the other, against a running server.
//!
//! `cargo xtask siege` prints a table of them and fails at the first that does not hold. For each it looks at three
//! things: what the attacker is answered, how much memory the server takes, and whether a neighbour goes on being
//! served. Without `--attack`, as among all other tests, it only checks that the catalogue is whole.

mod arguments;
mod case;
mod clients;
mod components;
mod control_plane;
mod driver;
mod environment;
mod guests;
#[path = "../harness/mod.rs"]
#[allow(dead_code, unused_imports, reason = "each of the targets that share it uses a part of it")]
mod harness;
mod table;
mod uploads;

use std::process::ExitCode;

use arguments::Arguments;
use case::Case;

/// The number of the last case: they are numbered from 1 without a gap.
const LAST: u8 = 84;

fn catalogue() -> Vec<Case> {
    let themes = [guests::cases(), uploads::cases(), clients::cases(), environment::cases(), control_plane::cases()];
    let mut cases: Vec<_> = themes.into_iter().flatten().collect();
    cases.sort_by_key(|case| case.number);
    cases
}

fn main() -> ExitCode {
    let cases = catalogue();
    let numbers: Vec<u8> = cases.iter().map(|case| case.number).collect();
    assert_eq!(numbers, (1..=LAST).collect::<Vec<_>>(), "the catalogue has each case once");
    match Arguments::read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => driver::run(&cases, &arguments),
        Ok(None) => {
            println!("the siege: {LAST} cases; `cargo xtask siege` attacks with them");
            ExitCode::SUCCESS
        }
        Err(mistake) => {
            eprintln!("{mistake}\n\n{}", arguments::USAGE);
            ExitCode::FAILURE
        }
    }
}
