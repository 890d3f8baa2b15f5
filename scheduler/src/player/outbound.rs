//! Outbound requests that are answered from a capture: never by a network.

use super::{PlayedBody, Player};
use crate::capture::{Data, Exchange, ExchangeResult, Headers, Message, header_map, headers_of, is_redacted};
use http::{Request, Response, Uri, request::Parts};
use http_body_util::BodyExt;
use std::sync::Arc;
use wasmtime_wasi_http::{Error, WasiBody};

/// The recorded ones.
pub(super) struct Exchanges(Vec<(Exchange, bool)>);

impl Exchanges {
    pub(super) fn new(exchanges: &[Exchange]) -> Self {
        Self(exchanges.iter().cloned().map(|exchange| (exchange, false)).collect())
    }

    /// The first that has not been used and was sent to the same place, with its number from 1.
    fn take(&mut self, head: &Parts) -> Option<(usize, Exchange)> {
        let wanted = destination(head.method.as_str(), &head.uri);
        let is_it = |(exchange, used): &(Exchange, bool)| !used && destination_of(&exchange.request) == wanted;
        let place = self.0.iter().position(is_it)?;
        let (exchange, used) = self.0.get_mut(place)?;
        *used = true;
        Some((place + 1, exchange.clone()))
    }

    /// Those that nobody asked for.
    pub(super) fn unused(&self) -> Vec<String> {
        let unused = self.0.iter().enumerate().filter(|(_, (_, used))| !used);
        unused.map(|(place, (it, _))| format!("outbound request {} is not sent: {}", place + 1, shown(it))).collect()
    }

    fn waiting(&self) -> String {
        let waiting: Vec<_> = self.0.iter().filter(|(_, used)| !used).map(|(it, _)| shown(it)).take(3).collect();
        if waiting.is_empty() { "nothing".to_owned() } else { waiting.join(", ") }
    }
}

fn shown(exchange: &Exchange) -> String {
    format!("{} {}", exchange.request.method, exchange.request.uri)
}

/// What requests are told apart by: method, authority and path.
fn destination(method: &str, uri: &Uri) -> (String, String) {
    let authority = uri.authority().map_or_else(String::new, |authority| authority.as_str().to_ascii_lowercase());
    (method.to_owned(), format!("{}://{authority}{}", uri.scheme_str().unwrap_or_default(), uri.path()))
}

fn destination_of(message: &Message) -> (String, String) {
    match message.uri.parse() {
        Ok(uri) => destination(&message.method, &uri),
        Err(_) => (message.method.clone(), message.uri.clone()),
    }
}

impl Player {
    /// Answers an outbound request as it was answered when the call was recorded.
    pub(crate) async fn outbound(self: Arc<Self>, request: Request<WasiBody>) -> Result<Response<WasiBody>, Error> {
        let (head, body) = request.into_parts();
        let Some((number, exchange)) = self.take(&head) else {
            let unknown = format!("{} {} is not in the capture", head.method, head.uri);
            return Err(Error::InternalError(Some(unknown)));
        };
        self.compare(number, &head, &exchange.request);
        let sent_at = self.time().now();
        let player = self.clone();
        let expected = exchange.request.body.clone();
        // Beside the answer, which may come before all of it was sent.
        tokio::spawn(async move { player.compare_body(number, body, &expected).await });
        // Never at once: whether it is there yet must not depend on who looks first.
        let came_at = sent_at.saturating_add(exchange.after_ns.max(1));
        self.time().until(came_at).await;
        match exchange.result {
            ExchangeResult::Error(fault) => Err(fault.error()),
            ExchangeResult::Nothing => std::future::pending().await,
            ExchangeResult::Response(response) => {
                let what = format!("the body of the answer to outbound request {number}");
                let body = PlayedBody::new(self.clone(), response.body, what, came_at).boxed_unsync();
                let mut answer = Response::new(body);
                *answer.status_mut() = response.status.try_into().map_err(|_| Error::HttpProtocolError)?;
                *answer.headers_mut() = header_map(&response.headers);
                Ok(answer)
            }
        }
    }

    fn take(&self, head: &Parts) -> Option<(usize, Exchange)> {
        let mut script = self.script();
        let taken = script.exchanges.take(head);
        if taken.is_none() {
            let waiting = script.exchanges.waiting();
            let (method, uri) = (&head.method, &head.uri);
            script.differences.add(format!("outbound {method} {uri} is not in the capture, which has {waiting} here"));
        }
        taken
    }

    fn compare(&self, number: usize, head: &Parts, recorded: &Message) {
        let query = recorded.uri.split_once('?').map(|(_, query)| query);
        if head.uri.query() != query && !query.is_some_and(|query| is_redacted(query.as_bytes())) {
            let shown = |query: Option<&str>| query.unwrap_or_default().to_owned();
            self.differs(format!(
                "outbound request {number} has the query {:?}, recorded {:?}",
                shown(head.uri.query()),
                shown(query)
            ));
        }
        for difference in differing(&headers_of(&head.headers), &recorded.headers) {
            self.differs(format!("outbound request {number} has {difference}"));
        }
    }

    async fn compare_body(self: Arc<Self>, number: usize, body: WasiBody, recorded: &crate::capture::Body) {
        let (mut body, mut sent, mut equal) = (body, 0, true);
        let Data(expected) = &recorded.data;
        while let Some(Ok(frame)) = body.frame().await {
            let Some(piece) = frame.data_ref() else { continue };
            let start = expected.len().min(sent);
            let known = &expected[start..expected.len().min(start + piece.len())];
            equal &= piece.starts_with(known);
            sent += piece.len();
        }
        // One that the guest has not finished in either run says nothing.
        if !equal || (recorded.complete && sent as u64 != recorded.bytes) {
            let was = recorded.bytes;
            self.differs(format!("outbound request {number} has another body: {sent} bytes, recorded {was}"));
        }
    }
}

/// What headers differ in from those that were recorded. Where one has a placeholder, nothing is known.
fn differing(now: &Headers, recorded: &Headers) -> Vec<String> {
    let values = |headers: &Headers, name: &str| -> Vec<Data> {
        headers.iter().filter(|(other, _)| other == name).map(|(_, value)| value.clone()).collect()
    };
    let text = |values: &[Data]| {
        let texts: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(&value.0).into_owned()).collect();
        if texts.is_empty() { "none".to_owned() } else { format!("{:?}", texts.join(", ")) }
    };
    let mut names: Vec<&str> = now.iter().chain(recorded).map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let differing = names.into_iter().filter_map(|name| {
        let (now, before) = (values(now, name), values(recorded, name));
        let is_known = !before.iter().any(|value| is_redacted(&value.0));
        (is_known && now != before).then(|| format!("the header {name} {}, recorded {}", text(&now), text(&before)))
    });
    differing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(method: &str, uri: &str, after_ns: u64) -> Exchange {
        let request = Message { method: method.to_owned(), uri: uri.to_owned(), ..Message::default() };
        Exchange { request, after_ns, result: ExchangeResult::Nothing }
    }

    #[test]
    fn requests_are_found_in_order_by_method_authority_and_path() {
        let mut exchanges = Exchanges::new(&[
            exchange("GET", "http://a/x?first", 1),
            exchange("POST", "http://a/x", 2),
            exchange("GET", "http://A/x", 3),
        ]);
        let mut take = |method: &str, uri: &str| {
            let head = Request::builder().method(method).uri(uri).body(()).unwrap().into_parts().0;
            exchanges.take(&head).map(|(number, _)| number)
        };
        assert_eq!(take("GET", "http://a/x?other"), Some(1));
        assert_eq!(take("GET", "http://a/y"), None);
        assert_eq!(take("GET", "https://a/x"), None);
        assert_eq!(take("GET", "http://a/x"), Some(3));
        assert_eq!(take("GET", "http://a/x"), None);
        assert_eq!(exchanges.unused(), ["outbound request 2 is not sent: POST http://a/x"]);
    }

    #[test]
    fn placeholders_are_compared_with_nothing() {
        let header = |name: &str, value: &str| (name.to_owned(), Data(value.as_bytes().to_vec()));
        let recorded = vec![header("authorization", "redacted-00"), header("accept", "a"), header("x-old", "1")];
        let now = vec![header("authorization", "Bearer x"), header("accept", "b")];
        let expected =
            ["the header accept \"b\", recorded \"a\"", "the header x-old none, recorded \"1\""].map(str::to_owned);
        assert_eq!(differing(&now, &recorded), expected);
    }
}
