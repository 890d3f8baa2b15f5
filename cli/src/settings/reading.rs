//! Reads arguments, environment and configuration file into one set of values.
//!
//! clap knows flags, environment and defaults already. The file's values become the defaults of a second reading, so
//! that every layer passes through the same declaration, and where a value came from is what clap says of it.

use std::env;
use std::error::Error as _;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, CommandFactory};
use wasmway_registry::PostgresUrl;

use super::file::ConfigFile;
use super::standard::Standard;
use super::{Origin, Resolved, Settings};
use crate::cli::Cli;

/// Reads everything that a start of the program is told. The second part is empty for commands without settings.
pub(crate) fn read(arguments: &[OsString]) -> Result<(ArgMatches, Vec<Resolved>), clap::Error> {
    let from = |setting: &Arg| flag_or_variable(setting, arguments);
    let parse = |command: Command| command.try_get_matches_from(arguments).map_err(|error| explain(error, from));

    let mut matches = parse(Cli::command())?;
    if !has_settings(leaf(&matches)) {
        return Ok((matches, Vec::new()));
    }
    let standard = Standard::read()?;
    let file = leaf(&matches).get_one::<PathBuf>("config").map(|path| ConfigFile::read(path)).transpose()?;
    if file.is_some() || !standard.is_empty() {
        let command = standard.as_defaults(Cli::command());
        matches = parse(file.iter().fold(command, |command, file| file.as_defaults(command)))?;
    }
    let settings = resolve(leaf(&matches), file.as_ref(), &standard);
    check_together(leaf(&matches), &settings)?;
    Ok((matches, settings))
}

/// A command that takes the settings and nothing else.
pub(super) fn settings_command() -> Command {
    Settings::augment_args(Command::new("wasmway"))
}

/// Every setting as it is declared.
pub(super) fn declared() -> Vec<Arg> {
    settings_command().get_arguments().cloned().collect()
}

/// Checks values that were written elsewhere. Read as flags, they meet the same checks as everywhere else.
pub(super) fn check<'a>(
    values: impl IntoIterator<Item = (&'a str, &'a str)>,
    origin: &Origin,
) -> Result<(), clap::Error> {
    let flags = values.into_iter().map(|(name, value)| format!("--{name}={value}"));
    let read = settings_command().no_binary_name(true).try_get_matches_from(flags);
    read.map(drop).map_err(|error| explain(error, |_| origin.clone()))
}

/// An error as clap prints them, with exit code 2.
pub(super) fn refuse(kind: ErrorKind, message: String) -> clap::Error {
    clap::Error::raw(kind, format_args!("{message}\n"))
}

/// Says of a refused value which setting it is for and where it came from; other errors stay as they are.
pub(super) fn explain(error: clap::Error, from: impl Fn(&Arg) -> Origin) -> clap::Error {
    let reason = match (error.kind(), error.source(), error.get(ContextKind::ValidValue)) {
        (ErrorKind::ValueValidation, Some(source), _) => source.to_string(),
        (ErrorKind::InvalidValue, _, Some(ContextValue::Strings(allowed))) => {
            format!("unknown value: choose one of {}", allowed.join(", "))
        }
        _ => return error,
    };
    let Some(ContextValue::String(invalid)) = error.get(ContextKind::InvalidArg) else {
        return error;
    };
    // clap names an argument as its usage does: `--max-memory <SIZE>`, `--dev[=<BOOL>]`.
    let long = invalid.split([' ', '[', '=']).next().and_then(|flag| flag.strip_prefix("--"));
    let Some(setting) = declared().into_iter().find(|setting| long.is_some() && setting.get_long() == long) else {
        return error;
    };
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if is_secret(&setting) || has_credentials(value) => "...",
        Some(ContextValue::String(value)) => value.as_str(),
        _ => "",
    };
    refuse(error.kind(), format!("{} = {value:?} (from {}): {reason}", name(&setting), from(&setting)))
}

/// Checks what no single value shows.
fn check_together(matches: &ArgMatches, settings: &[Resolved]) -> Result<(), clap::Error> {
    let origin =
        |name| settings.iter().find(|setting| setting.name == name).map_or(&Origin::Default, |setting| &setting.origin);
    let conflict = |message| Err(refuse(ErrorKind::ArgumentConflict, message));
    let dev = matches.get_one::<bool>("dev").is_some_and(|dev| *dev);
    let open = matches.get_one::<SocketAddr>("control").filter(|control| !control.ip().is_loopback());
    if let (true, Some(control)) = (dev, open) {
        return conflict(format!(
            "dev = true (from {}) needs no token, so control = \"{control}\" (from {}) must be a loopback address \
             such as 127.0.0.1:8081; or leave dev out and use the admin token",
            origin("dev"),
            origin("control"),
        ));
    }
    let signals = origin("otlp-signals");
    if *signals != Origin::Default && matches.get_raw("otlp_endpoint").is_none() {
        return conflict(format!(
            "otlp-signals (from {signals}) says what is sent, and nothing says where to: set otlp-endpoint, such as \
             http://collector:4318"
        ));
    }
    Ok(())
}

fn resolve(matches: &ArgMatches, file: Option<&ConfigFile>, standard: &Standard) -> Vec<Resolved> {
    let settings = declared();
    settings.iter().map(|setting| resolve_one(setting, matches, file, standard)).collect()
}

fn resolve_one(setting: &Arg, matches: &ArgMatches, file: Option<&ConfigFile>, standard: &Standard) -> Resolved {
    let id = setting.get_id().as_str();
    let origin = match (matches.value_source(id), file.filter(|file| file.value(setting).is_some())) {
        (Some(ValueSource::CommandLine), _) => flag(setting),
        (Some(ValueSource::EnvVariable), _) => variable(setting),
        (_, Some(file)) => Origin::File(file.path().to_owned()),
        (_, None) => standard.origin(setting).unwrap_or(Origin::Default),
    };
    let value = matches.get_raw(id).and_then(|mut values| values.next_back());
    let shown = || match matches.get_one::<PostgresUrl>(id) {
        Some(url) => url.to_string(),
        None => String::new(),
    };
    let is_secret = is_secret(setting);
    Resolved {
        name: name(setting),
        value: value.map(|value| if is_secret { shown() } else { value.to_string_lossy().into_owned() }),
        origin,
        help: setting.get_help().map(ToString::to_string).unwrap_or_default(),
    }
}

/// The place of a refused value. A flag wins over its variable, so where there is one, it was the flag that was read.
fn flag_or_variable(setting: &Arg, arguments: &[OsString]) -> Origin {
    let flag_text = format!("--{}", name(setting));
    let given = |argument: &OsString| {
        let rest = argument.to_str().and_then(|text| text.strip_prefix(&flag_text));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let variable_set = setting.get_env().is_some_and(|name| env::var_os(name).is_some());
    if arguments.iter().any(given) || !variable_set { flag(setting) } else { variable(setting) }
}

/// Whether a value is an address with credentials, which is refused where no such is taken, and not repeated.
fn has_credentials(value: &str) -> bool {
    value.split_once("://").is_some_and(|(_, rest)| rest.contains('@'))
}

/// Whether a value may have a password in it, which is never printed.
fn is_secret(setting: &Arg) -> bool {
    setting.get_id() == "database"
}

fn flag(setting: &Arg) -> Origin {
    Origin::Flag(format!("--{}", name(setting)))
}

fn variable(setting: &Arg) -> Origin {
    Origin::Environment(setting.get_env().unwrap_or_default().to_string_lossy().into_owned())
}

fn name(setting: &Arg) -> String {
    setting.get_long().unwrap_or_default().to_owned()
}

/// The matches of the innermost command: `wasmway config show` is `show`.
fn leaf(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, below)| leaf(below))
}

fn has_settings(matches: &ArgMatches) -> bool {
    matches.ids().any(|id| id == "listen")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flag_and_variable_of_a_setting_have_one_name() {
        for setting in declared() {
            let expected = format!("WASMWAY_{}", name(&setting).to_uppercase().replace('-', "_"));
            assert_eq!(setting.get_env().map(|env| env.to_string_lossy().into_owned()), Some(expected));
            assert!(setting.get_help().is_some(), "{} has no help", name(&setting));
        }
    }

    #[test]
    fn the_command_line_is_declared_consistently() {
        Cli::command().debug_assert();
    }
}
