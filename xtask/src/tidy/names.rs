//! Names that say nothing, and so gather everything.

use std::path::Path;

use super::Finding;

const SAYING_NOTHING: &[&str] = &["common", "helper", "helpers", "misc", "util", "utilities", "utils"];

/// Whether a module may not be called this.
pub(super) fn says_nothing(name: &str) -> bool {
    SAYING_NOTHING.contains(&name)
}

/// A finding when the file, or a folder on its path, has such a name.
pub(super) fn check_path(path: &Path) -> Option<Finding> {
    let without_extension = path.with_extension("");
    let name = without_extension.iter().filter_map(|name| name.to_str()).find(|name| says_nothing(name))?;
    Some(Finding::new(path, 0, format!("`{name}` says nothing: name it after what it does")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_folders_are_named_after_what_they_do() {
        assert!(check_path(Path::new("gateway/src/utils.rs")).is_some());
        assert!(check_path(Path::new("cli/tests/common/mod.rs")).is_some());
        assert!(check_path(Path::new("gateway/src/route_table.rs")).is_none());
    }
}
