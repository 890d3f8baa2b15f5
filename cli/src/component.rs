//! What a component is, looked at before it is sent: the platform would refuse the same, but after an upload.

use std::fs;
use std::path::Path;

use anyhow::Context;
use wasmway_gateway::{ComponentSummary, Refusal, look};
use wasmway_registry::meaning_of_interface;

use crate::api::Problem;
use crate::failure::Failure;

/// A component that the platform takes, as far as its outline shows.
#[derive(Debug)]
pub(crate) struct Component {
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) summary: ComponentSummary,
}

impl Component {
    /// Reads the component in `file`, or says why it would be refused.
    pub(crate) fn read(file: &Path) -> Result<Self, Failure> {
        let bytes = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let summary = look(&bytes).map_err(|refusal| Failure::Refused(problem(&refusal)))?;
        Ok(Self { size: bytes.len() as u64, summary })
    }

    /// What the component needs of the platform, in words; what reaches beyond the request comes first.
    pub(crate) fn needs(&self) -> Vec<&'static str> {
        let interfaces = self.summary.imports.iter().map(|import| import.split('@').next().unwrap_or_default());
        let (reaching, other): (Vec<_>, Vec<_>) =
            interfaces.map(meaning_of_interface).partition(|(_, reaches)| *reaches);
        let mut needs = Vec::new();
        for (meaning, _) in reaching.into_iter().chain(other) {
            if !needs.contains(&meaning) {
                needs.push(meaning);
            }
        }
        needs
    }
}

/// As the platform would say it.
fn problem(refusal: &Refusal) -> Problem {
    let (code, title) = refusal.code_and_title();
    Problem {
        title: title.to_owned(),
        detail: refusal.to_string(),
        code: code.to_owned(),
        source: "platform".to_owned(),
        request_id: None,
    }
}
