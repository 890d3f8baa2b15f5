//! The admin token: made at the first start, asked for ever after.

use rand::RngCore;
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};
use subtle::ConstantTimeEq;

/// A secret that lets its bearer use the control plane.
pub(crate) struct AdminToken(String);

/// Says nothing of the secret.
impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminToken")
    }
}

impl AdminToken {
    /// Reads `admin.token` in `folder`, or makes it (mode 0600).
    pub(crate) fn read_or_make(folder: &Path) -> io::Result<Self> {
        let path = folder.join("admin.token");
        match fs::read_to_string(&path) {
            Ok(text) if text.trim().len() >= 32 => return Ok(Self(text.trim().to_owned())),
            Ok(_) => {
                return Err(io::Error::other(format!("{} is not a token; remove it to get a new one", path.display())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        // Written aside and renamed, so that a start that is cut off leaves no half of a token.
        let scratch = folder.join("admin.token.new");
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&scratch)?;
        writeln!(file, "{token}")?;
        file.sync_all()?;
        fs::rename(scratch, path)?;
        Ok(Self(token))
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
        let made = AdminToken::read_or_make(folder.path()).unwrap();
        let read = AdminToken::read_or_make(folder.path()).unwrap();
        assert!(read.matches(&made.0));
        assert!(!read.matches("") && !read.matches(&made.0[1..]));
        let mode = fs::metadata(folder.path().join("admin.token")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_is_no_token_is_not_taken_for_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("admin.token"), "\n").unwrap();
        assert!(AdminToken::read_or_make(folder.path()).is_err());
    }
}
