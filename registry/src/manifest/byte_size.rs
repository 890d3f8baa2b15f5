//! A number of bytes as people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes, written as a whole number and a unit: `64MiB`, `1500kB`, `0B`.
///
/// It prints in the largest binary unit that divides it, so that what is printed reads back as the same number;
/// the crates for this round to a decimal fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

const KIB: u64 = 1024;
const KB: u64 = 1000;

/// Units that are read, and what each is in bytes.
const UNITS: [(&str, u64); 10] = [
    ("TiB", KIB * KIB * KIB * KIB),
    ("GiB", KIB * KIB * KIB),
    ("MiB", KIB * KIB),
    ("KiB", KIB),
    ("B", 1),
    ("TB", KB * KB * KB * KB),
    ("GB", KB * KB * KB),
    ("MB", KB * KB),
    ("kB", KB),
    ("KB", KB),
];

/// How many of [`UNITS`] are printed: the binary ones and the byte.
const UNITS_PRINTED: usize = 5;

/// A text that is no [`ByteSize`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a size; write a whole number and a unit, such as \"512KiB\", \"64MiB\" or \"1GiB\"")]
pub struct ByteSizeError(String);

impl ByteSize {
    /// That many bytes.
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// That many kibibytes.
    pub const fn kib(n: u32) -> Self {
        Self(n as u64 * KIB)
    }

    /// That many mebibytes.
    pub const fn mib(n: u32) -> Self {
        Self(n as u64 * KIB * KIB)
    }

    /// That many gibibytes.
    pub const fn gib(n: u32) -> Self {
        Self(n as u64 * KIB * KIB * KIB)
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let refused = || ByteSizeError(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| refused())?;
        let unit = unit.trim_start_matches(' ');
        let (_, unit_bytes) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(refused)?;
        number.checked_mul(*unit_bytes).map(Self).ok_or_else(refused)
    }
}

impl TryFrom<String> for ByteSize {
    type Error = ByteSizeError;

    fn try_from(text: String) -> Result<Self, ByteSizeError> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> String {
        size.to_string()
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, unit_bytes) = UNITS[..UNITS_PRINTED]
            .iter()
            .find(|(_, bytes)| self.0 >= *bytes && self.0.is_multiple_of(*bytes))
            .unwrap_or(&("B", 1));
        f.pad(&format!("{}{unit}", self.0 / unit_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_whole_number_and_a_unit() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("4GiB", 4 << 30),
            ("1TiB", 1 << 40),
            ("512KiB", 512 << 10),
            ("10MB", 10_000_000),
            ("2kB", 2000),
            ("2KB", 2000),
            ("0B", 0),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in ["", "64", "MiB", "1.5GiB", "-1MiB", "64mib", "64M", "64 MiB ", " 64MiB", "99999999999TiB", "0x1B"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn prints_what_reads_back_as_the_same_number() {
        for (bytes, text) in [
            (0, "0B"),
            (1000, "1000B"),
            (1024, "1KiB"),
            (1536 << 10, "1536KiB"),
            (64 << 20, "64MiB"),
            (4 << 30, "4GiB"),
            (u64::MAX, "18446744073709551615B"),
        ] {
            assert_eq!(ByteSize(bytes).to_string(), text);
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
        }
    }
}
