//! `wasmway doctor`.

use std::env;
use std::path::Path;

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::language::Language;
use crate::output::{self, Format};
use crate::toolchain::{self, System};

/// Check that this machine can build functions in a language
///
/// In a project, for its language; what is missing is shown with the command that installs it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway doctor\n  wasmway doctor --lang python")]
pub(crate) struct Doctor {
    /// Language to look at [default: that of the project in this folder]
    #[arg(long, value_name = "LANGUAGE", value_enum)]
    lang: Option<Language>,
}

pub(crate) fn run(arguments: &Doctor, format: Format) -> Result<(), Failure> {
    let project = Language::of_project(Path::new("."));
    let Some(language) = arguments.lang.or(project) else {
        return Err(Failure::Usage(
            "this folder has no project of a language that is known here; name one by --lang".into(),
        ));
    };
    let search_path = env::var_os("PATH").unwrap_or_default();
    let system = System::of(&search_path);
    let findings = toolchain::check(language, project == Some(language), &search_path);
    let missing = findings.iter().filter(|it| !it.is_good()).count();
    if format == Format::Json {
        let tools: Vec<_> = findings.iter().map(|it| it.view(system)).collect();
        output::json(&json!({ "language": language, "good": missing == 0, "tools": tools }))?;
    } else {
        let rows = findings.iter().map(|it| {
            let way_out = if it.is_good() { String::new() } else { it.tool.install(system) };
            vec![it.tool.name().to_owned(), it.state(), way_out]
        });
        output::table(&["NEEDS", "FOUND", "INSTALL BY"], rows)?;
    }
    match missing {
        0 => Ok(()),
        1 => Err(anyhow!("something is missing to build functions in {}", language.title()).into()),
        _ => Err(anyhow!("{missing} things are missing to build functions in {}", language.title()).into()),
    }
}
