//! One request many times: how long each took, and what came of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use futures::{StreamExt, stream};
use reqwest::{Client, Request};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{self, Format};

/// What came of the calls.
#[derive(Default)]
struct Measured {
    /// Of the answered ones, from sending the request to the last byte of the answer.
    latencies: Vec<Duration>,
    statuses: BTreeMap<u16, u32>,
    unanswered: u32,
    /// Why the first of these was not answered.
    first_loss: Option<reqwest::Error>,
    took: Duration,
}

/// Sends `request` so many times, `concurrency` at once, and prints what came of it. Ctrl-C ends it early.
pub(super) async fn run(
    http: &Client,
    request: &Request,
    times: u32,
    concurrency: u32,
    format: Format,
) -> Result<(), Failure> {
    let mut measured = measure(http, request, times, concurrency).await;
    measured.latencies.sort_unstable();
    match format {
        Format::Json => output::json(&measured.as_json(concurrency))?,
        Format::Text => measured.print(concurrency)?,
    }
    match measured.first_loss {
        Some(error) => {
            let (lost, error) = (measured.unanswered, anyhow::Error::new(error.without_url()));
            Err(anyhow!("{lost} of the calls were not answered: {error:#}").into())
        }
        None => Ok(()),
    }
}

async fn measure(http: &Client, request: &Request, times: u32, concurrency: u32) -> Measured {
    let started = Instant::now();
    let mut measured = Measured::default();
    let calls = stream::iter(0..times).map(|_| call(http, request)).buffer_unordered(concurrency as usize);
    let interrupted = async {
        // Without a handler Ctrl-C ends the process, as it would anyway.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    };
    let mut calls = std::pin::pin!(calls.take_until(interrupted));
    while let Some(call) = calls.next().await {
        match call {
            Ok((status, latency)) => {
                *measured.statuses.entry(status).or_default() += 1;
                measured.latencies.push(latency);
            }
            Err(error) => {
                measured.unanswered += 1;
                measured.first_loss.get_or_insert(error);
            }
        }
    }
    measured.took = started.elapsed();
    measured
}

async fn call(http: &Client, request: &Request) -> reqwest::Result<(u16, Duration)> {
    let request = request.try_clone().expect("a body that is in memory can be sent again");
    let sent = Instant::now();
    let mut response = http.execute(request).await?;
    let status = response.status().as_u16();
    while response.chunk().await?.is_some() {}
    Ok((status, sent.elapsed()))
}

impl Measured {
    fn as_json(&self, concurrency: u32) -> Value {
        let us = |percent| percentile(&self.latencies, percent).map(|latency| latency.as_micros() as u64);
        json!({
            "calls": self.latencies.len() + self.unanswered as usize,
            "concurrency": concurrency,
            "seconds": self.took.as_secs_f64(),
            "per_second": self.per_second(),
            "latency_us": { "p50": us(50), "p90": us(90), "p99": us(99), "max": us(100) },
            "statuses": self.statuses,
            "unanswered": self.unanswered,
        })
    }

    fn per_second(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    fn print(&self, concurrency: u32) -> Result<(), Failure> {
        let latency = |percent| {
            let of_it = percentile(&self.latencies, percent).map(|latency| latency.as_micros() as u64);
            of_it.map_or_else(|| "-".to_owned(), output::time)
        };
        output::table(
            &["CALLS", "AT ONCE", "TOOK", "PER SECOND", "P50", "P90", "P99", "MAX"],
            [vec![
                (self.latencies.len() + self.unanswered as usize).to_string(),
                concurrency.to_string(),
                output::time(self.took.as_micros() as u64),
                format!("{:.0}", self.per_second()),
                latency(50),
                latency(90),
                latency(99),
                latency(100),
            ]],
        )?;
        let statuses = self.statuses.iter().map(|(status, count)| vec![status.to_string(), count.to_string()]);
        let unanswered = (self.unanswered > 0).then(|| vec!["no answer".to_owned(), self.unanswered.to_string()]);
        output::table(&["STATUS", "COUNT"], statuses.chain(unanswered))
    }
}

/// The least of the values, which are sorted, that is no less than `percent` of them.
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let ms: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let of = |percent| percentile(&ms, percent).unwrap().as_millis();
        assert_eq!([of(50), of(90), of(99), of(100)], [100, 180, 198, 200]);
        assert_eq!(percentile(&ms[..1], 99), Some(Duration::from_millis(1)));
        assert_eq!(percentile(&[], 50), None);
    }
}
