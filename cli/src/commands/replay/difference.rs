//! What two runs of one call differ in.

use serde::Serialize;
use wasmway_gateway::{Capture, CapturedResponse, Data, Headers, Replayed};

use crate::output;

/// Something that is another thing in the replay than in the recording.
#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) field: &'static str,
    pub(super) recorded: String,
    pub(super) replayed: String,
}

/// Characters of a body that are shown.
const SHOWN_CHARS: usize = 2000;

/// What the result of `replayed` differs in from the recorded one. CPU time is never the same, and not among it.
pub(super) fn between(capture: &Capture, replayed: &Replayed, is_same_build: bool) -> Vec<Difference> {
    let (before, now) = (&capture.end, &replayed.end);
    let (answered, answers) = (capture.recorded.response.as_ref(), replayed.response.as_ref());
    let mut found = Vec::new();
    let mut compare = |field, recorded: String, replayed: String| {
        if recorded != replayed {
            found.push(Difference { field, recorded, replayed });
        }
    };
    compare("status", before.status.to_string(), now.status.to_string());
    compare("outcome", before.outcome.clone(), now.outcome.clone());
    // Where in a component something went wrong can be compared in that component alone.
    let cause = |error: &Option<String>| error.as_deref().map_or_else(String::new, cause);
    if is_same_build || cause(&before.error) != cause(&now.error) {
        compare("error", before.error.clone().unwrap_or_default(), now.error.clone().unwrap_or_default());
    }
    let (recorded, now) = headers(answered, answers);
    compare("headers", recorded, now);
    if !is_same_body(answered, answers) {
        compare("body", body(answered), body(answers));
    }
    found
}

/// The last cause of an error: of a trap, what it was without where it was.
fn cause(error: &str) -> String {
    let cause = error.rsplit_once("Caused by:").map_or(error, |(_, cause)| cause);
    cause.trim().to_owned()
}

/// Both sides' headers as text, without those of which the capture has a placeholder.
fn headers(recorded: Option<&CapturedResponse>, replayed: Option<&CapturedResponse>) -> (String, String) {
    let all = |response: Option<&CapturedResponse>| -> Headers {
        response.map_or_else(Headers::new, |response| {
            response.headers.iter().chain(&response.body.trailers).cloned().collect()
        })
    };
    let (recorded, replayed) = (all(recorded), all(replayed));
    let unknown = |name: &str| recorded.iter().any(|(other, value)| other == name && value.is_redacted());
    let text = |headers: &Headers| {
        let known = headers.iter().filter(|(name, _)| !unknown(name));
        let mut lines: Vec<_> =
            known.map(|(name, Data(value))| format!("{name}: {}", String::from_utf8_lossy(value))).collect();
        lines.sort_unstable();
        lines.join("\n")
    };
    (text(&recorded), text(&replayed))
}

/// Whether two bodies are the same, as far as there was room for them.
fn is_same_body(recorded: Option<&CapturedResponse>, replayed: Option<&CapturedResponse>) -> bool {
    let (Some(recorded), Some(replayed)) = (recorded, replayed) else {
        return recorded.is_none() == replayed.is_none();
    };
    let (recorded, replayed) = (&recorded.body, &replayed.body);
    let both = recorded.data.0.len().min(replayed.data.0.len());
    (recorded.bytes, recorded.complete) == (replayed.bytes, replayed.complete)
        && recorded.data.0[..both] == replayed.data.0[..both]
}

fn body(response: Option<&CapturedResponse>) -> String {
    let Some(response) = response else { return "no answer".to_owned() };
    let body = &response.body;
    let text = body.data.text().map_or_else(|| format!("{} bytes that are no text", body.bytes), str::to_owned);
    let shown: String = text.chars().take(SHOWN_CHARS).collect();
    let rest = if shown.len() < text.len() || body.is_cut() { "..." } else { "" };
    format!("{shown}{rest}{}", if body.complete { "" } else { " (it breaks off)" })
}

/// A table of both results.
pub(super) fn rows(capture: &Capture, replayed: &Replayed, differences: &[Difference]) -> Vec<Vec<String>> {
    let (before, now) = (&capture.end, &replayed.end);
    let (answered, answers) = (capture.recorded.response.as_ref(), replayed.response.as_ref());
    let row = |field: &str, recorded: String, replayed: String| {
        let differs = differences.iter().any(|difference| difference.field == field);
        vec![field.to_owned(), recorded, replayed, if differs { "differs".to_owned() } else { String::new() }]
    };
    let first_line = |error: &Option<String>| {
        let line = error.as_deref().map_or_else(String::new, cause);
        line.lines().next().unwrap_or_default().trim().to_owned()
    };
    let count = |response: Option<&CapturedResponse>| {
        response.map_or_else(String::new, |response| response.headers.len().to_string())
    };
    let size = |response: Option<&CapturedResponse>| {
        response.map_or_else(String::new, |response| output::size(response.body.bytes))
    };
    vec![
        row("status", before.status.to_string(), now.status.to_string()),
        row("outcome", before.outcome.clone(), now.outcome.clone()),
        row("error", first_line(&before.error), first_line(&now.error)),
        row("headers", count(answered), count(answers)),
        row("body", size(answered), size(answers)),
        row("cpu", output::time(before.cpu_us), output::time(now.cpu_us)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_trap_the_cause_is_compared_and_not_its_place() {
        let at = |place: &str| {
            format!(
                "the function trapped: error while executing at wasm backtrace:\n  0: {place}\n\nCaused by:\n    wasm trap: x"
            )
        };
        assert_eq!(cause(&at("0x12 - f")), "wasm trap: x");
        assert_eq!(cause(&at("0x12 - f")), cause(&at("0x99 - g")));
        assert_eq!(cause("the function did not finish within 1s"), "the function did not finish within 1s");
    }
}
