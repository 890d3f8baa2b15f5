//! Lengths of time as people write them: `50ms`, `10s`, `1m30s`. Used as `#[serde(with = "human_duration")]`.

use std::time::Duration;

use jiff::fmt::friendly::{Designator, Spacing, SpanParser, SpanPrinter};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

static PARSER: SpanParser = SpanParser::new();
static PRINTER: SpanPrinter = SpanPrinter::new().designator(Designator::HumanTime).spacing(Spacing::None);

/// `duration` in its shortest form that reads back as the same length.
pub(super) fn format(duration: Duration) -> String {
    PRINTER.unsigned_duration_to_string(&duration)
}

pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(*duration))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    PARSER.parse_unsigned_duration(&text).map_err(|_| {
        D::Error::custom(format_args!(
            "{text:?} is not a length of time; write a number and a unit, such as \"50ms\", \"10s\" or \"1m30s\""
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(transparent)]
    struct Held(#[serde(with = "super")] Duration);

    #[test]
    fn reads_and_prints_the_forms_people_write() {
        for (text, ms, printed) in [
            ("50ms", 50, "50ms"),
            ("10s", 10_000, "10s"),
            ("5m", 300_000, "5m"),
            ("1m30s", 90_000, "1m30s"),
            ("1m 30s", 90_000, "1m30s"),
            ("1h", 3_600_000, "1h"),
            ("1500ms", 1500, "1s500ms"),
        ] {
            let held: Held = serde_json::from_value(text.into()).unwrap();
            assert_eq!(held.0, Duration::from_millis(ms), "{text}");
            assert_eq!(serde_json::to_value(&held).unwrap(), printed);
            let again: Held = serde_json::from_value(printed.into()).unwrap();
            assert_eq!(again.0, held.0);
        }
        for bad in ["", "50", "ms", "-1s", "10s ago", "ten seconds", "5 parsecs"] {
            assert!(serde_json::from_value::<Held>(bad.into()).is_err(), "{bad:?}");
        }
    }
}
