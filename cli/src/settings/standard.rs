//! The variables that OpenTelemetry has for every program: for settings that are said in no other way.

use std::env;

use clap::error::ErrorKind;
use clap::{Arg, Command};

use super::{Origin, reading};

/// What the environment says in the standard's words.
#[derive(Debug, Default)]
pub(super) struct Standard {
    values: Vec<Said>,
}

#[derive(Debug)]
struct Said {
    setting: &'static str,
    variable: &'static str,
    /// As it would be written in a flag.
    value: String,
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

impl Standard {
    pub(super) fn read() -> Result<Self, clap::Error> {
        // Empty is unset, says the standard.
        Self::of(|variable| env::var(variable).ok().filter(|value| !value.is_empty()))
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Self, clap::Error> {
        let mut values = Vec::new();
        if let Some(value) = variable(ENDPOINT) {
            values.push(Said { setting: "otlp-endpoint", variable: ENDPOINT, value });
        }
        if let Some(sampler) = variable(SAMPLER) {
            let said = |variable, value| Said { setting: "trace-ratio", variable, value };
            // A caller's decision always holds here, so the two kinds of each are one.
            values.push(match sampler.strip_prefix("parentbased_").unwrap_or(&sampler) {
                "always_on" => said(SAMPLER, "1".to_owned()),
                "always_off" => said(SAMPLER, "0".to_owned()),
                "traceidratio" => said(SAMPLER_ARG, variable(SAMPLER_ARG).unwrap_or_else(|| "1".to_owned())),
                _ => return Err(unknown(&sampler)),
            });
        }
        for Said { setting, variable, value } in &values {
            reading::check([(*setting, value.as_str())], &Origin::Environment((*variable).to_owned()))?;
        }
        Ok(Self { values })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    fn of_setting(&self, setting: &Arg) -> Option<&Said> {
        self.values.iter().find(|said| setting.get_long() == Some(said.setting))
    }

    /// Where a setting's value comes from, if it is said here.
    pub(super) fn origin(&self, setting: &Arg) -> Option<Origin> {
        self.of_setting(setting).map(|said| Origin::Environment(said.variable.to_owned()))
    }

    /// `command` and the commands below it with what is said here for defaults.
    pub(super) fn as_defaults(&self, command: Command) -> Command {
        command
            .mut_args(|arg| match self.of_setting(&arg) {
                Some(said) => {
                    let value = said.value.clone();
                    arg.default_value(value)
                }
                None => arg,
            })
            .mut_subcommands(|below| self.as_defaults(below))
    }
}

fn unknown(sampler: &str) -> clap::Error {
    let message = format!(
        "trace-ratio = {sampler:?} (from environment {SAMPLER}): unknown sampler: choose one of always_on, always_off, \
         traceidratio, parentbased_always_on, parentbased_always_off, parentbased_traceidratio, or set --trace-ratio"
    );
    reading::refuse(ErrorKind::ValueValidation, message)
}
