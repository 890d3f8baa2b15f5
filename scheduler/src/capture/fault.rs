//! What a guest is told when its outbound request or a body fails, by a name that can be written down and read again.

use serde::{Deserialize, Serialize};
use std::fmt;
use wasmtime_wasi_http::Error;

/// An error of `wasi:http`: its name there, and what it says beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Those that say nothing beside their name.
macro_rules! plain {
    ($($name:ident)*) => {
        fn plain_name(error: &Error) -> Option<&'static str> {
            match error {
                $(Error::$name => Some(stringify!($name)),)*
                _ => None,
            }
        }

        fn plain(name: &str) -> Option<Error> {
            match name {
                $(stringify!($name) => Some(Error::$name),)*
                _ => None,
            }
        }

        #[cfg(test)]
        const PLAIN: &[&str] = &[$(stringify!($name)),*];
    };
}

plain! {
    DnsTimeout DestinationNotFound DestinationUnavailable DestinationIpProhibited DestinationIpUnroutable
    ConnectionRefused ConnectionTerminated ConnectionTimeout ConnectionReadTimeout ConnectionWriteTimeout
    ConnectionLimitReached TlsProtocolError TlsCertificateError HttpRequestDenied HttpRequestLengthRequired
    HttpRequestMethodInvalid HttpRequestUriInvalid HttpRequestUriTooLong HttpResponseIncomplete HttpResponseTimeout
    HttpUpgradeFailed HttpProtocolError LoopDetected ConfigurationError
}

impl Fault {
    pub(crate) fn of(error: &Error) -> Self {
        let named = |code: &str, detail: Option<String>| Self { code: code.to_owned(), detail };
        match error {
            // What the engine tells the guest of errors of the network.
            Error::Hyper(_) => named("HttpProtocolError", None),
            Error::Connect(_) => named("ConnectionRefused", None),
            Error::Tls(_) => named("TlsProtocolError", None),
            Error::HttpRequestBodySize(size) => named("HttpRequestBodySize", size.map(|size| size.to_string())),
            Error::DnsError { rcode, .. } => named("DnsError", rcode.clone()),
            Error::InternalError(text) => named("InternalError", text.clone()),
            error => match plain_name(error) {
                Some(name) => named(name, None),
                // Errors about single headers and codings, which nothing here raises.
                None => named("InternalError", Some(error.to_string())),
            },
        }
    }

    pub(crate) fn error(&self) -> Error {
        let detail = || self.detail.clone();
        match self.code.as_str() {
            "HttpRequestBodySize" => Error::HttpRequestBodySize(detail().and_then(|size| size.parse().ok())),
            "DnsError" => Error::DnsError { rcode: detail(), info_code: None },
            "InternalError" => Error::InternalError(detail()),
            name => plain(name).unwrap_or_else(|| Error::InternalError(Some(self.to_string()))),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{} ({detail})", self.code),
            None => f.write_str(&self.code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn a_guest_is_told_the_same_again() {
        let of = |code: &str, detail: Option<&str>| Fault { code: code.into(), detail: detail.map(Into::into) };
        let mut faults: Vec<_> = PLAIN.iter().map(|name| of(name, None)).collect();
        faults.extend([of("HttpRequestBodySize", Some("12")), of("InternalError", Some("x")), of("DnsError", None)]);
        for fault in faults {
            assert_eq!(Fault::of(&fault.error()), fault);
        }
    }

    #[test]
    fn errors_of_the_network_are_what_guests_are_told() {
        let refused = Error::Connect(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(Fault::of(&refused).to_string(), "ConnectionRefused");
        assert_eq!(Fault::of(&Error::Tls(io::Error::other("no"))).code, "TlsProtocolError");
    }
}
