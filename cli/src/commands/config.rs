//! `wasmway config`.

use clap::{Args, Subcommand};

use crate::failure::Failure;
use crate::output::{self, Format};
use crate::settings::{Resolved, ServerArguments};

/// Look at the server's settings
#[derive(Debug, Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    verb: ConfigVerb,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Print every setting, its value and where that came from
    #[command(after_help = "Example:\n  wasmway config show --config wasmway-server.toml --max-upload 20MiB")]
    Show(Box<ServerArguments>),
}

/// Prints the settings as `wasmway up` would take them.
pub(crate) fn show(settings: &[Resolved], format: Format) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(&settings),
        Format::Text => {
            let rows = settings.iter().map(|setting| {
                vec![
                    setting.name.clone(),
                    setting.value.clone().unwrap_or_else(|| "-".to_owned()),
                    setting.origin.to_string(),
                    setting.help.clone(),
                ]
            });
            output::table(&["SETTING", "VALUE", "FROM", "MEANING"], rows)
        }
    }
}
