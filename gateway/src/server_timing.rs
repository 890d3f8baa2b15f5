//! The header `Server-Timing` (W3C): what a request took, for its client. The totals of a body that is streamed come
//! behind it, as a trailer.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, header};
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use wasmway_scheduler::{Failure, Receipt, ResponseBody};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Whether a client can be sent trailers. Over HTTP/1.1 it has to say so itself (RFC 9110, section 6.5.1).
pub(crate) fn takes_trailers<B>(request: &Request<B>) -> bool {
    let is_trailers = |part: &str| part.trim().eq_ignore_ascii_case("trailers");
    let said = |value: &HeaderValue| value.to_str().is_ok_and(|te| te.split(',').any(is_trailers));
    request.version() >= Version::HTTP_2 || request.headers().get_all(header::TE).iter().any(said)
}

/// Adds what the request has used by now. What the function says of itself stays.
pub(crate) fn add(headers: &mut HeaderMap, used: &Receipt) {
    headers.append(SERVER_TIMING, value(used));
}

/// Announces the trailer of a [`TimedBody`].
pub(crate) fn announce(headers: &mut HeaderMap) {
    headers.append(header::TRAILER, HeaderValue::from_name(SERVER_TIMING));
}

fn value(used: &Receipt) -> HeaderValue {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let text = format!(
        "cpu;dur={:.3}, queue;dur={:.3}, wall;dur={:.3}, memory;desc=\"{:.1} MiB\", start;desc=\"{}\"",
        ms(used.cpu),
        ms(used.queued),
        ms(used.wall),
        used.memory_bytes as f64 / f64::from(1 << 20),
        if used.cold { "cold" } else { "warm" },
    );
    HeaderValue::try_from(text).expect("numbers and plain words are visible ASCII")
}

/// A response body that ends with what its request took.
pub(crate) struct TimedBody {
    body: ResponseBody,
    told: bool,
}

impl TimedBody {
    pub(crate) fn new(body: ResponseBody) -> Self {
        Self { body, told: false }
    }

    fn tell(&mut self, trailers: &mut HeaderMap) {
        self.told = true;
        if let Some(used) = self.body.used() {
            add(trailers, &used);
        }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = &mut *self;
        let mut trailers = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            Some(Ok(frame)) => match frame.into_trailers() {
                Ok(trailers) => trailers,
                Err(data) => return Poll::Ready(Some(Ok(data))),
            },
            None if !this.told => HeaderMap::new(),
            end => return Poll::Ready(end),
        };
        this.tell(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.told && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The receipt of a call that used nothing.
    pub(crate) fn nothing_used() -> Receipt {
        Receipt {
            cpu: Duration::ZERO,
            wall: Duration::ZERO,
            queued: Duration::ZERO,
            memory_bytes: 0,
            memory_refused: None,
            bytes_in: 0,
            bytes_out: 0,
            outbound_requests: 0,
            outbound_bytes: 0,
            cold: false,
            status: None,
            failure: None,
        }
    }

    #[test]
    fn says_what_was_used_in_milliseconds() {
        let used = Receipt {
            cpu: Duration::from_micros(412),
            wall: Duration::from_millis(2),
            queued: Duration::from_nanos(3_400),
            memory_bytes: 1_258_291,
            ..nothing_used()
        };
        let said = "cpu;dur=0.412, queue;dur=0.003, wall;dur=2.000, memory;desc=\"1.2 MiB\", start;desc=\"warm\"";
        assert_eq!(value(&used), said);
    }

    #[test]
    fn trailers_go_to_those_who_take_them() {
        let request =
            |version, te: &'static str| Request::builder().version(version).header("te", te).body(()).unwrap();
        assert!(takes_trailers(&request(Version::HTTP_11, "gzip, Trailers")));
        assert!(takes_trailers(&request(Version::HTTP_2, "")));
        assert!(!takes_trailers(&request(Version::HTTP_11, "gzip")));
    }
}
