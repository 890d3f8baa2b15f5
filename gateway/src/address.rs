//! Which function a request is for, as its address says.

use http::{
    Request, Uri,
    uri::{self, Authority, PathAndQuery, Scheme},
};

/// The parts of a request's address that routing looks at.
pub(crate) struct Address<'a> {
    /// Host without port, as sent; `None` where HTTP/1.0 sent none.
    pub(crate) host: Option<&'a str>,
    /// Path, beginning with `/`.
    pub(crate) path: &'a str,
    /// Host and port, as sent.
    pub(crate) authority: Option<Authority>,
}

/// A request without the host that its protocol version asks for, or with one that is none.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoHost;

impl<'a> Address<'a> {
    /// Reads the address of a request (RFC 9112, section 3.2 and 3.3).
    pub(crate) fn of<B>(request: &'a Request<B>) -> Result<Self, NoHost> {
        let path = request.uri().path();
        let mut hosts = request.headers().get_all(http::header::HOST).iter();
        let header = hosts.next();
        if hosts.next().is_some() {
            return Err(NoHost);
        }
        let (host, authority) = match (request.uri().authority(), header) {
            (Some(authority), _) => (Some(authority.host()), Some(authority.clone())),
            (None, Some(value)) => {
                let (host, authority) = host_of(value.to_str().map_err(|_| NoHost)?)?;
                (Some(host), Some(authority))
            }
            (None, None) if request.version() < http::Version::HTTP_11 => (None, None),
            (None, None) => return Err(NoHost),
        };
        Ok(Self { host, path, authority })
    }
}

/// The host of a `Host` header, and the whole of it.
fn host_of(value: &str) -> Result<(&str, Authority), NoHost> {
    if value.is_empty() || value.contains(['@', '/', '?', '#']) {
        return Err(NoHost);
    }
    // Checked by the URI parser, which allows no more than RFC 3986 does.
    let authority = value.parse::<Authority>().map_err(|_| NoHost)?;
    let host = match value.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(address, _)| address).ok_or(NoHost)?,
        None => value.rsplit_once(':').map_or(value, |(host, _)| host),
    };
    Ok((host, authority))
}

/// The URI with the first `prefix` bytes of its path taken away, with `scheme` and `authority` before it.
pub(crate) fn below(uri: &Uri, prefix: usize, scheme: Scheme, authority: Authority) -> Result<Uri, http::Error> {
    let path_and_query = uri.path_and_query().map_or("/", |path| path.as_str());
    let rest = path_and_query.get(prefix..).unwrap_or("");
    let mut parts = uri::Parts::default();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    parts.path_and_query = Some(match rest {
        "" | "/" => PathAndQuery::from_static("/"),
        _ if rest.starts_with('/') => PathAndQuery::try_from(rest)?,
        _ => PathAndQuery::try_from(format!("/{rest}"))?,
    });
    Ok(Uri::from_parts(parts)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(uri: &str, host: Option<&str>) -> Request<()> {
        let mut builder = Request::builder().uri(uri);
        if let Some(host) = host {
            builder = builder.header("host", host);
        }
        builder.body(()).unwrap()
    }

    fn host(uri: &str, header: Option<&str>) -> Result<Option<String>, NoHost> {
        Address::of(&request(uri, header)).map(|address| address.host.map(str::to_owned))
    }

    #[test]
    fn takes_the_host_from_where_it_is() {
        assert_eq!(host("/x", Some("a.example:8080")), Ok(Some("a.example".into())));
        assert_eq!(host("/x", Some("[::1]:8080")), Ok(Some("::1".into())));
        assert_eq!(host("http://b.example/x", Some("a.example")), Ok(Some("b.example".into())));
    }

    #[test]
    fn a_host_is_needed_and_must_be_one() {
        assert_eq!(host("/x", None), Err(NoHost));
        for bad in ["", "a/b", "a@b", "a b", "[::1"] {
            assert_eq!(host("/x", Some(bad)), Err(NoHost), "{bad:?}");
        }
    }

    #[test]
    fn strips_a_prefix_and_keeps_the_query() {
        let below = |uri: &str, prefix| {
            below(&uri.parse().unwrap(), prefix, Scheme::HTTP, Authority::from_static("h"))
                .unwrap()
                .path_and_query()
                .unwrap()
                .to_string()
        };
        assert_eq!(below("/hello/a/b?c=d", 6), "/a/b?c=d");
        assert_eq!(below("/hello", 6), "/");
        assert_eq!(below("/hello?x=1", 6), "/?x=1");
        assert_eq!(below("/hello//a", 6), "//a");
        assert_eq!(below("/a%2Fb", 0), "/a%2Fb");
    }

    proptest! {
        #[test]
        fn a_host_is_found_with_and_without_its_port(name in "[a-z0-9]([a-z0-9.-]{0,20}[a-z0-9])?", port in any::<u16>()) {
            for sent in [name.clone(), format!("{name}:{port}")] {
                prop_assert_eq!(host("/", Some(&sent)), Ok(Some(name.clone())));
            }
        }

        #[test]
        fn whatever_a_host_header_holds_a_host_is_a_host(sent in "[ -~\\x80-\\xff]{0,30}") {
            let Ok(request) = Request::builder().uri("/").header("host", sent.as_str()).body(()) else { return Ok(()) };
            if let Ok(Address { host: Some(host), .. }) = Address::of(&request) {
                prop_assert!(!host.contains(['/', '@', '?', '#', ' ', '[', ']']), "{host:?}");
                prop_assert!(sent.contains(host), "{host:?} of {sent:?}");
            }
        }

        #[test]
        fn what_is_below_a_prefix_begins_with_a_slash_and_ends_as_it_did(
            name in "[a-z]{1,10}", rest in "(/[a-zA-Z0-9%.~-]{0,8}){0,4}", query in "(\\?[a-z=&/]{0,10})?",
        ) {
            let Ok(uri) = format!("/{name}{rest}{query}").parse::<Uri>() else { return Ok(()) };
            let below = below(&uri, name.len() + 1, Scheme::HTTP, Authority::from_static("h")).unwrap();
            prop_assert_eq!(below.path(), if rest.is_empty() { "/" } else { &rest });
            prop_assert_eq!(below.query(), query.strip_prefix('?'));
        }
    }
}
