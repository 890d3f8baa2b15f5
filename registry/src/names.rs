//! What functions, namespaces and versions are called. Each is checked once, where it enters the platform;
//! past that point the type is the proof.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes: that of a DNS label, since a name is also a host's first label.
pub const NAME_BYTES_MAX: usize = 63;

/// A text that cannot name a function or a namespace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} cannot name a {kind}: use 1 to {NAME_BYTES_MAX} lower-case letters, digits and hyphens, \
     beginning with a letter and not ending with a hyphen"
)]
pub struct NameError {
    kind: &'static str,
    text: String,
}

/// Whether `text` matches `[a-z]([a-z0-9-]{0,61}[a-z0-9])?`.
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= NAME_BYTES_MAX
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last() != Some(&b'-')
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                if is_name(&text) {
                    Ok(Self(text))
                } else {
                    Err(NameError { kind: $kind, text })
                }
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::try_from(text.to_owned())
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_type! {
    /// The name of a function, unique within its [`Namespace`].
    FunctionName, "function"
}

name_type! {
    /// The name of a namespace: who shares one has one set of function names.
    Namespace, "namespace"
}

impl Default for Namespace {
    /// The namespace of whoever names none: `default`.
    fn default() -> Self {
        Self("default".to_owned())
    }
}

/// The number of a function's version: 1, 2, 3, ... in order of deployment, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(NonZeroU32);

/// A number that is no version: zero, negative or over `u32::MAX`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a version: use a whole number from 1 to {max}", max = u32::MAX)]
pub struct VersionError(String);

impl Version {
    /// The version of a first deployment.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// The number.
    pub fn get(self) -> u32 {
        self.0.get()
    }

    /// The version after this one; `None` after the last number there is.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl TryFrom<i64> for Version {
    type Error = VersionError;

    fn try_from(number: i64) -> Result<Self, VersionError> {
        u32::try_from(number).ok().and_then(NonZeroU32::new).map(Self).ok_or_else(|| VersionError(number.to_string()))
    }
}

impl From<Version> for i64 {
    fn from(version: Version) -> i64 {
        i64::from(version.get())
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        text.parse().map(Self).map_err(|_| VersionError(text.to_owned()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_dns_labels_that_begin_with_a_letter() {
        for good in ["a", "hello", "a-b", "a1", "x--y", &"a".repeat(63)] {
            assert_eq!(good.parse::<FunctionName>().unwrap().as_str(), good);
        }
        for bad in ["", "A", "1a", "-a", "a-", "a_b", "a.b", "a/b", "é", "a b", "a\n", &"a".repeat(64)] {
            assert!(bad.parse::<FunctionName>().is_err(), "{bad:?}");
            assert!(bad.parse::<Namespace>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_name_says_what_it_is_and_what_is_allowed() {
        let error = "Hello".parse::<Namespace>().unwrap_err().to_string();
        assert!(error.starts_with("\"Hello\" cannot name a namespace: use 1 to 63 lower-case"), "{error}");
    }

    #[test]
    fn names_are_checked_when_read_from_json() {
        let name: FunctionName = serde_json::from_str("\"hello\"").unwrap();
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"hello\"");
        assert!(serde_json::from_str::<FunctionName>("\"He\"").is_err());
        assert_eq!(Namespace::default().as_ref(), "default");
    }

    #[test]
    fn versions_count_from_one_and_end() {
        assert_eq!(Version::FIRST.next(), Some("2".parse().unwrap()));
        assert_eq!(Version::try_from(i64::from(u32::MAX)).unwrap().next(), None);
        for bad in ["0", "-1", "1.0", "v1", "", "4294967296"] {
            assert!(bad.parse::<Version>().is_err(), "{bad:?}");
        }
        assert!(Version::try_from(0).is_err());
        assert_eq!(serde_json::to_string(&Version::FIRST).unwrap(), "1");
        assert!(serde_json::from_str::<Version>("0").is_err());
    }

    proptest! {
        #[test]
        fn names_read_back_as_they_are_written(text in "[a-z]([a-z0-9-]{0,61}[a-z0-9])?") {
            let name: FunctionName = text.parse().unwrap();
            prop_assert_eq!(name.to_string(), text.as_str());
            prop_assert_eq!(String::from(name.clone()), text.as_str());
            let json = serde_json::to_string(&name).unwrap();
            prop_assert_eq!(serde_json::from_str::<FunctionName>(&json).unwrap(), name);
            prop_assert!(text.parse::<Namespace>().is_ok());
        }

        #[test]
        fn one_wrong_character_anywhere_makes_a_name_none(
            before in "[a-z][a-z0-9-]{0,30}",
            wrong in "[^a-z0-9-]",
            after in "[a-z0-9-]{0,30}",
        ) {
            let text = before + &wrong + &after;
            let error = text.parse::<FunctionName>().unwrap_err().to_string();
            prop_assert!(error.contains("lower-case letters, digits and hyphens"), "{error}");
        }

        #[test]
        fn versions_read_back_as_they_are_written(number in 1..=u32::MAX) {
            let version = Version::try_from(i64::from(number)).unwrap();
            prop_assert_eq!(version.to_string().parse(), Ok(version));
            prop_assert_eq!(i64::from(version), i64::from(number));
        }
    }
}
