//! How a response leaves: in one piece when the guest is over, as it comes when it is not.

use crate::{body::ResponseBody, guest::Guest, limits::Limits, meter::Meter, outcome::Failure};
use bytes::{Bytes, BytesMut};
use futures::FutureExt;
use http::{HeaderMap, Response, header};
use http_body::Body;
use http_body_util::BodyExt;
use std::sync::Arc;
use wasmtime_wasi_http::WasiBody;

/// The response of a guest that is over: what it wrote is all here, and goes out in one piece.
pub(crate) fn drained(
    response: Response<WasiBody>,
    meter: &Arc<Meter>,
    limits: &Limits,
) -> Result<Response<ResponseBody>, Failure> {
    let (head, mut body) = response.into_parts();
    let mut pieces = Vec::new();
    loop {
        match body.frame().now_or_never() {
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => pieces.push(data),
                Err(trailers) => {
                    return Ok(with_trailers(
                        head,
                        joined(pieces),
                        trailers.into_trailers().unwrap_or_default(),
                        meter,
                        limits,
                    ));
                }
            },
            Some(None) => break,
            Some(Some(Err(error))) => return Err(Failure::ErrorCode(error.to_string())),
            // A body that the guest passed through from elsewhere goes on without it.
            None => return Ok(passed_on(head, joined(pieces), body, meter, limits)),
        }
    }
    let whole = joined(pieces);
    if meter.sent(whole.len()) > limits.response_body {
        return Err(Failure::ResponseTooLarge { limit: limits.response_body });
    }
    meter.body_done();
    Ok(Response::from_parts(head, ResponseBody::whole(whole)))
}

/// One piece out of many, each copied once; one alone is not copied.
fn joined(mut pieces: Vec<Bytes>) -> Bytes {
    if pieces.len() < 2 {
        return pieces.pop().unwrap_or_default();
    }
    let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
    pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
    whole.freeze()
}

fn with_trailers(
    head: http::response::Parts,
    whole: Bytes,
    trailers: HeaderMap,
    meter: &Arc<Meter>,
    limits: &Limits,
) -> Response<ResponseBody> {
    let last = futures::stream::iter([Ok(http_body::Frame::trailers(trailers))]);
    passed_on(head, whole, http_body_util::StreamBody::new(last).boxed_unsync(), meter, limits)
}

/// First what is here already, then the rest of `body`.
fn passed_on(
    head: http::response::Parts,
    first: Bytes,
    rest: WasiBody,
    meter: &Arc<Meter>,
    limits: &Limits,
) -> Response<ResponseBody> {
    let first = futures::stream::iter((!first.is_empty()).then(|| Ok(http_body::Frame::data(first))));
    let rest = futures::StreamExt::chain(first, http_body_util::BodyStream::new(rest));
    let body = http_body_util::StreamBody::new(rest).boxed_unsync();
    Response::from_parts(head, ResponseBody::streaming(body, None, meter.clone(), limits.response_body))
}

/// The response of a guest that goes on: it runs in a task of its own while its body is sent, so that
/// its deadline holds also when nobody reads.
pub(crate) fn streamed(
    response: Response<WasiBody>,
    guest: Guest,
    meter: &Arc<Meter>,
    limits: &Limits,
) -> Response<ResponseBody> {
    let task = tokio::spawn(async move {
        // How it ended is on the meter, which outlives it.
        let _ = guest.await;
    });
    response.map(|body| ResponseBody::streaming(body, Some(task), meter.clone(), limits.response_body))
}

/// The answer to HEAD. The body is read to its end and thrown away, so that the guest that writes it
/// comes to its own end.
pub(crate) fn without_body(response: Response<ResponseBody>) -> Response<ResponseBody> {
    let (mut head, mut body) = response.into_parts();
    if let Some(length) = body.size_hint().exact()
        && length > 0
    {
        head.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    tokio::spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
    Response::from_parts(head, ResponseBody::whole(Bytes::new()))
}
