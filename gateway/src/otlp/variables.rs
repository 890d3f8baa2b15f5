//! What the standard's variables say of how things are sent. Those of one signal come before those of all.

use super::Signal;
use anyhow::{Context, anyhow, bail};
use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;
use std::{env, time::Duration};

/// The standard's own defaults.
const TIMEOUT: Duration = Duration::from_secs(10);
const METRIC_INTERVAL: Duration = Duration::from_secs(60);

/// How often metrics may be sent: what is gathered for it is some thousand series.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

/// A variable's value; one that is empty is unset, says the standard.
pub(super) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// The name and value of `OTEL_EXPORTER_OTLP_LOGS_X`, or else of `OTEL_EXPORTER_OTLP_X`.
fn of_signal(signal: Signal, what: &str) -> Option<(String, String)> {
    let own = format!("OTEL_EXPORTER_OTLP_{}_{what}", signal.as_str().to_uppercase());
    let names = [own, format!("OTEL_EXPORTER_OTLP_{what}")];
    names.into_iter().find_map(|name| variable(&name).map(|value| (name, value)))
}

/// Headers that the receiver wants to see: a token, as a rule.
pub(super) fn headers(signal: Signal) -> anyhow::Result<HeaderMap> {
    let Some((name, value)) = of_signal(signal, "HEADERS") else { return Ok(HeaderMap::new()) };
    // The value is not repeated: it may be a secret.
    parse_headers(&value)
        .with_context(|| format!("{name} is not NAME=VALUE,NAME=VALUE, with each VALUE percent-encoded"))
}

fn parse_headers(text: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| anyhow!("one has no = in it"))?;
        let name: HeaderName = name.trim().parse().context("one has no name that HTTP allows")?;
        let value: Vec<u8> = percent_decode_str(value.trim()).collect();
        let mut value = HeaderValue::from_bytes(&value).with_context(|| format!("the value of {name}"))?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// How long one thing may take to be sent, with all that is tried again.
pub(super) fn timeout(signal: Signal) -> anyhow::Result<Duration> {
    let said = of_signal(signal, "TIMEOUT");
    said.map_or(Ok(TIMEOUT), |(name, value)| milliseconds(&name, &value, Duration::from_millis(1)))
}

/// How often metrics are sent.
pub(super) fn metric_interval() -> anyhow::Result<Duration> {
    let name = "OTEL_METRIC_EXPORT_INTERVAL";
    variable(name).map_or(Ok(METRIC_INTERVAL), |value| milliseconds(name, &value, SHORTEST_INTERVAL))
}

fn milliseconds(name: &str, value: &str, least: Duration) -> anyhow::Result<Duration> {
    match value.parse().map(Duration::from_millis) {
        Ok(time) if time >= least => Ok(time),
        _ => bail!("{name} is {value:?}: set it to a number of milliseconds, {} or more", least.as_millis()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_decoded_and_kept_secret() {
        let headers = parse_headers("authorization=Bearer%20a%3Db, x-tenant = shop,,x-tenant=till").unwrap();
        assert_eq!(headers["authorization"], "Bearer a=b");
        assert!(headers["authorization"].is_sensitive());
        assert_eq!(headers.get_all("x-tenant").iter().collect::<Vec<_>>(), ["shop", "till"]);
        assert_eq!(parse_headers("").unwrap(), HeaderMap::new());
        for bad in ["secret", "a b=secret", "a=secret%0d%0ab", "=secret"] {
            let error = format!("{:#}", parse_headers(bad).unwrap_err());
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn times_are_milliseconds() {
        let read = |text| milliseconds("NAME", text, SHORTEST_INTERVAL);
        assert_eq!(read("100").unwrap(), SHORTEST_INTERVAL);
        for bad in ["99", "0", "-1", "1s", "1.5"] {
            let error = read(bad).unwrap_err().to_string();
            assert_eq!(error, format!("NAME is {bad:?}: set it to a number of milliseconds, 100 or more"));
        }
    }
}
