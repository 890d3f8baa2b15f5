//! Where a function may send requests.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// What a function may reach over the network. By default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outbound {
    /// The origins that requests may go to.
    pub allow: Vec<AllowedOrigin>,
}

/// An origin that a function may send requests to: `https://api.example.com`, `http://10.0.0.7:9000`, or
/// `https://*.example.com` for every host below `example.com` (not `example.com` itself).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AllowedOrigin {
    https: bool,
    host: AllowedHost,
    port: u16,
}

/// The host part of an [`AllowedOrigin`], in lower case and ASCII (punycode).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AllowedHost {
    /// This host alone; an IPv6 address stands in brackets.
    Exact(String),
    /// Every host that ends in a dot and this name.
    Below(String),
}

/// A text that is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} {problem}; write an origin such as \"https://api.example.com\", \"http://10.0.0.7:9000\" or \
     \"https://*.example.com\""
)]
pub struct OriginError {
    text: String,
    problem: &'static str,
}

impl AllowedOrigin {
    /// Whether the origin is `https`; it is `http` otherwise.
    pub fn https(&self) -> bool {
        self.https
    }

    /// The host or hosts.
    pub fn host(&self) -> &AllowedHost {
        &self.host
    }

    /// The port: the scheme's own, 443 or 80, where the text has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether a request to `host` (no port, IPv6 in brackets, any case) on `port` by this scheme may go out.
    pub fn allows(&self, https: bool, host: &str, port: u16) -> bool {
        https == self.https && port == self.port && self.host.covers(host)
    }
}

impl AllowedHost {
    fn covers(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        match self {
            Self::Exact(name) => host.eq_ignore_ascii_case(name),
            Self::Below(name) => host
                .len()
                .checked_sub(name.len() + 1)
                .filter(|below| *below > 0 && host.is_char_boundary(*below))
                .map(|below| host.split_at(below).1)
                .and_then(|end| end.strip_prefix('.'))
                .is_some_and(|end| end.eq_ignore_ascii_case(name)),
        }
    }
}

impl FromStr for AllowedOrigin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let refused = |problem| OriginError { text: text.to_owned(), problem };
        // The star is taken off first: in a URL it has no meaning, here it may only be the first label.
        let (plain, below) = match text.split_once("://*.") {
            Some((scheme, rest)) => (format!("{scheme}://{rest}"), true),
            None => (text.to_owned(), false),
        };
        let url = Url::parse(&plain).map_err(|_| refused("is not an origin"))?;
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return Err(refused("is neither http nor https")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refused("has a user name or password"));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refused("has more than scheme, host and port"));
        }
        let host = match (url.host(), below) {
            (Some(Host::Domain(name)), _) if name.contains('*') => {
                return Err(refused("has a * that is not the host's whole first label"));
            }
            // With two dots at its end it would be another host once it was printed and read again.
            (Some(Host::Domain(name)), _) if plain_name(name).split('.').any(str::is_empty) => {
                return Err(refused("has an empty label in its host"));
            }
            (Some(Host::Domain(name)), true) => AllowedHost::Below(plain_name(name)),
            (Some(_), true) => return Err(refused("has a * before an address")),
            (Some(Host::Domain(name)), false) => AllowedHost::Exact(plain_name(name)),
            (Some(address), false) => AllowedHost::Exact(address.to_string()),
            (None, _) => return Err(refused("has no host")),
        };
        let port = url.port_or_known_default().ok_or_else(|| refused("has no port"))?;
        Ok(Self { https, host, port })
    }
}

/// A domain name without the dot that may end it.
fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

impl TryFrom<String> for AllowedOrigin {
    type Error = OriginError;

    fn try_from(text: String) -> Result<Self, OriginError> {
        text.parse()
    }
}

impl From<AllowedOrigin> for String {
    fn from(origin: AllowedOrigin) -> String {
        origin.to_string()
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

impl fmt::Display for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, own_port) = if self.https { ("https", 443) } else { ("http", 80) };
        write!(f, "{scheme}://{}", self.host)?;
        if self.port != own_port {
            write!(f, ":{}", self.port)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_brought_to_one_form() {
        for (text, form) in [
            ("https://api.example.com", "https://api.example.com"),
            ("https://API.Example.com/", "https://api.example.com"),
            ("https://example.com:443", "https://example.com"),
            ("http://example.com:8080", "http://example.com:8080"),
            ("https://*.Example.com", "https://*.example.com"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            ("http://127.0.0.1", "http://127.0.0.1"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            let origin: AllowedOrigin = text.parse().unwrap();
            assert_eq!(origin.to_string(), form);
            assert_eq!(form.parse(), Ok(origin));
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for bad in [
            "",
            "example.com",
            "ftp://example.com",
            "https://",
            "https://a.com/path",
            "https://a.com/?q",
            "https://u@a.com",
            "https://*",
            "https://a.*.com",
            "https://*a.com",
            "https://*.*.com",
            "https://*.127.0.0.1",
            "https://a.com:99999",
            "https://a.com..",
            "https://a..com",
            "https://*..com",
            "*",
        ] {
            assert!(bad.parse::<AllowedOrigin>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_request_must_match_scheme_host_and_port() {
        let exact: AllowedOrigin = "https://example.com".parse().unwrap();
        assert!(exact.allows(true, "EXAMPLE.com", 443));
        assert!(exact.allows(true, "example.com.", 443));
        assert!(!exact.allows(false, "example.com", 443));
        assert!(!exact.allows(true, "example.com", 8443));
        assert!(!exact.allows(true, "a.example.com", 443));

        let below: AllowedOrigin = "https://*.example.com".parse().unwrap();
        assert!(below.allows(true, "a.example.com", 443));
        assert!(below.allows(true, "A.b.EXAMPLE.com", 443));
        assert!(!below.allows(true, "example.com", 443));
        assert!(!below.allows(true, ".example.com", 443));
        assert!(!below.allows(true, "badexample.com", 443));
        assert!(!below.allows(true, "é.com", 443));
    }
}
