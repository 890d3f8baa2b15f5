//! How the values of settings are written, and the limits that they keep to.
//!
//! A refusal names the limit and the way out; the setting and the place that it came from are added by whoever asked.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use jiff::fmt::friendly::SpanParser;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// Form of the server's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Human on a terminal, JSON elsewhere.
    Auto,
    /// Lines for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The processor that functions are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetCpu {
    /// This machine's, with all that it can do.
    Native,
    /// Any of the architecture, for an emulator or for tools such as valgrind.
    Baseline,
}

impl From<TargetCpu> for wasmway_gateway::TargetCpu {
    fn from(cpu: TargetCpu) -> Self {
        match cpu {
            TargetCpu::Native => Self::Native,
            TargetCpu::Baseline => Self::Baseline,
        }
    }
}

/// A DNS name in lower case, below which functions have their hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Domain(String);

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        // Two labels of 63 bytes and their dots, FUNCTION.NAMESPACE., stand before it within the 253 bytes of a name.
        if text.len() <= 253 - 128 && text.split('.').all(is_label) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err("not a domain: write a name of at most 125 characters such as fn.example.com".to_owned())
        }
    }
}

/// A parser of values from `range`'s start to its end, both included.
pub(super) fn between<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr<Err: Display> + Display + PartialOrd + Clone,
{
    move |text| {
        let value: T = text.parse().map_err(|error: T::Err| error.to_string())?;
        if range.contains(&value) { Ok(value) } else { Err(outside(range.start(), range.end())) }
    }
}

/// A parser of lengths of time from `least` to `most`, both included.
pub(crate) fn lasting(least: &'static str, most: &'static str) -> impl Fn(&str) -> Result<Duration, String> + Clone {
    move |text| {
        let value = duration(text)?;
        if (duration(least)?..=duration(most)?).contains(&value) { Ok(value) } else { Err(outside(&least, &most)) }
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    static PARSER: SpanParser = SpanParser::new();
    PARSER
        .parse_unsigned_duration(text)
        .map_err(|_| "not a length of time: write a number and a unit, such as 500ms, 10s or 1m30s".to_owned())
}

fn outside(least: &impl Display, most: &impl Display) -> String {
    format!("out of range: choose a value from {least} to {most}")
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "not an address: write IP:PORT such as 127.0.0.1:8080 or [::]:8080; port 0 is any free one".to_owned()
    })
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err("neither true nor false".to_owned()),
    }
}

/// Reads a level, or levels per module. A bare word must be a level: taken for a module, a misspelt one would turn the
/// log off without a word.
pub(super) fn log_filter(text: &str) -> Result<Targets, String> {
    let is_directive = |part: &str| part.contains('=') || (!part.is_empty() && part.parse::<LevelFilter>().is_ok());
    let refused = "not a level: write error, warn, info, debug or trace, or levels per module such as \
                   info,wasmway_gateway=debug";
    if text.split(',').all(is_directive) {
        text.parse().map_err(|_| refused.to_owned())
    } else {
        Err(refused.to_owned())
    }
}

/// Cores that this process may use.
pub(super) fn cores() -> usize {
    // Where the system does not tell, one worker is slow but right.
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmway_registry::manifest::ByteSize;

    #[test]
    fn limits_are_part_of_the_range() {
        let size = between(ByteSize::mib(1)..=ByteSize::gib(4));
        assert_eq!(size("1MiB"), Ok(ByteSize::mib(1)));
        assert_eq!(size("4GiB"), Ok(ByteSize::gib(4)));
        assert_eq!(size("5GiB"), Err("out of range: choose a value from 1MiB to 4GiB".to_owned()));
        let time = lasting("100ms", "1h");
        assert_eq!(time("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1h"), Ok(Duration::from_secs(3600)));
        assert_eq!(time("2h"), Err("out of range: choose a value from 100ms to 1h".to_owned()));
        assert!(time("10").is_err_and(|error| error.contains("such as 500ms")));
        assert!(between(1..=10_u32)("many").is_err());
    }

    #[test]
    fn a_domain_is_a_name_and_nothing_else() {
        assert_eq!("Fn.Example.com".parse(), Ok(Domain("fn.example.com".to_owned())));
        assert!("localhost".parse::<Domain>().is_ok());
        for bad in ["", ".", "a..b", "https://a.b", "a.b:80", "a_b", "-a.b", "*.a.b"] {
            assert!(bad.parse::<Domain>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_misspelt_level_is_refused() {
        for good in ["info", "WARN", "off", "warn,wasmway_gateway=debug"] {
            assert!(log_filter(good).is_ok(), "{good}");
        }
        for bad in ["", "verbose", "info,", "wasmway_gateway=loud"] {
            assert!(log_filter(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_and_switches() {
        assert!(address("[::1]:0").is_ok());
        assert!(address("8080").is_err() && address("localhost:8080").is_err());
        assert_eq!((switch("true"), switch("0")), (Ok(true), Ok(false)));
        assert!(switch("yes").is_err());
    }
}
