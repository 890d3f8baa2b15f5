//! Tokens: made at the first start, asked for ever after.

use crate::private_file;
use rand::RngCore;
use std::{fs, io, path::Path};
use subtle::ConstantTimeEq;

/// The fewest characters that a token has.
const LEAST_BYTES: usize = 32;

/// A secret that lets its bearer in: people and their programs, or nodes.
pub(crate) struct Token(String);

/// Says nothing of the secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// Reads the token in the file `path`.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path)?;
        match text.trim() {
            token if token.len() >= LEAST_BYTES => Ok(Self(token.to_owned())),
            _ => Err(io::Error::other(format!(
                "{} holds no token: that is a line of at least {LEAST_BYTES} characters, such as `openssl rand -hex 32` prints",
                path.display()
            ))),
        }
    }

    /// Reads the token in the file `path`, or makes it (mode 0600).
    pub(crate) fn read_or_make(path: &Path) -> io::Result<Self> {
        match Self::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            read => return read,
        }
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        private_file::write(path, |out| writeln!(out, "{token}"))?;
        Ok(Self(token))
    }

    /// The secret itself, to be shown to whoever asks for it.
    pub(crate) fn secret(&self) -> &str {
        &self.0
    }

    /// Compares in a time that does not depend on where the two differ.
    pub(crate) fn matches(&self, given: &str) -> bool {
        self.0.as_bytes().ct_eq(given.as_bytes()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        let made = Token::read_or_make(&path).unwrap();
        let read = Token::read_or_make(&path).unwrap();
        assert!(read.matches(&made.0));
        assert!(!read.matches("") && !read.matches(&made.0[1..]));
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_token_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        fs::write(&path, "\n").unwrap();
        let error = Token::read_or_make(&path).unwrap_err();
        assert!(error.to_string().contains("32 characters"), "{error}");
    }
}
