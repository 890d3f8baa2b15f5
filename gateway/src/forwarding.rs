//! What a request says about its way here, on to the function.

use crate::{address, control::SESSION_COOKIE, request_id::RequestId};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Version, header,
    uri::{Authority, Scheme},
};
use std::net::SocketAddr;

/// Where a connection came from.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// What it speaks.
    scheme: Scheme,
    /// Its IP address, as functions are told of it.
    text: HeaderValue,
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, scheme: Scheme) -> Self {
        let text = address.ip().to_canonical().to_string();
        Self { address, scheme, text: HeaderValue::try_from(text).expect("an address is visible ASCII") }
    }

    pub(crate) fn scheme(&self) -> &Scheme {
        &self.scheme
    }
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Says that the connection ends with this answer. HTTP/2 has no such header, and needs none.
pub(crate) fn ask_to_leave(headers: &mut HeaderMap, version: Version) {
    if version < Version::HTTP_2 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// What rewriting a request needs to know.
pub(crate) struct Hop<'a> {
    /// Bytes of the path that led to the function.
    pub(crate) prefix: usize,
    /// The host that the client asked; a client of HTTP/1.0 may name none.
    pub(crate) authority: Option<Authority>,
    pub(crate) request_id: &'a RequestId,
    pub(crate) peer: &'a Peer,
    /// Whether what the client says about its way here is taken for true.
    pub(crate) trusted: bool,
    /// Stands in for a host that nobody named.
    pub(crate) own_address: SocketAddr,
}

/// Headers that are set on the way, at most.
const SET: usize = 6;

/// Makes of the request that came the one that the function gets. `traceparent` and everything else
/// passes on untouched.
pub(crate) fn rewrite<B>(request: &mut Request<B>, hop: Hop<'_>) -> Result<(), http::Error> {
    let authority = match hop.authority {
        Some(authority) => authority,
        None => Authority::try_from(hop.own_address.to_string())?,
    };
    let host = HeaderValue::from_str(authority.as_str())?;
    let uri = address::below(request.uri(), hop.prefix, hop.peer.scheme.clone(), authority)?;
    let uri = std::mem::replace(request.uri_mut(), uri);
    let headers = request.headers_mut();
    headers.reserve(SET);
    hop.request_id.put(headers);
    forwarded_for(headers, hop.peer, hop.trusted)?;
    set(headers, FORWARDED_HOST, host, hop.trusted);
    let proto = if hop.peer.scheme == Scheme::HTTPS { "https" } else { "http" };
    set(headers, FORWARDED_PROTO, HeaderValue::from_static(proto), hop.trusted);
    if hop.prefix > 0 {
        headers.insert(FORWARDED_PREFIX, HeaderValue::from_str(&uri.path()[..hop.prefix])?);
    } else {
        headers.remove(FORWARDED_PREFIX);
    }
    if !hop.trusted {
        headers.remove(header::FORWARDED);
    }
    if headers.contains_key(header::COOKIE) {
        keep_session_back(headers);
    }
    Ok(())
}

/// Takes the dashboard's session out of the cookies: where both planes have one host name, browsers send it to functions
/// too, and whoever has it can do what its user can.
fn keep_session_back(headers: &mut HeaderMap) {
    let is_session = |pair: &str| pair.split('=').next().map(str::trim) == Some(SESSION_COOKIE);
    let has_session = |line: &HeaderValue| String::from_utf8_lossy(line.as_bytes()).split(';').any(is_session);
    if !headers.get_all(header::COOKIE).iter().any(has_session) {
        return;
    }
    let lines: Vec<HeaderValue> = headers.get_all(header::COOKIE).iter().cloned().collect();
    headers.remove(header::COOKIE);
    for line in lines {
        let text = String::from_utf8_lossy(line.as_bytes());
        let others: Vec<&str> = text.split(';').map(str::trim).filter(|pair| !is_session(pair)).collect();
        if let Ok(others) = HeaderValue::try_from(others.join("; "))
            && !others.is_empty()
        {
            headers.append(header::COOKIE, others);
        }
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue, keep: bool) {
    if !(keep && headers.contains_key(&name)) {
        headers.insert(name, value);
    }
}

fn forwarded_for(headers: &mut HeaderMap, peer: &Peer, trusted: bool) -> Result<(), http::Error> {
    let came_by = headers.get_all(&FORWARDED_FOR).iter().filter(|_| trusted);
    let came_by: String = came_by.filter_map(|value| value.to_str().ok()).map(|hop| format!("{hop}, ")).collect();
    let value = match came_by.as_str() {
        "" => peer.text.clone(),
        _ => HeaderValue::try_from(came_by + peer.text.to_str().unwrap_or_default())?,
    };
    headers.insert(FORWARDED_FOR, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(trusted: bool, headers: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::builder().uri("/hello/x?y=z").header("host", "example.com:8080");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let mut request = builder.body(()).unwrap();
        let hop = Hop {
            prefix: 6,
            authority: Some(Authority::from_static("example.com:8080")),
            request_id: &RequestId::from("id-1"),
            peer: &Peer::new("192.0.2.7:1234".parse().unwrap(), Scheme::HTTP),
            trusted,
            own_address: "127.0.0.1:8080".parse().unwrap(),
        };
        rewrite(&mut request, hop).unwrap();
        request
    }

    fn header<'a>(request: &'a Request<()>, name: &str) -> Option<&'a str> {
        request.headers().get(name).map(|value| value.to_str().unwrap())
    }

    #[test]
    fn tells_the_function_how_it_was_called() {
        let request = rewritten(false, &[("traceparent", "00-x-y-01")]);
        assert_eq!(request.uri(), "http://example.com:8080/x?y=z");
        assert_eq!(header(&request, "x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(header(&request, "x-forwarded-host"), Some("example.com:8080"));
        assert_eq!(header(&request, "x-forwarded-proto"), Some("http"));
        assert_eq!(header(&request, "x-forwarded-prefix"), Some("/hello"));
        assert_eq!(header(&request, "x-request-id"), Some("id-1"));
        assert_eq!(header(&request, "traceparent"), Some("00-x-y-01"));
    }

    #[test]
    fn no_function_gets_the_session_of_the_dashboard() {
        let cookies = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("cookie", *line)).collect();
            let request = rewritten(false, &lines);
            let left = request.headers().get_all("cookie").iter().map(|line| line.to_str().unwrap().to_owned());
            left.collect::<Vec<_>>()
        };
        assert_eq!(cookies(&["a=1; wasmway_session=secret;b=2"]), ["a=1; b=2"]);
        assert_eq!(cookies(&["wasmway_session=secret", "a=1;  b=2"]), ["a=1; b=2"]);
        assert_eq!(cookies(&["wasmway_session = secret"]), [""; 0]);
        assert_eq!(cookies(&["a=1;  b=2", "wasmway_sessions=3"]), ["a=1;  b=2", "wasmway_sessions=3"], "as they came");
    }

    #[test]
    fn believes_a_client_only_when_told_to() {
        let lies = [("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https"), ("forwarded", "for=1.1.1.1")];
        let request = rewritten(false, &lies);
        assert_eq!(header(&request, "x-forwarded-for"), Some("192.0.2.7"));
        assert_eq!(header(&request, "x-forwarded-proto"), Some("http"));
        assert_eq!(header(&request, "forwarded"), None);
        let request = rewritten(true, &lies);
        assert_eq!(header(&request, "x-forwarded-for"), Some("1.1.1.1, 192.0.2.7"));
        assert_eq!(header(&request, "x-forwarded-proto"), Some("https"));
    }
}
