//! Addresses of its own that a function asks for.

use std::fmt;

use serde::{Deserialize, Serialize};
use url::Host;

/// The longest path prefix, in bytes.
const PATH_BYTES_MAX: usize = 1024;

/// A host and a path prefix whose requests a function takes.
///
/// It is kept in one form, so that equal rules are equal texts: the host in lower case and ASCII (punycode), without
/// port or ending dot, `*.` before a name for whatever one label is there; the path beginning with `/` and, unless it is `/` itself, not ending with one. Paths are
/// compared byte by byte, percent-encoding included.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct RouteRule {
    host: Option<String>,
    path: String,
}

/// A rule as it is written.
#[derive(Deserialize)]
struct Written {
    host: Option<String>,
    #[serde(default = "root")]
    path: String,
}

fn root() -> String {
    "/".to_owned()
}

/// A host or path that no request can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// The host is no host name or address.
    #[error("host {0:?} is not a host name; write a name alone, such as \"example.com\" or \"*.example.com\"")]
    Host(String),
    /// The path is no path prefix.
    #[error(
        "path {0:?} is not a path prefix; write at most {PATH_BYTES_MAX} visible ASCII characters beginning with /, \
         without ?, #, // and the segments . and .., such as \"/api\""
    )]
    Path(String),
}

impl RouteRule {
    /// The rule for requests to `host` (`None`: to any host) whose path is `path` or lies below it.
    pub fn new(host: Option<&str>, path: &str) -> Result<Self, RouteError> {
        Ok(Self { host: host.map(normal_host).transpose()?, path: normal_path(path)? })
    }

    /// The host; `None` is any.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    /// The path prefix.
    pub fn path(&self) -> &str {
        &self.path
    }
}

fn normal_host(text: &str) -> Result<String, RouteError> {
    let refused = || RouteError::Host(text.to_owned());
    if let Some(name) = text.strip_prefix("*.") {
        // A name below a top-level domain at least: nobody has all of those.
        return match normal_host(name) {
            Ok(name) if !name.starts_with("*.") && name.contains('.') && is_name(&name) => Ok(format!("*.{name}")),
            _ => Err(refused()),
        };
    }
    let host = Host::parse(text.strip_suffix('.').unwrap_or(text)).map_err(|_| refused())?;
    if let Host::Domain(name) = &host {
        let labels_fit = name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        });
        if name.len() > 253 || !labels_fit {
            return Err(refused());
        }
    }
    Ok(host.to_string())
}

/// Whether it is a name, and no address.
fn is_name(host: &str) -> bool {
    matches!(Host::parse(host), Ok(Host::Domain(_)))
}

fn normal_path(text: &str) -> Result<String, RouteError> {
    let refused = || RouteError::Path(text.to_owned());
    let below_root = text.strip_prefix('/').ok_or_else(refused)?;
    let prefix = below_root.strip_suffix('/').unwrap_or(below_root);
    let segments_fit = below_root.is_empty()
        || prefix.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|b| b.is_ascii_graphic() && b != b'?' && b != b'#')
        });
    if text.len() > PATH_BYTES_MAX || !segments_fit {
        return Err(refused());
    }
    Ok(format!("/{prefix}"))
}

impl TryFrom<Written> for RouteRule {
    type Error = RouteError;

    fn try_from(written: Written) -> Result<Self, RouteError> {
        Self::new(written.host.as_deref(), &written.path)
    }
}

impl fmt::Display for RouteRule {
    /// `example.com/api`, or `*/api` where the host is any.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host().unwrap_or("*"), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_brought_to_one_form() {
        for (host, path, form) in [
            (Some("Example.COM"), "/api", "example.com/api"),
            (Some("example.com."), "/api/", "example.com/api"),
            (Some("bücher.example"), "/", "xn--bcher-kva.example/"),
            (Some("[::1]"), "/a/b", "[::1]/a/b"),
            (Some("*.Example.com."), "/", "*.example.com/"),
            (None, "/Api/v1%20", "*/Api/v1%20"),
        ] {
            assert_eq!(RouteRule::new(host, path).unwrap().to_string(), form);
        }
    }

    #[test]
    fn what_no_request_can_have_is_refused() {
        for host in [
            "",
            "a b",
            "a/b",
            "example.com:80",
            "a..b",
            "https://a",
            ".",
            "*",
            "*.",
            "*.com",
            "*.*.example.com",
            "a.*.example.com",
            "*example.com",
            "*.1.2.3.4",
        ] {
            assert!(RouteRule::new(Some(host), "/").is_err(), "{host:?}");
        }
        let long = format!("/{}", "a".repeat(PATH_BYTES_MAX));
        for path in ["", "api", "//", "/a//b", "/a?b", "/a#b", "/a/../b", "/.", "/é", "/a b", &long] {
            assert!(RouteRule::new(None, path).is_err(), "{path:?}");
        }
    }
}
