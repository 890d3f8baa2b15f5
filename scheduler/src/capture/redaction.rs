//! What a capture must not carry about: by the name that a value has, it is replaced by a placeholder.

use super::{Body, Capture, Data, ExchangeResult, Headers, Message, Response};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::BTreeSet;

/// Names of what is to be kept as it is, in lower case.
#[derive(Clone, Debug, Default)]
pub struct Keep {
    pub headers: BTreeSet<String>,
    /// Parameters of queries.
    pub query: BTreeSet<String>,
    /// Variables of the environment.
    pub env: BTreeSet<String>,
}

/// Replaces what may be a secret.
pub struct Redaction {
    /// Placeholders of one recording tell equal values from others, and nobody can try out what the values were.
    key: [u8; 32],
    keep: Keep,
}

/// How a placeholder begins. It may stand in a URI as it is.
const PLACEHOLDER: &str = "redacted-";

/// Whether a value is a placeholder, or has one in it.
pub(crate) fn is_redacted(value: &[u8]) -> bool {
    value.windows(PLACEHOLDER.len()).any(|part| part == PLACEHOLDER.as_bytes())
}

/// A name of which one of these is a word names a secret.
const WORDS: &[&str] = &[
    "auth",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "jwt",
    "key",
    "passphrase",
    "passwd",
    "password",
    "pwd",
    "secret",
    "secrets",
    "session",
    "sessionid",
    "sid",
    "sig",
    "signature",
    "token",
    "tokens",
];
/// So does one that has one of these anywhere.
const PARTS: &[&str] = &["apikey", "password", "secret", "token"];

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.split(|it: char| !it.is_ascii_alphanumeric()).any(|word| WORDS.contains(&word))
        || PARTS.iter().any(|part| name.contains(part))
}

/// Headers whose value is a URI.
const WITH_URI: &[&str] = &["location", "referer"];

impl Redaction {
    /// With a key of its own.
    pub fn new(keep: Keep) -> Self {
        Self { key: rand::random(), keep }
    }

    /// Takes out of a capture what may be a secret, and says what that was.
    pub fn apply(&self, capture: &mut Capture) {
        let mut done = BTreeSet::new();
        for (name, value) in &mut capture.function.env {
            let with_password = value.split_once("://").is_some_and(|(_, rest)| has_password(rest));
            if (is_secret(name) || with_password) && !self.keep.env.contains(&name.to_ascii_lowercase()) {
                *value = self.placeholder(value.as_bytes());
                done.insert(format!("environment {name}"));
            }
        }
        let recorded = &mut capture.recorded;
        self.message(&mut recorded.request, "request", &mut done);
        if let Some(response) = &mut recorded.response {
            self.response(response, "response", &mut done);
        }
        for exchange in &mut recorded.outbound {
            self.message(&mut exchange.request, "outbound request", &mut done);
            if let ExchangeResult::Response(response) = &mut exchange.result {
                self.response(response, "outbound response", &mut done);
            }
        }
        capture.redacted = done.into_iter().collect();
    }

    fn placeholder(&self, value: &[u8]) -> String {
        // A key of any length will do.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else { return PLACEHOLDER.to_owned() };
        mac.update(value);
        let tag = mac.finalize().into_bytes();
        tag.iter().take(6).fold(PLACEHOLDER.to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }

    fn message(&self, message: &mut Message, what: &str, done: &mut BTreeSet<String>) {
        message.uri = self.uri(&message.uri, what, done);
        self.headers(&mut message.headers, what, done);
        self.trailers(&mut message.body, what, done);
    }

    fn response(&self, response: &mut Response, what: &str, done: &mut BTreeSet<String>) {
        self.headers(&mut response.headers, what, done);
        self.trailers(&mut response.body, what, done);
    }

    fn trailers(&self, body: &mut Body, what: &str, done: &mut BTreeSet<String>) {
        self.headers(&mut body.trailers, what, done);
    }

    fn headers(&self, headers: &mut Headers, what: &str, done: &mut BTreeSet<String>) {
        for (name, value) in headers {
            if self.keep.headers.contains(name) {
                continue;
            }
            if is_secret(name) {
                *value = Data(self.placeholder(&value.0).into_bytes());
                done.insert(format!("{what} header {name}"));
            } else if let Some(uri) = value.text().filter(|_| WITH_URI.contains(&name.as_str())) {
                *value = Data(self.uri(uri, &format!("{what} header {name}"), done).into_bytes());
            }
        }
    }

    fn uri(&self, uri: &str, what: &str, done: &mut BTreeSet<String>) -> String {
        let Some((path, query)) = uri.split_once('?') else { return uri.to_owned() };
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((name, value)) if is_secret(name) && !self.keep.query.contains(&name.to_ascii_lowercase()) => {
                done.insert(format!("{what} query {name}"));
                format!("{name}={}", self.placeholder(value.as_bytes()))
            }
            _ => pair.to_owned(),
        });
        format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
    }
}

/// Whether what comes behind the `://` of a URL begins with a name and a password.
fn has_password(rest: &str) -> bool {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_what_is_secret() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "cookie",
            "set-cookie",
            "x-api-key",
            "x-auth-token",
            "apikey",
            "STRIPE_KEY",
            "AWS_SECRET_ACCESS_KEY",
            "accessToken",
            "client_secret",
            "DB_PASSWORD",
            "sig",
            "PHPSESSIONID-sid",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in
            ["content-type", "author", "x-request-id", "monkey", "keyboard", "accept", "GREETING", "etag", "host"]
        {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn a_placeholder_is_the_same_for_the_same_value_and_for_no_other() {
        let redaction = Redaction::new(Keep::default());
        let one = redaction.placeholder(b"one");
        assert!(one.starts_with("redacted-") && one.len() == 21 && is_redacted(one.as_bytes()), "{one}");
        assert_eq!(one, redaction.placeholder(b"one"));
        assert_ne!(one, redaction.placeholder(b"two"));
        assert_ne!(one, Redaction::new(Keep::default()).placeholder(b"one"), "another recording");
    }

    #[test]
    fn queries_lose_their_secrets_and_nothing_else() {
        let keep = Keep { query: ["sid".to_owned()].into(), ..Keep::default() };
        let (redaction, mut done) = (Redaction::new(keep), BTreeSet::new());
        let uri = redaction.uri("https://a/b?x=1&api_key=abc&flag&sid=7", "request", &mut done);
        let expected = format!("https://a/b?x=1&api_key={}&flag&sid=7", redaction.placeholder(b"abc"));
        assert_eq!(uri, expected);
        assert_eq!(done.into_iter().collect::<Vec<_>>(), ["request query api_key"]);
    }

    #[test]
    fn a_url_with_a_password_is_one() {
        assert!(has_password("me:secret@db/x") && has_password("a:b@c@db"));
        assert!(!has_password("db:5432/x@y:z") && !has_password("me@db"));
    }
}
