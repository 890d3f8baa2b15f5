//! Sends one signal's messages to its receiver, and says what became of them.

use super::{Signal, variables};
use crate::metrics::SentCounts;
use anyhow::{anyhow, bail};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use jiff::{Timestamp, fmt::rfc2822};
// Its shape is that of every signal's answer.
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsPartialSuccess, ExportLogsServiceResponse};
use prost::Message;
use reqwest::{Client, Response, Url};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout_at};

/// How often something is sent again that was not taken, and how long after the first time; then twice as long each time.
const RETRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);
/// So much of it is added by chance, so that many nodes do not come back at one moment.
const JITTER_MS: u64 = 100;
const PROTOBUF: &str = "application/x-protobuf";
/// Bytes of an answer that are read: it says little, and less when all is well.
const ANSWER_BYTES: usize = 64 << 10;
/// Bytes of what the receiver says that are logged.
const TEXT_BYTES: usize = 512;

/// Sends messages of one signal.
pub(super) struct Delivery {
    client: Client,
    url: String,
    headers: HeaderMap,
    /// Until a message is given up.
    timeout: Duration,
    items: &'static str,
    counts: SentCounts,
    is_failing: bool,
}

/// Why a message was not taken.
struct Refusal {
    error: anyhow::Error,
    /// It may be taken later; the receiver may have said how much later.
    again: Option<Duration>,
}

impl Delivery {
    pub(super) fn new(client: Client, endpoint: &Url, signal: Signal, counts: SentCounts) -> anyhow::Result<Self> {
        let url = format!("{}/v1/{}", endpoint.as_str().trim_end_matches('/'), signal.as_str());
        let (mut headers, timeout) = (variables::headers(signal)?, variables::timeout(signal)?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
        Ok(Self { client, url, headers, timeout, items: signal.items(), counts, is_failing: false })
    }

    /// Sends a message, several times where that may help. What is not taken then is lost.
    pub(super) async fn send(&mut self, message: Vec<u8>, count: u64) {
        let (lost, trouble) = match self.deliver(message.into()).await {
            Ok(None) => (0, None),
            Ok(Some(refused)) => {
                let lost = u64::try_from(refused.rejected_log_records).unwrap_or(0).min(count);
                (lost, (lost > 0).then(|| anyhow!("{lost} of {count} were refused: {}", start(&refused.error_message))))
            }
            Err(error) => (count, Some(error)),
        };
        self.counts.sent.inc_by(count - lost);
        self.counts.failed.inc_by(lost);
        let failed_before = std::mem::replace(&mut self.is_failing, trouble.is_some());
        match (trouble, failed_before) {
            (Some(error), false) => {
                let error = format!("{error:#}");
                tracing::warn!(error, "{} cannot be sent; they are lost until they can", self.items);
            }
            (None, true) => tracing::info!("{} are sent again", self.items),
            (Some(_), true) | (None, false) => {}
        }
    }

    /// Says what the receiver has refused of a message that it took.
    async fn deliver(&self, message: Bytes) -> anyhow::Result<Option<ExportLogsPartialSuccess>> {
        let end = Instant::now() + self.timeout;
        let (mut retries, mut pause) = (RETRIES, PAUSE);
        loop {
            let Ok(answer) = timeout_at(end, self.post(message.clone())).await else {
                bail!("nothing was answered within {:?}", self.timeout);
            };
            let Refusal { error, again } = match answer {
                Ok(refused) => return Ok(refused),
                Err(refusal) => refusal,
            };
            let Some(least) = again else { return Err(error) };
            let wait = least.max(pause) + Duration::from_millis(rand::random_range(0..=JITTER_MS));
            if retries == 0 || Instant::now() + wait >= end {
                return Err(error);
            }
            sleep(wait).await;
            (retries, pause) = (retries - 1, pause * 2);
        }
    }

    async fn post(&self, message: Bytes) -> Result<Option<ExportLogsPartialSuccess>, Refusal> {
        let request = self.client.post(&self.url).headers(self.headers.clone()).body(message);
        let answer = request.send().await.map_err(|error| Refusal {
            // Who it is, the log has from the settings.
            error: error.without_url().into(),
            again: Some(Duration::ZERO),
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(refused(answer).await);
        }
        // Only these may be tried again, says the standard.
        let may_pass = matches!(status.as_u16(), 429 | 502 | 503 | 504);
        let again = may_pass.then(|| retry_after(answer.headers()).unwrap_or_default());
        Err(Refusal { error: anyhow!("it was answered {status}"), again })
    }
}

/// What was refused of a message that was taken. Nothing where the answer does not say so in the standard's words: it was
/// taken, after all.
async fn refused(mut answer: Response) -> Option<ExportLogsPartialSuccess> {
    if answer.headers().get(header::CONTENT_TYPE)? != PROTOBUF {
        return None;
    }
    let mut body = BytesMut::new();
    while let Some(piece) = answer.chunk().await.ok()? {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES {
            return None;
        }
    }
    ExportLogsServiceResponse::decode(body).ok()?.partial_success
}

/// `Retry-After`: seconds, or a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = rfc2822::parse(text).ok()?.timestamp();
    Some(date.duration_since(Timestamp::now()).try_into().unwrap_or_default())
}

/// The start of what a stranger says.
fn start(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(value: &str) -> Option<Duration> {
        retry_after(&HeaderMap::from_iter([(header::RETRY_AFTER, value.parse().unwrap())]))
    }

    #[test]
    fn a_receiver_may_say_when_to_come_back() {
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT"), Some(Duration::ZERO), "it is over");
        let far = after("Tue, 31 Dec 2999 23:59:59 GMT").unwrap();
        assert!(far > Duration::from_secs(1 << 30), "{far:?}");
        for bad in ["soon", "-1", ""] {
            assert_eq!(after(bad), None, "{bad:?}");
        }
    }
}
