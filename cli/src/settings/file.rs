//! The configuration file: TOML with one key a setting.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, Command};

use super::reading::declared;
use super::{Origin, reading};

/// How alike (0 to 1, by Jaro and Winkler) a known key must be to be suggested for an unknown one.
const ALIKE_MIN: f64 = 0.75;

/// The settings that a file gives, each known to be good.
#[derive(Debug, Clone)]
pub(super) struct ConfigFile {
    path: PathBuf,
    /// Name and value, as it would be written in a flag.
    values: Vec<(String, String)>,
}

impl ConfigFile {
    pub(super) fn read(path: &Path) -> Result<Self, clap::Error> {
        let text = fs::read_to_string(path).map_err(|error| {
            reading::refuse(ErrorKind::Io, format!("cannot read the configuration file {}: {error}", path.display()))
        })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, clap::Error> {
        let refuse = |message: String| reading::refuse(ErrorKind::ValueValidation, message);
        let origin = Origin::File(path.to_owned());
        let table: toml::Table =
            text.parse().map_err(|error| refuse(format!("{} is not TOML: {error}", path.display())))?;
        let known = declared();
        let mut values = Vec::with_capacity(table.len());
        for (name, value) in table {
            if !known.iter().any(|setting| setting.get_long() == Some(&name)) {
                return Err(refuse(unknown(&name, &known, path)));
            }
            let value = match value {
                toml::Value::String(text) => text,
                toml::Value::Integer(number) => number.to_string(),
                toml::Value::Float(number) => number.to_string(),
                toml::Value::Boolean(switch) => switch.to_string(),
                toml::Value::Datetime(_) | toml::Value::Array(_) | toml::Value::Table(_) => {
                    return Err(refuse(format!(
                        "{name} (from {origin}): {} where a text, a number, true or false belongs",
                        value.type_str()
                    )));
                }
            };
            values.push((name, value));
        }
        let file = Self { path: path.to_owned(), values };
        reading::check(file.values.iter().map(|(name, value)| (name.as_str(), value.as_str())), &origin)?;
        Ok(file)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The file's value of a setting.
    pub(super) fn value(&self, setting: &Arg) -> Option<&str> {
        let (_, value) = self.values.iter().find(|(name, _)| setting.get_long() == Some(name))?;
        Some(value)
    }

    /// `command` and the commands below it with the file's values for defaults.
    pub(super) fn as_defaults(&self, command: Command) -> Command {
        command
            .mut_args(|arg| match self.value(&arg) {
                Some(value) => {
                    let value = value.to_owned();
                    arg.default_value(value)
                }
                None => arg,
            })
            .mut_subcommands(|below| self.as_defaults(below))
    }
}

fn unknown(name: &str, known: &[Arg], path: &Path) -> String {
    let nearest = known
        .iter()
        .filter_map(Arg::get_long)
        .map(|long| (strsim::jaro_winkler(name, long), long))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .filter(|(alike, _)| *alike >= ALIKE_MIN);
    let fix = match nearest {
        Some((_, long)) => format!("did you mean {long}?"),
        None => "`wasmway config show` lists the settings".to_owned(),
    };
    format!("{name} (from file {}): there is no such setting; {fix}", path.display())
}
