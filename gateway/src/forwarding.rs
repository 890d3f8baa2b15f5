//! What a request says about its way here, on to the function.

use crate::address;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, Version, header, uri::Authority};
use std::net::{IpAddr, SocketAddr};

/// Where a connection came from; put into every request's extensions by the listener.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// Bytes of a request id that a client may choose.
const REQUEST_ID_BYTES: usize = 128;

/// The request's id: the client's own where it is a short, plain word, else a new one (UUID version 7).
pub(crate) fn request_id(headers: &HeaderMap) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    headers
        .get(&REQUEST_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| (1..=REQUEST_ID_BYTES).contains(&id.len()) && id.bytes().all(plain))
        .map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// Puts the id on an answer.
pub(crate) fn set_request_id(headers: &mut HeaderMap, id: &str) {
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
}

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
    pub(crate) request_id: &'a str,
    /// Whether what the client says about its way here is taken for true.
    pub(crate) trusted: bool,
    /// Stands in for the host of a client of HTTP/1.0 that names none.
    pub(crate) own_address: SocketAddr,
}

/// Makes of the request that came the one that the function gets. `traceparent` and everything else
/// passes on untouched.
pub(crate) fn rewrite<B>(request: &mut Request<B>, hop: &Hop<'_>) -> Result<(), http::Error> {
    let authority = authority(request, hop.own_address)?;
    let prefix = HeaderValue::from_str(&request.uri().path()[..hop.prefix])?;
    let uri = address::below(request.uri(), hop.prefix, authority.clone())?;
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    *request.uri_mut() = uri;
    let host = HeaderValue::from_str(authority.as_str())?;
    let headers = request.headers_mut();
    headers.insert(REQUEST_ID, HeaderValue::from_str(hop.request_id)?);
    if let Some(peer) = peer {
        forwarded_for(headers, peer, hop.trusted)?;
    }
    set(headers, FORWARDED_HOST, host, hop.trusted);
    set(headers, FORWARDED_PROTO, HeaderValue::from_static("http"), hop.trusted);
    if hop.prefix > 0 {
        headers.insert(FORWARDED_PREFIX, prefix);
    } else {
        headers.remove(FORWARDED_PREFIX);
    }
    if !hop.trusted {
        headers.remove(header::FORWARDED);
    }
    Ok(())
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue, keep: bool) {
    if !(keep && headers.contains_key(&name)) {
        headers.insert(name, value);
    }
}

fn forwarded_for(headers: &mut HeaderMap, peer: IpAddr, trusted: bool) -> Result<(), http::Error> {
    let came_by: Vec<&str> = if trusted {
        headers.get_all(&FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect()
    } else {
        Vec::new()
    };
    let value = came_by.iter().map(|hop| format!("{hop}, ")).collect::<String>() + &peer.to_canonical().to_string();
    headers.insert(FORWARDED_FOR, HeaderValue::from_str(&value)?);
    Ok(())
}

fn authority<B>(request: &Request<B>, own: SocketAddr) -> Result<Authority, http::Error> {
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.clone());
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let text = host.map_or_else(|| own.to_string(), str::to_owned);
    Ok(Uri::builder()
        .scheme("http")
        .authority(text)
        .path_and_query("/")
        .build()?
        .into_parts()
        .authority
        .unwrap_or_else(
            // Set three calls before.
            || unreachable!("a URI that was built with an authority has one"),
        ))
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
        request.extensions_mut().insert(Peer("192.0.2.7:1234".parse().unwrap()));
        let hop = Hop { prefix: 6, request_id: "id-1", trusted, own_address: "127.0.0.1:8080".parse().unwrap() };
        rewrite(&mut request, &hop).unwrap();
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

    #[test]
    fn takes_a_plain_request_id_and_makes_one_for_any_other() {
        let id = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", value.parse().unwrap());
            request_id(&headers)
        };
        assert_eq!(id("abc-123"), "abc-123");
        assert_ne!(id("a b"), "a b");
        assert_ne!(id(&"x".repeat(129)).len(), 129);
    }
}
