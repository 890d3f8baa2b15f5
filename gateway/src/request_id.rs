//! What a request is called: in its answer, in the logs, and by the function.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Serialize, Serializer};
use std::time::{SystemTime, UNIX_EPOCH};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bytes of a request id that a client may choose.
const LONGEST: usize = 128;

/// A request's id: a short, plain word. Cloning it copies nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The client's own where it is a short, plain word, else a new one (UUID version 7).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let chosen = headers.get(&REQUEST_ID).and_then(|value| value.to_str().ok());
        // Copied: the client's header shares the memory of all that came with it.
        chosen.and_then(Self::plain).unwrap_or_else(Self::new)
    }

    fn new() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Random numbers of this thread: the crate's own way asks the kernel for them, twice each time.
        let id = uuid::Builder::from_unix_timestamp_millis(since_1970.as_millis() as u64, &rand::random()).into_uuid();
        let mut text = uuid::Uuid::encode_buffer();
        let text = id.hyphenated().encode_lower(&mut text);
        Self(HeaderValue::from_str(text).expect("a UUID is visible ASCII"))
    }

    fn plain(id: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
        let taken = (1..=LONGEST).contains(&id.len()) && id.bytes().all(plain);
        HeaderValue::from_str(id).ok().filter(|_| taken).map(Self)
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().expect("an id is visible ASCII")
    }

    /// Puts it on a request or an answer, in the place of any other.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.0.clone());
    }
}

impl Serialize for RequestId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
impl From<&str> for RequestId {
    fn from(id: &str) -> Self {
        Self::plain(id).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_a_plain_request_id_and_makes_one_for_any_other() {
        let id = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", value.parse().unwrap());
            RequestId::of(&headers)
        };
        assert_eq!(id("abc-123").as_str(), "abc-123");
        assert_ne!(id("a b").as_str(), "a b");
        assert_ne!(id("").as_str(), "");
        assert_eq!(id(&"x".repeat(129)).as_str().len(), 36);
        assert_ne!(id("a b"), id("a b"));
    }
}
