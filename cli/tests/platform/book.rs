//! The tutorial and the how-to pages of the book: every command behind a `$` is run, and prints what the page shows.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use futures::StreamExt;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::harness::{Platform, binary, eventually, free_port};

/// Pages that run nothing, and why.
const WITHOUT_COMMANDS: &[(&str, &str)] = &[("how-to/README.md", "it leads to the others")];

/// How long all commands of a page may take, on a machine that is busy with other tests.
const PAGE_TIME: Duration = Duration::from_secs(180);

/// Pages that are run at the same time.
const PAGES_AT_ONCE: usize = 3;

/// What stands for anything in what a page shows.
const ANYTHING: &str = "...";

/// A command of a page, and what the page shows of its output.
struct Step {
    line: usize,
    command: String,
    shown: String,
}

/// The commands in the `console` blocks of a page. One goes on in the next line behind a `>`.
fn steps(page: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_console = false;
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            is_console = line == "```console";
        } else if !is_console {
            continue;
        } else if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step { line: index + 1, command: command.to_owned(), shown: String::new() });
        } else if let Some(step) = steps.last_mut() {
            match line.strip_prefix("> ").filter(|_| step.shown.is_empty()) {
                Some(more) => step.command += &format!("\n{more}"),
                None => step.shown += &format!("{line}\n"),
            }
        }
    }
    steps
}

/// Whether a page shows what was printed. Blanks count as one: how wide columns are depends on what is in them.
fn shows(shown: &str, printed: &str) -> bool {
    let (shown, printed) = (with_single_blanks(shown), with_single_blanks(printed));
    let Some((first, others)) = shown.split_once(ANYTHING) else { return shown == printed };
    let Some(mut rest) = printed.strip_prefix(first) else { return false };
    let mut parts: Vec<_> = others.split(ANYTHING).collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

fn with_single_blanks(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    lines.join("\n").trim().to_owned()
}

/// The ports of this machine that a page names, beside those of the server that runs for it.
fn ports_of(steps: &[Step], platform: &Platform) -> Vec<(String, String)> {
    let port_of = |address: &str| address.rsplit(':').next().unwrap_or_default().to_owned();
    let mut ports = vec![
        ("8080".to_owned(), port_of(platform.data_address())),
        ("8081".to_owned(), port_of(platform.control_address())),
    ];
    for host in ["127.0.0.1:", "localhost:"] {
        for after in steps.iter().flat_map(|step| step.command.split(host).skip(1)) {
            let port: String = after.chars().take_while(char::is_ascii_digit).collect();
            if !ports.iter().any(|(named, _)| *named == port) {
                ports.push((port, free_port().to_string()));
            }
        }
    }
    ports
}

/// A text with other ports.
fn with_ports<'a>(text: &str, ports: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    ports.fold(text.to_owned(), |text, (from, to)| {
        let replaced = text.replace(&format!("127.0.0.1:{from}"), &format!("127.0.0.1:{to}"));
        replaced.replace(&format!("localhost:{from}"), &format!("localhost:{to}"))
    })
}

/// A shell that is gone with everything that it has started when this is dropped.
struct Shell(Child);

impl Shell {
    /// Runs a script in a folder that looks like the root of the repository, to somebody on whose machine a server runs.
    fn start(script: &str, platform: &Platform, printed: &Path) -> Self {
        let folder = platform.scratch().join("repository");
        let repository = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        for made in ["target", ".local/share"] {
            fs::create_dir_all(folder.join(made)).unwrap();
        }
        for there in ["examples", "target/guests"] {
            symlink(repository.join(there), folder.join(there)).unwrap();
        }
        symlink(platform.folder(), folder.join(".local/share/wasmway")).unwrap();
        // As it is at a terminal, where curl shows no progress beside the answer.
        fs::write(folder.join(".curlrc"), "silent\n").unwrap();
        let output = File::create(printed).unwrap();
        let programs = PathBuf::from(binary().get_program());
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", programs.parent().unwrap().display());
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", script]).env_clear().env("HOME", &folder).env("PATH", path).current_dir(&folder);
        shell.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output).process_group(0);
        Self(shell.spawn().unwrap())
    }

    async fn ended(&mut self) -> ExitStatus {
        eventually("the commands of the page to end", PAGE_TIME, async || self.0.try_wait().unwrap()).await
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        // Nobody is left of it, as far as this fails.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

/// What each command prints, on both outputs.
async fn run(steps: &[Step]) -> Vec<String> {
    let platform = Platform::start().await;
    let ports = ports_of(steps, &platform);
    // The platform writes a call down in the moment after its answer.
    let script: String = steps.iter().map(|step| format!("{}\nsleep 0.1; printf '\\000'\n", step.command)).collect();
    let script = with_ports(&script, ports.iter().map(|(named, real)| (named.as_str(), real.as_str())));
    let printed = platform.scratch().join("printed-by-page");
    Shell::start(&script, &platform, &printed).ended().await;
    let printed = String::from_utf8_lossy(&fs::read(printed).unwrap()).into_owned();
    let printed = with_ports(&printed, ports.iter().map(|(named, real)| (real.as_str(), named.as_str())));
    printed.split('\0').map(str::to_owned).collect()
}

/// Where a page does not show what its commands print.
async fn differences(name: &str, page: &str) -> Vec<String> {
    let steps = steps(page);
    let runs_nothing = WITHOUT_COMMANDS.iter().any(|(page, _)| *page == name);
    assert_eq!(steps.is_empty(), runs_nothing, "docs/{name} has no commands, or is listed as one that has none");
    if runs_nothing {
        return Vec::new();
    }
    let mut printed = run(&steps).await.into_iter();
    let differs = |step: Step| {
        let printed = printed.next().unwrap_or_else(|| "(the commands before it did not end)".to_owned());
        let Step { line, command, shown } = step;
        let message =
            || format!("docs/{name}:{line}: $ {command}\n--- the page shows\n{shown}--- it prints\n{printed}");
        (!shows(&shown, &printed)).then(message)
    };
    steps.into_iter().filter_map(differs).collect()
}

/// The pages whose commands are run, by their paths in `docs/`.
fn pages() -> Vec<(String, String)> {
    let docs = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"));
    let guides = fs::read_dir(docs.join("how-to")).unwrap().map(|entry| entry.unwrap().file_name());
    let guides = guides.map(|name| format!("how-to/{}", name.to_string_lossy()));
    let names = guides.chain(["tutorial.md".to_owned()]);
    names.map(|name| (fs::read_to_string(docs.join(&name)).unwrap(), name)).map(|(page, name)| (name, page)).collect()
}

#[tokio::test]
async fn every_command_of_the_book_prints_what_it_says() {
    let pages = pages();
    assert!(pages.len() > 10, "the guides are where they were");
    let differences = futures::stream::iter(&pages).map(|(name, page)| differences(name, page));
    let differences: Vec<_> = differences.buffer_unordered(PAGES_AT_ONCE).concat().await;
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

#[test]
fn dots_stand_for_anything_and_nothing_else_does() {
    for (shown, printed) in [
        ("deployed v1", "deployed  v1 \n"),
        ("...", "whatever\nit is"),
        ("id ... ok", "id 01a2 0 ok"),
        ("a\n...\nb ... c", "a\nx\ny\nb 1 c"),
        ("", ""),
    ] {
        assert!(shows(shown, printed), "{shown:?} {printed:?}");
    }
    for (shown, printed) in [
        ("deployed v1", "deployed v2"),
        ("", "error: no"),
        ("id ... ok", "id 1 failed"),
        ("id ... ok", "an id 1 ok"),
        ("a ... b ... c", "a b"),
        ("a ... b ... c", "a c b"),
    ] {
        assert!(!shows(shown, printed), "{shown:?} {printed:?}");
    }
}
