//! Where data lives when nobody says where.

use std::env;
use std::path::{Path, PathBuf};

/// The platform's place for an application's data: `~/Library/Application Support/wasmway` on macOS, else
/// `$XDG_DATA_HOME/wasmway` or `~/.local/share/wasmway`; `/var/lib/wasmway` for a user without a home.
pub(crate) fn data_dir() -> PathBuf {
    let home = env::home_dir().filter(|home| home.is_absolute());
    let xdg_data_home = env::var_os("XDG_DATA_HOME").map(PathBuf::from);
    place(home.as_deref(), xdg_data_home.as_deref(), cfg!(target_os = "macos"))
}

fn place(home: Option<&Path>, xdg_data_home: Option<&Path>, macos: bool) -> PathBuf {
    // The XDG specification has relative paths ignored.
    let xdg_data_home = xdg_data_home.filter(|dir| dir.is_absolute());
    match (home, xdg_data_home) {
        (_, Some(dir)) => dir.join("wasmway"),
        (Some(home), None) if macos => home.join("Library/Application Support/wasmway"),
        (Some(home), None) => home.join(".local/share/wasmway"),
        (None, None) => PathBuf::from("/var/lib/wasmway"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_platform() {
        let home = Some(Path::new("/home/ada"));
        assert_eq!(place(home, None, false), Path::new("/home/ada/.local/share/wasmway"));
        assert_eq!(place(home, None, true), Path::new("/home/ada/Library/Application Support/wasmway"));
        assert_eq!(place(home, Some(Path::new("/data")), false), Path::new("/data/wasmway"));
        assert_eq!(place(home, Some(Path::new("data")), false), Path::new("/home/ada/.local/share/wasmway"));
        assert_eq!(place(None, None, false), Path::new("/var/lib/wasmway"));
    }
}
