//! What files were like when they were last looked at, so that one that was only touched counts as no change.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest, Sha256};

/// Files that are remembered. What is beyond is taken for changed whenever something happens to it.
const FILES_MAX: usize = 20_000;

/// Bytes of a file whose content is looked at; of larger ones length and time of change.
const CONTENT_BYTES_MAX: u64 = 1 << 20;

#[derive(Default)]
pub(super) struct Seen(HashMap<PathBuf, State>);

#[derive(Debug, PartialEq, Eq)]
enum State {
    Gone,
    Content([u8; 32]),
    Large { bytes: u64, modified: Option<SystemTime> },
}

/// What has become of a file since it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Since {
    Same,
    /// It was not known.
    New,
    Changed,
}

impl Seen {
    /// Looks at a file, and remembers what it is like.
    pub(super) fn look(&mut self, file: &Path) -> Since {
        let now = state(file);
        match self.0.get_mut(file) {
            Some(before) if *before == now => Since::Same,
            Some(before) => {
                *before = now;
                Since::Changed
            }
            // It came and went.
            None if now == State::Gone => Since::Same,
            None => {
                if self.0.len() < FILES_MAX {
                    self.0.insert(file.to_owned(), now);
                }
                Since::New
            }
        }
    }
}

fn state(file: &Path) -> State {
    let Ok(metadata) = fs::metadata(file) else { return State::Gone };
    if metadata.len() > CONTENT_BYTES_MAX || !metadata.is_file() {
        return State::Large { bytes: metadata.len(), modified: metadata.modified().ok() };
    }
    // Gone since, or not ours to read, which is no part of a build either.
    fs::read(file).map_or(State::Gone, |content| State::Content(Sha256::digest(content).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_of_content() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let mut seen = Seen::default();
        assert_eq!(seen.look(&file), Since::Same, "it was never there");
        fs::write(&file, "a").unwrap();
        assert_eq!(seen.look(&file), Since::New);
        fs::write(&file, "a").unwrap();
        assert_eq!(seen.look(&file), Since::Same, "saved without a change");
        fs::write(&file, "b").unwrap();
        assert_eq!(seen.look(&file), Since::Changed);
        fs::remove_file(&file).unwrap();
        assert_eq!(seen.look(&file), Since::Changed);
        assert_eq!(seen.look(&file), Since::Same);
    }
}
