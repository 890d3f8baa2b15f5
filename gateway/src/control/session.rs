//! Sessions of the dashboard: a browser that has shown a token once gets a cookie that stands for it. The cookie is signed
//! and names the token, and nothing is kept of it here: it is good after a restart and at every registry of a fleet, and
//! ends with its token, or with the admin token that signs it.

use crate::{problem::Problem, token::Token};
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts, uri::Authority};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

/// The name of the cookie. No function gets to see it: browsers send cookies to every port of a host.
pub(crate) const SESSION_COOKIE: &str = "wasmway_session";

/// How long a session lasts.
const LIFETIME: SignedDuration = SignedDuration::from_hours(12);

/// Makes and reads the cookies of sessions.
pub(super) struct Sessions {
    key: Hmac<Sha256>,
}

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Who has shown the admin token.
    Admin,
    /// Who has shown the token of this id.
    Token(String),
}

/// What the token of the data folder is called in a cookie; ids of others are hexadecimal.
const ADMIN: &str = "admin";

impl Sessions {
    /// Those that the admin token signs.
    pub(super) fn signed_by(token: &Token) -> Self {
        let secret = format!("wasmway dashboard session, version 1\n{}", token.secret());
        Self { key: Hmac::new_from_slice(secret.as_bytes()).expect("a key may have any length") }
    }

    /// The cookie of a new session. Behind TLS it stays there.
    pub(super) fn begin(&self, holder: &Holder, is_tls: bool) -> HeaderValue {
        let value = self.value(holder, Timestamp::now() + LIFETIME);
        cookie(&value, LIFETIME.as_secs(), is_tls)
    }

    /// Whose session a request belongs to.
    pub(super) fn holder(&self, headers: &HeaderMap) -> Option<Holder> {
        cookies(headers).find_map(|value| self.read(value, Timestamp::now()))
    }

    fn value(&self, holder: &Holder, end: Timestamp) -> String {
        let id = match holder {
            Holder::Admin => ADMIN,
            Holder::Token(id) => id,
        };
        let signed = format!("{id}.{}", end.as_second());
        let mac = self.mac(&signed).finalize().into_bytes();
        let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{signed}.{mac}")
    }

    fn read(&self, value: &str, now: Timestamp) -> Option<Holder> {
        let (signed, mac) = value.rsplit_once('.')?;
        self.mac(signed).verify_slice(&unhex(mac)?).ok()?;
        let (id, end) = signed.split_once('.')?;
        if end.parse::<i64>().ok()? <= now.as_second() {
            return None;
        }
        Some(if id == ADMIN { Holder::Admin } else { Holder::Token(id.to_owned()) })
    }

    fn mac(&self, signed: &str) -> Hmac<Sha256> {
        self.key.clone().chain_update(signed.as_bytes())
    }
}

/// The cookie that ends a session.
pub(super) fn end() -> HeaderValue {
    cookie("", 0, false)
}

fn cookie(value: &str, seconds: i64, is_tls: bool) -> HeaderValue {
    let secure = if is_tls { "; Secure" } else { "" };
    let text = format!("{SESSION_COOKIE}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::try_from(text).expect("a session is letters, digits and dots")
}

/// The values of all cookies that may be a session's.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter_map(|(name, value)| (name == SESSION_COOKIE).then_some(value))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Refuses what a page of somebody else has the browser send along with our cookie. Pages on other ports of this host are
/// somebody else too, those of functions among them, although browsers give them the cookie.
pub(super) fn check_sender(request: &Parts) -> Result<(), Problem> {
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let own = match header_text(&request.headers, "sec-fetch-site") {
        Some("same-origin") => true,
        // Somebody who has written the address.
        Some("none") => reads,
        Some(_) => false,
        None => match header_text(&request.headers, header::ORIGIN.as_str()) {
            Some(origin) => is_host(origin, &request.headers, request.uri.authority()),
            None => reads,
        },
    };
    if own { Ok(()) } else { Err(foreign()) }
}

fn foreign() -> Problem {
    Problem::platform(
        StatusCode::FORBIDDEN,
        "foreign-origin",
        "Foreign origin",
        "a session is good for the pages of this address alone; programs send `Authorization: Bearer TOKEN`",
    )
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Whether an origin is where the request was sent to. Its scheme is that of a proxy before us.
fn is_host(origin: &str, headers: &HeaderMap, authority: Option<&Authority>) -> bool {
    let host = header_text(headers, header::HOST.as_str());
    let Some(host) = authority.map(Authority::as_str).or(host) else { return false };
    origin.parse::<Uri>().is_ok_and(|origin| origin.authority().is_some_and(|origin| origin.as_str() == host))
}

/// Whether the browser speaks TLS, to us or to a proxy before us.
pub(super) fn is_tls(headers: &HeaderMap) -> bool {
    header_text(headers, header::ORIGIN.as_str()).is_some_and(|origin| origin.starts_with("https://"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions() -> Sessions {
        let folder = tempfile::tempdir().unwrap();
        Sessions::signed_by(&Token::read_or_make(&folder.path().join("admin.token")).unwrap())
    }

    #[test]
    fn a_cookie_is_good_until_its_end_and_not_when_it_was_changed() {
        let (sessions, now) = (sessions(), Timestamp::UNIX_EPOCH);
        for holder in [Holder::Admin, Holder::Token("3f9a01c27d44".to_owned())] {
            let value = sessions.value(&holder, now + SignedDuration::from_secs(10));
            assert_eq!(sessions.read(&value, now + SignedDuration::from_secs(9)), Some(holder));
            assert_eq!(sessions.read(&value, now + SignedDuration::from_secs(10)), None, "it has ended");
        }
        let value = sessions.value(&Holder::Token("3f9a01c27d44".to_owned()), now + LIFETIME);
        let mac = value.rsplit_once('.').unwrap().1;
        for changed in [
            value.replace("3f9a01c27d44", "admin"),
            value.replace(".43200.", ".99999."),
            value.replace(mac, &mac[2..]),
            value.replace(mac, ""),
            String::new(),
        ] {
            assert_eq!(sessions.read(&changed, now), None, "{changed}");
        }
        assert_eq!(self::sessions().read(&value, now), None, "another token signs otherwise");
    }

    #[test]
    fn the_cookie_is_found_among_others_and_no_script_sees_it() {
        let sessions = sessions();
        let set = sessions.begin(&Holder::Admin, true);
        let set = set.to_str().unwrap();
        assert!(set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"), "{set}");
        let mut headers = HeaderMap::new();
        headers.append("cookie", "a=b; wasmway_session=of-somebody-else".parse().unwrap());
        assert_eq!(sessions.holder(&headers), None);
        headers.append("cookie", format!("c=d; {}", set.split(';').next().unwrap()).parse().unwrap());
        assert_eq!(sessions.holder(&headers), Some(Holder::Admin));
    }

    #[test]
    fn only_pages_of_this_address_may_use_it() {
        let sends = |method: &str, headers: &[(&str, &str)]| {
            let mut request = http::Request::builder().method(method).uri("/api/v1/functions").header("host", "h:8081");
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            check_sender(&request.body(()).unwrap().into_parts().0).is_ok()
        };
        assert!(sends("POST", &[("sec-fetch-site", "same-origin"), ("origin", "https://public.example")]));
        assert!(sends("POST", &[("origin", "http://h:8081")]));
        assert!(sends("POST", &[("origin", "https://h:8081")]), "a proxy with TLS before it");
        assert!(sends("GET", &[]) && sends("GET", &[("sec-fetch-site", "none")]));
        assert!(!sends("POST", &[]) && !sends("POST", &[("sec-fetch-site", "none")]));
        assert!(!sends("GET", &[("sec-fetch-site", "same-site")]), "a function's page on another port");
        assert!(!sends("POST", &[("origin", "http://h:8080")]));
        assert!(!sends("POST", &[("origin", "null")]));
        assert!(!sends("POST", &[("sec-fetch-site", "cross-site"), ("origin", "http://h:8081")]));
    }
}
