//! What a client or a deployer puts into addresses: names, versions, hosts, paths, routes.

#![no_main]

#[allow(dead_code, unused_imports)]
#[path = "../../registry/src"]
mod registry {
    pub mod manifest;
    pub mod names;
}

#[allow(dead_code, unused_imports)]
#[path = "../../gateway/src/address.rs"]
mod address;

// The registry's modules know each other by these names.
use registry::{manifest, names};

use http::uri::Authority;
use http::{HeaderValue, Request, Uri};
use libfuzzer_sys::fuzz_target;
use manifest::{AllowedOrigin, RouteRule};
use names::{FunctionName, NAME_BYTES_MAX, Namespace, Version};

// The first line is taken for a host, the rest for a path.
fuzz_target!(|text: &str| {
    let (host, path) = text.split_once('\n').unwrap_or((text, "/"));
    check_names(host);
    check_route(host, path);
    check_origin(host);
    check_request(host, path);
});

fn check_names(text: &str) {
    if let Ok(name) = text.parse::<FunctionName>() {
        assert_eq!(name.as_str(), text);
        assert!(text.len() <= NAME_BYTES_MAX && text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-'));
        assert!(text.parse::<Namespace>().is_ok());
    }
    if let Ok(version) = text.parse::<Version>() {
        assert_eq!(version.to_string().parse(), Ok(version));
    }
}

/// A rule is in its one form: made again from its parts, it is the same.
fn check_route(host: &str, path: &str) {
    for host in [Some(host), None] {
        if let Ok(rule) = RouteRule::new(host, path) {
            assert_eq!(RouteRule::new(rule.host(), rule.path()).as_ref(), Ok(&rule));
            assert!(rule.path().starts_with('/') && rule.path().is_ascii());
        }
    }
}

fn check_origin(text: &str) {
    if let Ok(origin) = text.parse::<AllowedOrigin>() {
        assert_eq!(origin.to_string().parse(), Ok(origin));
    }
}

fn check_request(host: &str, path: &str) {
    let (Ok(uri), Ok(sent)) = (path.parse::<Uri>(), HeaderValue::from_bytes(host.as_bytes())) else { return };
    let mut request = Request::new(());
    *request.uri_mut() = uri;
    request.headers_mut().insert("host", sent);
    if let Ok(address) = address::Address::of(&request) {
        let host = address.host.unwrap_or_default();
        assert!(!host.contains(['/', '@', '?', '#', ' ']), "{host:?} is taken for a host");
    }
    for prefix in [0, 1, path.len() / 2, path.len()] {
        if let Ok(below) = address::below(request.uri(), prefix, Authority::from_static("h")) {
            assert!(below.path().starts_with('/'), "{below}");
            assert_eq!(below.authority(), Some(&Authority::from_static("h")));
        }
    }
}
