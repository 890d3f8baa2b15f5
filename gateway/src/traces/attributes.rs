//! What spans say, in the words of OpenTelemetry's semantic conventions where they have one. Queries are left out, since
//! they are where secrets are, and nothing is longer than it has to be.

use crate::journal::InvocationRecord;
use http::{Method, Request, Uri, Version, uri};
use opentelemetry::{KeyValue, trace::Status};
use wasmway_scheduler::{Blame, LoadSource, Outcome, Step};

/// Bytes of a text.
const TEXT_BYTES: usize = 1024;

pub(super) fn text(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES)].to_owned()
}

/// A method, or that it is none that everybody knows: clients make up what they like.
pub(super) fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "CONNECT" => "CONNECT",
        "DELETE" => "DELETE",
        "GET" => "GET",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        "POST" => "POST",
        "PUT" => "PUT",
        "QUERY" => "QUERY",
        "TRACE" => "TRACE",
        _ => "_OTHER",
    }
}

/// What the client asked for, before it is rewritten for the function.
pub(super) fn asked<B>(
    request: &Request<B>,
    scheme: &uri::Scheme,
    authority: Option<&uri::Authority>,
) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("http.request.method", method(request.method())),
        KeyValue::new("url.path", text(request.uri().path())),
        KeyValue::new("url.scheme", if *scheme == uri::Scheme::HTTPS { "https" } else { "http" }),
    ];
    attributes.extend(authority.into_iter().flat_map(|authority| server(authority, scheme)));
    let version = match request.version() {
        Version::HTTP_2 => "2",
        Version::HTTP_11 => "1.1",
        _ => "1.0",
    };
    attributes.push(KeyValue::new("network.protocol.version", version));
    attributes
}

fn server(authority: &uri::Authority, scheme: &uri::Scheme) -> [KeyValue; 2] {
    let usual = if *scheme == uri::Scheme::HTTPS { 443 } else { 80 };
    let port = authority.port_u16().unwrap_or(usual);
    [KeyValue::new("server.address", text(authority.host())), KeyValue::new("server.port", i64::from(port))]
}

/// What became of an invocation.
pub(super) fn invocation(record: &InvocationRecord) -> Vec<KeyValue> {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let mut attributes = vec![
        KeyValue::new("faas.name", record.function.clone()),
        KeyValue::new("faas.version", record.version.to_string()),
        KeyValue::new("faas.trigger", "http"),
        KeyValue::new("faas.invocation_id", record.request_id.as_str().to_owned()),
        KeyValue::new("faas.coldstart", record.cold),
        KeyValue::new("wasmway.namespace", record.namespace.clone()),
        KeyValue::new("wasmway.outcome", record.outcome.as_str()),
        KeyValue::new("wasmway.cpu_us", number(record.cpu_us)),
        KeyValue::new("wasmway.queued_us", number(record.queued_us)),
        KeyValue::new("wasmway.memory_bytes", number(record.memory_bytes)),
        KeyValue::new("wasmway.outbound_requests", number(record.outbound_requests)),
        KeyValue::new("http.request.body.size", number(record.bytes_in)),
        KeyValue::new("http.response.body.size", number(record.bytes_out)),
    ];
    if record.status > 0 {
        attributes.push(KeyValue::new("http.response.status_code", i64::from(record.status)));
    }
    attributes.extend(error(record).map(|kind| KeyValue::new("error.type", kind)));
    attributes
}

/// What kind of failure it was, if any: ours, the function's, or what the function itself calls one.
fn error(record: &InvocationRecord) -> Option<String> {
    match record.outcome {
        Outcome::Ok => (record.status >= 500).then(|| record.status.to_string()),
        failed => Some(failed.as_str().to_owned()),
    }
}

/// What its client did wrong is no error of an invocation.
pub(super) fn status(record: &InvocationRecord) -> Status {
    match record.outcome.blame() {
        Blame::NotOurs if record.status < 500 => Status::Unset,
        Blame::NotOurs | Blame::Function | Blame::Platform => {
            Status::error(record.error.as_deref().map(text).unwrap_or_default())
        }
    }
}

/// The name of a step, and what there is to say of it.
pub(super) fn step(step: Step) -> (&'static str, Option<KeyValue>) {
    let source = |source| {
        let name = match source {
            LoadSource::Cache => "cache",
            LoadSource::Compile => "compile",
        };
        KeyValue::new("wasmway.load.source", name)
    };
    match step {
        Step::Load(from) => ("load", from.map(source)),
        Step::Queue => ("queue", None),
        Step::Instantiate => ("instantiate", None),
    }
}

/// What a function sends out.
pub(super) fn outbound(asked: &Method, uri: &Uri) -> Vec<KeyValue> {
    let mut attributes = vec![KeyValue::new("http.request.method", method(asked))];
    if let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) {
        attributes.extend(server(authority, scheme));
        // Without what may stand before the host, too.
        let port = authority.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
        let url = format!("{scheme}://{}{port}{}", authority.host(), uri.path());
        attributes.push(KeyValue::new("url.full", text(&url)));
    }
    attributes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(attributes: &[KeyValue], name: &str) -> Option<String> {
        attributes.iter().find(|attribute| attribute.key.as_str() == name).map(|attribute| attribute.value.to_string())
    }

    #[test]
    fn no_address_tells_a_secret() {
        let uri = "https://user:password@[2001:db8::1]:8443/a/b?token=secret".parse().unwrap();
        let attributes = outbound(&Method::GET, &uri);
        assert_eq!(said(&attributes, "url.full").unwrap(), "https://[2001:db8::1]:8443/a/b");
        assert_eq!(said(&attributes, "server.port").unwrap(), "8443");
        let attributes = outbound(&Method::GET, &"http://example.com/".parse().unwrap());
        assert_eq!(said(&attributes, "url.full").unwrap(), "http://example.com/");
        assert_eq!(said(&attributes, "server.port").unwrap(), "80");
    }

    #[test]
    fn what_clients_make_up_is_bounded() {
        assert_eq!(text(&"\u{e4}".repeat(TEXT_BYTES)).len(), TEXT_BYTES);
        let method = Method::from_bytes("M".repeat(4096).as_bytes()).unwrap();
        assert_eq!(super::method(&method), "_OTHER");
        let uri: Uri = format!("/{}", "a".repeat(5000)).parse().unwrap();
        let mut request = Request::new(());
        *request.uri_mut() = uri;
        let asked = asked(&request, &uri::Scheme::HTTP, Some(&uri::Authority::from_static("a.example:81")));
        assert_eq!(said(&asked, "url.path").unwrap().len(), TEXT_BYTES);
        assert_eq!(said(&asked, "server.port").unwrap(), "81");
    }
}
