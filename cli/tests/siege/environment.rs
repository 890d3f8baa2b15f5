//! What the world around the platform does to it: cases 62 to 75.

mod disk;
mod process;

use crate::case::Case;

pub(crate) fn cases() -> Vec<Case> {
    [disk::cases(), process::cases()].into_iter().flatten().collect()
}
