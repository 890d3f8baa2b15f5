//! Reading a manifest that a person wrote, and telling them what is wrong with it.

use std::fmt;

use serde_ignored::Path;

use super::Manifest;

/// A manifest that cannot be taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError {
    field: Option<String>,
    message: String,
}

impl ManifestError {
    pub(super) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: Some(field.into()), message: message.into() }
    }

    /// The field at fault, such as `limits.memory` or `routes[0].path`; `None` where the text is no TOML at all.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }
}

impl std::error::Error for ManifestError {}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = &self.field {
            write!(f, "{field}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Manifest {
    /// Reads the text of a `wasmway.toml`. Every refusal names the field, what is allowed there and what to do.
    pub fn from_toml(text: &str) -> Result<Self, ManifestError> {
        let document = toml::Deserializer::parse(text)
            .map_err(|error| ManifestError { field: None, message: at_line(text, &error) })?;
        let mut unknown = None;
        let mut note_unknown = |path: Path<'_>| {
            unknown.get_or_insert_with(|| Place::of(&path));
        };
        let document = serde_ignored::Deserializer::new(document, &mut note_unknown);
        let manifest: Self = serde_path_to_error::deserialize(document)
            .map_err(|error| misread(text, &error.path().to_string(), error.inner()))?;
        if let Some(place) = unknown {
            return Err(place.refused(&manifest));
        }
        manifest.check()?;
        Ok(manifest)
    }
}

/// The error of a value that has the wrong form.
fn misread(text: &str, field: &str, error: &toml::de::Error) -> ManifestError {
    let mut message = at_line(text, error);
    if matches!(field, "limits.concurrency" | "limits.cpu_weight" | "instances.reuse") {
        message.push_str("; write a whole number such as 100");
    } else if error.message().starts_with("invalid type") && is_quantity(field) {
        message.push_str("; write it in quotes and with its unit, such as ");
        message.push_str(if field.ends_with("cpu") || field.ends_with("timeout") {
            "\"50ms\" or \"10s\""
        } else {
            "\"64MiB\""
        });
    }
    ManifestError {
        // The root has the path ".".
        field: (field != ".").then(|| field.to_owned()),
        message,
    }
}

fn is_quantity(field: &str) -> bool {
    field.starts_with("limits.")
}

/// What the reader says, and on which line.
fn at_line(text: &str, error: &toml::de::Error) -> String {
    let message = error.message().trim_end().replace('\n', ", ");
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return message;
    };
    format!("{message} (line {})", before.matches('\n').count() + 1)
}

/// Where in a manifest an unknown field stands.
struct Place {
    /// The steps to the table that it is in: keys and indices.
    table: Vec<String>,
    /// The field as messages name it.
    field: String,
}

impl Place {
    fn of(path: &Path<'_>) -> Self {
        let mut steps = Vec::new();
        let field = Self::walk(path, &mut steps);
        steps.pop();
        Self { table: steps, field }
    }

    fn walk(path: &Path<'_>, steps: &mut Vec<String>) -> String {
        match path {
            Path::Root => String::new(),
            Path::Seq { parent, index } => {
                let parent = Self::walk(parent, steps);
                steps.push(index.to_string());
                format!("{parent}[{index}]")
            }
            Path::Map { parent, key } => {
                let parent = Self::walk(parent, steps);
                steps.push(key.clone());
                let key = as_written(key);
                if parent.is_empty() { key } else { format!("{parent}.{key}") }
            }
            Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => {
                Self::walk(parent, steps)
            }
        }
    }

    /// The refusal, with the fields that there are in that place: those that `manifest`, which was read around the
    /// unknown one, has there when it is written out.
    fn refused(self, manifest: &Manifest) -> ManifestError {
        let written = serde_json::to_value(manifest).unwrap_or_default();
        let table = self.table.iter().try_fold(&written, |table, step| match table {
            serde_json::Value::Array(list) => list.get(step.parse::<usize>().ok()?),
            other => other.get(step),
        });
        let known: Vec<&str> = table
            .and_then(serde_json::Value::as_object)
            .map(|table| table.keys().map(String::as_str).collect())
            .unwrap_or_default();
        ManifestError::new(self.field, format!("there is no such field; remove it, or use one of {}", known.join(", ")))
    }
}

/// A key of TOML: in quotes where it has to be, so that an empty one is seen, and one with a dot is told from two.
fn as_written(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_' || it == b'-');
    if bare { key.to_owned() } else { format!("{key:?}") }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;

#[cfg(test)]
mod properties;
