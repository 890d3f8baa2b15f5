//! `wasmway build`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::component::Component;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::Project;

/// Build a project's component, and look whether the platform will take it
///
/// PATH is a wasmway.toml or a folder with one, whose [build] command is run; or a component, which is only looked at.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  wasmway build\n  wasmway build my-project/ -o json\n  wasmway build hello.wasm")]
pub(crate) struct Build {
    /// Project folder, wasmway.toml or component
    #[arg(default_value = ".")]
    path: PathBuf,
}

pub(crate) fn run(arguments: &Build, format: Format) -> Result<(), Failure> {
    let project = if is_component(&arguments.path) { Project::find(&arguments.path)? } else { build(&arguments.path)? };
    let component = Component::read(&project.component)?;
    let needs = component.needs();
    if format == Format::Json {
        return output::json(&json!({
            "component": project.component, "size": component.size, "export": component.summary.export,
            "imports": component.summary.imports, "needs": needs,
        }));
    }
    output::fields([
        ("component", format!("{}, {}", project.component.display(), output::size(component.size))),
        ("answers", format!("HTTP, by {}", component.summary.export)),
        ("needs", if needs.is_empty() { "nothing".to_owned() } else { needs.join("\n") }),
    ])
}

/// Runs the build of the project at `path`.
pub(super) fn build(path: &Path) -> Result<Project, Failure> {
    let project = Project::locate(path)?;
    project.build()?;
    Ok(project)
}

/// Whether the path is a component's and not a project's.
fn is_component(path: &Path) -> bool {
    !path.is_dir() && path.extension().is_none_or(|it| it != "toml")
}
