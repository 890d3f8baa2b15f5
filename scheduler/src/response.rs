//! How a response leaves: in one piece when the guest is over, as it comes when it is not.

use crate::{body::ResponseBody, guest::Guest, limits::Limits, meter::Meter, outcome::Failure, spare::Spare};
use bytes::Bytes;
use futures::FutureExt;
use http::{Response, header};
use http_body::Body;
use http_body_util::BodyExt;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::{sync::oneshot, time::timeout};
use wasmtime_wasi_http::WasiBody;

/// How long the instance of a guest that is over is kept for the end of its answer, if it may serve another request.
const ANSWER_ENDS: Duration = Duration::from_millis(100);

/// The response of a guest that is over: what it wrote is all here, and goes out in one piece. `spare` is what is left of
/// the guest.
pub(crate) fn drained(
    response: Response<WasiBody>,
    mut spare: Option<Box<Spare>>,
    meter: &Arc<Meter>,
    limits: &Limits,
) -> Result<Response<ResponseBody>, Failure> {
    let (head, mut body) = response.into_parts();
    let mut pieces = VecDeque::new();
    loop {
        match body.frame().now_or_never() {
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => pieces.push_back(data),
                Err(frame) => {
                    let last = frame.into_trailers().unwrap_or_default();
                    let last = futures::stream::iter([Ok(http_body::Frame::trailers(last))]);
                    let last = http_body_util::StreamBody::new(last).boxed_unsync();
                    return Ok(passed_on(head, pieces, last, meter, limits));
                }
            },
            Some(None) => break,
            Some(Some(Err(error))) => return Err(Failure::ErrorCode(error.to_string())),
            // It may have left it open, which the end of its instance closes.
            None if spare.take().is_some() => {}
            // A body that the guest passed through from elsewhere goes on without it.
            None => return Ok(passed_on(head, pieces, body, meter, limits)),
        }
    }
    if meter.sent(pieces.iter().map(Bytes::len).sum()) > limits.response_body {
        return Err(Failure::ResponseTooLarge { limit: limits.response_body });
    }
    meter.body_done();
    if let Some(spare) = spare {
        spare.rest();
    }
    Ok(Response::from_parts(head, ResponseBody::whole(pieces)))
}

/// First what is here already, then the rest of `body`.
fn passed_on(
    head: http::response::Parts,
    first: VecDeque<Bytes>,
    rest: WasiBody,
    meter: &Arc<Meter>,
    limits: &Limits,
) -> Response<ResponseBody> {
    let first = futures::stream::iter(first.into_iter().map(|piece| Ok(http_body::Frame::data(piece))));
    let rest = futures::StreamExt::chain(first, http_body_util::BodyStream::new(rest));
    let body = http_body_util::StreamBody::new(rest).boxed_unsync();
    Response::from_parts(head, ResponseBody::streaming(body, meter.clone(), limits.response_body))
}

/// The response of a guest that goes on: it runs in a task of its own while its body is sent, so that
/// its deadline holds also when nobody reads. Its instance may serve another request if it `is_reused`.
pub(crate) fn streamed(
    response: Response<WasiBody>,
    mut guest: Guest,
    is_reused: bool,
    meter: &Arc<Meter>,
    limits: &Limits,
) -> Response<ResponseBody> {
    let (ended, body_ended) = is_reused.then(oneshot::channel).unzip();
    let task = tokio::spawn(async move {
        // How it ended is on the meter, which outlives it.
        let _ = (&mut guest).await;
        if let (Some(spare), Some(body_ended)) = (guest.take_spare(), body_ended)
            && let Ok(Ok(())) = timeout(ANSWER_ENDS, body_ended).await
        {
            spare.rest();
        }
    });
    response.map(|body| ResponseBody::streaming(body, meter.clone(), limits.response_body).written_by(task, ended))
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
    Response::from_parts(head, ResponseBody::whole(VecDeque::new()))
}
