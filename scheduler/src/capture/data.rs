//! Bytes in JSON: as text where they are text, so that a person can read a capture.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// Bytes, written as a string where they are text, else as `{"base64": "..."}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Data(pub Vec<u8>);

impl Data {
    /// The text that it is, if it is one that a person could read.
    pub fn text(&self) -> Option<&str> {
        let is_readable = |text: &&str| !text.chars().any(|it| it.is_control() && !matches!(it, '\n' | '\r' | '\t'));
        std::str::from_utf8(&self.0).ok().filter(is_readable)
    }
}

impl Data {
    /// Whether it is a placeholder, or has one in it.
    pub fn is_redacted(&self) -> bool {
        super::is_redacted(&self.0)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Written<'a> {
    #[serde(borrow)]
    Text(std::borrow::Cow<'a, str>),
    Bytes {
        base64: String,
    },
}

impl Serialize for Data {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.text() {
            Some(text) => Written::Text(text.into()),
            None => Written::Bytes { base64: BASE64_STANDARD.encode(&self.0) },
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Written::deserialize(deserializer)? {
            Written::Text(text) => Ok(Self(text.into_owned().into_bytes())),
            Written::Bytes { base64 } => BASE64_STANDARD.decode(base64).map(Self).map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_is_readable_and_the_rest_is_base64() {
        let written = |bytes: &[u8]| serde_json::to_string(&Data(bytes.to_vec())).unwrap();
        assert_eq!(written("a \"b\"\nç".as_bytes()), r#""a \"b\"\nç""#);
        assert_eq!(written(b"\x00\x01"), r#"{"base64":"AAE="}"#);
        assert_eq!(written(b"\xff"), r#"{"base64":"/w=="}"#);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(bytes: Vec<u8>) {
            let written = serde_json::to_string(&Data(bytes.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Data>(&written).unwrap(), Data(bytes));
        }
    }
}
