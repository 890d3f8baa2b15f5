//! What a deploy would change, shown before it is done.

use reqwest::Method;
use serde_json::Value;
use wasmway_registry::{Difference, FunctionName};

use super::deploy::with_content;
use super::upload::Upload;
use crate::api::Plan;
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{self, Format};
use crate::project::Project;

/// Asks the platform what a deploy of the project would change.
pub(super) async fn ask(client: &Client, name: &FunctionName, project: &Project) -> Result<Value, Failure> {
    let upload = Upload::open(&project.component).await?;
    let progress = upload.progress.clone();
    let request = with_content(client.function(Method::POST, name, "/plan"), upload, project.manifest.clone())?;
    let answered = client.json(request).await;
    progress.finish_and_clear();
    answered
}

/// Prints a plan.
pub(super) fn show(name: &FunctionName, answer: &Value, format: Format) -> Result<(), Failure> {
    if format == Format::Json {
        return output::json(answer);
    }
    let plan: Plan = read(answer)?;
    let now = plan.version.map_or_else(|| "a new function".to_owned(), |version| format!("now v{version}"));
    let component = if plan.component_changes { "another component" } else { "the same component" };
    output::line(format_args!("{name}: {now}, {component}"))?;
    let rows: Vec<_> = plan.differences.into_iter().map(row).collect();
    if rows.is_empty() {
        return output::line(format_args!("nothing else would change"));
    }
    output::table(&["", "WHAT", "NOW", "THEN", ""], rows)
}

/// An error that names everything by which the function would be able to do more; nothing if there is nothing.
pub(super) fn refuse_growth(answer: &Value) -> Result<(), Failure> {
    let plan: Plan = read(answer)?;
    if !plan.grows {
        return Ok(());
    }
    let grown = plan.differences.iter().filter(|difference| difference.grows).map(|it| match (&it.before, &it.after) {
        (Some(before), Some(after)) => format!("{} {before} -> {after}", it.what),
        (_, after) => format!("{} {}", it.what, after.as_deref().unwrap_or_default()),
    });
    let grown: Vec<String> = grown.collect();
    let what = grown.join(", ");
    Err(anyhow::anyhow!("not deployed: the function would be able to do more ({what}); look at it, then add --approve")
        .into())
}

fn read(answer: &Value) -> Result<Plan, Failure> {
    Ok(serde_json::from_value(answer.clone()).map_err(anyhow::Error::new)?)
}

fn row(difference: Difference) -> Vec<String> {
    let sign = match (&difference.before, &difference.after) {
        (None, _) => "+",
        (_, None) => "-",
        _ => "~",
    };
    let remark = match (difference.grows, difference.meaning) {
        (true, Some(meaning)) => format!("GROWS: {meaning}"),
        (true, None) => "GROWS".to_owned(),
        (false, meaning) => meaning.unwrap_or_default(),
    };
    let side = |side: Option<String>| side.unwrap_or_default();
    vec![sign.to_owned(), difference.what, side(difference.before), side(difference.after), remark]
}
