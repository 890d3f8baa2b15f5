//! Running other programs: shown before they run, and explained when they fail.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Prints a heading for what follows.
pub(crate) fn step(what: &str) {
    println!("==> {what}");
}

/// Runs `command` to its end, its output going where ours goes.
///
/// # Errors
/// When it cannot be started or fails; the message holds the command and `hint`, what to do then.
pub(crate) fn run(command: &mut Command, hint: &str) -> Result<()> {
    let shown = shown(command);
    println!("    $ {shown}");
    let status = command.status().with_context(|| format!("cannot start `{shown}`; {hint}"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status}); {hint}");
    }
    Ok(())
}

/// What `command` prints on its standard output, trimmed.
///
/// # Errors
/// As [`run`], and when the output is not text.
pub(crate) fn output(command: &mut Command, hint: &str) -> Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("cannot start `{shown}`; {hint}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{shown}` failed ({}): {said}; {hint}", output.status);
    }
    let text = String::from_utf8(output.stdout).with_context(|| format!("output of `{shown}`"))?;
    Ok(text.trim().to_owned())
}

/// Whether a program of this name can be started: it answers to `--version`.
pub(crate) fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Where a program of this name is, if it is where programs are looked for; for those that know no `--version`.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// The command as one would type it, with the variables that are set for it.
fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        // The search path is long and says little.
        (name != "PATH").then_some(())?;
        Some(format!("{}={}", word(name), word(value?)))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(word);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

/// One word of a command line, quoted where a shell would split it.
fn word(raw: &OsStr) -> String {
    // Cargo separates compiler flags by this character.
    let text = raw.to_string_lossy().replace('\x1f', " ");
    if text.is_empty() || text.contains(char::is_whitespace) { format!("'{text}'") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_to_do() {
        let error = run(Command::new("false").arg("a b"), "try true").unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("`false 'a b'` failed"), "{message}");
        assert!(message.contains("try true"), "{message}");
    }

    #[test]
    fn a_missing_program_is_named_too() {
        let error = run(&mut Command::new("no-such-program"), "install it").unwrap_err();
        let message = format!("{error:#}");
        assert!(message.contains("cannot start `no-such-program`"), "{message}");
        assert!(message.contains("install it"), "{message}");
    }

    #[test]
    fn variables_are_shown_but_not_the_search_path() {
        let mut command = Command::new("cc");
        command.env("PATH", "/long").env("MODE", "x").env_remove("GONE");
        assert_eq!(shown(&command), "MODE=x cc");
    }
}
